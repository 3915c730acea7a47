//! The keys of `backups.yml`. Their docstrings are the schema's descriptions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::values::{Flag, Number, Settings, ShortOr, Text};

/// What is backed up, where to, when, and how long it is kept.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "backups.yml")]
pub(crate) struct File {
    /// Databases; each is an app of its own.
    pub(crate) backup_targets: Option<Vec<Target>>,
    /// Docker volumes; each is an app of its own.
    pub(crate) volume_backups: Option<Vec<VolumeBackup>>,
    /// What holds for all of them.
    pub(crate) backup_config: Option<BackupConfig>,
    /// Destinations beside `backup_dir` and `s3_bucket`.
    pub(crate) destinations: Option<Vec<DestinationEntry>>,
    /// Apps with any sources.
    pub(crate) apps: Option<Vec<AppEntry>>,
    /// Where people are told when something is wrong.
    pub(crate) alert_channels: Option<Vec<AlertChannelEntry>>,
    /// Which alerts go where, and when.
    pub(crate) alert_routes: Option<Vec<AlertRouteEntry>>,
}

/// A database.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// Unique name; the objects carry it.
    pub(crate) name: String,
    /// `database` (PostgreSQL), `postgres`, `mysql`, `mariadb`, `redis`, `valkey` or `sqlite`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Whether it runs; left out it does.
    pub(crate) enabled: Option<Flag>,
    /// `host`, `port`, `user`, `password` or `password_file`, `database`, and the kind's other
    /// settings.
    #[serde(default)]
    pub(crate) config: Settings,
    /// Dump inside this container instead of over the network.
    pub(crate) container: Option<String>,
    /// When, instead of `backup_config.schedule`.
    pub(crate) schedule: Option<ShortOr<ScheduleEntry>>,
    /// Whose clock, instead of `backup_config.time_zone`.
    pub(crate) time_zone: Option<String>,
    /// How many are kept, instead of `backup_config.retention_count`.
    pub(crate) retention_count: Option<Number>,
    /// Which are kept, where that is more than a count.
    pub(crate) retention: Option<RetentionEntry>,
    /// Where to, instead of `backup_dir` and `s3_bucket`.
    pub(crate) destinations: Option<Vec<ShortOr<BindingEntry>>>,
    /// `gzip:6`, `zstd:3`, `none` or `auto`, instead of gzip by `backup_config.compression_level`.
    pub(crate) compression: Option<String>,
    /// Bounds of a run.
    pub(crate) limits: Option<LimitsEntry>,
    /// What its drills do, and when; only when asked where it is not set.
    pub(crate) drill: Option<DrillEntry>,
    /// All WAL of a PostgreSQL server, to go back to any moment; none where it is not set.
    pub(crate) recovery: Option<RecoveryEntry>,
}

/// A Docker volume.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VolumeBackup {
    /// Unique name; the objects carry it.
    pub(crate) name: String,
    /// Whether it runs; left out it does.
    pub(crate) enabled: Option<Flag>,
    /// The volume, as Docker knows it.
    pub(crate) volume_name: String,
    /// What it holds, in words for people.
    pub(crate) description: Option<String>,
    /// What becomes of the containers that use it meanwhile, for example `stop`.
    pub(crate) containers: Option<String>,
    /// Other settings of a volume.
    #[serde(default)]
    pub(crate) config: Settings,
    /// When, instead of `backup_config.schedule`.
    pub(crate) schedule: Option<ShortOr<ScheduleEntry>>,
    /// Whose clock, instead of `backup_config.time_zone`.
    pub(crate) time_zone: Option<String>,
    /// How many are kept, instead of `backup_config.retention_count`.
    pub(crate) retention_count: Option<Number>,
    /// Which are kept, where that is more than a count.
    pub(crate) retention: Option<RetentionEntry>,
    /// Where to, instead of `backup_dir` and `s3_bucket`.
    pub(crate) destinations: Option<Vec<ShortOr<BindingEntry>>>,
    /// `gzip:6`, `zstd:3`, `none` or `auto`, instead of gzip by `backup_config.compression_level`.
    pub(crate) compression: Option<String>,
    /// Bounds of a run.
    pub(crate) limits: Option<LimitsEntry>,
    /// What its drills do, and when; only when asked where it is not set.
    pub(crate) drill: Option<DrillEntry>,
}

