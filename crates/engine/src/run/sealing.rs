//! The thread that seals a stream: checks, hashes, compresses, tees and encrypts. That is work for a
//! processor, not for the async threads.

use artifact::{
    Digest, FormatChecker, FormatError, FormatReport, Recipe, Recipients, SealError, Sealed,
    Sealer,
    contents::{Counted, Counter},
};
use bytes::Bytes;
use model::{Contents, TableRows, contents::MAX_TABLES};
use tokio::sync::mpsc;

use super::{members::Counting, outlet::Outlet};

/// Why a stream was not sealed to its end.
pub(super) enum SealFailure {
    Format(FormatError),
    Seal(SealError),
    /// Every destination has stopped taking chunks.
    NobodyListens,
}

/// A stream that was sealed to its end.
pub(super) struct Done {
    pub(super) sealed: Sealed,
    /// What each destination stores, in their order.
    pub(super) stored: Vec<Digest>,
    pub(super) report: FormatReport,
    pub(super) counted: Option<Contents>,
}

/// Where one destination takes chunks.
pub(super) struct Feed {
    pub(super) into: mpsc::Sender<Bytes>,
    /// For whom it wants them encrypted.
    pub(super) recipients: Option<Recipients>,
    /// Whether it takes them as they come from the source.
    pub(super) plain: bool,
}

/// Where chunks of one kind go on to.
#[derive(Default)]
struct Tee {
    outlets: Vec<Option<Outlet>>,
    failed: Option<SealError>,
}

impl Tee {
    fn push(&mut self, chunk: &Bytes) {
        for outlet in &mut self.outlets {
            match outlet.as_mut().map(|open| open.push(chunk.clone())) {
                None | Some(Ok(true)) => {}
                Some(Ok(false)) => *outlet = None, // It failed; `finish` tells why.
                Some(Err(error)) => {
                    *outlet = None;
                    self.failed = Some(error);
                }
            }
        }
    }

    fn listens(&self) -> bool {
        self.outlets.iter().any(Option::is_some)
    }

    /// What each stores of what is `whole`.
    fn finish(self, whole: Digest) -> Result<Vec<Digest>, SealError> {
        let finish = |outlet: Option<Outlet>| {
            Ok(outlet.map(Outlet::finish).transpose()?.flatten().unwrap_or(whole))
        };
        self.failed.map_or(Ok(()), Err)?;
        self.outlets.into_iter().map(finish).collect()
    }
}

/// The sealing thread: checks, hashes, compresses, tees and encrypts.
pub(super) fn seal(
    recipe: Recipe,
    (mut checker, mut counter, mut members): (FormatChecker, Counter, Option<Counting>),
    mut chunks: mpsc::Receiver<Bytes>,
    feeds: Vec<Option<Feed>>,
) -> Result<Done, SealFailure> {
    let (mut as_sealed, mut as_plain) = (Tee::default(), Tee::default());
    let mut is_plain = Vec::with_capacity(feeds.len());
    for feed in feeds {
        let plain = feed.as_ref().is_some_and(|feed| feed.plain);
        let outlet = feed.map(|one| Outlet::new(one.into, one.recipients.as_ref())).transpose();
        let tee = if plain { &mut as_plain } else { &mut as_sealed };
        tee.outlets.push(outlet.map_err(SealFailure::Seal)?);
        is_plain.push(plain);
    }
    let mut sealer = Sealer::new(recipe).map_err(SealFailure::Seal)?;
    while let Some(chunk) = chunks.blocking_recv() {
        checker.push(&chunk).map_err(SealFailure::Format)?;
        counter.push(&chunk);
        if let Some(members) = &mut members {
            members.push(&chunk);
        }
        as_plain.push(&chunk);
        sealer.push(chunk, &mut |sealed| as_sealed.push(&sealed)).map_err(SealFailure::Seal)?;
    }
    let report = checker.finish().map_err(SealFailure::Format)?;
    let sealed = sealer.finish(&mut |sealed| as_sealed.push(&sealed)).map_err(SealFailure::Seal)?;
    let nobody_listens = !as_sealed.listens() && !as_plain.listens();
    let mut as_sealed = as_sealed.finish(sealed.stored).map_err(SealFailure::Seal)?.into_iter();
    let mut as_plain = as_plain.finish(sealed.plain).map_err(SealFailure::Seal)?.into_iter();
    if nobody_listens {
        return Err(SealFailure::NobodyListens);
    }
    let stored = is_plain
        .into_iter()
        .filter_map(|plain| if plain { as_plain.next() } else { as_sealed.next() })
        .collect();
    let counted = members.and_then(Counting::finish);
    let counted = counted.or_else(|| counter.finish().map(contents));
    Ok(Done { sealed, stored, report, counted })
}

/// What was counted, in the catalog's words.
pub(super) fn contents(counted: Counted) -> Contents {
    let total = counted.tables.len() as u64 + counted.uncounted;
    let tables = counted.tables.into_iter().take(MAX_TABLES);
    Contents::Tables {
        tables: tables.map(|(table, rows)| TableRows { table, rows }).collect(),
        total,
    }
}
