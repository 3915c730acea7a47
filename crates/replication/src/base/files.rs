//! What came, file by file, and whether it is what the manifest says.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{Algorithm, Error, Manifest, Member, checksum::Hasher};

struct File {
    path: PathBuf,
    size: u64,
    hasher: Hasher,
}

/// All files of a base backup.
pub(super) struct Files {
    algorithm: Algorithm,
    /// Of the archive in hand, below the data directory.
    folder: PathBuf,
    current: Option<File>,
    done: HashMap<PathBuf, (u64, Vec<u8>)>,
}

impl Files {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, folder: PathBuf::new(), current: None, done: HashMap::new() }
    }

    pub(super) fn tablespace(&mut self, oid: Option<u32>) {
        self.folder =
            oid.map(|oid| Path::new("pg_tblspc").join(oid.to_string())).unwrap_or_default();
    }

    pub(super) fn begin(&mut self, member: &Member) -> Result<(), Error> {
        let path = self.folder.join(&member.path);
        if self.done.contains_key(&path) {
            return Err(Error::Unsound(format!("{} comes twice", path.display())));
        }
        let hasher = Hasher::new(self.algorithm);
        self.current = Some(File { path, size: 0, hasher });
        Ok(())
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.current {
            file.size += bytes.len() as u64;
            file.hasher.feed(bytes);
        }
    }

    pub(super) fn end(&mut self) -> Result<(), Error> {
        let file = self.current.take().ok_or_else(|| Error::protocol("an end of no file"))?;
        self.done.insert(file.path, (file.size, file.hasher.finish()));
        Ok(())
    }

    /// Compares what came with what the server says it sent.
    pub(super) fn prove(mut self, manifest: &Manifest) -> Result<(), Error> {
        for file in &manifest.files {
            let path = file.path.display();
            let Some((size, checksum)) = self.done.remove(&file.path) else {
                return Err(Error::Unsound(format!("{path} is in its manifest and did not come")));
            };
            if size != file.size {
                return Err(Error::Unsound(format!(
                    "{path} has {size} bytes, its manifest says {}",
                    file.size
                )));
            }
            let algorithm = file.algorithm.as_deref().unwrap_or("NONE");
            if algorithm != self.algorithm.to_string() {
                return Err(Error::protocol(format!("{path} has a checksum of {algorithm}")));
            }
            if checksum != file.checksum {
                return Err(Error::Unsound(format!("{path} has another checksum")));
            }
        }
        match self.done.keys().next() {
            Some(path) => Err(Error::Unsound(format!("{} is not in its manifest", path.display()))),
            None => Ok(()),
        }
    }
}
