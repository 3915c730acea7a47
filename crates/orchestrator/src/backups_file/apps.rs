//! `apps` and `destinations`: everything the pages can set up, as a file.

use engine::{AppDraft, DestinationDraft, SourceDraft};
use model::{DirectKind, retention::RetentionPolicy};

use super::{
    keys::{AppEntry, DestinationEntry, SourceEntry},
    reader::{OwnTime, Reader},
};

/// How an app's objects are named at `backup_dir` and `s3_bucket`.
const TEMPLATE: &str = "{YYYYMMDD_HHMMSS}/{app}_{YYYYMMDD_HHMMSS}";

impl Reader<'_> {
    pub(super) fn destination(&mut self, base: &str, entry: &DestinationEntry) -> DestinationDraft {
        let settings = entry.settings.0.iter().map(|(key, values)| {
            let at = format!("{base}.settings.{key}");
            (key.clone(), self.text(&at, &values.join("\n")))
        });
        let settings = settings.collect();
        DestinationDraft {
            settings,
            name: self.text(&format!("{base}.name"), &entry.name),
            kind: self.text(&format!("{base}.kind"), &entry.kind),
            secrets: self.secrets(&format!("{base}.secrets"), &entry.secrets),
            append_only: self.flag(
                &format!("{base}.append_only"),
                entry.append_only.as_ref(),
                false,
            ),
            verify_every_days: self
                .number(&format!("{base}.verify_every_days"), entry.verify_every_days.as_ref()),
            ..DestinationDraft::default()
        }
    }

    pub(super) fn app(
        &mut self,
        base: &str,
        entry: &AppEntry,
        common: &[String],
        has_config: bool,
    ) -> AppDraft {
        let retention = match &entry.retention {
            Some(policy) => self.retention(&format!("{base}.retention"), policy),
            None if has_config => self.common_retention(),
            None => RetentionPolicy::default(),
        };
        let destinations = match &entry.destinations {
            Some(list) => self.bindings(base, list, None),
            None => self.common_bindings(base, common, TEMPLATE),
        };
        let time =
            OwnTime { schedule: entry.schedule.as_ref(), time_zone: entry.time_zone.as_deref() };
        if entry.sources.is_empty() {
            self.wrong(&format!("{base}.sources"), "an app has at least one source");
        }
        let sources = entry.sources.iter().enumerate();
        let sources =
            sources.map(|(at, one)| self.any_source(&format!("{base}.sources[{at}]"), one));
        let sources = sources.collect();
        let name = self.text(&format!("{base}.name"), &entry.name);
        AppDraft {
            sources,
            retention,
            destinations,
            drill: self.drill(base, &name, entry.drill.as_ref()),
            // What was there before is not kept: the file is the whole truth.
            quiesce: Some(self.quiesce(base, entry.quiesce.as_ref())),
            code: Some(self.code(base, entry.code.as_ref())),
            recovery: Some(self.recovery(base, entry.recovery.as_ref())),
            name,
            enabled: self.flag(&format!("{base}.enabled"), entry.enabled.as_ref(), true),
            schedule: self.schedule(base, &time, has_config),
            compression: entry
                .compression
                .as_deref()
                .map(|raw| self.text(&format!("{base}.compression"), raw)),
            limits: self.limits(base, entry.limits.as_ref()),
            ..AppDraft::default()
        }
    }

    fn any_source(&mut self, base: &str, entry: &SourceEntry) -> SourceDraft {
        let kind = self.text(&format!("{base}.kind"), &entry.kind);
        let name = entry.name.as_deref().map(|raw| self.text(&format!("{base}.name"), raw));
        let at = format!("{base}.settings");
        let mut source = match kind.parse::<DirectKind>() {
            Ok(kind) => self.source(&at, kind, &entry.settings),
            Err(_) => {
                let settings = entry.settings.0.iter().map(|(key, values)| {
                    (key.clone(), self.text(&format!("{at}.{key}"), &values.join("\n")))
                });
                SourceDraft { settings: settings.collect(), kind, ..SourceDraft::default() }
            }
        };
        source.name = name.unwrap_or_default();
        source.secrets.extend(self.secrets(&format!("{base}.secrets"), &entry.secrets));
        source
    }
}
