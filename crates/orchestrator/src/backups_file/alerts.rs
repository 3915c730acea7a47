//! `alert_channels` and `alert_routes`: who is told when something is wrong.

use engine::{ChannelDraft, RouteDraft};
use serde_json::Value;

use super::{
    export::{flag, number, settings, text, words},
    keys::{AlertChannelEntry, AlertRouteEntry},
    reader::Reader,
    values::Text,
};

impl Reader<'_> {
    pub(super) fn channel(&mut self, base: &str, entry: &AlertChannelEntry) -> ChannelDraft {
        let settings = entry.settings.0.iter().map(|(key, values)| {
            let at = format!("{base}.settings.{key}");
            (key.clone(), self.text(&at, &values.join("\n")))
        });
        let settings = settings.collect();
        let language = entry.language.as_ref();
        ChannelDraft {
            settings,
            name: self.text(&format!("{base}.name"), &entry.name),
            kind: self.text(&format!("{base}.kind"), &entry.kind),
            enabled: self.flag(&format!("{base}.enabled"), entry.enabled.as_ref(), true),
            language: language
                .map(|raw| self.text(&format!("{base}.language"), raw))
                .unwrap_or_default(),
            secrets: self.secrets(&format!("{base}.secrets"), &entry.secrets),
            forget_secrets: Vec::new(),
        }
    }

    /// Routes are looked at in the file's order, unless they say another.
    pub(super) fn route(
        &mut self,
        place: usize,
        base: &str,
        entry: &AlertRouteEntry,
    ) -> RouteDraft {
        let default = RouteDraft::default();
        let at = |key: &str| format!("{base}.{key}");
        let in_order = u32::try_from(place).unwrap_or(u32::MAX);
        let position = self.number(&at("position"), entry.position.as_ref());
        let time_zone = match (&entry.time_zone, self.config.time_zone.clone()) {
            (Some(own), _) => self.text(&at("time_zone"), own),
            (None, Some(common)) => self.text("backup_config.time_zone", &common),
            (None, None) => {
                let zone = self.variables.something("TZ").unwrap_or("UTC");
                zone.trim_start_matches(':').to_owned()
            }
        };
        RouteDraft {
            name: self.text(&at("name"), &entry.name),
            position: position.unwrap_or(in_order),
            enabled: self.flag(&at("enabled"), entry.enabled.as_ref(), default.enabled),
            apps: self.several(&at("apps"), entry.apps.as_deref()),
            kinds: self.several(&at("kinds"), entry.kinds.as_deref()),
            least: self.or(&at("least"), entry.least.as_deref(), default.least),
            channels: self.several(&at("channels"), Some(&entry.channels)),
            recoveries: self.flag(&at("recoveries"), entry.recoveries.as_ref(), default.recoveries),
            remind_every_hours: self
                .number(&at("remind_every_hours"), entry.remind_every_hours.as_ref()),
            quiet_from: self.clock(&at("quiet_from"), entry.quiet_from.as_ref()),
            quiet_to: self.clock(&at("quiet_to"), entry.quiet_to.as_ref()),
            urgent_breaks_quiet: self.flag(
                &at("urgent_breaks_quiet"),
                entry.urgent_breaks_quiet.as_ref(),
                default.urgent_breaks_quiet,
            ),
            digest: self.or(&at("digest"), entry.digest.as_deref(), default.digest),
            digest_hour: self
                .number(&at("digest_hour"), entry.digest_hour.as_ref())
                .unwrap_or(default.digest_hour),
            time_zone,
        }
    }

    fn several(&mut self, base: &str, given: Option<&[String]>) -> Vec<String> {
        let given = given.unwrap_or_default().iter().enumerate();
        given.map(|(at, raw)| self.text(&format!("{base}[{at}]"), raw)).collect()
    }

    fn or(&mut self, at: &str, given: Option<&str>, default: String) -> String {
        given.map_or(default, |raw| self.text(at, raw))
    }

    fn clock(&mut self, at: &str, given: Option<&Text>) -> String {
        given.map(|Text(raw)| self.text(at, raw)).unwrap_or_default()
    }
}

/// A channel as the API shows it; its secrets as `secrets` has them.
pub(super) fn channel(one: &Value, secrets: super::values::Settings) -> AlertChannelEntry {
    AlertChannelEntry {
        name: text(&one["name"]),
        kind: text(&one["kind"]),
        enabled: flag(&one["enabled"], true),
        language: words(&one["language"]),
        settings: settings(&one["settings"]),
        secrets,
    }
}

/// A route as the API shows it. Apps that are not there any more are left out; `None` where that
/// leaves none, since a route without apps is for all of them.
pub(super) fn route(one: &Value, is_app: impl Fn(&str) -> bool) -> Option<AlertRouteEntry> {
    let list = |key: &str| -> Vec<String> {
        one[key].as_array().into_iter().flatten().map(text).collect()
    };
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let (all, mut apps) = (list("apps"), list("apps"));
    apps.retain(|name| is_app(name));
    if apps.is_empty() && !all.is_empty() {
        return None;
    }
    let unlike = |key: &str, default: &str| words(&one[key]).filter(|word| word != default);
    Some(AlertRouteEntry {
        name: text(&one["name"]),
        channels: list("channels"),
        apps: some(apps),
        kinds: some(list("kinds")),
        least: unlike("least", "warning"),
        recoveries: flag(&one["recoveries"], true),
        remind_every_hours: number(&one["remind_every_hours"]),
        quiet_from: words(&one["quiet_from"]).map(Text),
        quiet_to: words(&one["quiet_to"]).map(Text),
        urgent_breaks_quiet: flag(&one["urgent_breaks_quiet"], true),
        digest: unlike("digest", "none"),
        digest_hour: number(&one["digest_hour"]).filter(|hour| hour.0 != "8"),
        time_zone: words(&one["time_zone"]),
        position: number(&one["position"]),
        enabled: flag(&one["enabled"], true),
    })
}
