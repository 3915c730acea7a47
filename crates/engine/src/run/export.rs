//! One source's stream, from its first byte to objects proven at the destinations.
//!
//! The stream is read once, sealed once on a thread of its own (hashing and compressing are
//! work for a processor, not for the async threads) and teed to every destination. A slow
//! destination slows the rest, a failed one is left behind. End of stream is not success: the
//! source's outcome decides, and only then are objects finished.

use std::sync::{Arc, atomic::Ordering};

use artifact::{
    Compression, Digest, FormatChecker, FormatReport, Hints, Method, Recipe, Restart, Sealed,
    contents::Counter,
};
use bytes::Bytes;
use model::{App, Artifact, Failure, FailureCode, Source, Stage, StoredObject};
use store::CreateOptions;
use tokio::sync::mpsc;

use super::{
    RunContext, failure,
    members::Counting,
    place::Place,
    sealing::{Done, Feed, SealFailure, contents, seal},
    upload::Sending,
};
use crate::source::{self, OpenedSource, Part, SourceStream};

/// Chunks that may wait for the sealing thread.
const WAITING_CHUNKS: usize = 4;
/// With more workers than this, each stream makes do with little memory.
const FEW_WORKERS: usize = 8;

/// What a source gave.
pub(crate) struct Exported {
    pub(crate) artifact: Artifact,
    pub(crate) verified_by_source: bool,
    pub(crate) warnings: Vec<String>,
}

/// Exports `source` of `app` to every destination that is well.
pub(crate) async fn export(
    context: &RunContext,
    app: &App,
    source: &Source,
    part: &Part,
    places: &mut [Place],
) -> Result<Exported, Failure> {
    enter(context, Stage::Export).await?;
    context.journal.info(format!("asking `{}` for its export", part.name));
    let began_at = context.engine.now();
    let mut opened = source::open(context, app, source, part).await?;
    let meta = opened.meta().clone();
    if let Some(expected) = meta.expected_size_bytes {
        context.journal.expect_bytes(expected);
    }
    // The first bytes tell whether compressing pays; and a source that fails at once has then
    // touched no destination.
    let head = next(context, &mut opened).await?;
    let recipe = recipe_for(context, app, head.as_deref().unwrap_or_default(), places)?;
    context.journal.info(format!(
        "`{}` sends {}{}, stored with compression {}",
        part.name,
        meta.file_name,
        meta.format.as_ref().map(|f| format!(" ({f})")).unwrap_or_default(),
        recipe.compression,
    ));

    enter(context, Stage::Store).await?;
    let tree = opened.tree().map(str::to_owned);
    let named = Named { part, meta: &meta, tree: tree.as_deref() };
    let mut sending = begin_all(context, app, named, recipe, places).await?;
    let sent = send(context, part, &mut opened, head, recipe, &mut sending, places).await;
    let (Done { sealed, stored, report, counted }, verified_by_source) = match sent {
        Ok(sent) => sent,
        Err(failure) => {
            for one in sending.into_iter().flatten() {
                one.abort().await;
            }
            return Err(failure);
        }
    };
    let restarts: Arc<[Restart]> = sealed.restarts.into();
    for ((one, place), stored) in sending.into_iter().zip(places.iter_mut()).zip(&stored) {
        if let Some(one) = one {
            if !place.takes_plain {
                place.restarts.insert(part.name.clone(), Arc::clone(&restarts));
            }
            finish(context, one, place, named, recipe, stored).await?;
        }
    }
    if places.iter().all(|place| !place.is_well()) {
        return Err(all_failed(places));
    }
    let mut warnings = opened.warnings();
    warnings.extend(report.warnings);
    for warning in &warnings {
        context.journal.warn(format!("`{}`: {warning}", part.name));
    }
    Ok(Exported {
        artifact: Artifact {
            source: part.name.clone(),
            part: part.part.clone(),
            began_at: Some(began_at),
            ended_at: Some(context.engine.now()),
            file_name: meta.file_name,
            format: meta.format,
            content_type: meta.content_type,
            size_bytes: sealed.plain.size_bytes,
            sha256: sealed.plain.sha256.to_string(),
            contents: counted.or_else(|| opened.counted().map(contents)),
            base: opened.base(),
            image: crate::docker::image::of_source(&context.engine.0.config, source).await,
        },
        verified_by_source,
        warnings,
    })
}

async fn enter(context: &RunContext, stage: Stage) -> Result<(), Failure> {
    context.journal.enter(stage).await.map_err(|error| failure::of_catalog(&error))
}

