//! Snapshots: the list, and each in plain words.

use std::collections::HashMap;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{Html, Response},
};
use model::{Artifact, CopyState, DestinationId, Snapshot, SnapshotId, SnapshotKind, SourceKind};
use serde::Deserialize;

use super::{
    Web,
    app_state::StateShown,
    fault::{Fault, show},
    filters,
    form::{Sealed, redirect},
    format::When,
    mark::Mark,
    page::{Nav, Page},
    pager::Pager,
    retention::Badges,
    run_report::{proof_mark, seconds},
    visitor::Visitor,
};

const PER_PAGE: usize = 50;
const RECENT: u64 = 500;

/// A snapshot in a list.
pub(super) struct SnapshotRow {
    pub(super) id: String,
    pub(super) app: Option<String>,
    pub(super) when: When,
    pub(super) kind: String,
    pub(super) label: Option<String>,
    pub(super) pinned: bool,
    pub(super) anomalous: bool,
    pub(super) size: String,
    pub(super) copies: Vec<(String, Mark)>,
    pub(super) badges: Vec<String>,
}

impl SnapshotRow {
    pub(super) fn new(
        one: &Snapshot,
        app: Option<String>,
        badges: &Badges,
        name_of: &impl Fn(DestinationId) -> String,
        visitor: &Visitor,
    ) -> Self {
        let lang = visitor.lang;
        Self {
            id: one.id.to_string(),
            app,
            when: visitor.when(one.taken_at),
            kind: lang.t(&format!("snapshot-kind-{}", one.kind)),
            label: one.label.as_deref().map(|label| visitor.label(label)),
            pinned: one.pinned,
            anomalous: one.anomalous,
            size: lang.size(one.size_bytes()),
            copies: one
                .copies
                .iter()
                .filter(|copy| copy.state != CopyState::Expired)
                .map(|copy| (name_of(copy.destination_id), Mark::copy(copy.state, lang)))
                .collect(),
            badges: badges.of(one.id).to_vec(),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    app: String,
    page: usize,
}

#[derive(Template)]
#[template(path = "snapshots.html")]
struct SnapshotsPage {
    page: Page,
    snapshots: Vec<SnapshotRow>,
    apps: Vec<String>,
    app: String,
    pager: Pager,
}

pub(super) async fn list(
    visitor: Visitor,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Fault> {
    let catalog = web.engine.catalog();
    let apps = catalog.every_app().await?;
    let (found, badges, pager) = if asked.app.is_empty() {
        let total = usize::try_from(catalog.recent_count(RECENT).await?).unwrap_or(usize::MAX);
        let pager = Pager::new(asked.page, PER_PAGE, total);
        let (first, some) = (pager.range().start as u64, pager.range().len() as u64);
        let found = catalog.recent_snapshots(first, some).await?;
        (found, Badges::new(&[], visitor.lang), pager)
    } else {
        let app = catalog.app_by_name(&asked.app).await?;
        let previews = web.engine.preview_retention(&app, None).await?;
        let mut found = catalog.snapshots_of_app(app.id).await?;
        found.retain(|one| one.copies.iter().any(|copy| copy.state != CopyState::Expired));
        found.sort_by_key(|one| std::cmp::Reverse(one.taken_at));
        let pager = Pager::new(asked.page, PER_PAGE, found.len()).keep("app", &asked.app);
        let shown = found.drain(pager.range()).collect();
        (shown, Badges::new(&previews, visitor.lang), pager)
    };
    let destinations: HashMap<_, _> =
        catalog.all_destinations().await?.into_iter().map(|d| (d.id, d.name)).collect();
    let name_of = |id| destinations.get(&id).map_or_else(|| "–".to_owned(), ToString::to_string);
    let names: HashMap<_, _> = apps.iter().map(|app| (app.id, app.name.to_string())).collect();
    Ok(show(&SnapshotsPage {
        page: visitor.page(visitor.t("nav-snapshots"), Nav::Snapshots),
        snapshots: found
            .iter()
            .map(|one| {
                let app = names.get(&one.app_id).cloned();
                SnapshotRow::new(one, app, &badges, &name_of, &visitor)
            })
            .collect(),
        apps: apps.iter().map(|app| app.name.to_string()).collect(),
        app: asked.app,
        pager,
    }))
}

struct ArtifactRow {
    source: String,
    part: Option<String>,
    /// When it was begun by the clock, and how long it took.
    read: String,
    file: String,
    format: String,
    size: String,
    sha256: String,
    /// Whether it can be looked into.
    can_look: bool,
}

struct CopyRow {
    name: String,
    mark: Mark,
    committed: When,
    verified: Option<When>,
    expiring: Option<When>,
    stored: String,
    objects: Vec<ObjectRow>,
    manifest: String,
}

struct ObjectRow {
    key: String,
    size: String,
    sha256: String,
    compression: String,
}

#[derive(Template)]
#[template(path = "snapshot.html")]
struct SnapshotPage {
    page: Page,
    id: String,
    app: Option<String>,
    run: String,
    when: When,
    kind: String,
    label: Option<String>,
    commit: Option<String>,
    state: Option<StateShown>,
    pre_deploy: bool,
    /// It is brought back to a moment, never as it is.
    base: bool,
    pinned: bool,
    anomalous: bool,
    /// An app sent neither size nor checksum.
    unverified: bool,
    /// Some of it was read by ourselves: nobody could have sent them.
    direct: bool,
    warnings: Vec<String>,
    size: String,
    artifacts: Vec<ArtifactRow>,
    copies: Vec<CopyRow>,
    badges: Vec<String>,
    /// Destinations that hold no copy.
    elsewhere: Vec<String>,
    /// How far apart its parts are in time.
    skew: Option<String>,
    good: bool,
    /// What it can be compared with, the newest first.
    others: Vec<Other>,
    steps: Vec<String>,
    proof: Option<ProofShown>,
}

/// A snapshot to compare with.
struct Other {
    id: String,
    when: String,
    /// The one before it, or the nearest there is.
    chosen: bool,
}

impl SnapshotPage {
    /// How to compare it from the command line.
    fn compares(&self) -> String {
        let with = self.others.iter().find(|other| other.chosen).map_or("SNAPSHOT", |one| &*one.id);
        format!("backup-orchestrator snapshot-diff {with} {}", self.id)
    }

    /// What its buttons do, from the command line.
    fn commands(&self) -> Vec<String> {
        let (page, id) = (&self.page, &self.id);
        let is_whole = self.good && self.app.is_some() && !self.base;
        let mut all = Vec::new();
        if page.may_download && is_whole {
            all.push(format!("backup-orchestrator restore {id} --into-app --preflight"));
        }
        if page.may_operate {
            if is_whole {
                all.push(format!("backup-orchestrator drill --snapshot {id} --wait"));
            }
            all.push(format!("backup-orchestrator verify {id} --wait"));
            let verb = if self.pinned { "unpin" } else { "pin" };
            all.push(format!("backup-orchestrator {verb} {id}"));
            if self.anomalous {
                all.push(format!("backup-orchestrator accept {id}"));
            }
        }
        all
    }
}

/// The last drill of a snapshot.
struct ProofShown {
    mark: Mark,
    when: When,
    took: String,
    run: String,
}

fn id(text: &str) -> Result<SnapshotId, Fault> {
    text.parse().map_err(|_| Fault::not_found())
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Path(text): Path<String>,
) -> Result<Html<String>, Fault> {
    let (catalog, lang) = (web.engine.catalog(), visitor.lang);
    let one = catalog.snapshot(id(&text)?).await?;
    let app = catalog.app(one.app_id).await.ok();
    let badges = match &app {
        Some(app) => Badges::new(&web.engine.preview_retention(app, None).await?, lang),
        None => Badges::new(&[], lang),
    };
    let destinations = catalog.all_destinations().await?;
    let name_of = |id| {
        let found = destinations.iter().find(|destination| destination.id == id);
        found.map_or_else(|| visitor.t("destination-removed"), |found| found.name.to_string())
    };
    let grace = web.engine.config().expire_grace;
    let copies = one
        .copies
        .iter()
        .map(|copy| CopyRow {
            name: name_of(copy.destination_id),
            mark: Mark::copy(copy.state, lang),
            committed: visitor.when(copy.committed_at),
            verified: copy.verified_at.map(|at| visitor.when(at)),
            expiring: copy
                .expiring_since
                .filter(|_| copy.state == CopyState::Expiring)
                .and_then(|since| since.checked_add(grace).ok())
                .map(|at| visitor.when(at)),
            stored: lang.size(copy.stored_bytes()),
            objects: copy
                .objects
                .iter()
                .map(|object| ObjectRow {
                    key: object.key.clone(),
                    size: lang.number(object.stored_size_bytes),
                    sha256: object.stored_sha256.clone(),
                    compression: object.compression.clone(),
                })
                .collect(),
            manifest: copy.manifest_key.clone(),
        })
        .collect();
    let holds = |id| {
        one.copies.iter().any(|c| {
            c.destination_id == id && !matches!(c.state, CopyState::Expired | CopyState::Missing)
        })
    };
    let direct = app.as_ref().is_some_and(|app| {
        app.sources.iter().any(|source| matches!(source.kind, SourceKind::Direct(_)))
    });
    let title = visitor.lang.with("snapshot-of", "when", visitor.when(one.taken_at).absolute);
    Ok(show(&SnapshotPage {
        page: visitor.page(title, Nav::Snapshots),
        id: one.id.to_string(),
        app: app.map(|app| app.name.to_string()),
        run: one.run_id.to_string(),
        when: visitor.when(one.taken_at),
        kind: lang.t(&format!("snapshot-kind-{}", one.kind)),
        label: one.label.as_deref().map(|label| visitor.label(label)),
        commit: one.git_commit.clone(),
        state: one.app_state.as_ref().map(|state| StateShown::of(state, &visitor)),
        pre_deploy: one.kind == SnapshotKind::PreDeploy,
        base: one.kind == SnapshotKind::Base,
        pinned: one.pinned,
        anomalous: one.anomalous,
        unverified: !one.verified_by_source && !direct,
        direct: !one.verified_by_source && direct,
        warnings: one.warnings.clone(),
        size: lang.size(one.size_bytes()),
        artifacts: one
            .artifacts
            .iter()
            .map(|artifact| ArtifactRow {
                source: artifact.source.to_string(),
                part: artifact.part.clone(),
                read: read(artifact, &visitor),
                file: artifact.file_name.clone(),
                format: artifact.format.clone().unwrap_or_else(|| "–".to_owned()),
                size: lang.size(artifact.size_bytes),
                sha256: artifact.sha256.clone(),
                can_look: super::browse::can_look(&one, artifact),
            })
            .collect(),
        copies,
        badges: badges.of(one.id).to_vec(),
        elsewhere: destinations
            .iter()
            .filter(|destination| !holds(destination.id))
            .map(|destination| destination.name.to_string())
            .collect(),
        skew: one.skew_secs().map(|secs| match secs {
            0 => lang.t("skew-none"),
            secs => lang.with("skew", "length", lang.span(secs)),
        }),
        good: one.copies.iter().any(|copy| copy.state.is_restorable()),
        others: others(&catalog.snapshots_of_app(one.app_id).await?, &one, &visitor),
        steps: by_hand(&one),
        proof: one.proof.as_ref().map(|proof| proof_shown(proof, &visitor)),
    }))
}

fn proof_shown(proof: &model::Proof, visitor: &Visitor) -> ProofShown {
    ProofShown {
        mark: proof_mark(proof.passed, visitor.lang),
        when: visitor.when(proof.at),
        took: seconds(proof.took_secs, visitor.lang),
        run: proof.run_id.to_string(),
    }
}

/// What a snapshot can be compared with, the newest first: a base backup with base backups, any
/// other with what is none.
fn others(all: &[Snapshot], one: &Snapshot, visitor: &Visitor) -> Vec<Other> {
    let is_base = |of: &Snapshot| of.kind == SnapshotKind::Base;
    let fits = |other: &&Snapshot| {
        other.id != one.id
            && is_base(other) == is_base(one)
            && other.copies.iter().any(|copy| copy.state.is_restorable())
    };
    let mut all: Vec<_> = all.iter().filter(fits).collect();
    // Of many, those nearest to it; the ones before it come first.
    all.sort_by_key(|other| {
        let is_later = other.taken_at > one.taken_at;
        (is_later, other.taken_at.duration_since(one.taken_at).abs())
    });
    all.truncate(PER_PAGE);
    let chosen = all.first().map(|other| other.id);
    all.sort_by_key(|other| std::cmp::Reverse(other.taken_at));
    let shown = |other: &Snapshot| Other {
        id: other.id.to_string(),
        when: visitor.when(other.taken_at).absolute,
        chosen: Some(other.id) == chosen,
    };
    all.into_iter().map(shown).collect()
}

/// When an artifact was begun by the clock, and how long it took.
fn read(artifact: &Artifact, visitor: &Visitor) -> String {
    let Some(began) = artifact.began_at else { return "–".to_owned() };
    let clock = began.to_zoned(visitor.zone.clone()).strftime("%H:%M:%S").to_string();
    match artifact.ended_at {
        Some(ended) => {
            format!("{clock} · {}", visitor.lang.measured(ended.duration_since(began)))
        }
        None => clock,
    }
}

/// How to bring the first good copy back with common tools only.
fn by_hand(one: &Snapshot) -> Vec<String> {
    let Some(copy) = one.copies.iter().find(|copy| copy.state.is_restorable()) else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    for object in &copy.objects {
        let name = object.key.rsplit('/').next().unwrap_or(&object.key);
        steps.push(format!("echo '{}  {name}' | sha256sum --check", object.stored_sha256));
        let name = match name.strip_suffix(".age") {
            Some(opened) if object.encryption == "age" => {
                steps.push(format!("age -d -i key.txt -o {opened} {name}"));
                opened
            }
            _ => name,
        };
        let artifact = one.artifacts.iter().find(|artifact| artifact.source == object.source);
        let Some(artifact) = artifact else { continue };
        match object.compression.as_str() {
            "zstd" => steps.push(format!("zstd -d {name} -o {}", artifact.file_name)),
            "gzip" => steps.push(format!("gzip -dc {name} > {}", artifact.file_name)),
            _ => {}
        }
        if let Some(tree) = &object.tree {
            let name = tree.rsplit('/').next().unwrap_or(tree);
            steps.push(format!("rsync -aHAX --numeric-ids {name}/ restored/"));
        }
        let file = if object.compression == "none" { name } else { &artifact.file_name };
        let format = artifact.format.as_deref().unwrap_or_default().to_ascii_lowercase();
        if format == "pg_dump_fc" {
            steps.push(format!("pg_restore --clean --if-exists -d DATABASE {file}"));
        } else if format.contains("tar") || file.contains(".tar") {
            steps.push(format!("tar -xf {file}"));
        }
    }
    steps
}

pub(super) async fn pin(
    State(web): State<Web>,
    Path(text): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let pinned = fields.text("pinned") == "true";
    web.engine.set_pinned(id(&text)?, pinned).await?;
    Ok(redirect(&format!("/snapshots/{text}?done={}", if pinned { "pinned" } else { "unpinned" })))
}

pub(super) async fn accept(
    State(web): State<Web>,
    Path(text): Path<String>,
    _: Sealed,
) -> Result<Response, Fault> {
    web.engine.accept_anomaly(id(&text)?).await?;
    Ok(redirect(&format!("/snapshots/{text}?done=accepted")))
}

async fn named(web: &Web, name: &str) -> Result<Option<DestinationId>, Fault> {
    Ok(match name {
        "" => None,
        name => Some(web.engine.catalog().destination_by_name(name).await?.id),
    })
}

pub(super) async fn verify(
    State(web): State<Web>,
    Path(text): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let at = named(&web, fields.text("destination")).await?;
    let run = web.engine.verify_now(id(&text)?, at).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

pub(super) async fn copy(
    State(web): State<Web>,
    Path(text): Path<String>,
    Sealed(fields): Sealed,
) -> Result<Response, Fault> {
    let to = named(&web, fields.text("destination")).await?.ok_or_else(Fault::not_found)?;
    let run = web.engine.copy_now(id(&text)?, to).await?;
    Ok(redirect(&format!("/runs/{}", run.id)))
}

/// The artifact as its source sent it, as the API gives it.
pub(super) async fn download(
    State(web): State<Web>,
    Path((text, source)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let snapshot = web.engine.catalog().snapshot(id(&text)?).await?;
    Ok(crate::api::artifact_response(&web.engine, &snapshot, &source).await?)
}
