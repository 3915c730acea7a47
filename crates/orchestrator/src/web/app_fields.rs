//! The fields of an app's form: from an app, from what was sent, and into a draft.

use std::collections::BTreeMap;

use engine::{AppDraft, BindingDraft, FieldError, RecoveryDraft, ScheduleDraft};
use jiff::tz::TimeZone;
use model::{
    App, Destination, Fact, Limits, RecoveryPlan, WalWay, retention::RetentionPolicy,
    schedule::Schedule,
};

use super::{
    app_sources,
    form::{Errors, Fields},
};

/// The fields as text, as the form shows them.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(BTreeMap<String, Vec<String>>);

/// A destination that can be ticked.
pub(super) struct DestinationRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) chosen: bool,
    pub(super) folder: String,
    pub(super) template: String,
    pub(super) drive: bool,
    pub(super) errors: Vec<String>,
}

impl DestinationRow {
    pub(super) fn all(all: &[Destination], values: &Values, errors: &Errors) -> Vec<Self> {
        let chosen = values.0.get("destination").cloned().unwrap_or_default();
        all.iter()
            .map(|one| {
                let id = one.id.to_string();
                let at = chosen.iter().position(|chosen| *chosen == id);
                let about = |at| errors.of(&format!("destinations[{at}]"));
                Self {
                    name: one.name.to_string(),
                    kind: one.kind.to_string(),
                    chosen: at.is_some(),
                    folder: values.get(&format!("folder-{id}")).to_owned(),
                    template: values.get(&format!("template-{id}")).to_owned(),
                    drive: one.settings.get("folder_is_drive_id").is_some_and(|v| v == "true"),
                    errors: at
                        .map(about)
                        .unwrap_or_default()
                        .into_iter()
                        .map(str::to_owned)
                        .collect(),
                    id,
                }
            })
            .collect()
    }
}

