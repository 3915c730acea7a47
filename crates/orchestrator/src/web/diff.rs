//! What is different in a snapshot since another one.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Html,
};
use engine::{Aspect, Change, Compared, DiffEntry, SourceDiff};
use model::SnapshotId;
use serde::Deserialize;

use super::{
    Web,
    browse::{being_read, shown},
    fault::{Fault, show},
    format::When,
    lang::Lang,
    page::{Nav, Page},
    visitor::Visitor,
};

/// Differences of each source that are shown.
const SHOWN: usize = 500;

#[derive(Deserialize)]
pub(super) struct Asked {
    from: String,
}

struct Row {
    name: String,
    /// What became of it, in words.
    what: String,
    before: String,
    after: String,
}

struct Source {
    name: String,
    /// What became of the whole, in words.
    what: String,
    sizes: String,
    /// How many are new, gone and changed; `None` where only the whole was compared.
    counts: Option<[String; 3]>,
    rows: Vec<Row>,
    untold: Option<String>,
}

#[derive(Template)]
#[template(path = "diff.html")]
struct DiffPage {
    page: Page,
    id: String,
    when: When,
    is_same: bool,
    sources: Vec<Source>,
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Path(snapshot): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Fault> {
    let id = |text: &str| text.parse::<SnapshotId>().map_err(|_| Fault::not_found());
    let (before, after) = (id(&asked.from)?, id(&snapshot)?);
    for source in web.engine.archives_to_compare(before, after).await? {
        for at in [before, after] {
            if let Some(reading) = web.engine.index_under_way(at, &source).await? {
                let one = web.engine.catalog().snapshot(at).await?;
                return Ok(being_read(&one, source, &reading, &visitor));
            }
        }
    }
    let diff = web.engine.diff(before, after, None, SHOWN).await?;
    let (lang, catalog) = (visitor.lang, web.engine.catalog());
    let earlier = visitor.when(catalog.snapshot(before).await?.taken_at);
    let title = lang.with("diff-title", "when", earlier.absolute);
    Ok(show(&DiffPage {
        page: visitor.page(title, Nav::Snapshots),
        id: snapshot,
        when: visitor.when(catalog.snapshot(after).await?.taken_at),
        is_same: diff.is_same,
        sources: diff.sources.iter().map(|source| of(source, lang)).collect(),
    }))
}

fn of(source: &SourceDiff, lang: Lang) -> Source {
    let size = |bytes: Option<u64>| bytes.map(|bytes| lang.size(bytes));
    let sizes: Vec<_> =
        [size(source.before_bytes), size(source.after_bytes)].into_iter().flatten().collect();
    let is_whole = source.compared == Compared::Whole;
    let count = |key: &str, count: u64| lang.with(key, "count", lang.number(count));
    let what = match source.change {
        None => lang.t("diff-source-same"),
        Some(Change::Added) => lang.t("diff-source-added"),
        Some(Change::Removed) => lang.t("diff-source-removed"),
        Some(Change::Changed) if is_whole => lang.t("diff-whole"),
        Some(Change::Changed) if source.entries.is_empty() => lang.t("diff-nothing-told"),
        Some(Change::Changed) => lang.t("diff-source-changed"),
    };
    Source {
        name: shown(&source.source),
        what,
        sizes: sizes.join(" → "),
        counts: (!is_whole).then(|| {
            [
                count("diff-added", source.added),
                count("diff-removed", source.removed),
                count("diff-changed", source.changed),
            ]
        }),
        rows: source.entries.iter().map(|entry| row(entry, lang)).collect(),
        untold: (source.untold > 0).then(|| lang.number(source.untold)),
    }
}

fn row(entry: &DiffEntry, lang: Lang) -> Row {
    let what = match entry.change {
        Change::Added => lang.t("diff-new"),
        Change::Removed => lang.t("diff-gone"),
        Change::Changed => {
            let all: Vec<_> = entry.differs.iter().map(|one| aspect(*one, lang)).collect();
            all.join(", ")
        }
    };
    let number = |value: Option<u64>| match value {
        None => "–".to_owned(),
        Some(rows) if entry.kind.is_none() => lang.number(rows),
        Some(bytes) => lang.size(bytes),
    };
    Row { name: shown(&entry.path), what, before: number(entry.before), after: number(entry.after) }
}

fn aspect(one: Aspect, lang: Lang) -> String {
    match one {
        Aspect::Kind => lang.t("diff-kind"),
        Aspect::Size => lang.t("diff-size"),
        Aspect::Time => lang.t("diff-time"),
        Aspect::Mode => lang.t("diff-mode"),
        Aspect::Owner => lang.t("diff-owner"),
        Aspect::Link => lang.t("diff-link"),
        Aspect::Rows => lang.t("diff-rows"),
    }
}