/// The next chunk that is not empty, unless the run is told to stop.
async fn next(context: &RunContext, opened: &mut OpenedSource) -> Result<Option<Bytes>, Failure> {
    loop {
        let chunk = tokio::select! {
            biased;
            failure = context.stopped() => return Err(failure),
            chunk = opened.chunk() => chunk?,
        };
        match chunk {
            Some(chunk) if chunk.is_empty() => {}
            Some(chunk) => {
                context.journal.add_bytes(chunk.len());
                return Ok(Some(chunk));
            }
            None => return Ok(None),
        }
    }
}

/// Sends the whole stream and proves the source's side of it.
async fn send(
    context: &RunContext,
    part: &Part,
    opened: &mut OpenedSource,
    head: Option<Bytes>,
    recipe: Recipe,
    sending: &mut [Option<Sending>],
    places: &mut [Place],
) -> Result<(Done, bool), Failure> {
    let done = pump(context, opened, head, recipe, sending, places).await?;
    enter(context, Stage::Check).await?;
    let verified = prove(opened.as_ref(), &done.sealed, &done.report, part)?;
    Ok((done, verified))
}

/// What names an object.
#[derive(Clone, Copy)]
struct Named<'a> {
    part: &'a Part,
    meta: &'a source::SourceMeta,
    /// The folder of the tree that it lists.
    tree: Option<&'a str>,
}

impl Named<'_> {
    /// Words on the object, where it can have some.
    fn tags(&self, context: &RunContext, app: &App) -> Vec<String> {
        let mut tags = tags_of(context, app);
        tags.push(format!("source={}", self.part.name));
        tags
    }

    /// The name at an `attempt` in an app's folder; a tree's listing lies beside the tree, whose
    /// name is its own already.
    fn key(
        &self,
        app: &App,
        names: &model::layout::Names,
        place: &Place,
        suffix: &str,
        attempt: u32,
    ) -> Result<store::Key, Failure> {
        if let Some(tree) = self.tree {
            let text = format!("{tree}.jsonl{suffix}");
            return store::Key::new(&text)
                .map_err(|error| Failure::new(FailureCode::DestinationConfig, error.to_string()));
        }
        let Self { part, meta, .. } = self;
        let source = app.sources.len() > 1 || part.part.is_some();
        let source = source.then_some(part.name.as_str());
        let format = meta.format.as_deref().map(artifact::format::canonical);
        let name = names.object(source, &meta.file_name, format, suffix, attempt);
        place.key(&name)
    }
}

/// What tells whose an object is.
pub(crate) fn tags_of(context: &RunContext, app: &App) -> Vec<String> {
    vec![format!("app={}", app.name), format!("run={}", context.run.id)]
}

/// Begins one object at every destination that is well.
async fn begin_all(
    context: &RunContext,
    app: &App,
    named: Named<'_>,
    recipe: Recipe,
    places: &mut [Place],
) -> Result<Vec<Option<Sending>>, Failure> {
    let mut all = Vec::with_capacity(places.len());
    for place in places.iter_mut() {
        let Ok(store) = place.store.clone() else {
            all.push(None);
            continue;
        };
        match begin_one(context, app, named, recipe, place, &store).await {
            Ok(sending) => {
                context
                    .journal
                    .info(format!("{}: writing {}", place.destination.name, sending.key));
                all.push(Some(sending));
            }
            Err(failure) if failure.code == FailureCode::Catalog => return Err(failure),
            Err(failure) => {
                place.fail(context, failure);
                all.push(None);
            }
        }
        place.record(context, Stage::Store).await?;
    }
    if places.iter().all(|place| !place.is_well()) {
        return Err(all_failed(places));
    }
    Ok(all)
}