impl Values {
    /// The first value of a field.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).and_then(|all| all.first()).map_or("", String::as_str)
    }

    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == value
    }

    pub(super) fn ticked(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn set(&mut self, name: impl Into<String>, value: impl ToString) {
        self.0.insert(name.into(), vec![value.to_string()]);
    }

    pub(super) fn fields(&self) -> Fields {
        let pairs = self.0.iter();
        Fields::new(
            pairs
                .flat_map(|(name, all)| all.iter().map(move |one| (name.clone(), one.clone())))
                .collect(),
        )
    }

    /// What was sent, without the secrets: of them stays that they were typed.
    pub(super) fn sent(fields: &Fields) -> Self {
        let mut values = Self::default();
        for (name, value) in fields.pairs().filter(|(name, _)| !matches!(*name, "typed" | "csrf")) {
            let is_secret = name.contains("-secret-");
            match (is_secret, value) {
                (true, "") => {}
                (true, _) => values.add("typed", name),
                (false, value) => values.add(name, value),
            }
        }
        values
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.entry(name.to_owned()).or_default().push(value.to_owned());
    }

    pub(super) fn extend(&mut self, fields: Vec<(String, String)>) {
        for (name, value) in fields {
            self.add(&name, &value);
        }
    }

    /// What a new app begins with: daily at three, a month and a half of it kept.
    pub(super) fn blank(zone: &TimeZone, destinations: &[Destination]) -> Self {
        let mut values = Self::default();
        for (name, value) in [
            ("when", "daily"),
            ("time", "03:00"),
            ("weekday", "0"),
            ("every", "4h"),
            ("keep_daily", "7"),
            ("keep_weekly", "4"),
            ("keep_monthly", "6"),
            ("catch_up", "on"),
            ("wal-way", "stream"),
            ("wal-window", "7"),
            ("wal-base", "24"),
        ] {
            values.set(name, value);
        }
        values.set("zone", zone.iana_name().unwrap_or("UTC"));
        if let [only] = destinations {
            values.set("destination", only.id);
        }
        values
    }

    /// Every four hours, with half a year of it kept: for where little changes between two.
    pub(super) fn make_frequent(&mut self) {
        for (name, value) in [
            ("when", "every"),
            ("every", "4h"),
            ("keep_last", ""),
            ("keep_hourly", ""),
            ("keep_daily", "7"),
            ("keep_weekly", "4"),
            ("keep_monthly", "6"),
            ("keep_yearly", ""),
            ("keep_pre_deploy", ""),
            ("keep_within", ""),
        ] {
            self.set(name, value);
        }
    }

    /// A registered app's fields.
    pub(super) fn of(app: &App, destinations: &[Destination], zone: &TimeZone) -> Self {
        let mut values = Self::blank(zone, destinations);
        values.0.remove("destination");
        values.set("name", &app.name);
        values.set("compression", app.compression.as_deref().unwrap_or_default());
        values.extend(app_sources::stored(app));
        for binding in &app.destinations {
            let id = binding.destination_id.to_string();
            values.0.entry("destination".to_owned()).or_default().push(id.clone());
            values.set(format!("folder-{id}"), &binding.folder);
            let template = binding.template.as_ref().map(ToString::to_string).unwrap_or_default();
            values.set(format!("template-{id}"), template);
        }
        values.of_schedule(app.schedule.as_ref());
        let keep = &app.retention;
        for (name, count) in [
            ("keep_last", keep.keep_last),
            ("keep_hourly", keep.keep_hourly),
            ("keep_daily", keep.keep_daily),
            ("keep_weekly", keep.keep_weekly),
            ("keep_monthly", keep.keep_monthly),
            ("keep_yearly", keep.keep_yearly),
            ("keep_pre_deploy", keep.keep_pre_deploy),
        ] {
            values.set(name, count.map(|count| count.to_string()).unwrap_or_default());
        }
        values.set("keep_within", keep.keep_within.map(|w| w.to_string()).unwrap_or_default());
        let text = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        let limits = &app.limits;
        values.set("timeout", text(limits.timeout_secs.map(|secs| secs.div_ceil(60))));
        values.set("max_size", text(limits.max_size_bytes.map(|bytes| bytes.div_ceil(1 << 20))));
        values.set("retries", text(limits.retries.map(u64::from)));
        values.set("objective", text(limits.objective_secs.map(|secs| secs.div_ceil(3_600))));
        values.set("rto", text(limits.restore_objective_secs.map(|secs| secs.div_ceil(60))));
        if let Some(plan) = &app.recovery {
            values.of_recovery(plan);
        }
        values
    }

    /// What an archive of WAL is asked to do.
    fn of_recovery(&mut self, plan: &RecoveryPlan) {
        let most = plan.most_kept_bytes.map(|bytes| (bytes >> 20).to_string());
        for (name, value) in [
            ("wal", "on".to_owned()),
            ("wal-way", plan.way.to_string()),
            ("wal-source", plan.source.to_string()),
            ("wal-destination", plan.destination.to_string()),
            ("wal-window", plan.window_days.to_string()),
            ("wal-base", plan.base_every_hours.to_string()),
            ("wal-kept", most.unwrap_or_default()),
        ] {
            self.set(name, value);
        }
        if plan.heartbeat {
            self.set("heartbeat", "on");
        }
    }

    /// What a stored schedule says.
    pub(super) fn of_schedule(&mut self, schedule: Option<&Schedule>) {
        match schedule {
            None => self.set("when", "hand"),
            Some(schedule) => {
                self.set("zone", &schedule.time_zone);
                self.set("jitter", schedule.jitter_secs / 60);
                if !schedule.catch_up {
                    self.0.remove("catch_up");
                }
                self.schedule(&schedule.spec.to_string());
            }
        }
    }

    /// A schedule as the form's own words, where they can say it.
    fn schedule(&mut self, spec: &str) {
        self.set("cron", spec);
        if let Some(every) = spec.strip_prefix("@every ") {
            self.set("when", "every");
            self.set("every", every);
            return;
        }
        let spec = match spec {
            "daily" => "0 3 * * *",
            "weekly" => "0 3 * * 0",
            other => other,
        };
        let parts: Vec<&str> = spec.split_whitespace().collect();
        let at = |minute: &str, hour: &str| {
            let (minute, hour) = (minute.parse::<u8>().ok()?, hour.parse::<u8>().ok()?);
            Some(format!("{hour:02}:{minute:02}"))
        };
        if let [minute, hour, "*", "*", weekday] = parts[..]
            && let Some(time) = at(minute, hour)
        {
            if weekday == "*" {
                self.set("when", "daily");
                self.set("time", time);
                return;
            }
            if weekday.len() == 1 && weekday.parse::<u8>().is_ok_and(|day| day < 7) {
                self.set("when", "weekly");
                self.set("weekday", weekday);
                self.set("time", time);
                return;
            }
        }
        self.set("when", "cron");
    }
}

