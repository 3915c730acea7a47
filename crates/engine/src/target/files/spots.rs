//! Where files belong, and where they wait until they are whole: on the same file system, so that
//! they take their place in one step.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use model::{Fact, Failure};

use super::super::{Aim, folder, refused};
use crate::{
    durable,
    source::{direct::Asked, files::basis::mounts},
};

/// What no source of files reads: neither what waits nor what is kept gets into a snapshot.
const OWN: &str = ".backup-orchestrator-";

/// One path of the source, or one that was chosen.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    /// The path, which may be a pattern.
    pub(super) pattern: PathBuf,
    /// How far it is none.
    pub(super) literal: PathBuf,
    /// Where its files wait.
    pub(super) stage: PathBuf,
    /// Whether something is mounted at it: then what is in it is exchanged, not itself.
    mounted: bool,
}

/// Where the artifact's files belong: all that the source names, or what was chosen of it.
pub(super) fn of(aim: &Aim<'_>) -> Result<Vec<Spot>, Failure> {
    if aim.paths().is_empty() {
        return named(aim);
    }
    spots(aim, chosen(aim)?, false)
}

/// What the source names.
pub(super) fn named(aim: &Aim<'_>) -> Result<Vec<Spot>, Failure> {
    spots(aim, patterns(&aim.asked()?), true)
}

fn spots(aim: &Aim<'_>, paths: Vec<PathBuf>, may_be_patterns: bool) -> Result<Vec<Spot>, Failure> {
    let mounts = mounts::now()?;
    paths
        .into_iter()
        .map(|pattern| {
            let plain = |part: &Component<'_>| {
                may_be_patterns && part.as_os_str().to_string_lossy().contains(['*', '?', '['])
            };
            let literal: PathBuf = pattern.components().take_while(|part| !plain(part)).collect();
            let is_literal = literal == pattern;
            let mounted = is_literal
                && pattern.canonicalize().is_ok_and(|real| mounts::is_at(&mounts, &real));
            let holder =
                if mounted || !is_literal { Some(literal.as_path()) } else { literal.parent() };
            let there = holder.into_iter().flat_map(Path::ancestors).find(|one| one.is_dir());
            let there = there.ok_or_else(|| refused("a path has to be absolute"))?;
            let stage = there.join(format!("{OWN}restoring-{}", aim.tag));
            Ok(Spot { pattern, literal, stage, mounted })
        })
        .collect()
}

/// The folders in which files wait, each once.
pub(super) fn stages(spots: &[Spot]) -> Vec<&Path> {
    let mut stages: Vec<_> = spots.iter().map(|spot| spot.stage.as_path()).collect();
    stages.sort_unstable();
    stages.dedup();
    stages
}

fn patterns(asked: &Asked<'_>) -> Vec<PathBuf> {
    asked.list("path").into_iter().map(|path| PathBuf::from(path.trim_end_matches('/'))).collect()
}

/// Paths of an archive have no `/` before them.
fn chosen(aim: &Aim<'_>) -> Result<Vec<PathBuf>, Failure> {
    let chosen = aim.paths().iter().map(|path| {
        let parts = archive::parts_of(path.trim_start_matches('/').as_bytes());
        match parts {
            Ok(parts) if !parts.is_empty() => {
                let words = path.split('/').filter(|part| !part.is_empty() && *part != ".");
                Ok(Path::new("/").join(words.collect::<PathBuf>()))
            }
            _ => Err(refused(Fact::NoPathInArchive { path: path.clone() })),
        }
    });
    chosen.collect()
}

impl Spot {
    /// Whether restores may write there.
    pub(super) fn allowed(&self, aim: &Aim<'_>) -> Result<(), Failure> {
        folder::allowed(aim, &self.stage)?;
        let place = if self.mounted { self.pattern.join("_") } else { self.literal.clone() };
        if self.literal == self.pattern { folder::allowed(aim, &place) } else { Ok(()) }
    }

    /// The folder that a new one beside it is made in.
    pub(super) fn place_beside(&self) -> PathBuf {
        self.stage.parent().map(Path::to_owned).unwrap_or_default()
    }