/// Begins one object under the first free name. The name is written down first, so that what a
/// crash leaves behind can be told from what others put there.
async fn begin_one(
    context: &RunContext,
    app: &App,
    named: Named<'_>,
    recipe: Recipe,
    place: &Place,
    store: &Arc<dyn store::Store>,
) -> Result<Sending, Failure> {
    let names = super::backup::names(context, app, place);
    let limit = app.limits.max_size_bytes.unwrap_or(context.engine.0.config.max_size_bytes);
    // What cannot be compressed grows by less than this when it is.
    let most = Some(limit.saturating_add(limit / 64));
    let suffix = format!("{}{}", method_at(place, recipe).suffix(), place.encryption().suffix());
    let tags = named.tags(context, app);
    for attempt in 1..=MAX_SAME_NAMES {
        let key = named.key(app, &names, place, &suffix, attempt)?;
        context.intend(place.destination.id, &key).await?;
        let options =
            CreateOptions { most_bytes: most, tags: tags.clone(), ..CreateOptions::default() };
        match Sending::begin(store, key.clone(), Arc::clone(&place.bytes_written), &options).await {
            Ok(sending) => return Ok(sending),
            Err(error) if error.is_already_exists() => {
                context.disown(place.destination.id, &key).await?;
            }
            Err(error) => return Err(failure::of_store(&error)),
        }
    }
    Err(Failure::new(
        FailureCode::DestinationConfig,
        format!(
            "{MAX_SAME_NAMES} objects of the same name are already at `{}`: use a name template \
             with seconds or the run's id",
            place.destination.name
        ),
    ))
}

/// How many names `NAME`, `NAME_2`, … are tried before giving up.
const MAX_SAME_NAMES: u32 = 50;

/// Reads the stream to its end through the sealing thread.
async fn pump(
    context: &RunContext,
    opened: &mut OpenedSource,
    head: Option<Bytes>,
    recipe: Recipe,
    sending: &mut [Option<Sending>],
    places: &mut [Place],
) -> Result<Done, Failure> {
    let feeds: Vec<_> = sending
        .iter_mut()
        .zip(places.iter())
        .map(|(one, place)| {
            let into = one.as_mut()?.feed()?;
            Some(Feed { into, recipients: place.recipients.clone(), plain: place.takes_plain })
        })
        .collect();
    let (plain, chunks) = mpsc::channel::<Bytes>(WAITING_CHUNKS);
    let meta = opened.meta();
    let checker = FormatChecker::new(&Hints {
        format: meta.format.as_deref(),
        content_type: meta.content_type.as_deref(),
        file_name: Some(&meta.file_name),
    });
    let counter = Counter::new(meta.format.as_deref());
    let members = Counting::begin(meta.format.as_deref(), &meta.file_name);
    let looking = (checker, counter, members);
    let mut sealing = tokio::task::spawn_blocking(move || seal(recipe, looking, chunks, feeds));

    let fed = tokio::select! {
        biased;
        failure = context.stopped() => Err(failure),
        fed = feed(context, opened, head, plain) => fed,
    };
    // Everything is read; what remains is the destinations' pace, still under our stop.
    let sealed = match fed {
        Ok(()) => tokio::select! {
            biased;
            failure = context.stopped() => Err(failure),
            sealed = &mut sealing => Ok(sealed),
        },
        Err(failure) => Err(failure),
    };
    match sealed {
        Ok(Ok(Ok(done))) => Ok(done),
        Ok(Ok(Err(SealFailure::Format(error)))) => Err(Failure {
            retryable: error.is_retryable(),
            ..Failure::new(FailureCode::SourceFormat, error.to_string())
        }),
        Ok(Ok(Err(SealFailure::Seal(error)))) => {
            Err(Failure::new(FailureCode::Internal, error.to_string()))
        }
        Ok(Ok(Err(SealFailure::NobodyListens))) => {
            for (one, place) in sending.iter_mut().zip(places.iter_mut()) {
                if let Some(one) = one.take()
                    && let Err(error) = one.into_upload().await
                {
                    place.fail(context, failure::of_store(&error));
                }
            }
            Err(all_failed(places))
        }
        Ok(Err(panic)) => Err(Failure::new(
            FailureCode::Internal,
            format!("the sealing thread ended by itself: {panic}"),
        )),
        Err(failure) => {
            // The thread may wait for a stuck destination: giving the uploads up ends its sends.
            for one in sending.iter_mut().filter_map(Option::take) {
                one.abort().await;
            }
            Err(failure)
        }
    }
}

/// Hands the stream's chunks to the sealing thread.
async fn feed(
    context: &RunContext,
    opened: &mut OpenedSource,
    head: Option<Bytes>,
    plain: mpsc::Sender<Bytes>,
) -> Result<(), Failure> {
    let mut chunk = head;
    while let Some(bytes) = chunk {
        if plain.send(bytes).await.is_err() {
            return Ok(()); // The sealing thread has ended and says why.
        }
        chunk = next(context, opened).await?;
    }
    Ok(())
}

