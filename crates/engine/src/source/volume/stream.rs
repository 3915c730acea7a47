//! The volume's tar as Docker writes it.

use std::{pin::Pin, time::Duration};

use bollard::{errors::Error, query_parameters::DownloadFromContainerOptions};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use glob::Pattern;
use model::{Fact, Failure, FailureCode};
use tokio::time::{Instant, timeout_at};

use super::{
    super::{SourceMeta, SourceOutcome, SourceStream, walked::Behind},
    Asked,
    helper::{CONTENTS, Helper},
    members::Members,
    users::Held,
};
use crate::{docker, run::RunContext, source::files::basis::Basis};

pub(super) struct VolumeStream {
    context: RunContext,
    volume: String,
    meta: SourceMeta,
    tar: Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>,
    members: Members,
    behind: Option<Box<Reading>>,
    limits: Limits,
    size_bytes: u64,
    has_ended: bool,
    troubles: Vec<String>,
}

/// What is there, or waits, for as long as the volume is read.
pub(super) struct Reading {
    pub(super) helper: Helper,
    pub(super) held: Held,
    /// A snapshot of the file system, where one is read.
    pub(super) basis: Option<Basis>,
}

#[async_trait::async_trait]
impl Behind for Reading {
    async fn undo(mut self: Box<Self>, context: &RunContext) -> Vec<String> {
        let troubles = self.held.release(context).await;
        self.helper.remove(context).await;
        let mut troubles: Vec<_> = troubles.into_iter().map(|trouble| trouble.message).collect();
        if let Some(basis) = self.basis
            && let Err(failure) = basis.end(context).await
        {
            troubles.push(failure.message);
        }
        troubles
    }
}

struct Limits {
    until: Instant,
    idle: Duration,
    size_bytes: u64,
}

impl VolumeStream {
    pub(super) fn begin(
        context: RunContext,
        asked: &Asked<'_>,
        volume: &str,
        behind: Reading,
        excluded: Vec<Pattern>,
    ) -> Self {
        let options = DownloadFromContainerOptions { path: CONTENTS.to_owned() };
        // A stream of its own client: it outlives the borrow of the helper.
        let (client, name) = (behind.helper.docker.clone(), behind.helper.name.clone());
        let tar = client.download_from_container(&name, Some(options)).boxed();
        Self {
            limits: Limits {
                until: Instant::now() + asked.timeout(),
                idle: context.engine.0.config.idle_timeout,
                size_bytes: asked.max_size_bytes(),
            },
            context,
            volume: volume.to_owned(),
            meta: SourceMeta {
                file_name: format!("{volume}.tar"),
                format: Some("tar".to_owned()),
                content_type: Some("application/x-tar".to_owned()),
                expected_size_bytes: None,
            },
            tar,
            members: Members::new(excluded),
            behind: Some(Box::new(behind)),
            size_bytes: 0,
            has_ended: false,
            troubles: Vec::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let volume = &self.volume;
        let until = self.limits.until.min(Instant::now() + self.limits.idle);
        let Ok(next) = timeout_at(until, self.tar.next()).await else {
            let message = format!("Docker did not give volume `{volume}` in time");
            return Err(Failure::new(FailureCode::Timeout, message));
        };
        let Some(chunk) = next else {
            if self.members.is_whole() {
                return Ok(None);
            }
            let cut = Fact::VolumeCutOff { volume: volume.clone() };
            return Err(Failure::new(FailureCode::SourceTruncated, cut));
        };
        let chunk = chunk.map_err(|error| {
            let volume = volume.clone();
            docker::told(&error).told_in(|why| Fact::OfVolume { volume, why })
        })?;
        let kept = self.members.push(chunk).map_err(|problem| {
            Failure::new(FailureCode::SourceFormat, format!("volume `{volume}`: {problem}"))
        })?;
        self.size_bytes += kept.len() as u64;
        if self.size_bytes > self.limits.size_bytes {
            let limit = self.limits.size_bytes;
            let message = format!(
                "volume `{volume}` has more than the {limit} bytes that are allowed: raise \
                 BACKUP_MAX_SIZE_MB or the app's own limit"
            );
            return Err(Failure::new(FailureCode::SourceTooLarge, message));
        }
        Ok(Some(kept))
    }

    /// Lets others go on as soon as nothing more is read.
    async fn undo(&mut self) {
        let Some(behind) = self.behind.take() else { return };
        self.tar = futures::stream::empty().boxed();
        self.troubles.extend(behind.undo(&self.context).await);
    }
}

#[async_trait::async_trait]
impl SourceStream for VolumeStream {
    fn meta(&self) -> &SourceMeta {
        &self.meta
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.has_ended {
            return Ok(None);
        }
        let next = self.next().await;
        if !matches!(next, Ok(Some(_))) {
            self.undo().await;
        }
        if matches!(next, Ok(None)) {
            self.has_ended = true;
            if self.members.dropped() > 0 {
                let count = self.members.dropped();
                self.context.journal.info(format!("{count} entries are excluded"));
            }
        }
        next
    }

    fn outcome(&self) -> Option<SourceOutcome> {
        self.has_ended.then_some(SourceOutcome {
            size_bytes: self.size_bytes,
            sha256: None,
            verified_by_source: false,
        })
    }

    fn allows_empty(&self) -> bool {
        false
    }

    fn warnings(&self) -> Vec<String> {
        self.troubles.clone()
    }
}