/// The draft that the fields describe; `errors` gets what cannot even be read.
pub(super) fn draft(fields: &Fields, errors: &mut Vec<FieldError>) -> AppDraft {
    let text = |name: &str| Some(fields.text(name).to_owned()).filter(|text| !text.is_empty());
    let within = text("keep_within").and_then(|text| {
        text.parse().map_err(|error| errors.push(FieldError::new("keep_within", error))).ok()
    });
    let retention = RetentionPolicy {
        keep_last: fields.number("keep_last", errors),
        keep_hourly: fields.number("keep_hourly", errors),
        keep_daily: fields.number("keep_daily", errors),
        keep_weekly: fields.number("keep_weekly", errors),
        keep_monthly: fields.number("keep_monthly", errors),
        keep_yearly: fields.number("keep_yearly", errors),
        keep_pre_deploy: fields.number("keep_pre_deploy", errors),
        keep_within: within,
    };
    let mut times = |name, unit: u64| {
        fields.number::<u64>(name, errors).map(|number| number.saturating_mul(unit))
    };
    let (timeout_secs, max_size_bytes) = (times("timeout", 60), times("max_size", 1 << 20));
    let (objective_secs, restore_objective_secs) = (times("objective", 3_600), times("rto", 60));
    AppDraft {
        name: fields.text("name").to_owned(),
        sources: app_sources::drafts(fields),
        compression: text("compression"),
        destinations: fields
            .all("destination")
            .map(|id| BindingDraft {
                destination: id.to_owned(),
                folder: fields.text(&format!("folder-{id}")).to_owned(),
                template: text(&format!("template-{id}")),
                ..BindingDraft::default()
            })
            .collect(),
        schedule: schedule(fields, errors),
        recovery: Some(recovery(fields, errors)),
        retention,
        limits: Limits {
            timeout_secs,
            max_size_bytes,
            retries: fields.number("retries", errors),
            objective_secs,
            restore_objective_secs,
        },
        ..AppDraft::default()
    }
}

/// The archive of WAL that the fields describe; none where it is not ticked.
fn recovery(fields: &Fields, errors: &mut Vec<FieldError>) -> RecoveryDraft {
    let default = RecoveryDraft::default();
    if !fields.ticked("wal") {
        return RecoveryDraft { enabled: false, ..default };
    }
    let text = |name: &str| Some(fields.text(name).to_owned()).filter(|text| !text.is_empty());
    let mut number = |name, field: &str| -> Option<u64> {
        let mut wrong = Vec::new();
        let number = fields.number(name, &mut wrong);
        let there = |one: FieldError| one.at(format!("recovery.{field}"));
        errors.extend(wrong.into_iter().map(there));
        number
    };
    let narrow = |number: Option<u64>, default| {
        number.map_or(default, |number| u32::try_from(number).unwrap_or(u32::MAX))
    };
    let window = number("wal-window", "window_days");
    let base = number("wal-base", "base_every_hours");
    let most = number("wal-kept", "most_kept_bytes");
    RecoveryDraft {
        enabled: true,
        source: text("wal-source"),
        way: fields.text("wal-way").parse().unwrap_or(WalWay::Stream),
        destination: text("wal-destination"),
        base_every_hours: narrow(base, default.base_every_hours),
        window_days: narrow(window, default.window_days),
        heartbeat: fields.ticked("heartbeat"),
        most_kept_bytes: most.map(|mebibytes| mebibytes.saturating_mul(1 << 20)),
    }
}

