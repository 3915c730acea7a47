//! What an archive would write, and whether all of it stays where it belongs.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use archive::{Kind, Members};

use super::{ExtractError, Found, Source, Stop};

/// Links of one archive: they are remembered.
const MAX_LINKS: usize = 1_000_000;

/// Looks at every member of the archive.
pub(super) fn inspect(file: &Path, stop: &Stop) -> Result<Found, ExtractError> {
    let mut members = Members::new(Source::plain(file, stop)?);
    let mut found = Found::default();
    let mut links = Links::default();
    while let Some(member) = members.next_member()? {
        let told = Path::new(OsStr::from_bytes(&member.name));
        let path = inside(&member.name)
            .ok_or_else(|| ExtractError::hostile(told, "would be written outside the folder"))?;
        let target = || PathBuf::from(OsStr::from_bytes(&member.link));
        match member.kind {
            Kind::File | Kind::Folder => {}
            Kind::Symlink => {
                links.symbolic.insert(path.clone(), target());
            }
            Kind::Link => links.hard.push((path.clone(), member.link.clone())),
            Kind::Fifo | Kind::Char | Kind::Block | Kind::Other => {
                let why = "is neither file, folder nor link (a device, a pipe)";
                return Err(ExtractError::hostile(told, why));
            }
        }
        if links.symbolic.len() + links.hard.len() > MAX_LINKS {
            return Err(ExtractError::hostile(told, "is one link too many"));
        }
        links.used(&path);
        if let Some(first) = path.components().next() {
            found.top.insert(PathBuf::from(first.as_os_str()));
        }
        found.bytes = found.bytes.saturating_add(member.stored);
    }
    links.check()?;
    Ok(found)
}

/// The path without `.`; `None` where it is absolute, goes up or is no path at all.
fn inside(name: &[u8]) -> Option<PathBuf> {
    let parts = archive::parts_of(name).ok()?;
    Some(parts.into_iter().map(OsStr::from_bytes).collect())
}

#[derive(Default)]
struct Links {
    symbolic: std::collections::BTreeMap<PathBuf, PathBuf>,
    /// And what they are another name of.
    hard: Vec<(PathBuf, Vec<u8>)>,
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
