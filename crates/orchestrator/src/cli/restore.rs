//! Artifacts into a folder: each under a temporary name until its size and checksum are proven
//! here, on this side of the wire.

mod on_server;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

pub(super) use self::on_server::OnServer;
use super::{
    browse,
    client::{CliError, Client, part},
    extract,
    moments::{self, MomentArgs},
    show::{self, LANG, Out, items, safe, text},
    wait,
};

#[derive(Args)]
pub(crate) struct RestoreArgs {
    /// The snapshot; with a moment or `--before-deploy` the app, with `--undo` the run of the restore.
    snapshot: String,
    /// Download into this folder here.
    #[arg(long, value_name = "DIR", required_unless_present_any = [
        "into_app", "beside", "into_folder", "before_deploy", "undo", "at", "lsn", "restore_point",
        "latest"
    ])]
    to: Option<PathBuf>,
    #[command(flatten)]
    on_server: OnServer,
    /// This source only; may be given several times.
    #[arg(long, value_name = "SOURCE")]
    only: Vec<String>,
    /// Also where the folder is not empty; nothing there is replaced.
    #[arg(long)]
    force: bool,
    /// Unpack tar archives, plain or compressed; one that would write elsewhere is refused.
    #[arg(long)]
    extract: bool,
    // The last: what follows would stand under its heading.
    #[command(flatten)]
    moment: MomentArgs,
}

pub(super) async fn restore(
    client: &Client,
    given: RestoreArgs,
    out: &Out,
) -> Result<u8, CliError> {
    if given.only.len() > 1 && given.on_server.is_of_one() {
        let told = "--table and --path are parts of one source: give --only once with them";
        return Err(CliError::Refused(told.to_owned()));
    }
    if given.moment.is_given() {
        if given.to.is_some() || given.extract || !given.only.is_empty() {
            let told = "a moment is of a whole server, which is made on the orchestrator's machine: \
                        give --beside, --into-app or --into-folder, or none of them, without --to, \
                        --only and --extract";
            return Err(CliError::Usage(told.to_owned()));
        }
        let (app, to) = (&given.snapshot, &given.on_server);
        return moments::restore(client, app, &given.moment, to, out).await;
    }
    let Some(to) = &given.to else {
        if on_server::undoes_moment(client, &given.snapshot, &given.on_server).await? {
            return moments::undo(client, &given.snapshot, &given.on_server, out).await;
        }
        let snapshot = on_server::meant(client, &given.snapshot, &given.on_server).await?;
        return on_server::restore(client, &snapshot, &given.only, &given.on_server, out).await;
    };
    if let Some(source) = given.only.first().filter(|_| !given.on_server.path.is_empty()) {
        let mut restored = Vec::new();
        for path in &given.on_server.path {
            let one = browse::download(client, &given.snapshot, (source, path), to).await?;
            if !out.json {
                show::line(&format!("✓ {}", text(&one["path"])));
            }
            restored.push(one);
        }
        out.answer(&json!({ "restored": restored }), || ());
        return Ok(0);
    }
    let snapshot = client.get(&format!("snapshots/{}", part(&given.snapshot))).await?;
    let mut artifacts = items(&snapshot["artifacts"]).to_vec();
    if !given.only.is_empty() {
        let all: Vec<_> = artifacts.iter().map(|one| text(&one["source"]).to_owned()).collect();
        if let Some(only) = given.only.iter().find(|only| !all.contains(only)) {
            let has = all.join(", ");
            let told = format!("the snapshot has no source `{only}`: it has {has}");
            return Err(CliError::NotFound(told));
        }
        artifacts.retain(|one| given.only.iter().any(|only| text(&one["source"]) == only));
    }
    let told = |error: std::io::Error| CliError::Failed(format!("{}: {error}", to.display()));
    tokio::fs::create_dir_all(to).await.map_err(told)?;
    let mut entries = tokio::fs::read_dir(to).await.map_err(told)?;
    if !given.force && entries.next_entry().await.map_err(told)?.is_some() {
        return Err(CliError::Refused(format!(
            "{} is not empty: choose an empty folder, or give --force (nothing is replaced)",
            to.display()
        )));
    }
    let mut restored = Vec::new();
    let count = artifacts.len();
    for artifact in &mut artifacts {
        let is_tree = lists_a_tree(&snapshot, artifact);
        if is_tree {
            artifact["file_name"] = json!(format!("{}.tar", text(&artifact["source"])));
        }
        let file = download(client, &given.snapshot, artifact, is_tree, to).await?;
        let artifact = &*artifact;
        let one = if given.extract {
            // Several archives in one folder would get in each other's way.
            let folder = match count {
                1 => to.clone(),
                _ => to.join(safe_name(&artifact["source"])?),
            };
            extracted(file, artifact, folder, to).await?
        } else {
            placed(file, artifact, to)?
        };
        if !out.json {
            let size = LANG.size(artifact["size_bytes"].as_u64().unwrap_or(0));
            show::line(&match one["extracted"].as_u64() {
                Some(count) => format!(
                    "✓ {}: {count} entries out of {size}, SHA-256 right",
                    text(&one["path"])
                ),
                None => format!("✓ {}: {size}, SHA-256 right", text(&one["path"])),
            });
            let warnings = items(&one["warnings"]);
            if let Some(first) = warnings.first() {
                let count = warnings.len();
                show::line(&format!("  not as they were: {count}, such as {}", safe(text(first))));
            }
        }
        restored.push(one);
    }
    out.answer(&json!({ "restored": restored }), || ());
    Ok(0)
}

