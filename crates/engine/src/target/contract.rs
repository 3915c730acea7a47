//! Apps and sidecars that take artifacts back (`POST /backup/import`). The app itself brings in and
//! replaces; what is done here is to give it nothing but a proven artifact, whole or not at all.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use contract::{
    Capabilities, ContractClient, ContractError, Declared, ImportReport, ImportRequest,
    ImportTarget,
};
use model::{ContractSource, Fact, Failure, RestoreTarget, Sentence, SourceKind};
use tokio::{sync::mpsc, time::Instant};

use super::{Aim, Loaded, Look, Placing, PutBack, Supply, Switched, Target, refused};
use crate::{
    run::{RunContext, failure},
    source::client_for,
};

/// Chunks that may wait to be sent.
const WAITING_CHUNKS: usize = 8;
/// How often an app that is busy is asked again, and the wait where it names none.
const BUSY: (u32, Duration) = (20, Duration::from_secs(2));
/// How often an app is sent it again after the connection broke, and the wait before that. It knows
/// by the name whether it has done it already.
const BROKEN: (u32, Duration) = (5, Duration::from_secs(2));
/// Longest wait between two of these.
const LONGEST: Duration = Duration::from_secs(30);

pub(crate) struct Contract;

#[async_trait::async_trait]
impl Target for Contract {
    async fn look(&self, aim: &Aim<'_>) -> Result<Look, Failure> {
        let server = server(aim)?;
        let mut look = Look::at(Fact::AppAt { url: server.url.to_string() });
        if matches!(aim.target, RestoreTarget::Beside { .. }) {
            look.block(Fact::AppNotBeside {});
            return Ok(look);
        }
        if !(aim.paths().is_empty() && aim.tables().is_empty()) {
            look.block(Fact::AppTakesWhole {});
        }
        let capabilities = client(aim)?.capabilities().await;
        let capabilities = match capabilities {
            Ok(capabilities) => capabilities,
            Err(error) => {
                look.block(error.to_string());
                return Ok(look);
            }
        };
        if let Err(failure) = offered(aim, &capabilities) {
            look.block(failure);
            return Ok(look);
        }
        look.good(Fact::AppTakesBack { url: server.url.to_string() });
        let known = &capabilities.formats;
        if let Some(format) = &aim.artifact.format
            && !known.is_empty()
            && !known.contains(format)
        {
            look.warn(Fact::AppOfOtherFormat { format: format.clone(), formats: known.join(", ") });
        }
        let (url, artifact) = (server.url.to_string(), aim.artifact.source.to_string());
        look.replaces = Some(Fact::AppHas { url, artifact }.into());
        look.warn(Fact::AppReplaces {});
        Ok(look)
    }

    fn made(&self, aim: &Aim<'_>) -> Result<String, Failure> {
        // The name by which the app knows the same import again.
        Ok(format!("restore-{}-{}", aim.tag, aim.artifact.source))
    }

    async fn clear(&self, _aim: &Aim<'_>, _made: &str) -> Result<(), Failure> {
        // An app that has not got the whole of it keeps nothing of it.
        Ok(())
    }

    /// Proves the copy, so that nothing is begun with one that is damaged.
    async fn load(&self, placing: &Placing<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
        let Placing { context, aim, .. } = *placing;
        let client = client(aim)?;
        let capabilities = tokio::select! {
            biased;
            failure = context.stopped() => return Err(failure),
            asked = client.capabilities() => asked.map_err(|error| failure::of_contract(&error))?,
        };
        offered(aim, &capabilities)?;
        supply.prove().await?;
        Ok(Loaded::default())
    }

