//! Archives, volumes and trees: unpacked to scratch, every file read, and compared with what was
//! counted when they were stored.

use std::{
    collections::HashSet,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use model::{
    Contents, DirectKind, DrillCheck, DrillState, Fact, Failure, FailureCode, Size, SourceKind,
};
use tokio_util::sync::CancellationToken;

use super::{Restored, Trial, Way, check};
use crate::target::{
    refused,
    unpacking::{self, Packed, Wish},
};

const BLOCK: usize = 256 << 10;

pub(super) struct Files;

struct Unpacked {
    folder: PathBuf,
    report: archive::Report,
}

#[async_trait::async_trait]
impl Way for Files {
    async fn restore(&self, trial: &Trial<'_>) -> Result<Box<dyn Restored>, Failure> {
        let packed = unpacking::packed(trial.aim.artifact).ok_or_else(|| {
            let artifact = trial.aim.artifact.source.to_string();
            refused(Fact::NoArchiveOfFiles { artifact })
        })?;
        let folder = trial.folder.join("files");
        // Only a volume may have had devices.
        let devices = trial.aim.source.is_some_and(|source| match &source.kind {
            SourceKind::Direct(direct) => direct.what == DirectKind::Volume,
            SourceKind::Contract(_) => false,
        });
        let wish = Wish { packed, only: Vec::new(), privileges: false, devices };
        let (context, supply) = (trial.context, trial.supply);
        let mut report = unpacking::unpack(context, trial.aim, supply, &folder, wish).await?;
        if packed == Packed::Tree {
            // What the listing says of each of its files was proven before.
            report.warnings.clear();
        }
        Ok(Box::new(Unpacked { folder, report }))
    }
}

#[async_trait::async_trait]
impl Restored for Unpacked {
    fn place(&self) -> Fact {
        Fact::ScratchFolder {}
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.folder.clone())
    }

    async fn check(&self, trial: &Trial<'_>) -> Result<Vec<DrillCheck>, Failure> {
        let (folder, stop) = (self.folder.clone(), trial.context.stop_token().clone());
        let read = tokio::task::spawn_blocking(move || read_all(&folder, &stop)).await;
        trial.context.keep_going()?;
        let read = read.map_err(|panic| Failure::new(FailureCode::Internal, panic.to_string()))?;
        let found = match read {
            Ok(found) => found,
            Err(error) => {
                let unread = Fact::FilesUnreadable { why: error.to_string() };
                return Ok(vec![check("files", DrillState::Failed, unread)]);
            }
        };
        Ok(vec![compare(trial.aim.artifact.contents.as_ref(), &self.report, found)])
    }
}

/// Files, and names of them beyond their first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    names: u64,
    /// Of each file once, however many names it has.
    bytes: u64,
}

fn compare(contents: Option<&Contents>, report: &archive::Report, found: Found) -> DrillCheck {
    let size = Size(report.bytes);
    let others = report.members - report.files;
    if found.names != report.files + report.links {
        let unpacked = report.files + report.links;
        let missing = Fact::FilesMissing { unpacked, there: found.names };
        return check("files", DrillState::Failed, missing);
    }
    // Holes are read and were not written.
    if found.bytes < report.bytes {
        let missing = Fact::BytesMissing { unpacked: size, there: Size(found.bytes) };
        return check("files", DrillState::Failed, missing);
    }
    match contents {
        Some(&Contents::Members { files, bytes, others: expected }) => {
            if (files, bytes, expected) == (report.files, report.bytes, others) {
                let agree = Fact::FilesAgree { files, size };
                return check("files", DrillState::Passed, agree);
            }
            let differ = Fact::FilesDiffer {
                files: report.files,
                size,
                others,
                filesbefore: files,
                sizebefore: Size(bytes),
                othersbefore: expected,
            };
            check("files", DrillState::Failed, differ)
        }
        // Nothing is known of what there should be: some of it at least.
        _ if report.files > 0 => {
            check("files", DrillState::Passed, Fact::FilesRead { files: report.files, size })
        }
        _ => check("files", DrillState::Failed, Fact::FilesNone {}),
    }
}

/// Reads every regular file to its end.
fn read_all(folder: &Path, stop: &CancellationToken) -> io::Result<Found> {
    let mut found = Found::default();
    let mut folders = vec![folder.to_owned()];
    let mut block = vec![0; BLOCK];
    let mut seen = HashSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| told(&folder, &error))? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.names += 1;
                let read = read(&path, &mut block, stop).map_err(|error| told(&path, &error))?;
                let is = entry.metadata()?;
                if is.nlink() == 1 || seen.insert((is.dev(), is.ino())) {
                    found.bytes += read;
                }
            }
        }
    }
    Ok(found)
}

fn read(path: &Path, block: &mut [u8], stop: &CancellationToken) -> io::Result<u64> {
    let mut file = std::fs::File::open(path)?;
    let mut sum = 0;
    loop {
        if stop.is_cancelled() {
            return Err(io::Error::other("it was called off"));
        }
        match file.read(block) {
            Ok(0) => return Ok(sum),
            Ok(read) => sum += read as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn told(path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", archive::quoted(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_fewer_bytes_than_were_unpacked_are_no_proof() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), b"12345").unwrap();
        std::fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
        let found = read_all(folder.path(), &CancellationToken::new()).unwrap();
        assert_eq!(found, Found { names: 2, bytes: 5 });
        let report = |bytes| {
            let mut report = archive::Report::default();
            (report.members, report.files, report.links, report.bytes) = (2, 1, 1, bytes);
            report
        };
        let contents = |bytes| Some(Contents::Members { files: 1, bytes, others: 1 });
        let state = |bytes: u64| compare(contents(bytes).as_ref(), &report(bytes), found).state;
        assert_eq!(state(5), DrillState::Passed);
        assert_eq!(state(6), DrillState::Failed);
    }
}
