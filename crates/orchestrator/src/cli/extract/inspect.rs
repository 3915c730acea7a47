//! What an archive would write, and whether all of it stays where it belongs.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use tar::EntryType;

use super::{ExtractError, Found, Stop, archive};

/// Bytes of names and attributes before one entry.
const MAX_META: u64 = 4 << 20;
/// Entries of one archive: their links are remembered.
const MAX_LINKS: usize = 1_000_000;

/// Looks at every entry of the archive.
pub(super) fn inspect(file: &Path, stop: &Stop) -> Result<Found, ExtractError> {
    let (mut tar, allowance) = archive::open_sparingly(file, stop)?;
    let mut found = Found::default();
    let mut links = Links::default();
    allowance.set(MAX_META);
    for entry in tar.entries()? {
        let entry = entry?;
        let told = entry.path()?.into_owned();
        let path = inside(&told)
            .ok_or_else(|| ExtractError::hostile(&told, "would be written outside the folder"))?;
        let target = entry.link_name()?.map(std::borrow::Cow::into_owned);
        match entry.header().entry_type() {
            EntryType::Regular
            | EntryType::Continuous
            | EntryType::GNUSparse
            | EntryType::Directory
            | EntryType::XGlobalHeader => {}
            EntryType::Symlink => {
                links.symbolic.insert(path.clone(), target.unwrap_or_default());
            }
            EntryType::Link => links.hard.push((path.clone(), target.unwrap_or_default())),
            _ => {
                let why = "is neither file, folder nor link (a device, a pipe)";
                return Err(ExtractError::hostile(&told, why));
            }
        }
        if links.symbolic.len() + links.hard.len() > MAX_LINKS {
            return Err(ExtractError::hostile(&told, "is one link too many"));
        }
        links.used(&path);
        if let Some(first) = path.components().next() {
            found.top.insert(PathBuf::from(first.as_os_str()));
        }
        let header = entry.header();
        found.has_nameless |= header.uid().is_err() || header.gid().is_err();
        found.entries += 1;
        found.bytes = found.bytes.saturating_add(entry.size());
        // A sparse file is larger than what the archive holds of it, a pax size overrides the
        // header's.
        let here = entry.header().entry_size().unwrap_or(0).max(entry.size());
        allowance.set(here.saturating_add(MAX_META));
    }
    links.check()?;
    Ok(found)
}

/// The path without `.`; `None` where it is absolute or goes up.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

#[derive(Default)]
struct Links {
    symbolic: std::collections::BTreeMap<PathBuf, PathBuf>,
    hard: Vec<(PathBuf, PathBuf)>,
    /// Folders that entries lie in.
    parents: BTreeSet<PathBuf>,
}

impl Links {
    fn used(&mut self, path: &Path) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !self.parents.contains(*parent)) {
            self.parents.insert(parent.to_owned());
        }
    }

    /// Checked when all entries are known: a link may stand before what it leads through.
    fn check(&self) -> Result<(), ExtractError> {
        for parent in &self.parents {
            if let Some(link) = parent.ancestors().find(|one| self.symbolic.contains_key(*one)) {
                let why = "is a link with entries below it";
                return Err(ExtractError::hostile(link, why));
            }
        }
        for (path, target) in &self.symbolic {
            if !self.leads_inside(path, target) {
                return Err(ExtractError::hostile(path, "is a link that leads out of the folder"));
            }
        }
        for (path, target) in &self.hard {
            let target = inside(target);
            let is_plain = target.is_some_and(|target| {
                !target.as_os_str().is_empty()
                    && !target.ancestors().any(|one| self.symbolic.contains_key(one))
            });
            if !is_plain {
                let why = "is a hard link to something that is not a file of the archive";
                return Err(ExtractError::hostile(path, why));
            }
        }
        Ok(())
    }

    /// Whether a link at `path` to `target` ends inside, passing through no other link: then
    /// `..` means what it looks like.
    fn leads_inside(&self, path: &Path, target: &Path) -> bool {
        let mut at = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut parts = target.components().peekable();
        if parts.peek().is_none() {
            return false;
        }
        while let Some(part) = parts.next() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => {
                    at.push(name);
                    if parts.peek().is_some() && self.symbolic.contains_key(&at) {
                        return false;
                    }
                }
                Component::ParentDir => {
                    if !at.pop() {
                        return false;
                    }
                }
                Component::RootDir | Component::Prefix(_) => return false,
            }
        }
        true
    }
}