    /// Sends it. Cut off it sends it again, by the same name, here or called again.
    async fn switch(
        &self,
        placing: &Placing<'_>,
        supply: &Supply<'_>,
    ) -> Result<Switched, Failure> {
        let Placing { context, aim, made } = *placing;
        let (client, url) = (client(aim)?, server(aim)?.url.to_string());
        let request = request(aim, made)?;
        let ends_by = Instant::now() + aim.timeout();
        let had_whole = Arc::new(AtomicBool::new(false));
        // What has not got the whole of it has nothing to replace.
        let told = |failure: Failure| {
            if had_whole.load(Ordering::SeqCst) {
                return failure;
            }
            let url = url.clone();
            failure.told_in(|why| Fact::AppNotGiven { url, why })
        };
        let (mut busy, mut broken) = (0, 0);
        loop {
            let error = match send(context, &client, &request, supply, &had_whole).await {
                Ok(report) => return Ok(switched(report)),
                Err(Sending::Supply(failure)) => return Err(told(failure)),
                Err(Sending::App(error)) => error,
            };
            context.keep_going().map_err(told)?;
            let failure = told(failure::of_contract(&error));
            let (tries, most, wait) = match &error {
                ContractError::Busy { retry_after_secs, .. } => {
                    busy += 1;
                    let wait = retry_after_secs.map_or(BUSY.1, Duration::from_secs);
                    (busy, BUSY.0, wait.min(LONGEST))
                }
                ContractError::Unreachable { .. } | ContractError::Truncated { .. } => {
                    broken += 1;
                    (broken, BROKEN.0, BROKEN.1)
                }
                _ => return Err(failure),
            };
            if tries >= most || Instant::now() + wait >= ends_by {
                return Err(failure);
            }
            context.journal.info(format!("{error}; asked again in {} s", wait.as_secs()));
            tokio::select! {
                biased;
                failure = context.stopped() => return Err(told(failure)),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn is_untouched(&self, failure: &Failure) -> bool {
        matches!(failure.fact.as_deref(), Some(Fact::AppNotGiven { .. }))
    }

    async fn put_back(&self, placing: &Placing<'_>) -> Result<PutBack, Failure> {
        let Placing { aim, made, .. } = *placing;
        let (url, made) = (server(aim)?.url.to_string(), made.to_owned());
        Err(refused(Fact::AppMayHaveReplaced { url, made }))
    }
}

fn server<'a>(aim: &Aim<'a>) -> Result<&'a ContractSource, Failure> {
    match aim.source.map(|source| &source.kind) {
        Some(SourceKind::Contract(server)) => Ok(server),
        _ => Err(aim.no_source()),
    }
}

fn client(aim: &Aim<'_>) -> Result<ContractClient, Failure> {
    client_for(aim.engine, aim.app, server(aim)?)
}

fn offered(aim: &Aim<'_>, capabilities: &Capabilities) -> Result<(), Failure> {
    if capabilities.restore {
        return Ok(());
    }
    Err(refused(Fact::AppTakesNothing { url: server(aim)?.url.to_string() }))
}

fn request(aim: &Aim<'_>, made: &str) -> Result<ImportRequest, Failure> {
    let mut sha256 = [0; 32];
    hex::decode_to_slice(&aim.artifact.sha256, &mut sha256)
        .map_err(|error| refused(format!("the record of `{}`: {error}", aim.artifact.source)))?;
    Ok(ImportRequest {
        declared: Declared { size_bytes: aim.artifact.size_bytes, sha256 },
        format: aim.artifact.format.clone(),
        target: ImportTarget::Replace,
        run_id: Some(made.to_owned()),
    })
}

fn switched(report: ImportReport) -> Switched {
    let notes = report.message.into_iter().chain(report.notes).map(Sentence::from).collect();
    Switched { kept: report.kept, notes }
}

/// Why an artifact did not get into the app.
enum Sending {
    /// It could not be read to its end.
    Supply(Failure),
    /// The app did not take it.
    App(ContractError),
}

async fn send(
    context: &RunContext,
    client: &ContractClient,
    request: &ImportRequest,
    supply: &Supply<'_>,
    had_whole: &Arc<AtomicBool>,
) -> Result<ImportReport, Sending> {
    let (to, mut chunks) = mpsc::channel::<io::Result<Bytes>>(WAITING_CHUNKS);
    let feeding = async move {
        let mut bytes = supply.open()?;
        loop {
            match bytes.chunk().await {
                Ok(Some(chunk)) => {
                    if to.send(Ok(chunk)).await.is_err() {
                        return Ok(()); // The import tells why.
                    }
                }
                Ok(None) => return Ok(()),
                Err(failure) => {
                    let broken = io::Error::other(failure.message.clone());
                    let _ = to.send(Err(broken)).await;
                    return Err(failure);
                }
            }
        }
    };
    let had_whole = Arc::clone(had_whole);
    let chunks = futures::stream::poll_fn(move |context| {
        let polled = chunks.poll_recv(context);
        // What broke off has told so before, and is asked for nothing more.
        if matches!(polled, Poll::Ready(None)) {
            had_whole.store(true, Ordering::SeqCst);
        }
        polled
    });
    let importing = client.import(request, chunks, context.stop_token().clone());
    let (fed, imported) = tokio::join!(feeding, importing);
    fed.map_err(Sending::Supply)?;
    imported.map_err(Sending::App)
}
