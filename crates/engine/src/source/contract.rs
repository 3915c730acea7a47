//! Apps and sidecars that serve backup contract v1.

use bytes::Bytes;
use contract::{ContractClient, ContractError, Download, ExportRequest, Limits};
use model::{App, ContractSource, Fact, Failure, FailureCode};

use super::{OpenedSource, SourceMeta, SourceOutcome, SourceStream};
use crate::{
    Engine,
    run::{RunContext, failure},
    vault::Purpose,
};

/// Asks the server for its capabilities and its export.
pub(super) async fn open(
    context: &RunContext,
    app: &App,
    server: &ContractSource,
) -> Result<OpenedSource, Failure> {
    let client = client_for(&context.engine, app, server)?;
    let told = |error: ContractError| failure::of_contract(&error);
    let asked = async {
        let capabilities = client.capabilities().await.map_err(told)?;
        check_expected_size(context, app, capabilities.est_size)?;
        let request = ExportRequest {
            r#type: server.export_type.clone(),
            drive_folder_id: server.drive_folder_id.clone(),
            // The same id joins an export of this run that was cut off, and no other's.
            run_id: Some(context.run.id.to_string()),
            prefer: None,
        };
        let mut stream = client.open(&request, context.stop_token().clone()).await.map_err(told)?;
        // Sealing hashes every byte anyway, and the run compares.
        stream.leave_checksum_to_caller();
        Ok::<_, Failure>((capabilities.est_size, stream))
    };
    let (expected, stream) = tokio::select! {
        biased;
        failure = context.stopped() => return Err(failure),
        asked = asked => asked?,
    };
    let meta = stream.meta();
    let meta = SourceMeta {
        file_name: meta.file_name.clone(),
        format: meta.format.clone(),
        content_type: meta.content_type.clone(),
        expected_size_bytes: meta.declared_size().or(expected.filter(|size| *size > 0)),
    };
    Ok(Box::new(Opened { stream, meta, allow_empty: server.allow_empty }))
}

/// A client of `server` within the bounds of `app`.
pub(crate) fn client_for(
    engine: &Engine,
    app: &App,
    server: &ContractSource,
) -> Result<ContractClient, Failure> {
    let open = |sealed| {
        engine
            .0
            .vault
            .open(Purpose::AppToken, sealed)
            .map_err(|_| Failure::new(FailureCode::SecretUnreadable, Fact::SecretLocked {}))
    };
    let config = &engine.0.config;
    let limits = Limits {
        connect_timeout: config.connect_timeout,
        idle_timeout: config.idle_timeout,
        total_timeout: app
            .limits
            .timeout_secs
            .map_or(config.source_timeout, std::time::Duration::from_secs),
        max_size_bytes: app.limits.max_size_bytes.unwrap_or(config.max_size_bytes),
        accept_unverified: server.accept_unverified,
        ..Limits::default()
    };
    let token = open(&server.token)?;
    let client = ContractClient::new(server.url.clone(), token, config.net_policy.clone(), limits)
        .map_err(|error| failure::of_contract(&error))?;
    // A previous token that can no longer be opened is no reason to fail.
    let previous = server.previous_token.as_ref().and_then(|sealed| open(sealed).ok());
    Ok(match previous {
        Some(previous) => client.with_previous_token(previous),
        None => client,
    })
}

fn check_expected_size(
    context: &RunContext,
    app: &App,
    expected: Option<u64>,
) -> Result<(), Failure> {
    let limit = app.limits.max_size_bytes.unwrap_or(context.engine.0.config.max_size_bytes);
    match expected {
        Some(expected) if expected > limit => Err(Failure::new(
            FailureCode::SourceTooLarge,
            format!(
                "`{}` expects to export {expected} bytes, {limit} are allowed: raise \
                 BACKUP_MAX_SIZE_MB or the app's own limit",
                app.name
            ),
        )),
        _ => Ok(()),
    }
}

struct Opened {
    stream: Download,
    meta: SourceMeta,
    allow_empty: bool,
}

#[async_trait::async_trait]
impl SourceStream for Opened {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.stream.chunk().await.map_err(|error| failure::of_contract(&error))
    }

    fn outcome(&self) -> Option<SourceOutcome> {
        self.stream.outcome().map(|outcome| SourceOutcome {
            size_bytes: outcome.size_bytes,
            sha256: Some(outcome.sha256.clone()).filter(|sha256| !sha256.is_empty()),
            verified_by_source: outcome.verified_by_source,
        })
    }

    fn allows_empty(&self) -> bool {
        self.allow_empty
    }
}
