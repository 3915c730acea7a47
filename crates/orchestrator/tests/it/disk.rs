//! What a disk may have lost when the power goes: all that no call has asked to be there.
//!
//! It is stricter than any one file system: the content of a file is there once the file was
//! synced, a name once the folder that holds it was, and so up to what was there before.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::strace::Call;

/// What is not on the disk for sure.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Files, and folders' own attributes, changed since they were synced.
    changed: BTreeSet<PathBuf>,
    /// Names given since their folders were synced.
    named: BTreeSet<PathBuf>,
    /// Files and folders that were there before.
    before: BTreeSet<PathBuf>,
    /// Names given to what was not yet on the disk itself, and what of it was not.
    early: Vec<(PathBuf, String)>,
}

impl Disk {
    /// With everything that is below `folder` now.
    pub(crate) fn with(folder: &Path) -> Self {
        let mut disk = Self::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path.clone());
                }
                disk.before.insert(path);
            }
        }
        disk
    }

    pub(crate) fn apply(&mut self, call: &Call) {
        match call.name.as_str() {
            "open" | "openat" | "openat2" | "creat" => {
                let flags = format!("{} {}", call.argument(1), call.argument(2));
                let Some(path) = call.opened() else { return };
                let makes = flags.contains("O_CREAT") || call.name == "creat";
                if makes && !flags.contains("O_TMPFILE") && self.before.insert(path.clone()) {
                    self.named.insert(path.clone());
                    self.changed.insert(path);
                } else if flags.contains("O_TRUNC") {
                    self.changed.insert(path);
                }
            }
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "ftruncate"
            | "fallocate" | "fchmod" | "fchown" => self.change(call.open_file(0)),
            "sendfile" => self.change(call.open_file(0)),
            "copy_file_range" | "splice" => self.change(call.open_file(2)),
            "truncate" | "chmod" | "chown" | "lchown" => self.change(call.path(0)),
            "fchmodat" | "fchmodat2" | "fchownat" => {
                let by_path = call.path_at(1).filter(|_| call.argument(1) != "\"\"");
                self.change(by_path.or_else(|| call.open_file(0)));
            }
            "fsync" | "fdatasync" => {
                let Some(path) = call.open_file(0) else { return };
                self.changed.remove(&path);
                self.named.retain(|name| name.parent() != Some(&path));
            }
            "syncfs" | "sync" => {
                self.changed.clear();
                self.named.clear();
            }
            "mkdir" => self.name(call.path(0)),
            "mkdirat" => self.name(call.path_at(1)),
            "symlink" => self.name(call.path(1)),
            "symlinkat" => {
                self.name(call.open_file(1).zip(call.path(2)).map(|(at, name)| at.join(name)));
            }
            "rename" => self.moved(call.path(0), call.path(1)),
            "renameat" | "renameat2" => self.moved(call.path_at(1), call.path_at(3)),
            "link" => self.linked(call.path(0), call.path(1)),
            "linkat" => self.linked(call.path_at(1), call.path_at(3)),
            "unlink" | "rmdir" => self.gone(call.path(0)),
            "unlinkat" => self.gone(call.path_at(1)),
            _ => {}
        }
    }

    /// What of `folder` may be lost or half there, for people; empty is right.
    pub(crate) fn unsure(&self, folder: &Path) -> Vec<String> {
        let below = |path: &&PathBuf| path.starts_with(folder) || folder.starts_with(path);
        let changed = self.changed.iter().filter(below);
        let named = self.named.iter().filter(below);
        let changed = changed.map(|path| format!("{} is not synced", path.display()));
        changed.chain(named.map(|path| format!("nor the name {}", path.display()))).collect()
    }

    /// Names below `folder` that were given too early.
    pub(crate) fn early(&self, folder: &Path) -> Vec<&str> {
        let here = self.early.iter().filter(|(name, _)| name.starts_with(folder));
        here.map(|(_, told)| told.as_str()).collect()
    }

    fn change(&mut self, path: Option<PathBuf>) {
        self.changed.extend(path);
    }

    fn name(&mut self, path: Option<PathBuf>) {
        let Some(path) = path else { return };
        self.before.insert(path.clone());
        self.named.insert(path);
    }

    fn moved(&mut self, from: Option<PathBuf>, to: Option<PathBuf>) {
        let (Some(from), Some(to)) = (from, to) else { return };
        self.told_early(&from, &to);
        self.gone(Some(to.clone()));
        for set in [&mut self.changed, &mut self.named, &mut self.before] {
            let moved: Vec<_> =
                set.iter().filter(|path| path.starts_with(&from)).cloned().collect();
            for path in moved {
                set.remove(&path);
                let below = path.strip_prefix(&from).unwrap();
                set.insert(if below.as_os_str().is_empty() { to.clone() } else { to.join(below) });
            }
        }
        self.name(Some(to));
    }

    fn linked(&mut self, from: Option<PathBuf>, to: Option<PathBuf>) {
        let (Some(from), Some(to)) = (from, to) else { return };
        self.told_early(&from, &to);
        if self.changed.contains(&from) {
            self.changed.insert(to.clone());
        }
        self.name(Some(to));
    }

    fn told_early(&mut self, from: &Path, to: &Path) {
        let inside = |path: &&PathBuf| path.starts_with(from);
        let mut unsure = self.changed.iter().filter(inside);
        let mut unnamed = self.named.iter().filter(inside).filter(|path| *path != from);
        if let Some(path) = unsure.next().or_else(|| unnamed.next()) {
            let told = format!("{} took its name before {}", to.display(), path.display());
            self.early.push((to.to_owned(), told));
        }
    }

    fn gone(&mut self, path: Option<PathBuf>) {
        let Some(path) = path else { return };
        for set in [&mut self.changed, &mut self.named, &mut self.before] {
            set.retain(|one| !one.starts_with(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strace::calls;

    fn disk(trace: &[&str]) -> Disk {
        let text: String = trace.iter().map(|line| format!("1 {line}\n")).collect();
        let mut disk = Disk::default();
        calls(&text).iter().for_each(|call| disk.apply(call));
        disk
    }

    const MKDIR: &str = "mkdir(\"/d/shop\", 0777) = 0";
    const OPEN: &str =
        "openat(AT_FDCWD</>, \"/d/shop/.a\", O_WRONLY|O_CREAT, 0600) = 3</d/shop/.a>";
    const WRITE: &str = "write(3</d/shop/.a>, \"x\", 1) = 1";
    const FSYNC: &str = "fsync(3</d/shop/.a>) = 0";
    const RENAME: &str = "rename(\"/d/shop/.a\", \"/d/shop/a\") = 0";
    const FOLDER: &str = "fsync(4</d/shop>) = 0";
    const ABOVE: &str = "fsync(5</d>) = 0";

    #[test]
    fn whatever_is_left_out_is_seen() {
        let right = [MKDIR, OPEN, WRITE, FSYNC, RENAME, FOLDER, ABOVE];
        let at = Path::new("/d/shop");
        assert_eq!(disk(&right).unsure(at), [""; 0]);
        assert_eq!(disk(&right).early(at), [""; 0]);
        for left_out in [FSYNC, FOLDER, ABOVE] {
            let rest: Vec<_> = right.into_iter().filter(|one| *one != left_out).collect();
            assert_ne!(disk(&rest).unsure(at), [""; 0], "without {left_out}");
        }
        let late = disk(&[MKDIR, OPEN, WRITE, RENAME, FSYNC, FOLDER, ABOVE]);
        assert_ne!(late.early(at), [""; 0]);
        let late = disk(&[MKDIR, OPEN, FSYNC, WRITE, RENAME, FOLDER, ABOVE]);
        assert_ne!(late.unsure(at), [""; 0]);
        let failed =
            disk(&[MKDIR, OPEN, WRITE, "fsync(3</d/shop/.a>) = -1 EIO (Input/output error)"]);
        assert_ne!(failed.unsure(at), [""; 0]);
        let all = disk(&[MKDIR, OPEN, WRITE, "syncfs(5</d>) = 0", RENAME, FOLDER]);
        assert_eq!(all.unsure(at), [""; 0]);
    }
}
