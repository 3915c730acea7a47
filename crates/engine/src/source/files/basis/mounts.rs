//! What is mounted where.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use model::{Fact, Failure};

use super::failed;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The folder of the file system that is mounted.
    pub(super) within: PathBuf,
    /// Where.
    pub(crate) at: PathBuf,
    /// Kind of file system.
    pub(super) kind: String,
    /// What is mounted: a device, a dataset.
    pub(super) what: OsString,
}

/// All that this process sees.
pub(crate) async fn all() -> Result<Vec<Mount>, Failure> {
    let told = tokio::fs::read(MOUNTS).await;
    listed(told)
}

/// The same for those who may not wait; the kernel has it at hand.
pub(crate) fn now() -> Result<Vec<Mount>, Failure> {
    listed(std::fs::read(MOUNTS))
}

const MOUNTS: &str = "/proc/self/mountinfo";

fn listed(told: std::io::Result<Vec<u8>>) -> Result<Vec<Mount>, Failure> {
    let told = told.map_err(|error| {
        failed(Fact::NotRead { what: MOUNTS.to_owned(), why: error.to_string() })
    })?;
    Ok(told.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// The mount that `real` lies on: of several at one place, the last one covers the others.
pub(super) fn of<'m>(mounts: &'m [Mount], real: &Path) -> Option<&'m Mount> {
    let around = mounts.iter().filter(|mount| real.starts_with(&mount.at));
    around.max_by_key(|mount| mount.at.components().count())
}

/// Whether something is mounted at `place`.
pub(crate) fn is_at(mounts: &[Mount], place: &Path) -> bool {
    mounts.iter().any(|mount| mount.at == place)
}

/// `36 35 98:0 /folder /where rw,noatime shared:1 - ext4 /dev/what rw`.
fn parse(line: &[u8]) -> Option<Mount> {
    let fields: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let path = |index: usize| fields.get(index).map(|field| PathBuf::from(unescaped(field)));
    Some(Mount {
        within: path(3)?,
        at: path(4)?,
        kind: String::from_utf8_lossy(fields.get(dash + 1)?).into_owned(),
        what: unescaped(fields.get(dash + 2)?),
    })
}

/// Space, tab, line end and backslash are three octal digits.
fn unescaped(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut at = 0;
    while at < field.len() {
        let digits = field.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if field[at] == b'\\' => {
                bytes.push(byte);
                at += 4;
            }
            _ => {
                bytes.push(field[at]);
                at += 1;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = br"36 35 98:0 /a\040b /mnt/with\040space\134 rw shared:1 master:2 - xfs /dev/mapper/vg-lv rw";
        let mount = parse(line).unwrap();
        assert_eq!(mount.within, Path::new("/a b"));
        assert_eq!(mount.at, Path::new("/mnt/with space\\"));
        assert_eq!((mount.kind.as_str(), mount.what.to_str()), ("xfs", Some("/dev/mapper/vg-lv")));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"36 35 98:0 / /mnt rw - "), None);
    }

    #[tokio::test]
    async fn this_machine_has_a_root() {
        let mounts = all().await.unwrap();
        assert!(is_at(&mounts, Path::new("/proc")) && !is_at(&mounts, Path::new("/proc/self")));
        assert_eq!(of(&mounts, Path::new("/proc/self")).unwrap().kind, "proc");
    }
}
