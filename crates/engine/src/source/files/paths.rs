//! What is asked for, and whether it may be read.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use archive::{Bounds, Walk, quoted};
use model::{DestinationKind, Fact, Failure, FailureCode};

use crate::{run::failure, source::direct::Asked};

/// Snapshots of file systems that are being read; no part of what is protected.
pub(super) const OWN_NAMES: &str = ".backup-orchestrator-*";

/// What is wrong with settings that are right one by one.
pub(super) fn check(settings: &BTreeMap<String, String>) -> Vec<(&'static str, Fact)> {
    let list = |key: &str| words(settings.get(key).map_or("", String::as_str));
    let mut wrong = Vec::new();
    for path in list("path") {
        let path = Path::new(path);
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            wrong.push(("path", Fact::AbsolutePathFor { path: quoted(path) }));
        } else if let Err(error) = archive::check_pattern(path) {
            let (place, why) = (quoted(path), Fact::said(error).into());
            wrong.push(("path", Fact::At { place, why }));
        }
    }
    if let Err(error) = Walk::default().excluding(list("exclude")) {
        wrong.push(("exclude", Fact::said(error)));
    }
    if settings.contains_key("snapshot_percent")
        && settings.get("snapshot").map(String::as_str) != Some("lvm")
    {
        wrong.push(("snapshot_percent", Fact::OnlyForLvm {}));
    }
    wrong
}

fn words(text: &str) -> Vec<&str> {
    text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// What is there of what is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Nothing of it twice.
    pub(super) paths: Vec<PathBuf>,
    /// Local destinations of the app that lie within: copies of copies would grow without end.
    pub(super) destinations: Vec<PathBuf>,
}

impl Wanted {
    /// Looks for the paths, none of which leads out of the allowed folders.
    pub(super) async fn find(asked: &Asked<'_>) -> Result<Self, Failure> {
        let roots = asked.engine.0.config.file_roots.clone();
        let patterns: Vec<_> = asked.list("path").into_iter().map(PathBuf::from).collect();
        let follow = asked.flag("follow_symlinks");
        let found = tokio::task::spawn_blocking(move || find(&patterns, &roots, follow)).await;
        let paths = found
            .map_err(|panic| Failure::new(FailureCode::Internal, panic.to_string()))?
            .map_err(|fact| Failure::new(FailureCode::SourceConfig, fact))?;
        let mut destinations = Vec::new();
        for binding in &asked.app.destinations {
            let known = asked.engine.0.catalog.destination(binding.destination_id).await;
            let known = known.map_err(|error| failure::of_catalog(&error))?;
            let Some(folder) = known.settings.get("path").map(PathBuf::from) else { continue };
            let is_within = |path: &PathBuf| folder != *path && folder.starts_with(path);
            let is_here = match known.kind {
                DestinationKind::Local => true,
                DestinationKind::Tree => !known.settings.contains_key("host"),
                _ => false,
            };
            if is_here && paths.iter().any(is_within) {
                destinations.push(folder);
            }
        }
        Ok(Self { paths, destinations })
    }
}

/// What is at `patterns`; or what is wrong with one of them.
fn find(patterns: &[PathBuf], roots: &[PathBuf], follow: bool) -> Result<Vec<PathBuf>, Fact> {
    if roots.is_empty() {
        return Err(Fact::NoFileRoots {});
    }
    let bounds = Bounds::new(roots);
    let mut all = Vec::new();
    for pattern in patterns {
        // Before anything is looked at: an answer must not tell what is elsewhere.
        if !roots.iter().any(|root| pattern.starts_with(root)) {
            let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
            return Err(Fact::OutsideFileRoots { path: quoted(pattern), roots: roots.join(", ") });
        }
        let found = archive::find(pattern).map_err(|error| Fact::NotLookedFor {
            path: quoted(pattern),
            why: error.to_string(),
        })?;
        if found.is_empty() {
            return Err(Fact::NothingAt { path: quoted(pattern) });
        }
        for path in found {
            judge(&path, &bounds, follow)?;
            all.push(path);
        }
    }
    Ok(archive::distinct(all, None))
}

/// Whether `path` is where it says.
fn judge(path: &Path, bounds: &Bounds, follow: bool) -> Result<(), Fact> {
    let real = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(name)),
        _ => Ok(path.to_owned()),
    };
    let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    if !real.is_ok_and(|real| bounds.hold(&real)) || follow && is_link && !bounds.lead_to(path) {
        return Err(Fact::LeadsOut { path: quoted(path) });
    }
    // Of a link that is named there would be nothing but the link.
    if is_link && !follow {
        return Err(Fact::IsLinkAt { path: quoted(path) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_lies_in_the_roots_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["in/a", "in/b", "out"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::fs::write(at("out/secret"), "").unwrap();
        symlink(at("out"), at("in/away")).unwrap();
        symlink(at("in/a"), at("in/near")).unwrap();
        let of = |pattern: &str, follow| find(&[at(pattern)], &[at("in")], follow);
        assert_eq!(of("in/[ab]", false).unwrap(), [at("in/a"), at("in/b")]);
        assert_eq!(of("in", false).unwrap(), [at("in")]);
        assert_eq!(of("in/near", true).unwrap(), [at("in/near")]);
        for (pattern, follow, told) in [
            ("out", false, "may not be read"),
            ("*", false, "may not be read"),
            ("in/away/secret", false, "leads out"),
            ("in/away/*", false, "leads out"),
            ("in/away", true, "leads out"),
            ("in/near", false, "is a link"),
            ("in/c", false, "nothing is at"),
        ] {
            let wrong = of(pattern, follow).unwrap_err().to_string();
            assert!(wrong.contains(told), "{pattern}: {wrong}");
        }
        assert_eq!(find(&[at("in")], &[], false).unwrap_err(), Fact::NoFileRoots {});
    }

    #[test]
    fn settings_are_judged_together() {
        let of = |pairs: &[(&str, &str)]| {
            let owned = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            check(&owned.collect()).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert!(of(&[("path", "/srv/*, /etc/hosts"), ("exclude", "*.tmp\n/srv/cache")]).is_empty());
        assert_eq!(of(&[("path", "srv, /a/../b, /a/[")]), ["path"; 3]);
        assert_eq!(of(&[("path", "/srv"), ("exclude", "a**b")]), ["exclude"]);
        assert_eq!(of(&[("path", "/srv"), ("snapshot_percent", "5")]), ["snapshot_percent"]);
    }
}