    /// What was unpacked for it; errs where there is nothing, or where a link would lead elsewhere.
    pub(super) fn found(&self) -> Result<Vec<Found<'_>>, Failure> {
        let found = self.left()?;
        if found.is_empty() {
            return Err(refused(Fact::NothingOf { path: self.pattern.display().to_string() }));
        }
        Ok(found)
    }

    /// The same, as far as it is not in its place yet.
    pub(super) fn left(&self) -> Result<Vec<Found<'_>>, Failure> {
        let told = |error: io::Error| {
            folder::told(|what, why| Fact::NotRead { what, why }, &self.stage, &error)
        };
        let below = self.pattern.strip_prefix("/").unwrap_or(&self.pattern);
        let waiting = if self.literal == self.pattern {
            let path = self.stage.join(below);
            // What is being exchanged is known by its other name.
            let is_there = path.symlink_metadata().is_ok() || self.filling(&path).exists();
            is_there.then_some(path).into_iter().collect()
        } else {
            archive::find(&self.stage.join(below)).map_err(told)?
        };
        let Ok(real) = self.stage.canonicalize() else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for path in waiting {
            let name = path.strip_prefix(&self.stage).unwrap_or(&path).to_owned();
            let holder = name.parent().unwrap_or(Path::new(""));
            // An archive may hold a link where a folder was: what it leads to is not ours.
            let is_own = path.parent().is_some_and(|parent| {
                parent.canonicalize().is_ok_and(|found| found == join(&real, holder))
            });
            if !is_own {
                let path = archive::quoted(&name);
                return Err(refused(Fact::LinkLeadsAway { path }));
            }
            found.push(Found { spot: self, place: Path::new("/").join(name), path });
        }
        Ok(found)
    }

    /// Whether nothing of it was exchanged yet; of a pattern that cannot be told.
    pub(super) fn is_untouched(&self, tag: &str) -> bool {
        let below = self.pattern.strip_prefix("/").unwrap_or(&self.pattern);
        let path = self.stage.join(below);
        self.literal == self.pattern
            && self.kept(tag).is_empty()
            && path.symlink_metadata().is_ok()
            && !self.filling(&path).exists()
    }

    /// Where what was there before is kept, where something is.
    pub(super) fn kept(&self, tag: &str) -> Vec<PathBuf> {
        let kept = if self.mounted {
            self.pattern.join(format!("{OWN}before-{tag}"))
        } else if self.literal == self.pattern {
            let name = self.pattern.file_name().unwrap_or_default().to_string_lossy();
            self.pattern.with_file_name(format!("{name}.before-{tag}"))
        } else {
            return Vec::new();
        };
        kept.symlink_metadata().is_ok().then_some(kept).into_iter().collect()
    }

    /// What a folder that waits is called once everything old is out of its way.
    fn filling(&self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!("{OWN}filling-{name}"))
    }
}

fn join(folder: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { folder.to_owned() } else { folder.join(below) }
}

/// Files that wait.
pub(super) struct Found<'s> {
    spot: &'s Spot,
    path: PathBuf,
    place: PathBuf,
}

impl Found<'_> {
    /// Puts them in their place; gives where what was there is kept.
    pub(super) fn put(&self, tag: &str) -> Result<Option<PathBuf>, Failure> {
        if self.spot.mounted {
            return self.exchange(tag).map_err(|error| {
                folder::told(|what, why| Fact::NotExchanged { what, why }, &self.place, &error)
            });
        }
        if let Some(holder) = self.place.parent() {
            durable::make_folders(holder).map_err(|error| {
                folder::told(|what, why| Fact::NotMade { what, why }, holder, &error)
            })?;
        }
        folder::switch(&self.path, &self.place, tag)
    }

    /// A mount point cannot be renamed: what is in it is. First everything old goes into a folder of
    /// its own, then everything new comes; which of both is under way is in the folder's name.
    fn exchange(&self, tag: &str) -> io::Result<Option<PathBuf>> {
        let kept = self.place.join(format!("{OWN}before-{tag}"));
        let filling = self.spot.filling(&self.path);
        if !filling.exists() {
            if !self.path.is_dir() {
                return Err(io::Error::other("in the snapshot it is no folder"));
            }
            fs::create_dir_all(&kept)?;
            for old in names(&self.place)? {
                fs::rename(self.place.join(&old), kept.join(&old))?;
            }
            durable::sync(&kept)?;
            fs::rename(&self.path, &filling)?;
        }
        for new in names(&filling)? {
            fs::rename(filling.join(&new), self.place.join(&new))?;
        }
        durable::sync(&self.place)?;
        fs::remove_dir(&filling)?;
        Ok(Some(kept))
    }
}

/// What is in `folder`, without what is ours.
fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !name.to_string_lossy().starts_with(OWN) {
            names.push(name);
        }
    }
    Ok(names)
}
