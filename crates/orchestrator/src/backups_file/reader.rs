//! From what is written to what is declared: values expanded, files read, faults collected.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use engine::{Declared, ScheduleDraft};
use model::{
    Limits,
    retention::{KeepWithin, RetentionPolicy},
};
use secrecy::SecretString;

use super::{
    Finding, Places, Sections, Variables,
    keys::{BackupConfig, LimitsEntry, RetentionEntry, ScheduleEntry},
    places::Place,
    values::{Flag, Number, Settings, ShortOr},
    variables::{is_reference, read_small},
};

/// When, where nothing is said.
const DAILY_AT_THREE: &str = "0 3 * * *";
/// How many are kept, where nothing is said.
pub(super) const KEPT: u32 = 5;

pub(super) struct Reader<'a> {
    pub(super) variables: &'a Variables,
    folder: &'a Path,
    pub(super) config: BackupConfig,
    pub(super) findings: Vec<Finding>,
    files: Vec<PathBuf>,
}

/// A schedule and a zone that are an entry's own.
pub(super) struct OwnTime<'a> {
    pub(super) schedule: Option<&'a ShortOr<ScheduleEntry>>,
    pub(super) time_zone: Option<&'a str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(variables: &'a Variables, folder: &'a Path, config: BackupConfig) -> Self {
        Self { variables, folder, config, findings: Vec::new(), files: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<Finding>, Vec<PathBuf>) {
        // What holds for all is judged with each; it is told once.
        let mut told: Vec<Finding> = Vec::new();
        for finding in self.findings {
            if !told.contains(&finding) {
                told.push(finding);
            }
        }
        (told, self.files)
    }

    pub(super) fn declare(&mut self, sections: Sections) -> (Declared, Places) {
        let (mut declared, mut places) = (Declared::default(), Places::default());
        for draft in self.config_destinations() {
            declared.destinations.push(draft);
            places.destinations.push(Place::Config);
        }
        let common: Vec<_> = declared.destinations.iter().map(|one| one.name.clone()).collect();
        for (at, entry) in sections.destinations.iter().enumerate() {
            declared.destinations.push(self.destination(&Place::Destination(at).base(), entry));
            places.destinations.push(Place::Destination(at));
        }
        for (at, target) in sections.targets.iter().enumerate() {
            declared.apps.extend(self.target(&Place::Target(at).base(), target, &common));
            places.apps.push(Place::Target(at));
        }
        for (at, volume) in sections.volumes.iter().enumerate() {
            declared.apps.push(self.volume(&Place::Volume(at).base(), volume, &common));
            places.apps.push(Place::Volume(at));
        }
        for (at, app) in sections.apps.iter().enumerate() {
            let base = Place::App(at).base();
            declared.apps.push(self.app(&base, app, &common, sections.has_config));
            places.apps.push(Place::App(at));
        }
        for (at, entry) in sections.channels.iter().enumerate() {
            declared.channels.push(self.channel(&Place::Channel(at).base(), entry));
            places.channels.push(Place::Channel(at));
        }
        for (at, entry) in sections.routes.iter().enumerate() {
            declared.routes.push(self.route(at, &Place::Route(at).base(), entry));
            places.routes.push(Place::Route(at));
        }
        (declared, places)
    }

    pub(super) fn wrong(&mut self, at: &str, message: impl ToString) {
        self.findings.push(Finding::error(at, message));
    }

    /// A value with its variables put in.
    pub(super) fn text(&mut self, at: &str, raw: &str) -> String {
        match self.variables.expand(raw) {
            Ok(text) => text,
            Err(name) => {
                let name = name.escape_debug();
                let message = format!(
                    "the variable `{name}` is not set: set it in stack.env or in the environment, \
                     or write `${{{name}:-default}}`"
                );
                self.wrong(at, message);
                String::new()
            }
        }
    }

    pub(super) fn secret(&mut self, at: &str, raw: &str) -> SecretString {
        if !raw.is_empty() && !is_reference(raw) {
            let message = "a secret stands here for everybody who may read the file: put it into \
                           stack.env and write `${NAME}`";
            self.findings.push(Finding::warning(at, message));
        }
        self.text(at, raw).into()
    }

    /// A secret in a file of its own.
    pub(super) fn secret_file(&mut self, at: &str, raw: &str) -> SecretString {
        let path = self.folder.join(self.text(at, raw));
        let read = read_small(&path);
        self.files.push(path.clone());
        match read {
            Ok(Some(text)) => text.trim_end_matches(['\r', '\n']).to_owned().into(),
            Ok(None) => {
                self.wrong(at, format!("there is no file {}", path.display()));
                "".into()
            }
            Err(error) => {
                self.wrong(at, format!("{}: {error}", path.display()));
                "".into()
            }
        }
    }

    /// Secrets by name; `NAME_file` is read from there.
    pub(super) fn secrets(&mut self, at: &str, given: &Settings) -> BTreeMap<String, SecretString> {
        let mut secrets = BTreeMap::new();
        for (key, values) in &given.0 {
            let (at, raw) = (format!("{at}.{key}"), values.join("\n"));
            match key.strip_suffix("_file") {
                Some(name) => secrets.insert(name.to_owned(), self.secret_file(&at, &raw)),
                None => secrets.insert(key.clone(), self.secret(&at, &raw)),
            };
        }
        secrets
    }

    pub(super) fn flag(&mut self, at: &str, flag: Option<&Flag>, default: bool) -> bool {
        let Some(Flag(raw)) = flag else { return default };
        let text = self.text(at, raw);
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" => false,
            _ => {
                self.wrong(at, "`true` or `false` was expected here");
                default
            }
        }
    }

    pub(super) fn number<T: FromStr>(&mut self, at: &str, number: Option<&Number>) -> Option<T> {
        let before = self.findings.len();
        let text = self.text(at, &number?.0);
        let parsed = text.trim().parse();
        if parsed.is_err() && self.findings.len() == before {
            self.wrong(at, "a whole number was expected here");
        }
        parsed.ok()
    }

    /// An entry's schedule, or what holds for all; `None` runs by hand only.
    pub(super) fn schedule(
        &mut self,
        base: &str,
        own: &OwnTime<'_>,
        has_default: bool,
    ) -> Option<ScheduleDraft> {
        let common = self.config.schedule.clone();
        let (at, entry) = match (own.schedule, common) {
            (Some(own), _) => (format!("{base}.schedule"), own.clone()),
            (None, Some(common)) => ("backup_config.schedule".to_owned(), common),
            (None, None) if has_default => {
                (base.to_owned(), ShortOr::Short(DAILY_AT_THREE.to_owned()))
            }
            (None, None) => return None,
        };
        let mut draft = ScheduleDraft::default();
        let mut zone = None;
        match &entry {
            ShortOr::Short(spec) => draft.spec = self.text(&at, spec),
            ShortOr::Long(more) => {
                draft.spec = self.text(&format!("{at}.spec"), &more.spec);
                zone = more.time_zone.clone().map(|raw| (format!("{at}.time_zone"), raw));
                let jitter = self.number(&format!("{at}.jitter_secs"), more.jitter_secs.as_ref());
                draft.jitter_secs = jitter.unwrap_or_default();
                draft.catch_up = self.flag(&format!("{at}.catch_up"), more.catch_up.as_ref(), true);
            }
        }
        let own_zone = own.time_zone.map(|raw| (format!("{base}.time_zone"), raw.to_owned()));
        let common = self.config.time_zone.clone();
        let zone =
            zone.or(own_zone).or_else(|| Some(("backup_config.time_zone".to_owned(), common?)));
        let zone_at = zone.as_ref().map_or_else(|| at.clone(), |(at, _)| at.clone());
        draft.time_zone = match zone {
            Some((at, raw)) => self.text(&at, &raw),
            None => {
                let zone = self.variables.something("TZ").unwrap_or("UTC");
                zone.trim_start_matches(':').to_owned()
            }
        };
        if draft.spec.trim() == "manual" {
            return None;
        }
        if draft.spec.trim().is_empty() {
            self.wrong(&at, "give five cron fields, `daily`, `@every 4h` or `manual`");
        } else if let Err(error) = draft.parse() {
            let at = if error.field.ends_with("time_zone") { zone_at } else { at };
            self.wrong(&at, error.message());
        }
        Some(draft)
    }

    pub(super) fn retention(&mut self, at: &str, entry: &RetentionEntry) -> RetentionPolicy {
        let mut count = |key: &str, number: &Option<Number>| {
            self.number(&format!("{at}.{key}"), number.as_ref())
        };
        let mut policy = RetentionPolicy {
            keep_last: count("keep_last", &entry.keep_last),
            keep_hourly: count("keep_hourly", &entry.keep_hourly),
            keep_daily: count("keep_daily", &entry.keep_daily),
            keep_weekly: count("keep_weekly", &entry.keep_weekly),
            keep_monthly: count("keep_monthly", &entry.keep_monthly),
            keep_yearly: count("keep_yearly", &entry.keep_yearly),
            keep_pre_deploy: count("keep_pre_deploy", &entry.keep_pre_deploy),
            keep_within: None,
        };
        if let Some(raw) = &entry.keep_within {
            let at = format!("{at}.keep_within");
            match KeepWithin::try_from(self.text(&at, raw)) {
                Ok(within) => policy.keep_within = Some(within),
                Err(error) => self.wrong(&at, error),
            }
        }
        self.checked(at, policy)
    }

    /// So many of the newest.
    pub(super) fn keep_last(&mut self, at: &str, number: Option<&Number>) -> RetentionPolicy {
        let keep_last = match number {
            None => Some(KEPT),
            Some(number) => self.number(at, Some(number)),
        };
        self.checked(at, RetentionPolicy { keep_last, ..RetentionPolicy::default() })
    }

    fn checked(&mut self, at: &str, policy: RetentionPolicy) -> RetentionPolicy {
        if let Err(error) = policy.check() {
            self.wrong(at, error);
        }
        policy
    }

    pub(super) fn limits(&mut self, base: &str, entry: Option<&LimitsEntry>) -> Limits {
        let Some(entry) = entry else { return Limits::default() };
        let at = |key: &str| format!("{base}.limits.{key}");
        Limits {
            timeout_secs: self.number(&at("timeout_secs"), entry.timeout_secs.as_ref()),
            max_size_bytes: self.number(&at("max_size_bytes"), entry.max_size_bytes.as_ref()),
            retries: self.number(&at("retries"), entry.retries.as_ref()),
            objective_secs: self.number(&at("objective_secs"), entry.objective_secs.as_ref()),
            restore_objective_secs: self
                .number(&at("restore_objective_secs"), entry.restore_objective_secs.as_ref()),
        }
    }
}