/// The schedule that the fields describe.
pub(super) fn schedule(fields: &Fields, errors: &mut Vec<FieldError>) -> Option<ScheduleDraft> {
    let at = || {
        let (hour, minute) = fields.text("time").split_once(':')?;
        let (hour, minute): (u8, u8) = (hour.parse().ok()?, minute.get(..2)?.parse().ok()?);
        (hour < 24 && minute < 60).then(|| format!("{minute} {hour}"))
    };
    let when = fields.text("when");
    let spec = match when {
        "hand" | "" => return None,
        "every" => format!("@every {}", fields.text("every")),
        "cron" => fields.text("cron").to_owned(),
        _ => match at() {
            None => {
                errors.push(FieldError::new("schedule.spec", Fact::TimeOfSchedule {}));
                return None;
            }
            Some(at) if when == "weekly" => format!("{at} * * {}", fields.text("weekday")),
            Some(at) => format!("{at} * * *"),
        },
    };
    let jitter: Option<u32> = fields.number("jitter", errors);
    Some(ScheduleDraft {
        spec,
        time_zone: fields.text("zone").to_owned(),
        jitter_secs: jitter.unwrap_or(0).saturating_mul(60),
        catch_up: fields.ticked("catch_up"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schedule that an app with `spec` gets back from its own form.
    fn round(spec: &str) -> String {
        let mut values = Values::blank(&TimeZone::UTC, &[]);
        values.schedule(spec);
        schedule(&values.fields(), &mut Vec::new()).unwrap().spec
    }

    #[test]
    fn a_form_gives_back_the_schedule_it_was_given() {
        for spec in ["30 4 * * *", "0 3 * * 6", "@every 4h", "*/5 1-3 * * 1,2", "0 3 1 * *"] {
            assert_eq!(round(spec), spec);
        }
        assert_eq!(round("daily"), "0 3 * * *");
        assert_eq!(round("weekly"), "0 3 * * 0");
        assert_eq!(round("@hourly"), "@hourly");
    }

    #[test]
    fn a_form_gives_back_the_archive_it_was_given() {
        let plan = RecoveryPlan {
            source: "db".parse().unwrap(),
            way: WalWay::Push,
            destination: "01arz3ndektsv4rrffq69g5fav".parse().unwrap(),
            base_every_hours: 12,
            window_days: 14,
            heartbeat: true,
            most_kept_bytes: Some(512 << 20),
        };
        let mut values = Values::blank(&TimeZone::UTC, &[]);
        let none = recovery(&values.fields(), &mut Vec::new());
        assert!(!none.enabled);
        values.of_recovery(&plan);
        let mut errors = Vec::new();
        assert_eq!(recovery(&values.fields(), &mut errors), RecoveryDraft::from(&plan));
        assert!(errors.is_empty());
        values.set("wal-window", "a week");
        recovery(&values.fields(), &mut errors);
        assert_eq!(errors[0].field, "recovery.window_days");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_on_its_field() {
        let mut values = Values::blank(&TimeZone::UTC, &[]);
        values.set("keep_daily", "seven");
        values.set("keep_within", "a while");
        values.set("time", "25:00");
        let mut errors = Vec::new();
        let draft = draft(&values.fields(), &mut errors);
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["keep_within", "keep_daily", "schedule.spec"]);
        assert!(draft.schedule.is_none());
    }
}
