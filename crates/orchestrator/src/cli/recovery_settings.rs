//! The flags that say how an app's PostgreSQL server can be gone back to any moment.

use clap::{Args, ValueEnum, builder::ArgAction};
use serde_json::{Value, json};

use super::{
    client::CliError,
    quantity::{Change, Length, Size},
};

/// How WAL comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wal {
    /// The server streams it as it writes it.
    Stream,
    /// Its `archive_command` hands it over, by `backup-sidecar wal-push %p`.
    Push,
    /// No more; what is stored stays.
    Off,
}

/// The continuous archive of a PostgreSQL server's WAL.
#[derive(Args)]
#[command(next_help_heading = "Any moment of a PostgreSQL server")]
pub(super) struct RecoverySettings {
    /// Keep all WAL, so that any moment can be gone back to.
    #[arg(long = "wal", value_name = "HOW")]
    wal: Option<Wal>,
    /// The source whose server it is, where more than one is a PostgreSQL server.
    #[arg(long = "wal-source", value_name = "SOURCE")]
    wal_source: Option<String>,
    /// Which of the app's destinations WAL and base backups go to; the first where it is not said.
    #[arg(long = "wal-destination", value_name = "NAME")]
    wal_destination: Option<String>,
    /// How far back, in days: `7d`.
    #[arg(long = "wal-window", value_name = "DUR")]
    wal_window: Option<Length>,
    /// From one base backup to the next: `24h`.
    #[arg(long = "base-every", value_name = "DUR")]
    base_every: Option<Length>,
    /// Write a row in the server every minute, by which drills prove the moment.
    #[arg(long = "heartbeat", value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", action = ArgAction::Set)]
    heartbeat: Option<bool>,
    /// WAL that the server may keep for us before its slot is let go of, so that its disk does not
    /// fill; `none` is half of what is free there.
    #[arg(long = "wal-most-kept", value_name = "SIZE")]
    wal_most_kept: Option<Change<Size>>,
}

const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;

/// A length in whole units.
fn whole(length: Length, unit: u64, flag: &str, word: &str) -> Result<u64, CliError> {
    if length.0 > 0 && length.0.is_multiple_of(unit) {
        return Ok(length.0 / unit);
    }
    Err(CliError::Usage(format!("{flag} is a whole number of {word}")))
}

impl RecoverySettings {
    pub(super) fn is_given(&self) -> bool {
        self.wal.is_some()
            || self.wal_source.is_some()
            || self.wal_destination.is_some()
            || self.wal_window.is_some()
            || self.base_every.is_some()
            || self.heartbeat.is_some()
            || self.wal_most_kept.is_some()
    }

    /// Puts the plan that `app` has into `draft`, to be changed there.
    pub(super) fn begin(&self, app: &Value, draft: &mut Value) {
        if app["recovery"].is_object() {
            draft["recovery"] = app["recovery"].clone();
        }
    }

    /// Changes the plan in `draft` where something was given, and leaves the rest.
    pub(super) fn apply(self, draft: &mut Value) -> Result<(), CliError> {
        if !self.is_given() {
            return Ok(());
        }
        if !draft["recovery"].is_object() {
            if self.wal.is_none() {
                let advice = "the app keeps no WAL: give --wal stream or --wal push as well";
                return Err(CliError::Usage(advice.to_owned()));
            }
            draft["recovery"] = json!({});
        }
        let plan = &mut draft["recovery"];
        match self.wal {
            None => {}
            Some(Wal::Off) => plan["enabled"] = false.into(),
            Some(Wal::Stream) => plan["way"] = "stream".into(),
            Some(Wal::Push) => plan["way"] = "push".into(),
        }
        if let Some(source) = self.wal_source {
            plan["source"] = source.into();
        }
        if let Some(destination) = self.wal_destination {
            plan["destination"] = destination.into();
        }
        if let Some(window) = self.wal_window {
            plan["window_days"] = whole(window, DAY, "--wal-window", "days")?.into();
        }
        if let Some(every) = self.base_every {
            plan["base_every_hours"] = whole(every, HOUR, "--base-every", "hours")?.into();
        }
        if let Some(heartbeat) = self.heartbeat {
            plan["heartbeat"] = heartbeat.into();
        }
        if let Some(most) = self.wal_most_kept {
            plan["most_kept_bytes"] = most.into();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> RecoverySettings {
        RecoverySettings {
            wal: None,
            wal_source: None,
            wal_destination: None,
            wal_window: None,
            base_every: None,
            heartbeat: None,
            wal_most_kept: None,
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        let app = json!({ "recovery": {
            "source": "db", "way": "push", "window_days": 3, "base_every_hours": 12,
        } });
        let mut draft = json!({});
        let given = RecoverySettings { wal_window: Some(Length(14 * DAY)), ..none() };
        given.begin(&app, &mut draft);
        given.apply(&mut draft).unwrap();
        let expected = json!({
            "source": "db", "way": "push", "window_days": 14, "base_every_hours": 12,
        });
        assert_eq!(draft["recovery"], expected);
        let off = RecoverySettings { wal: Some(Wal::Off), ..none() };
        off.apply(&mut draft).unwrap();
        assert_eq!(draft["recovery"]["enabled"], false);
    }

    #[test]
    fn it_begins_by_saying_how() {
        let given = RecoverySettings { heartbeat: Some(true), ..none() };
        assert!(given.apply(&mut json!({})).is_err());
        let half =
            RecoverySettings { wal_window: Some(Length(HOUR)), wal: Some(Wal::Push), ..none() };
        assert!(half.apply(&mut json!({})).is_err(), "half a day is no window");
        let mut draft = json!({});
        RecoverySettings { wal: Some(Wal::Stream), ..none() }.apply(&mut draft).unwrap();
        assert_eq!(draft["recovery"], json!({ "way": "stream" }));
    }
}
