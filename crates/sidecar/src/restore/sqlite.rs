//! SQLite: the file is proven where it is spooled, and taken into the live one by SQLite itself in
//! one transaction, so that whoever has it open goes on. What was there is copied first.

use std::path::{Path, PathBuf};

use contract::ImportReport;

use super::{Given, failed, output, program, report};
use crate::{
    command::Commands,
    config::{Preset, Target},
    export::ExportError,
    strategy::sqlite,
};

pub(super) struct Sqlite<'a> {
    commands: &'a Commands,
    file: &'a Path,
    live: PathBuf,
    before: PathBuf,
}

impl<'a> Sqlite<'a> {
    pub(super) fn new(commands: &'a Commands, given: &'a Given<'a>, target: &Target) -> Self {
        let workdir = &commands.config().paths.workdir;
        let live = workdir.join(target.database.as_deref().unwrap_or_default());
        let mut before = live.as_os_str().to_owned();
        before.push(format!(".before-{}", given.tag));
        Self { commands, file: given.file, live, before: before.into() }
    }

    fn sqlite3(&self) -> Result<tokio::process::Command, ExportError> {
        program(self.commands, Preset::Sqlite.programs(), Preset::Sqlite.package())
    }

    /// Proves the file; nothing is made.
    pub(super) async fn load(&self) -> Result<(), ExportError> {
        let mut command = self.sqlite3()?;
        command
            .args(["-batch", "-bail", "-init", "/dev/null"])
            .arg(sqlite::uri(self.file, "immutable=1")?)
            .arg("PRAGMA integrity_check(5)");
        match output(self.commands, command).await?.as_str() {
            "ok" => Ok(()),
            said => Err(failed(format!("the database is not sound: {said}"))),
        }
    }

    pub(super) async fn switch(&self) -> Result<ImportReport, ExportError> {
        let live = self.live.display();
        if !self.live.exists() {
            self.put().await?;
            return Ok(report(format!("{live} is restored; it was not there"), None));
        }
        let kept = sqlite::copy(self.sqlite3()?, &self.live, &self.before, &[])?;
        self.commands.run(kept, None).await?;
        dress(&self.before, &self.live);
        let mut command = self.sqlite3()?;
        command
            .args(["-batch", "-bail", "-init", "/dev/null"])
            .arg(sqlite::uri(&self.live, "mode=rw")?)
            .args([".timeout 60000", &format!(".restore main {}", sqlite::quoted(self.file)?)]);
        let taken = self.commands.run(command, None).await;
        if taken.is_err() {
            // The live file is as it was: a copy of it is of no use.
            let _ = tokio::fs::remove_file(&self.before).await;
        }
        taken?;
        Ok(report(format!("{live} is restored"), Some(self.before.display().to_string())))
    }

    /// Puts the file where none is, whole before it has its name.
    async fn put(&self) -> Result<(), ExportError> {
        let folder = self.live.parent().unwrap_or(Path::new("/"));
        let (file, live, folder) = (self.file.to_owned(), self.live.clone(), folder.to_owned());
        let put = tokio::task::spawn_blocking(move || {
            let mut new = tempfile::NamedTempFile::new_in(&folder)?;
            std::io::copy(&mut std::fs::File::open(&file)?, &mut new)?;
            new.as_file().sync_all()?;
            let owner = std::fs::metadata(&folder)?;
            new.persist_noclobber(&live).map_err(|error| error.error)?;
            let (uid, gid) = {
                use std::os::unix::fs::MetadataExt as _;
                (owner.uid(), owner.gid())
            };
            // Where the sidecar may: who has the folder needs the file.
            let _ = std::os::unix::fs::chown(&live, Some(uid), Some(gid));
            std::fs::File::open(&folder)?.sync_all()
        });
        let put = put.await.map_err(|panic| failed(panic.to_string()))?;
        put.map_err(|error| failed(format!("{}: {error}", self.live.display())))
    }
}

/// Gives `file` the owner and the mode of `like`, as far as the sidecar may.
fn dress(file: &Path, like: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    if let Ok(meta) = like.metadata() {
        let _ = std::os::unix::fs::chown(file, Some(meta.uid()), Some(meta.gid()));
        let _ = std::fs::set_permissions(file, meta.permissions());
    }
}
