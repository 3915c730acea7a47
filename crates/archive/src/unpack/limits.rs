//! How much an archive may hold, and what of it is wanted.

use std::path::Path;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that are written, holes not counted.
    pub bytes: u64,
    /// Length of one file, holes counted, in bytes.
    pub file_bytes: u64,
    /// Members, those that are not wanted included.
    pub members: u64,
    /// Folders around a member, and itself.
    pub depth: usize,
    /// Bytes of a name.
    pub name_bytes: usize,
    /// Memory for what is known of folders until their attributes are set, which is done last.
    pub folder_memory_bytes: u64,
    /// How many bytes may come of one compressed byte, beyond the first 256 MiB. gzip never gives
    /// more than 1,032.
    pub ratio: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 40,
            file_bytes: 16 << 40,
            members: 100_000_000,
            depth: 256,
            name_bytes: 16 << 10,
            folder_memory_bytes: 256 << 20,
            ratio: Some(1_100),
        }
    }
}

/// What of an archive is wanted: all, or some paths with what is below them.
#[derive(Debug, Clone, Default)]
pub struct Only(Vec<Wanted>);

#[derive(Debug, Clone)]
struct Wanted {
    parts: Vec<Vec<u8>>,
    found: bool,
}

impl Only {
    /// These paths: a file, or a folder with everything below it.
    pub fn paths<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let wanted = paths.into_iter().map(|path| {
            let path = path.as_ref().as_os_str().as_bytes();
            let parts = path.split(|byte| *byte == b'/');
            let parts = parts.filter(|part| !part.is_empty() && part != b".");
            Wanted { parts: parts.map(<[u8]>::to_vec).collect(), found: false }
        });
        Self(wanted.collect())
    }

    /// Whether a member of these components is wanted.
    pub(crate) fn wants(&mut self, parts: &[&[u8]]) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let mut any = false;
        for one in &mut self.0 {
            let within = one.parts.len() <= parts.len()
                && one.parts.iter().zip(parts).all(|(wanted, part)| wanted == part);
            one.found |= within;
            any |= within;
        }
        any
    }

    /// What was wanted and is not there, for people.
    pub(crate) fn missing(&self) -> Vec<String> {
        let missing = self.0.iter().filter(|one| !one.found);
        missing.map(|one| String::from_utf8_lossy(&one.parts.join(&b'/')).into_owned()).collect()
    }
}
