//! `backup_targets`, `volume_backups` and `backup_config`: one app for each, laid out by the
//! moment of the run.

use std::collections::BTreeMap;

use engine::{
    AppDraft, BindingDraft, DestinationDraft, SettingValue, SourceDraft, secrets_of, settings_of,
};
use handwritten::nearest;
use model::DirectKind;
use secrecy::SecretString;

use super::{
    keys::{BindingEntry, Target, VolumeBackup},
    reader::{OwnTime, Reader},
    values::{Number, Settings, ShortOr},
};

/// Names of objects of databases, extension aside.
const TEMPLATE: &str = "{YYYYMMDD_HHMMSS}/{app}_{YYYYMMDD_HHMMSS}";
/// Names of objects of volumes.
const VOLUME_TEMPLATE: &str = "{YYYYMMDD_HHMMSS}/{app}_volume_{YYYYMMDD_HHMMSS}";
/// Level of gzip, where nothing is said.
const LEVEL: u32 = 6;

/// What a kind of target is called.
const KINDS: &[(&str, DirectKind)] = &[
    ("database", DirectKind::Postgres),
    ("postgres", DirectKind::Postgres),
    ("postgresql", DirectKind::Postgres),
    ("mysql", DirectKind::Mysql),
    ("mariadb", DirectKind::Mysql),
    ("redis", DirectKind::Redis),
    ("valkey", DirectKind::Redis),
    ("sqlite", DirectKind::Sqlite),
];

/// Other words for a setting, where a kind does not know the first and does know the second.
const SYNONYMS: &[(&str, &str)] = &[
    ("user", "username"),
    ("username", "user"),
    ("databases", "database"),
    ("database", "databases"),
    ("dbname", "database"),
    ("database", "path"),
    ("file", "path"),
    ("hostname", "host"),
    ("volume_name", "volume"),
];

/// The key by which `kind` knows the setting `key`.
fn known_as(kind: DirectKind, key: &str) -> Option<&'static str> {
    let known = |word: &str| settings_of(kind).iter().map(|one| one.key).find(|own| *own == word);
    let others = SYNONYMS.iter().filter(|(word, _)| *word == key);
    known(key).or_else(|| others.clone().find_map(|(_, other)| known(other)))
}

/// What an entry says of its own, where there is something common.
struct Own<'a> {
    retention: Option<&'a super::keys::RetentionEntry>,
    retention_count: Option<&'a Number>,
    destinations: Option<&'a [ShortOr<BindingEntry>]>,
    compression: Option<&'a str>,
    template: &'static str,
}

