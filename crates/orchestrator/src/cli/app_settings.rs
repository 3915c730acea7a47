//! The flags that describe an app, for adding and editing alike.

use clap::{Args, builder::ArgAction};
use serde_json::{Map, Value, json};

use super::{
    client::CliError,
    drill_settings::DrillSettings,
    quantity::{Change, Length, Size},
    recovery_settings::RecoverySettings,
    show::{items, text},
};

/// `none` takes away what was set.
#[derive(Args)]
pub(crate) struct AppSettings {
    /// `frequent`: every 4 hours, keeping 7 daily, 4 weekly and 6 monthly snapshots; what else is
    /// given counts more.
    #[arg(long, value_parser = ["frequent"])]
    preset: Option<String>,
    /// `daily`, `weekly`, `@every 4h` or five cron fields; `none` runs it by hand only.
    #[arg(long, value_name = "CRON")]
    schedule: Option<Change<String>>,
    /// Whose clock the schedule follows, for example `America/Sao_Paulo`; without it UTC.
    #[arg(long, value_name = "TZ")]
    time_zone: Option<String>,
    /// Longest random delay of a scheduled run.
    #[arg(long, value_name = "DUR")]
    jitter: Option<Length>,
    /// Do not run once after downtime in which runs were missed.
    #[arg(long, conflicts_with = "catch_up")]
    no_catch_up: bool,
    /// Run once after downtime in which runs were missed; it is so unless said otherwise.
    #[arg(long)]
    catch_up: bool,
    /// Longest time for an export.
    #[arg(long, value_name = "DUR")]
    timeout: Option<Change<Length>>,
    /// Largest accepted export, for example `20GiB`.
    #[arg(long, value_name = "SIZE")]
    max_size: Option<Change<Size>>,
    /// How many times a failed run is tried again.
    #[arg(long, value_name = "N")]
    retries: Option<Change<u32>>,
    /// Age at which its newest snapshot counts as late.
    #[arg(long, value_name = "DUR")]
    objective: Option<Change<Length>>,
    /// Longest time that bringing it back may take.
    #[arg(long, value_name = "DUR")]
    rto: Option<Change<Length>>,
    /// `none`, `gzip`, `zstd`, the last two with a level (`zstd:9`), or `auto`.
    #[arg(long)]
    compression: Option<String>,
    /// Accept an export that carries neither size nor checksum.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", action = ArgAction::Set)]
    accept_unverified: Option<bool>,
    /// Accept an export of no bytes.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", action = ArgAction::Set)]
    allow_empty: Option<bool>,
    /// Which of the app's export types to ask for.
    #[arg(long, value_name = "TYPE")]
    export_type: Option<Change<String>>,
    /// Told to the app's commands as `SIDE_CAR_DRIVE_FOLDER_ID`.
    #[arg(long, value_name = "ID")]
    drive_folder_id: Option<Change<String>>,
    /// How objects are named at its destinations; `none` is `NAME_YYYYmmdd_HHMM`.
    #[arg(long)]
    template: Option<Change<String>>,
    // The last: what follows would stand under its heading.
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    drill: DrillSettings,
    #[command(flatten)]
    recovery: RecoverySettings,
}

/// Which snapshots are kept; none of these keeps all.
#[derive(Args)]
#[command(next_help_heading = "Retention")]
struct Keep {
    /// The newest N.
    #[arg(long = "keep-last", value_name = "N")]
    last: Option<Change<u32>>,
    /// One for each of N hours.
    #[arg(long = "keep-hourly", value_name = "N")]
    hourly: Option<Change<u32>>,
    /// One for each of N days.
    #[arg(long = "keep-daily", value_name = "N")]
    daily: Option<Change<u32>>,
    /// One for each of N weeks.
    #[arg(long = "keep-weekly", value_name = "N")]
    weekly: Option<Change<u32>>,
    /// One for each of N months.
    #[arg(long = "keep-monthly", value_name = "N")]
    monthly: Option<Change<u32>>,
    /// One for each of N years.
    #[arg(long = "keep-yearly", value_name = "N")]
    yearly: Option<Change<u32>>,
    /// The newest N of those taken before a deployment; 10 where it is not said.
    #[arg(long = "keep-pre-deploy", value_name = "N")]
    pre_deploy: Option<Change<u32>>,
    /// All that are younger than this before the newest one.
    #[arg(long = "keep-within", value_name = "DUR")]
    within: Option<Change<String>>,
}

/// Puts what was given into `object`; `none` takes it out.
fn put<T: Into<Value>>(object: &mut Value, key: &str, given: Option<T>) {
    let (Some(given), Some(object)) = (given, object.as_object_mut()) else { return };
    match given.into() {
        Value::Null => drop(object.remove(key)),
        value => drop(object.insert(key.to_owned(), value)),
    }
}

/// The description of the app's server of the contract.
pub(super) fn server(draft: &mut Value) -> Result<&mut Value, CliError> {
    let sources = draft["sources"].as_array_mut();
    let found = sources.and_then(|all| all.iter_mut().find(|one| one["kind"] == "contract"));
    let advice = "the app has no server of the contract: change its sources by --source";
    found.ok_or_else(|| CliError::Usage(advice.to_owned()))
}

