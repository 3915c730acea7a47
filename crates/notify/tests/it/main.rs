//! Channels against servers: a real one for mail, faithful stand-ins for the services.

mod addresses;
mod discord;
mod gotify;
mod healthchecks;
mod hostile;
mod limits;
mod mail;
mod ntfy;
mod slack;
mod stand_in;
mod telegram;
mod webhook;

use std::collections::BTreeMap;

use notify::{Channel, Kind, Level, Limits, Message, SettingsError};
use serde_json::json;

/// Opens a channel; secrets are the pairs of the second list.
pub(crate) fn open(
    kind: Kind,
    settings: &[(&str, &str)],
    secrets: &[(&str, &str)],
) -> Result<Channel, SettingsError> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let settings: BTreeMap<_, _> = settings.iter().map(own).collect();
    let secrets: BTreeMap<_, _> =
        secrets.iter().map(own).map(|(key, value)| (key, value.into())).collect();
    let clock = || "2026-11-22T03:10:00Z".parse().unwrap();
    let limits = Limits { clock: std::sync::Arc::new(clock), ..Limits::default() };
    Channel::open(kind, &settings, &secrets, limits)
}

pub(crate) fn message(level: Level) -> Message {
    Message {
        id: "01JDQ8Z5N3".to_owned(),
        level,
        title: "shop has not been backed up".to_owned(),
        body: "The last run failed: <db> & files answered 401.".to_owned(),
        facts: vec![
            ("App".to_owned(), "shop_eu".to_owned()),
            ("Since".to_owned(), "22 Nov 2026, 03:00 UTC".to_owned()),
        ],
        link: Some("https://backups.example/runs/1?a=1&b=2".to_owned()),
        at: "2026-11-22T03:00:00Z".parse().unwrap(),
        data: json!({ "kind": "opened", "app": "shop_eu" }),
    }
}