impl Reader<'_> {
    /// The destinations that `backup_config` names.
    pub(super) fn config_destinations(&mut self) -> Vec<DestinationDraft> {
        let mut all = Vec::new();
        if let Some(raw) = self.config.backup_dir.clone() {
            let path = self.text("backup_config.backup_dir", &raw);
            if !path.is_empty() {
                if !path.starts_with('/') {
                    let message = "give the folder's absolute path, for example /backups";
                    self.wrong("backup_config.backup_dir", message);
                }
                all.push(DestinationDraft {
                    name: "backup_dir".to_owned(),
                    kind: "local".to_owned(),
                    settings: BTreeMap::from([("path".to_owned(), path)]),
                    ..DestinationDraft::default()
                });
            }
        }
        all.extend(self.bucket());
        all
    }

    fn bucket(&mut self) -> Option<DestinationDraft> {
        let raw = self.config.s3_bucket.clone()?;
        let bucket = self.text("backup_config.s3_bucket", &raw);
        if bucket.is_empty() {
            return None;
        }
        let mut settings = BTreeMap::from([("bucket".to_owned(), bucket)]);
        for (key, raw, names) in [
            ("region", self.config.s3_region.clone(), &["AWS_REGION", "AWS_DEFAULT_REGION"][..]),
            ("prefix", self.config.s3_prefix.clone(), &[]),
            (
                "endpoint",
                self.config.s3_endpoint.clone(),
                &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
            ),
        ] {
            let value = match raw {
                Some(raw) => self.text(&format!("backup_config.s3_{key}"), &raw),
                None => {
                    let set = names.iter().find_map(|name| self.variables.something(name));
                    set.unwrap_or_default().to_owned()
                }
            };
            settings.insert(key.to_owned(), value);
        }
        let mut secrets = BTreeMap::new();
        for (key, name) in [
            ("access_key_id", "AWS_ACCESS_KEY_ID"),
            ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
            ("session_token", "AWS_SESSION_TOKEN"),
        ] {
            match self.variables.something(name) {
                Some(value) => _ = secrets.insert(key.to_owned(), value.to_owned().into()),
                None if key == "session_token" => {}
                None => {
                    let message =
                        format!("the variable `{name}` is not set: put it into stack.env");
                    self.wrong("backup_config.s3_bucket", message);
                }
            }
        }
        Some(DestinationDraft {
            name: "s3_bucket".to_owned(),
            kind: "s3".to_owned(),
            settings,
            secrets,
            ..DestinationDraft::default()
        })
    }

    /// The app of a database.
    pub(super) fn target(
        &mut self,
        base: &str,
        target: &Target,
        common: &[String],
    ) -> Option<AppDraft> {
        let at = format!("{base}.type");
        let word = target.kind.as_deref().map_or("database".to_owned(), |raw| self.text(&at, raw));
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == word) else {
            let known: Vec<_> = KINDS.iter().map(|(known, _)| *known).collect();
            let word = word.escape_debug().to_string();
            let message = format!("`{word}` is no type of target{}", nearest(&word, &known));
            self.wrong(&at, message);
            return None;
        };
        let mut source = self.source(&format!("{base}.config"), *kind, &target.config);
        if let Some(raw) = &target.container {
            let at = format!("{base}.container");
            self.one_setting(&at, *kind, "container", raw, &mut source);
        }
        // A dump that `psql` takes; other formats are there for who asks.
        if *kind == DirectKind::Postgres
            && !source.settings.contains_key("format")
            && let Some(key) = known_as(*kind, "format")
        {
            source.settings.insert(key.to_owned(), "plain".to_owned());
        }
        let own = Own {
            retention: target.retention.as_ref(),
            retention_count: target.retention_count.as_ref(),
            destinations: target.destinations.as_deref(),
            compression: target.compression.as_deref(),
            template: TEMPLATE,
        };
        let time =
            OwnTime { schedule: target.schedule.as_ref(), time_zone: target.time_zone.as_deref() };
        let mut draft = self.laid_out(base, &own, common);
        draft.name = self.text(&format!("{base}.name"), &target.name);
        draft.enabled = self.flag(&format!("{base}.enabled"), target.enabled.as_ref(), true);
        draft.schedule = self.schedule(base, &time, true);
        draft.limits = self.limits(base, target.limits.as_ref());
        draft.drill = self.drill(base, &draft.name, target.drill.as_ref());
        draft.recovery = Some(self.recovery(base, target.recovery.as_ref()));
        draft.sources = vec![source];
        Some(draft)
    }

    /// The app of a volume.
    pub(super) fn volume(
        &mut self,
        base: &str,
        volume: &VolumeBackup,
        common: &[String],
    ) -> AppDraft {
        let kind = DirectKind::Volume;
        let mut source = self.source(&format!("{base}.config"), kind, &volume.config);
        let at = format!("{base}.volume_name");
        self.one_setting(&at, kind, "volume", &volume.volume_name, &mut source);
        if let Some(raw) = &volume.containers {
            self.one_setting(&format!("{base}.containers"), kind, "containers", raw, &mut source);
        }
        if let Some(raw) = &volume.description {
            let at = format!("{base}.description");
            self.one_setting(&at, kind, "description", raw, &mut source);
        }
        let own = Own {
            retention: volume.retention.as_ref(),
            retention_count: volume.retention_count.as_ref(),
            destinations: volume.destinations.as_deref(),
            compression: volume.compression.as_deref(),
            template: VOLUME_TEMPLATE,
        };
        let time =
            OwnTime { schedule: volume.schedule.as_ref(), time_zone: volume.time_zone.as_deref() };
        let mut draft = self.laid_out(base, &own, common);
        draft.name = self.text(&format!("{base}.name"), &volume.name);
        draft.enabled = self.flag(&format!("{base}.enabled"), volume.enabled.as_ref(), true);
        draft.schedule = self.schedule(base, &time, true);
        draft.limits = self.limits(base, volume.limits.as_ref());
        draft.drill = self.drill(base, &draft.name, volume.drill.as_ref());
        draft.recovery = Some(self.recovery(base, None));
        draft.sources = vec![source];
        draft
    }

    /// Retention, compression and destinations, the entry's own before the common ones.
    fn laid_out(&mut self, base: &str, own: &Own<'_>, common: &[String]) -> AppDraft {
        let retention = match (own.retention, own.retention_count) {
            (Some(_), Some(_)) => {
                let message = "give either this or `retention`";
                self.wrong(&format!("{base}.retention_count"), message);
                model::retention::RetentionPolicy::default()
            }
            (Some(entry), None) => self.retention(&format!("{base}.retention"), entry),
            (None, Some(count)) => self.keep_last(&format!("{base}.retention_count"), Some(count)),
            (None, None) => self.common_retention(),
        };
        let compression = match own.compression {
            Some(raw) => self.text(&format!("{base}.compression"), raw),
            None => format!("gzip:{}", self.level()),
        };
        let destinations = match own.destinations {
            Some(list) => self.bindings(base, list, Some(own.template)),
            None => self.common_bindings(base, common, own.template),
        };
        AppDraft { retention, compression: Some(compression), destinations, ..AppDraft::default() }
    }

    pub(super) fn common_retention(&mut self) -> model::retention::RetentionPolicy {
        let count = self.config.retention_count.clone();
        self.keep_last("backup_config.retention_count", count.as_ref())
    }

    fn level(&mut self) -> u32 {
        let at = "backup_config.compression_level";
        let Some(number) = self.config.compression_level.clone() else { return LEVEL };
        match self.number(at, Some(&number)) {
            Some(level @ 1..=9) => level,
            Some(_) => {
                if !self.findings.iter().any(|finding| finding.key == at) {
                    self.wrong(at, "a level of gzip is 1 to 9");
                }
                LEVEL
            }
            None => LEVEL,
        }
    }

    fn has_logs(&mut self) -> bool {
        let logs = self.config.logs.clone();
        self.flag("backup_config.logs", logs.as_ref(), true)
    }

    pub(super) fn common_bindings(
        &mut self,
        base: &str,
        common: &[String],
        template: &str,
    ) -> Vec<BindingDraft> {
        if common.is_empty() {
            let message = "there is nowhere to put it: set `backup_dir` or `s3_bucket` in \
                           `backup_config`, or `destinations` here";
            self.wrong(base, message);
        }
        let logs = self.has_logs();
        let binding = |name: &String| BindingDraft {
            destination: name.clone(),
            template: Some(template.to_owned()),
            logs,
            ..BindingDraft::default()
        };
        common.iter().map(binding).collect()
    }

    /// What the entry names itself; with a `template` it is laid out as the common ones are.
    pub(super) fn bindings(
        &mut self,
        base: &str,
        list: &[ShortOr<BindingEntry>],
        template: Option<&str>,
    ) -> Vec<BindingDraft> {
        let logs = template.is_some() && self.has_logs();
        let mut all = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let at = format!("{base}.destinations[{index}]");
            let mut draft = BindingDraft {
                template: template.map(str::to_owned),
                logs,
                ..BindingDraft::default()
            };
            match entry {
                ShortOr::Short(raw) => draft.destination = self.text(&at, raw),
                ShortOr::Long(more) => {
                    draft.destination = self.text(&format!("{at}.destination"), &more.destination);
                    if let Some(raw) = &more.folder {
                        draft.folder = self.text(&format!("{at}.folder"), raw);
                    }
                    if let Some(policy) = &more.retention {
                        draft.retention = Some(self.retention(&format!("{at}.retention"), policy));
                    }
                    if more.template.is_some() {
                        draft.template.clone_from(&more.template);
                    }
                    draft.logs = self.flag(&format!("{at}.logs"), more.logs.as_ref(), logs);
                }
            }
            all.push(draft);
        }
        all
    }

    /// A direct source by what is said of it in one place, settings and secrets alike.
    pub(super) fn source(&mut self, at: &str, kind: DirectKind, given: &Settings) -> SourceDraft {
        let mut source = SourceDraft { kind: kind.to_string(), ..SourceDraft::default() };
        for (key, values) in &given.0 {
            let own = format!("{at}.{key}");
            if let Some(known) = known_as(kind, key) {
                let all: Vec<_> = values.iter().map(|raw| self.text(&own, raw)).collect();
                let is_list = settings_of(kind)
                    .iter()
                    .any(|one| one.key == known && one.value == SettingValue::List);
                let joined = all.join(if is_list { "\n" } else { "," });
                source.settings.insert(known.to_owned(), joined);
                continue;
            }
            let raw = values.join("\n");
            let known = secrets_of(kind);
            let in_file = key.strip_suffix("_file").filter(|name| known.contains(name));
            if known.contains(&key.as_str()) {
                let secret: SecretString = self.secret(&own, &raw);
                source.secrets.insert(key.clone(), secret);
            } else if let Some(name) = in_file {
                let secret = self.secret_file(&own, &raw);
                source.secrets.insert(name.to_owned(), secret);
            } else {
                let words: Vec<_> = settings_of(kind)
                    .iter()
                    .map(|one| one.key)
                    .chain(known.iter().copied())
                    .collect();
                let key = key.escape_debug().to_string();
                let message = format!("`{kind}` has no setting `{key}`{}", nearest(&key, &words));
                self.wrong(&own, message);
            }
        }
        source
    }

    fn one_setting(
        &mut self,
        at: &str,
        kind: DirectKind,
        key: &str,
        raw: &str,
        source: &mut SourceDraft,
    ) {
        match known_as(kind, key) {
            Some(key) => _ = source.settings.insert(key.to_owned(), self.text(at, raw)),
            None => self.wrong(at, format!("`{kind}` has no setting `{key}`")),
        }
    }
}