/// What holds for every target and volume, and for apps that say nothing else.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BackupConfig {
    /// How many of each are kept; 5 where it is not set.
    pub(crate) retention_count: Option<Number>,
    /// Folder that holds them.
    pub(crate) backup_dir: Option<String>,
    /// S3 bucket that holds them as well; none where it is empty. Its keys are
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub(crate) s3_bucket: Option<String>,
    /// The bucket's region.
    pub(crate) s3_region: Option<String>,
    /// Folder inside the bucket.
    pub(crate) s3_prefix: Option<String>,
    /// Address of a server that is not Amazon's; or `AWS_ENDPOINT_URL_S3`.
    pub(crate) s3_endpoint: Option<String>,
    /// Five cron fields, `daily`, `@every 4h`, or `manual`; `0 3 * * *` where it is not set.
    pub(crate) schedule: Option<ShortOr<ScheduleEntry>>,
    /// Whose clock, for example `America/Sao_Paulo`; `TZ` where it is not set, else UTC.
    pub(crate) time_zone: Option<String>,
    /// Level of gzip, 1 to 9; 6 where it is not set.
    pub(crate) compression_level: Option<Number>,
    /// Whether the log of each run is put into `logs/`; it is where it is not set.
    pub(crate) logs: Option<Flag>,
}

/// A destination.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DestinationEntry {
    /// Unique name.
    pub(crate) name: String,
    /// `local`, `s3`, `rclone`, `sftp`, `webdav`, `b2` and so on.
    pub(crate) kind: String,
    /// Its settings.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub(crate) settings: Settings,
    /// Its secrets; `NAME_file` names a file that holds one.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub(crate) secrets: Settings,
    /// Its keys cannot delete.
    pub(crate) append_only: Option<Flag>,
    /// How often every copy there is re-read, in days; left out is only when asked.
    pub(crate) verify_every_days: Option<Number>,
}

/// An app.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppEntry {
    /// Unique name; the objects carry it.
    pub(crate) name: String,
    /// Whether it runs; left out it does.
    pub(crate) enabled: Option<Flag>,
    /// Where its data comes from; several make one snapshot.
    pub(crate) sources: Vec<SourceEntry>,
    /// Where to; `backup_dir` and `s3_bucket` where it is not set.
    pub(crate) destinations: Option<Vec<ShortOr<BindingEntry>>>,
    /// When; `backup_config.schedule` where it is not set, and `manual` without a `backup_config`.
    pub(crate) schedule: Option<ShortOr<ScheduleEntry>>,
    /// Whose clock, instead of `backup_config.time_zone`.
    pub(crate) time_zone: Option<String>,
    /// Which are kept; `backup_config.retention_count` where it is not set, and all without a
    /// `backup_config`.
    pub(crate) retention: Option<RetentionEntry>,
    /// `gzip:6`, `zstd:3`, `none`, or `auto`, which is what it is where it is not set.
    pub(crate) compression: Option<String>,
    /// Bounds of a run.
    pub(crate) limits: Option<LimitsEntry>,
    /// What its drills do, and when; only when asked where it is not set.
    pub(crate) drill: Option<DrillEntry>,
    /// How it is brought to stand still while its sources are read; not at all where it is not set.
    pub(crate) quiesce: Option<QuiesceEntry>,
    /// Its code, whose commit is noted with each snapshot and can be gone back to.
    pub(crate) code: Option<CodeEntry>,
    /// All WAL of its PostgreSQL server, to go back to any moment; none where it is not set.
    pub(crate) recovery: Option<RecoveryEntry>,
}

/// A source of an app.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceEntry {
    /// Unique within the app; the app's own name where it is not set.
    pub(crate) name: Option<String>,
    /// `contract`, `postgres`, `mysql`, `redis`, `sqlite`, `volume` or `files`.
    pub(crate) kind: String,
    /// Its settings.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub(crate) settings: Settings,
    /// Its secrets; `NAME_file` names a file that holds one.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub(crate) secrets: Settings,
}

/// A destination of an app.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BindingEntry {
    /// The destination's name.
    pub(crate) destination: String,
    /// Folder inside it.
    pub(crate) folder: Option<String>,
    /// Which are kept here, where that differs.
    pub(crate) retention: Option<RetentionEntry>,
    /// How objects are named, for example `{app}_{YYYYMMDD_HHMM}`.
    pub(crate) template: Option<String>,
    /// Whether the log of each run is put into `logs/`.
    pub(crate) logs: Option<Flag>,
}

