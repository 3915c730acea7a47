//! What is in an archive of a snapshot: a folder at a time, found by name, and taken home.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{Html, Response},
};
use engine::{ArchiveEntry, EntryKind, Reading};
use model::{Artifact, Contents, Snapshot, SnapshotId, TableRows};
use serde::Deserialize;

use super::{
    Web,
    fault::{Fault, show},
    format::When,
    page::{Nav, Page},
    visitor::Visitor,
};

/// What is asked for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    path: String,
    q: String,
    next: Option<String>,
}

struct Row {
    /// As text that shows what it is made of: a name may hold anything.
    name: String,
    folder: Option<String>,
    file: Option<String>,
    link: Option<String>,
    size: String,
    when: Option<When>,
    /// Permissions and owners.
    rights: String,
}

#[derive(Template)]
#[template(path = "browse.html")]
struct BrowsePage {
    page: Page,
    id: String,
    when: When,
    /// The folders on the way, with their addresses.
    crumbs: Vec<(String, String)>,
    here: String,
    q: String,
    rows: Vec<Row>,
    more: Option<String>,
    /// The whole folder.
    download: String,
}

/// An archive that is still being read.
#[derive(Template)]
#[template(path = "being_read.html")]
struct BeingReadPage {
    page: Page,
    id: String,
    when: When,
    here: String,
    read: String,
    size: String,
    percent: u64,
}

#[derive(Template)]
#[template(path = "tables.html")]
struct TablesPage {
    page: Page,
    id: String,
    when: When,
    here: String,
    q: String,
    /// Names and rows.
    rows: Vec<(String, String)>,
    /// How many more there are, of which no rows were counted.
    untold: Option<String>,
}

