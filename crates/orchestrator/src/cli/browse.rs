//! What is in a snapshot's archives: listed, searched, and single files brought here.

use std::{io::Write as _, path::PathBuf};

use clap::Args;
use comfy_table::Cell;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::{CliError, Client, part},
    show::{self, Out, items, plain, size, text},
};

#[derive(Args)]
pub(crate) struct BrowseArgs {
    /// The snapshot.
    snapshot: String,
    /// The source whose archive it is.
    source: String,
    /// The folder, or with `--to` the file or folder; all of the archive unless told. Of a database
    /// dump: a part of a table's name.
    #[arg(default_value = "")]
    path: String,
    /// Search names for this instead: a part of a name, or a pattern with `*` and `?`.
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["path", "to"])]
    search: Option<String>,
    /// Download it into this folder: a file as it is, a folder as a tar.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

pub(super) async fn browse(client: &Client, given: BrowseArgs, out: &Out) -> Result<u8, CliError> {
    if let Some(to) = &given.to {
        let place = (given.source.as_str(), given.path.as_str());
        let answer = download(client, &given.snapshot, place, to).await?;
        out.answer(&answer, || show::line(&format!("✓ {}", text(&answer["path"]))));
        return Ok(0);
    }
    let base = format!("snapshots/{}", part(&given.snapshot));
    let source = part(&given.source);
    let snapshot = client.get(&base).await?;
    let found = items(&snapshot["artifacts"]).iter().find(|one| one["source"] == *given.source);
    if let Some(contents) = found.map(|one| &one["contents"]).filter(|one| one["holds"] == "tables")
    {
        tables(contents, given.search.as_deref().unwrap_or(&given.path), out);
        return Ok(0);
    }
    let entries = if let Some(words) = &given.search {
        let path = format!("{base}/search?source={source}&q={}", query(words));
        items(&client.get(&path).await?).to_vec()
    } else {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut path = format!("{base}/browse?source={source}&path={}", query(&given.path));
            if let Some(next) = &next {
                path = format!("{path}&next={}", part(next));
            }
            let page = client.get(&path).await?;
            all.extend_from_slice(items(&page["entries"]));
            next = page["next"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        all
    };
    if out.json {
        show::one(&Value::Array(entries));
        return Ok(0);
    }
    let rows = entries.iter().map(|one| row(one, given.search.is_some(), out)).collect();
    out.table(["name", "size", "modified", "mode", "owner"], rows, "nothing is there");
    Ok(0)
}

/// The tables whose names hold `words`, with the rows that were counted while they were stored.
fn tables(contents: &Value, words: &str, out: &Out) {
    let words = words.to_lowercase();
    let all = items(&contents["tables"]);
    let named = all.iter().filter(|one| text(&one["table"]).to_lowercase().contains(&words));
    if out.json {
        return show::one(&Value::Array(named.cloned().collect()));
    }
    let name = |one: &Value| plain(text(&one["table"]).escape_debug().to_string());
    let rows = named.map(|one| [name(one), plain(one["rows"].to_string())]).collect();
    out.table(["table", "rows"], rows, "there is no such table");
    let untold = contents["total"].as_u64().unwrap_or_default().saturating_sub(all.len() as u64);
    if untold > 0 {
        show::line(&format!("and {untold} more, whose rows were not counted"));
    }
}

fn query(text: &str) -> String {
    if text.is_empty() { String::new() } else { part(text) }
}

/// Names are shown as text that does nothing to a terminal.
fn row(one: &Value, is_found: bool, out: &Out) -> [Cell; 5] {
    let mut name = text(&one[if is_found { "path" } else { "name" }]).escape_debug().to_string();
    if one["kind"] == "folder" {
        name.push('/');
    }
    if let Some(link) = one["link"].as_str() {
        name = format!("{name} → {}", link.escape_debug());
    }
    let modified = one["modified_at"].as_i64().and_then(|at| jiff::Timestamp::from_second(at).ok());
    let mode = one["mode"].as_u64().unwrap_or_default();
    [
        plain(name),
        if one["kind"] == "file" { size(&one["size_bytes"]) } else { plain("") },
        out.when(&modified.map_or(Value::Null, |at| at.to_string().into())),
        plain(format!("{mode:04o}")),
        plain(format!("{}:{}", one["uid"], one["gid"])),
    ]
}

/// Brings the file or folder at `path` of what `source` gave to the snapshot into the folder `to`.
pub(super) async fn download(
    client: &Client,
    snapshot: &str,
    (source, path): (&str, &str),
    to: &std::path::Path,
) -> Result<Value, CliError> {
    let told = |error: std::io::Error| CliError::Failed(format!("{}: {error}", to.display()));
    let last = path.trim_matches('/').rsplit('/').next().unwrap_or_default();
    let last = if last.is_empty() { source } else { last };
    let asked = format!("source={}&path={}", part(source), query(path));
    let path = format!("snapshots/{}/file?{asked}", part(snapshot));
    let mut response = client.send(Method::GET, &path, None).await?;
    let is_file = response.headers().contains_key(contract::header::SIZE);
    let name = if is_file { last.to_owned() } else { format!("{last}.tar") };
    let name = contract::header::safe_name(&name)
        .ok_or_else(|| CliError::Failed("it has no usable file name".to_owned()))?;
    std::fs::create_dir_all(to).map_err(told)?;
    // It goes away again unless it came whole.
    let mut file = tempfile::Builder::new().prefix(".partial-").tempfile_in(to).map_err(told)?;
    let mut bytes = 0;
    while let Some(chunk) = response.chunk().await.map_err(|error| {
        CliError::Failed(format!(
            "it broke off after {bytes} bytes ({}): nothing was kept",
            error.without_url()
        ))
    })? {
        bytes += chunk.len() as u64;
        file.write_all(&chunk).map_err(told)?;
    }
    file.as_file().sync_all().map_err(told)?;
    let path = to.join(name);
    file.persist_noclobber(&path).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CliError::Refused(format!("{} is there already: nothing is replaced", path.display()))
        }
        _ => told(error.error),
    })?;
    std::fs::File::open(to).and_then(|folder| folder.sync_all()).map_err(told)?;
    Ok(json!({ "path": path, "size_bytes": bytes }))
}