/// A schedule that says more than when.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleEntry {
    /// Five cron fields, `daily`, `weekly` or `@every 4h`.
    pub(crate) spec: String,
    /// Whose clock.
    pub(crate) time_zone: Option<String>,
    /// Upper bound of the random delay, in seconds.
    pub(crate) jitter_secs: Option<Number>,
    /// Run once after downtime if fires were missed; it does where it is not set.
    pub(crate) catch_up: Option<Flag>,
}

/// Which snapshots are kept.
#[skip_serializing_none]
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "they are the keys of the file")]
pub(crate) struct RetentionEntry {
    /// The newest this many.
    pub(crate) keep_last: Option<Number>,
    /// One for each of this many hours.
    pub(crate) keep_hourly: Option<Number>,
    /// One for each of this many days.
    pub(crate) keep_daily: Option<Number>,
    /// One for each of this many weeks.
    pub(crate) keep_weekly: Option<Number>,
    /// One for each of this many months.
    pub(crate) keep_monthly: Option<Number>,
    /// One for each of this many years.
    pub(crate) keep_yearly: Option<Number>,
    /// The newest this many of those taken before a deployment; 10 where it is not set.
    pub(crate) keep_pre_deploy: Option<Number>,
    /// All that are younger than this before the newest one, for example `30d`.
    pub(crate) keep_within: Option<String>,
}

/// Bounds of a run.
#[skip_serializing_none]
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsEntry {
    /// Longest time for one source, in seconds.
    pub(crate) timeout_secs: Option<Number>,
    /// Largest accepted export, in bytes.
    pub(crate) max_size_bytes: Option<Number>,
    /// How many times a failed run is tried again; 0 never.
    pub(crate) retries: Option<Number>,
    /// Age at which the app counts as overdue, in seconds.
    pub(crate) objective_secs: Option<Number>,
    /// Longest time that a restore may take, in seconds.
    pub(crate) restore_objective_secs: Option<Number>,
}

/// How an app is brought to stand still while its sources are read.
#[skip_serializing_none]
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QuiesceEntry {
    /// `none`, `hooks`, `pause`, `stop` or `filesystem` (a snapshot by Btrfs, ZFS or LVM).
    pub(crate) mode: Option<String>,
    /// The app's containers, never its database's; those that use its volumes where it is not set.
    pub(crate) containers: Option<Vec<String>>,
    /// Longest time that it stands still, in seconds; 300 where it is not set.
    pub(crate) max_secs: Option<Number>,
    /// Commands before.
    pub(crate) pre: Option<Vec<HookEntry>>,
    /// Commands after, whatever happened.
    pub(crate) post: Option<Vec<HookEntry>>,
}

/// A command before or after.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookEntry {
    /// The container that it runs in; where it is not set, the orchestrator's own machine.
    pub(crate) container: Option<String>,
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    /// Longest time that it may take, in seconds; 60 where it is not set.
    pub(crate) timeout_secs: Option<Number>,
}

/// An app's code.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeEntry {
    /// The top of a git work tree, in a folder that `BACKUP_FILE_ROOTS` names.
    pub(crate) path: String,
}

/// All WAL of a PostgreSQL server, with base backups to begin with.
#[skip_serializing_none]
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecoveryEntry {
    /// How WAL comes: `stream`, as the server writes it, which is so where it is not set; or `push`,
    /// by its `archive_command`.
    pub(crate) way: Option<String>,
    /// The source, where more than one is a PostgreSQL server.
    pub(crate) source: Option<String>,
    /// Which of the app's destinations; the first where it is not set.
    pub(crate) destination: Option<String>,
    /// Hours from one base backup to the next; 24 where it is not set.
    pub(crate) base_every_hours: Option<Number>,
    /// How many days back any moment can be gone back to; 7 where it is not set.
    pub(crate) window_days: Option<Number>,
    /// Whether a row is written in the server every minute, by which drills prove the moment; it is
    /// not where it is not set.
    pub(crate) heartbeat: Option<Flag>,
    /// WAL that the server may keep for us, in bytes, before its slot is let go of so that its disk
    /// does not fill.
    pub(crate) most_kept_bytes: Option<Number>,
}

/// What an app's drills do: restores to scratch that prove that it can come back.
#[skip_serializing_none]
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DrillEntry {
    /// When: five cron fields, `daily`, `weekly` or `@every 30d`; left out is only when asked.
    pub(crate) schedule: Option<ShortOr<ScheduleEntry>>,
    /// Queries to what came back.
    pub(crate) questions: Option<Vec<DrillQuestionEntry>>,
    /// Programs that look at what came back.
    pub(crate) commands: Option<Vec<DrillCommandEntry>>,
    /// The app, booted on what came back.
    pub(crate) boot: Option<DrillBootEntry>,
}