fn put_setting(draft: &mut Value, key: &str, given: Option<Value>) -> Result<(), CliError> {
    if given.is_some() {
        put(&mut server(draft)?["settings"], key, given);
    }
    Ok(())
}

impl AppSettings {
    /// Puts the plans that `app` has into `draft` where something of them is to change.
    pub(super) fn begin(&self, app: &Value, draft: &mut Value) {
        if self.drill.is_given() {
            draft["drill"] = app["drill"].clone();
        }
        if self.recovery.is_given() {
            self.recovery.begin(app, draft);
        }
    }

    /// Changes `draft` where something was given, and leaves the rest.
    pub(super) fn apply(self, draft: &mut Value) -> Result<(), CliError> {
        if self.preset.is_some() {
            draft["retention"] = json!({ "keep_daily": 7, "keep_weekly": 4, "keep_monthly": 6 });
            if !draft["schedule"].is_object() {
                draft["schedule"] = json!({});
            }
            draft["schedule"]["spec"] = "@every 4h".into();
        }
        self.keep.apply(&mut draft["retention"]);
        self.drill.apply(draft);
        self.recovery.apply(draft)?;
        let limits = &mut draft["limits"];
        put(limits, "timeout_secs", self.timeout);
        put(limits, "max_size_bytes", self.max_size);
        put(limits, "retries", self.retries);
        put(limits, "objective_secs", self.objective);
        put(limits, "restore_objective_secs", self.rto);
        put(draft, "compression", self.compression);
        let word = |flag: Option<bool>| flag.map(|flag| Value::from(flag.to_string()));
        put_setting(draft, "accept_unverified", word(self.accept_unverified))?;
        put_setting(draft, "allow_empty", word(self.allow_empty))?;
        put_setting(draft, "export_type", self.export_type.map(Into::into))?;
        put_setting(draft, "drive_folder_id", self.drive_folder_id.map(Into::into))?;
        if let Some(template) = self.template {
            for binding in draft["destinations"].as_array_mut().into_iter().flatten() {
                put(binding, "template", Some(template.clone()));
            }
        }
        match self.schedule {
            None => {}
            Some(Change::Clear) => draft["schedule"] = Value::Null,
            Some(Change::To(spec)) => {
                if !draft["schedule"].is_object() {
                    draft["schedule"] = json!({});
                }
                draft["schedule"]["spec"] = spec.into();
            }
        }
        let catch_up = match (self.catch_up, self.no_catch_up) {
            (false, false) => None,
            (yes, _) => Some(yes),
        };
        let about = self.time_zone.is_some() || self.jitter.is_some() || catch_up.is_some();
        let schedule = &mut draft["schedule"];
        if about && !schedule.is_object() {
            let advice = "--time-zone, --jitter and --catch-up are about a schedule: give \
                          --schedule as well";
            return Err(CliError::Usage(advice.to_owned()));
        }
        put(schedule, "time_zone", self.time_zone);
        put(schedule, "jitter_secs", self.jitter);
        put(schedule, "catch_up", catch_up);
        Ok(())
    }
}

impl Keep {
    fn apply(self, retention: &mut Value) {
        put(retention, "keep_last", self.last);
        put(retention, "keep_hourly", self.hourly);
        put(retention, "keep_daily", self.daily);
        put(retention, "keep_weekly", self.weekly);
        put(retention, "keep_monthly", self.monthly);
        put(retention, "keep_yearly", self.yearly);
        put(retention, "keep_pre_deploy", self.pre_deploy);
        put(retention, "keep_within", self.within);
    }
}

/// What `NAME[:FOLDER]` says; a destination that the app has already keeps what is not said.
pub(super) fn bindings(given: &[String], known: &[Value]) -> Vec<Value> {
    given
        .iter()
        .map(|given| {
            let (name, folder) = match given.split_once(':') {
                Some((name, folder)) => (name, Some(folder)),
                None => (given.as_str(), None),
            };
            let is_it = |one: &&Value| {
                [&one["name"], &one["destination"]].iter().any(|is| text(is) == name)
            };
            let mut binding = known.iter().find(is_it).cloned().unwrap_or_else(|| json!({}));
            if let Some(all) = binding.as_object_mut() {
                all.remove("name");
                all.insert("destination".to_owned(), name.into());
            }
            put(&mut binding, "folder", folder);
            binding
        })
        .collect()
}

/// What an app that is shown would be described as.
pub(super) fn draft_of(app: &Value) -> Value {
    let sources: Vec<_> = items(&app["sources"])
        .iter()
        .map(|one| json!({ "name": one["name"], "kind": one["kind"], "settings": one["settings"] }))
        .collect();
    let destinations: Vec<_> = items(&app["destinations"])
        .iter()
        .map(|one| {
            let mut binding: Map<_, _> = one.as_object().cloned().unwrap_or_default();
            let id = binding.remove("destination_id").unwrap_or_default();
            binding.insert("destination".to_owned(), id);
            Value::Object(binding)
        })
        .collect();
    json!({
        "version": app["version"],
        "name": app["name"],
        "sources": sources,
        "destinations": destinations,
        "schedule": app["schedule"],
        "retention": app["retention"],
        "limits": app["limits"],
        "compression": app["compression"],
        "enabled": app["enabled"],
    })
}
