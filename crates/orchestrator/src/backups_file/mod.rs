//! `backups.yml`, with `stack.env` beside it: what is to be backed up, declared in a file.

mod alerts;
mod apps;
mod drills;
mod export;
mod finding;
mod keys;
mod places;
mod reader;
mod recovery;
mod targets;
mod values;
mod variables;
mod watch;
mod whole;

use std::path::{Path, PathBuf};

use engine::{Declared, Entry, FieldError};
use handwritten::Lines;

pub(crate) use export::{Registered, export};
pub(crate) use finding::Finding;
pub(crate) use keys::File;
pub(crate) use variables::{Variables, read_small, stack_env_of};
pub(crate) use watch::{BackupsFile, ConfigShown};

use places::Place;
use reader::Reader;

/// A file that was understood.
pub(crate) struct Declaration {
    pub(crate) declared: Declared,
    /// What to look at all the same.
    pub(crate) warnings: Vec<Finding>,
    /// Further files that were read for it.
    pub(crate) files: Vec<PathBuf>,
    places: Places,
    lines: Lines,
}

/// Where each entry stands in the file.
#[derive(Default)]
struct Places {
    destinations: Vec<Place>,
    apps: Vec<Place>,
    channels: Vec<Place>,
    routes: Vec<Place>,
}

impl Declaration {
    /// What `text` declares; paths in it are as seen from `folder`.
    pub(crate) fn parse(
        text: &str,
        variables: &Variables,
        folder: &Path,
    ) -> Result<Self, Vec<Finding>> {
        let nothing = || vec![Finding::error("", "it is empty: to let all go, write `apps: []`")];
        let is_blank = |line: &str| matches!(line.trim().chars().next(), None | Some('#'));
        if text.lines().all(is_blank) {
            return Err(nothing());
        }
        let file: File = serde_saphyr::from_str(text).map_err(|e| vec![finding::from_yaml(&e)])?;
        if file.is_empty() {
            return Err(nothing());
        }
        let lines = Lines::of(text);
        let mut reader = Reader::new(variables, folder, file.backup_config.unwrap_or_default());
        let (declared, places) = reader.declare(Sections {
            has_config: lines.has("backup_config"),
            targets: file.backup_targets.unwrap_or_default(),
            volumes: file.volume_backups.unwrap_or_default(),
            destinations: file.destinations.unwrap_or_default(),
            apps: file.apps.unwrap_or_default(),
            channels: file.alert_channels.unwrap_or_default(),
            routes: file.alert_routes.unwrap_or_default(),
        });
        let (mut findings, files) = reader.finish();
        for finding in &mut findings {
            finding.line = lines.find(&finding.key);
        }
        if findings.iter().any(Finding::is_error) {
            return Err(findings);
        }
        Ok(Self { declared, warnings: findings, files, places, lines })
    }

    /// What the engine does not like, with its place in the file.
    pub(crate) fn locate(&self, wrong: Vec<(Entry, FieldError)>) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        for (entry, error) in wrong {
            let place = match entry {
                Entry::Destination(at) => self.places.destinations.get(at),
                Entry::App(at) => self.places.apps.get(at),
                Entry::Channel(at) => self.places.channels.get(at),
                Entry::Route(at) => self.places.routes.get(at),
            };
            let key = place.map_or_else(String::new, |one| one.key(&error.field, &self.lines));
            let line = self.lines.find(&key);
            let finding = Finding { line, ..Finding::error(&key, error.message()) };
            // What stands once in the file is told once, however many entries it is for.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        findings.sort_by_key(|finding| finding.line);
        findings
    }
}

/// The file's sections but for `backup_config`.
struct Sections {
    has_config: bool,
    targets: Vec<keys::Target>,
    volumes: Vec<keys::VolumeBackup>,
    destinations: Vec<keys::DestinationEntry>,
    apps: Vec<keys::AppEntry>,
    channels: Vec<keys::AlertChannelEntry>,
    routes: Vec<keys::AlertRouteEntry>,
}

impl File {
    fn is_empty(&self) -> bool {
        self.backup_targets.is_none()
            && self.volume_backups.is_none()
            && self.backup_config.is_none()
            && self.destinations.is_none()
            && self.apps.is_none()
            && self.alert_channels.is_none()
            && self.alert_routes.is_none()
    }
}

#[cfg(test)]
mod tests;