/// An app that is booted on what came back: a copy of its container, on a network that leads nowhere.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrillBootEntry {
    /// The app's container, by its name.
    pub(crate) container: String,
    /// The sources, or parts of them, that the app needs; all where it is not set.
    pub(crate) needs: Option<Vec<String>>,
    /// What it is asked for, for example `/health`; where it is not set, the container's own health
    /// check counts.
    pub(crate) path: Option<String>,
    /// Its port; 80 where it is not set.
    pub(crate) port: Option<Number>,
    /// The status it has to answer with; anything from 200 to 399 where it is not set.
    pub(crate) status: Option<Number>,
    /// Seconds that it may take until it answers; 120 where it is not set.
    pub(crate) timeout_secs: Option<Number>,
    /// Whom it is to its database, where that is not the source's user.
    pub(crate) user: Option<String>,
}

/// A query to a database that came back.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrillQuestionEntry {
    /// The source, or the part of it, that is asked; the app's own name where it is not set.
    pub(crate) artifact: Option<String>,
    /// A query of one row and one column.
    pub(crate) sql: String,
    /// What it has to answer; left out: anything but nothing, false or 0.
    pub(crate) expect: Option<Text>,
}

/// A program that looks at what came back; exit code 0 is good.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrillCommandEntry {
    /// The source, or the part of it, that is looked at; the app's own name where it is not set.
    pub(crate) artifact: Option<String>,
    /// Program and arguments; `{}` is the path of the file or folder that came back.
    pub(crate) argv: Vec<String>,
}

/// A place that people are told at.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertChannelEntry {
    /// Unique name.
    pub(crate) name: String,
    /// `email`, `telegram`, `webhook`, `ntfy`, `slack`, `discord`, `gotify` or `healthchecks`.
    pub(crate) kind: String,
    /// Whether anything is sent there; left out it is.
    pub(crate) enabled: Option<Flag>,
    /// The language of its messages, `en` or `es`; English where it is not set.
    pub(crate) language: Option<String>,
    /// Its settings.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub(crate) settings: Settings,
    /// Its secrets; `NAME_file` names a file that holds one.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub(crate) secrets: Settings,
}

/// Which alerts go where, and when.
#[skip_serializing_none]
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertRouteEntry {
    /// Unique name.
    pub(crate) name: String,
    /// Names of the channels it leads to.
    pub(crate) channels: Vec<String>,
    /// Names of the apps it is for; all, and what concerns no app, where it is not set.
    pub(crate) apps: Option<Vec<String>>,
    /// What it is for, for example `backup_failed`; everything where it is not set.
    pub(crate) kinds: Option<Vec<String>>,
    /// What matters less does not go this way: `info`, `warning` or `error`; `warning` where it is
    /// not set.
    pub(crate) least: Option<String>,
    /// Whether people are told when it is over; they are where it is not set.
    pub(crate) recoveries: Option<Flag>,
    /// Hours between two messages of what lasts; told once where it is not set.
    pub(crate) remind_every_hours: Option<Number>,
    /// When messages begin to wait, as `22:00`.
    pub(crate) quiet_from: Option<Text>,
    /// When they end to, as `07:00`.
    pub(crate) quiet_to: Option<Text>,
    /// Whether errors are told in quiet hours too; they are where it is not set.
    pub(crate) urgent_breaks_quiet: Option<Flag>,
    /// Whether messages are gathered: `none`, `daily` or `weekly`.
    pub(crate) digest: Option<String>,
    /// The hour at which what was gathered goes out; 8 where it is not set.
    pub(crate) digest_hour: Option<Number>,
    /// Whose wall clock; `backup_config.time_zone` where it is not set, else `TZ`, else UTC.
    pub(crate) time_zone: Option<String>,
    /// Routes are looked at from the lowest; their order in the file where it is not set.
    pub(crate) position: Option<Number>,
    /// Whether it leads anywhere; left out it does.
    pub(crate) enabled: Option<Flag>,
}

impl Settings {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl File {
    /// The JSON schema of `backups.yml`.
    pub(crate) fn schema() -> String {
        let schema = schemars::schema_for!(Self);
        serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"
    }
}
