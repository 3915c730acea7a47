//! Schedules, worked out here.

use clap::Subcommand;
use jiff::Timestamp;
use model::schedule::{Schedule, ScheduleSpec, TimeZoneName};
use serde_json::json;

use super::{
    client::CliError,
    show::{self, Out},
};

#[derive(Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Shows the next times that a schedule names.
    Next {
        /// `daily`, `weekly`, `@every 4h` or five cron fields.
        #[arg(value_name = "CRON")]
        spec: String,
        /// Whose clock it follows.
        #[arg(long, value_name = "TZ", default_value = "UTC")]
        time_zone: String,
        /// How many.
        #[arg(short, default_value_t = 5, value_name = "N")]
        #[arg(value_parser = clap::value_parser!(u16).range(1..=1_000))]
        number: u16,
    },
}

pub(super) fn schedule(
    command: ScheduleCommand,
    now: Timestamp,
    out: &Out,
) -> Result<u8, CliError> {
    let ScheduleCommand::Next { spec, time_zone, number } = command;
    let usage = |error: &dyn std::fmt::Display| CliError::Usage(error.to_string());
    let spec: ScheduleSpec = spec.parse().map_err(|error| usage(&error))?;
    let name: TimeZoneName = time_zone.parse().map_err(|error| usage(&error))?;
    let zone = name.zone();
    let times = Schedule::new(spec.clone(), name.clone()).upcoming(now, number.into());
    let local: Vec<_> = times.iter().map(|at| at.to_zoned(zone.clone()).to_string()).collect();
    let answer = json!({
        "schedule": spec.to_string(), "time_zone": name.as_str(), "next": times, "local": local,
    });
    out.answer(&answer, || {
        for at in &times {
            show::line(&out.moment(*at, &zone));
        }
        if times.is_empty() {
            show::line("it names no moment to come");
        }
    });
    Ok(0)
}