/// Whether what was sealed is what the source declared; gives whether it declared anything.
fn prove(
    opened: &dyn SourceStream,
    sealed: &Sealed,
    report: &FormatReport,
    part: &Part,
) -> Result<bool, Failure> {
    let outcome = opened.outcome().ok_or_else(|| {
        Failure::new(
            FailureCode::Internal,
            format!("`{}` ended its stream without an outcome", part.name),
        )
    })?;
    let same = outcome.size_bytes == sealed.plain.size_bytes
        && outcome
            .sha256
            .is_none_or(|sha256| sha256.eq_ignore_ascii_case(&sealed.plain.sha256.to_string()));
    if !same {
        return Err(Failure::new(
            FailureCode::SourceMismatch,
            format!(
                "`{}` declared another size or SHA-256 than what came ({} bytes, {}): nothing was \
                 kept",
                part.name, sealed.plain.size_bytes, sealed.plain.sha256
            ),
        ));
    }
    if report.is_empty && !opened.allows_empty() {
        return Err(Failure::new(
            FailureCode::SourceEmpty,
            format!(
                "`{}` exported nothing: check its command, or allow empty exports for this app",
                part.name
            ),
        ));
    }
    Ok(outcome.verified_by_source)
}

/// Makes the object visible and looks at it once more where it lies.
async fn finish(
    context: &RunContext,
    sending: Sending,
    place: &mut Place,
    named: Named<'_>,
    recipe: Recipe,
    stored: &Digest,
) -> Result<(), Failure> {
    context.check_lease().await?;
    let Ok(store) = place.store.clone() else { return Ok(()) };
    let key = sending.key.clone();
    let checked = async {
        sending.finish().await?;
        store.stat(&key).await
    };
    let result = tokio::select! {
        biased;
        failure = context.stopped() => return Err(failure),
        result = checked => result,
    };
    match result {
        Ok(meta)
            if meta.size_bytes == stored.size_bytes
                && meta.agrees_with_sha256(&stored.sha256.to_string()) =>
        {
            place.objects.push(StoredObject {
                source: named.part.name.clone(),
                key: key.to_string(),
                stored_size_bytes: stored.size_bytes,
                stored_sha256: stored.sha256.to_string(),
                compression: method_at(place, recipe).to_string(),
                encryption: place.encryption().as_str().to_owned(),
                tree: named.tree.map(str::to_owned),
            });
        }
        Ok(meta) => {
            let removed = store.delete(&key).await.is_ok();
            let failure = Failure::new(
                FailureCode::DestinationMismatch,
                format!(
                    "{key} has {} bytes there, {} were sent; it was {}",
                    meta.size_bytes,
                    stored.size_bytes,
                    if removed { "removed" } else { "left and will be swept" }
                ),
            );
            place.fail(context, failure);
        }
        Err(error) => place.fail(context, failure::of_store(&error)),
    }
    place.record(context, Stage::Check).await
}

/// One failure for all: the first destination's, told for every one.
fn all_failed(places: &[Place]) -> Failure {
    let failures: Vec<_> =
        places.iter().filter_map(|p| p.failure().map(|f| (&p.destination.name, f))).collect();
    let told: Vec<_> = failures.iter().map(|(name, f)| format!("{name}: {}", f.message)).collect();
    Failure {
        code: failures.first().map_or(FailureCode::Internal, |(_, f)| f.code),
        message: told.join("; "),
        retryable: failures.iter().any(|(_, f)| f.retryable),
        fact: None,
    }
}

/// How `place` stores what is sealed by `recipe`.
fn method_at(place: &Place, recipe: Recipe) -> Method {
    if place.takes_plain { Method::None } else { recipe.compression.method() }
}

/// What the app says; otherwise zstd, except for what is compressed already. Its workers are for
/// the machine as a whole: a run alone may use two, many at once get one thread each and a
/// smaller memory.
fn recipe_for(
    context: &RunContext,
    app: &App,
    head: &[u8],
    places: &[Place],
) -> Result<Recipe, Failure> {
    let is_for_nobody = places.iter().all(|place| place.takes_plain || !place.is_well());
    let compression = match &app.compression {
        _ if is_for_nobody => Compression::None,
        Some(text) => text.parse().map_err(|error| {
            Failure::new(FailureCode::Internal, format!("the app's compression: {error}"))
        })?,
        None if artifact::format::is_compressed(head) => Compression::None,
        None => Compression::default(),
    };
    let alone = context.engine.0.streams.load(Ordering::Relaxed) <= 1;
    let recipe = Recipe::new(compression).with_workers(if alone { 2 } else { 0 });
    Ok(if context.engine.0.config.workers > FEW_WORKERS { recipe.frugal() } else { recipe })
}
