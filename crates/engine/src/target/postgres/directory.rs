//! Dumps of the format `directory`: their tar is unpacked on this machine, and several processes
//! load it from there.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use model::{Fact, Failure};

use super::{
    super::{Aim, Look, Supply, folder, refused, unpacking},
    pick, toc,
};
use crate::{
    run::RunContext,
    source::{
        postgres::told,
        tool::{Tool, Where},
    },
    trees::Work,
};

/// What the folder is called inside the tar.
const INSIDE: &str = "dump";
const TOC: &str = "toc.dat";
/// A table of contents this large is of no dump.
const MAX_TOC: u64 = 512 << 20;

/// Whether the artifact is one.
pub(super) fn is(aim: &Aim<'_>) -> bool {
    aim.dump() == Some(artifact::Dump::PgDirectory)
}

/// Whether there is room to unpack it, and whether that is where it is read.
pub(super) async fn look(aim: &Aim<'_>, place: &Where, look: &mut Look) {
    if !is(aim) {
        return;
    }
    if let Where::Container(container) = place {
        look.block(Fact::NotInContainer { container: container.clone() });
    }
    folder::room(look, &aim.engine.0.config.spool, aim.artifact.size_bytes).await;
}

/// Loads it with `restore`, which lacks only what to load.
pub(super) async fn fill(
    context: &RunContext,
    aim: &Aim<'_>,
    restore: Tool<'_>,
    supply: &Supply<'_>,
) -> Result<(), Failure> {
    let work = Work::of_run(context).await?;
    let into = work.file("files");
    let wish = unpacking::Wish {
        packed: unpacking::Packed::Tar { plain: true },
        only: Vec::new(),
        privileges: false,
        devices: false,
    };
    unpacking::unpack(context, aim, supply, &into, wish).await?;
    let dump = into.join(INSIDE);
    let looked = dump.clone();
    let is_plain = tokio::task::spawn_blocking(move || is_plain(&looked)).await;
    is_plain.map_err(|panic| refused(panic.to_string()))?.map_err(|why| {
        refused(format!("`{}` is no dump of the format `directory`: {why}", aim.artifact.source))
    })?;
    let jobs = aim.asked().ok().and_then(|asked| asked.setting("jobs").map(str::to_owned));
    let jobs = jobs.as_deref().unwrap_or("2");
    let mut restore = restore;
    if !aim.tables().is_empty() {
        let read = tokio::fs::read(dump.join(TOC)).await;
        let read = read.map_err(|error| refused(format!("its {TOC}: {error}")))?;
        let list = pick::write(toc::entries(&read), aim.tables(), &work).await?;
        restore = restore.arg(format!("--use-list={}", list.display()));
    }
    let restore = restore.args([
        "--format=directory",
        &format!("--jobs={jobs}"),
        &dump.display().to_string(),
    ]);
    let mut loading = restore.start(context, aim.timeout()).await.map_err(told::explained)?;
    loop {
        let said = tokio::select! {
            biased;
            failure = context.stopped() => return Err(failure),
            said = loading.chunk() => said.map_err(told::explained)?,
        };
        if said.is_none() {
            return Ok(());
        }
    }
}

/// Errs unless all that the tool will read lies in `dump` itself: neither a link nor a name may
/// lead it elsewhere.
fn is_plain(dump: &Path) -> Result<(), String> {
    let told = |path: &Path, error: std::io::Error| format!("{}: {error}", name(path));
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(dump).map_err(|error| told(dump, error))? {
        let path = entry.map_err(|error| told(dump, error))?.path();
        let is = path.symlink_metadata().map_err(|error| told(&path, error))?;
        if !is.is_file() || is.nlink() != 1 {
            return Err(format!("{} is no file of its own", name(&path)));
        }
        if path.extension().is_some_and(|end| end == "toc") {
            tables.push(path);
        }
    }
    let toc = dump.join(TOC);
    let size = toc.symlink_metadata().map_err(|error| told(&toc, error))?.len();
    if size > MAX_TOC {
        return Err(format!("its {TOC} has {size} bytes"));
    }
    toc::check(&std::fs::read(&toc).map_err(|error| told(&toc, error))?)?;
    // Lines of large objects: a number and a file.
    for table in tables {
        let lines = std::fs::read(&table).map_err(|error| told(&table, error))?;
        if lines.contains(&b'/') {
            return Err(format!("{} names a file elsewhere", name(&table)));
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    let path: PathBuf = path.components().rev().take(1).collect();
    archive::quoted(&path)
}