pub(super) async fn page(
    visitor: Visitor,
    State(web): State<Web>,
    Path((snapshot, source)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Fault> {
    let id: SnapshotId = snapshot.parse().map_err(|_| Fault::not_found())?;
    let one: Snapshot = web.engine.catalog().snapshot(id).await?;
    let base = format!("/snapshots/{id}/browse/{}", encoded(&source));
    let artifact = one.artifacts.iter().find(|artifact| artifact.source.as_str() == source);
    if let Some((tables, total)) = artifact.and_then(tables) {
        let words = asked.q.to_lowercase();
        let named = tables.iter().filter(|one| one.table.to_lowercase().contains(&words));
        let row = |one: &TableRows| (shown(&one.table), visitor.lang.number(one.rows));
        return Ok(show(&TablesPage {
            page: visitor.page(source.clone(), Nav::Snapshots),
            when: visitor.when(one.taken_at),
            id: snapshot,
            here: source,
            rows: named.map(row).collect(),
            untold: total
                .checked_sub(tables.len() as u64)
                .filter(|more| *more > 0)
                .map(|more| visitor.lang.number(more)),
            q: asked.q,
        }));
    }
    if let Some(reading) = web.engine.index_under_way(id, &source).await? {
        return Ok(being_read(&one, source, &reading, &visitor));
    }
    let (entries, next) = if asked.q.is_empty() {
        let listing = web.engine.browse(id, &source, &asked.path, asked.next).await?;
        (listing.entries, listing.next)
    } else {
        (web.engine.search(id, &source, &asked.q).await?, None)
    };
    let is_found = !asked.q.is_empty();
    let rows = entries.iter().map(|entry| row(entry, is_found, &base, &visitor)).collect();
    let mut crumbs = vec![(source.clone(), base.clone())];
    let mut way = String::new();
    for part in asked.path.split('/').filter(|part| !part.is_empty()) {
        way = if way.is_empty() { part.to_owned() } else { format!("{way}/{part}") };
        crumbs.push((shown(part), format!("{base}?path={}", encoded(&way))));
    }
    let here = crumbs.pop().map(|(name, _)| name).unwrap_or_default();
    Ok(show(&BrowsePage {
        page: visitor.page(here.clone(), Nav::Snapshots),
        when: visitor.when(one.taken_at),
        more: next
            .map(|next| format!("{base}?path={}&next={}", encoded(&asked.path), encoded(&next))),
        download: format!("{}?path={}", file_base(&base), encoded(&asked.path)),
        id: snapshot,
        crumbs,
        here,
        q: asked.q,
        rows,
    }))
}

/// The page of an archive that is still being read.
pub(super) fn being_read(
    one: &Snapshot,
    source: String,
    reading: &Reading,
    visitor: &Visitor,
) -> Html<String> {
    show(&BeingReadPage {
        page: visitor.page(source.clone(), Nav::Snapshots),
        when: visitor.when(one.taken_at),
        id: one.id.to_string(),
        here: source,
        read: visitor.lang.size(reading.read_bytes),
        size: visitor.lang.size(reading.size_bytes),
        percent: reading.read_bytes * 100 / reading.size_bytes.max(1),
    })
}

/// Whether there is something to look into: tables that were counted, or an archive.
pub(super) fn can_look(snapshot: &Snapshot, artifact: &Artifact) -> bool {
    tables(artifact).is_some() || engine::is_archive(snapshot, artifact)
}

/// The tables that were counted while the artifact was stored, and how many there are in all.
fn tables(artifact: &Artifact) -> Option<(&[TableRows], u64)> {
    match artifact.contents.as_ref()? {
        Contents::Tables { tables, total } => Some((tables, *total)),
        Contents::Members { .. } => None,
    }
}

fn row(entry: &ArchiveEntry, is_found: bool, base: &str, visitor: &Visitor) -> Row {
    let path = encoded(&entry.path);
    let (is_folder, is_file) = (entry.kind == EntryKind::Folder, entry.kind == EntryKind::File);
    // A folder that is there for what it holds, and is no member of its own.
    let is_implied = is_folder && entry.mode == 0 && entry.modified_at == 0;
    let can_be_read = is_file || entry.kind == EntryKind::Link;
    Row {
        name: shown(if is_found { &entry.path } else { &entry.name }),
        folder: is_folder.then(|| format!("{base}?path={path}")),
        file: (can_be_read || is_folder).then(|| format!("{}?path={path}", file_base(base))),
        link: entry.link.as_deref().map(shown),
        size: if is_file { visitor.lang.size(entry.size_bytes) } else { "–".to_owned() },
        when: jiff::Timestamp::from_second(entry.modified_at)
            .ok()
            .filter(|_| entry.modified_at != 0)
            .map(|at| visitor.when(at)),
        rights: if is_implied {
            "–".to_owned()
        } else {
            format!("{:04o} {}:{}", entry.mode, entry.uid, entry.gid)
        },
    }
}

/// The file or folder itself, as the API gives it.
pub(super) async fn file(
    State(web): State<Web>,
    Path((snapshot, source)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let id: SnapshotId = snapshot.parse().map_err(|_| Fault::not_found())?;
    let member = web.engine.read_path(id, &source, &asked.path).await?;
    Ok(crate::api::browse::member_response(member))
}

fn file_base(base: &str) -> String {
    base.replacen("/browse/", "/file/", 1)
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A name that neither breaks a line nor turns what stands beside it around.
pub(super) fn shown(name: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if hides(c) { text.extend(c.escape_unicode()) } else { text.push(c) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_what_they_are_made_of() {
        assert_eq!(shown("report.pdf"), "report.pdf");
        assert_eq!(shown("a\nb"), "a\\u{a}b");
        assert_eq!(shown("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
        assert_eq!(shown("ñ «»"), "ñ «»");
    }

    #[test]
    fn addresses_hold_any_name() {
        assert_eq!(encoded("a/b?c&d#<ñ"), "a%2Fb%3Fc%26d%23%3C%C3%B1");
        assert_eq!(file_base("/snapshots/1/browse/db"), "/snapshots/1/file/db");
    }
}