/// What the server tells is not trusted with a path.
fn safe_name(name: &Value) -> Result<String, CliError> {
    contract::header::safe_name(text(name))
        .ok_or_else(|| CliError::Failed("the artifact has no usable file name".to_owned()))
}

/// Whether what was stored is the listing of a tree: then the tree itself comes, as a tar that the
/// server makes while it is read, after it has proven every file.
fn lists_a_tree(snapshot: &Value, artifact: &Value) -> bool {
    items(&snapshot["copies"])
        .iter()
        .flat_map(|copy| items(&copy["objects"]))
        .any(|object| object["source"] == artifact["source"] && object["tree"].is_string())
}

/// What is written to a file at once: each write is another thread's.
const WRITE_BYTES: usize = 1 << 20;

/// An artifact under a temporary name in `to`, its bytes proven.
async fn download(
    client: &Client,
    snapshot: &str,
    artifact: &mut Value,
    is_tree: bool,
    to: &Path,
) -> Result<NamedTempFile, CliError> {
    let told = |error: std::io::Error| CliError::Failed(format!("{}: {error}", to.display()));
    let source = text(&artifact["source"]).to_owned();
    let source = source.as_str();
    let path = format!("snapshots/{}/artifacts/{}", part(snapshot), part(source));
    let mut response = client.send(Method::GET, &path, None).await?;
    // It goes away again unless it is kept, also when this command is interrupted.
    let partial = tempfile::Builder::new()
        .prefix(".restoring-")
        .suffix(".partial")
        .tempfile_in(to)
        .map_err(told)?;
    let file = tokio::fs::File::from_std(partial.reopen().map_err(told)?);
    let mut file = tokio::io::BufWriter::with_capacity(WRITE_BYTES, file);
    let bar = wait::bar(artifact["size_bytes"].as_u64().filter(|_| !is_tree));
    bar.set_message(source.to_owned());
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut size = 0_u64;
    while let Some(chunk) = response.chunk().await.map_err(|error| {
        CliError::Failed(format!(
            "`{source}` broke off after {size} bytes ({}): nothing of it was kept; verify the \
             snapshot, then try again",
            error.without_url()
        ))
    })? {
        hash.update(&chunk);
        size += chunk.len() as u64;
        bar.inc(chunk.len() as u64);
        tokio::io::AsyncWriteExt::write_all(&mut file, &chunk).await.map_err(told)?;
    }
    tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(told)?;
    file.get_ref().sync_all().await.map_err(told)?;
    bar.finish_and_clear();
    let sha256 = hex::encode(hash.finish().as_ref());
    if is_tree {
        artifact["size_bytes"] = json!(size);
        artifact["sha256"] = json!(sha256);
        return Ok(partial);
    }
    let same = Some(size) == artifact["size_bytes"].as_u64() && sha256 == text(&artifact["sha256"]);
    if same {
        return Ok(partial);
    }
    let damaged = format!("`{source}` came damaged: it was not kept; verify the snapshot");
    Err(CliError::Failed(damaged))
}

/// Gives a proven file its name; nothing there is replaced.
fn placed(file: NamedTempFile, artifact: &Value, to: &Path) -> Result<Value, CliError> {
    let path = to.join(safe_name(&artifact["file_name"])?);
    let _ = std::io::stdout().flush();
    file.persist_noclobber(&path).map_err(|error| {
        let told = format!("{}: {}", path.display(), error.error);
        match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => CliError::Refused(format!(
                "{} is there already: nothing is replaced",
                path.display()
            )),
            _ => CliError::Failed(told),
        }
    })?;
    let synced = std::fs::File::open(to).and_then(|folder| folder.sync_all());
    synced.map_err(|error| CliError::Failed(format!("{}: {error}", to.display())))?;
    Ok(json!({
        "source": artifact["source"],
        "path": path,
        "size_bytes": artifact["size_bytes"],
        "sha256": artifact["sha256"],
    }))
}

/// Unpacks a proven archive into `folder`; what is none gets its name in `to`.
async fn extracted(
    file: NamedTempFile,
    artifact: &Value,
    folder: PathBuf,
    to: &Path,
) -> Result<Value, CliError> {
    let stop = extract::Stop::default();
    // Dropped with this command, it ends the unpacking.
    let _guard = stop.guard();
    let goal = folder.clone();
    let unpacking = tokio::task::spawn_blocking(move || {
        let report = extract::extract(file.path(), &goal, &stop);
        (file, report)
    });
    let (file, report) = unpacking.await.map_err(CliError::failed)?;
    let told = |error: extract::ExtractError| {
        let told = format!("`{}`: {error}", text(&artifact["source"]));
        if error.is_refusal() { CliError::Refused(told) } else { CliError::Failed(told) }
    };
    match report.map_err(told)? {
        None => placed(file, artifact, to),
        Some(report) => Ok(json!({
            "source": artifact["source"],
            "path": folder,
            "size_bytes": artifact["size_bytes"],
            "sha256": artifact["sha256"],
            "extracted": report.members,
            "warnings": report.warnings,
        })),
    }
}
