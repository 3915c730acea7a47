//! The form of an app, as the command that does the same.

use engine::{AppDraft, SourceDraft};
use model::{App, Destination};

/// `app add`, or `app edit` of what is there, with what the form says. Secrets come from files.
pub(super) fn of(draft: &AppDraft, current: Option<&App>, all: &[Destination]) -> String {
    let name = if draft.name.is_empty() { "NAME" } else { &draft.name };
    let mut words = vec!["backup-orchestrator".to_owned(), "app".to_owned()];
    match current {
        Some(app) => {
            words.extend(["edit".to_owned(), app.name.to_string()]);
            if app.name.as_str() != name {
                words.extend(["--rename".to_owned(), name.to_owned()]);
            }
        }
        None => words.extend(["add".to_owned(), name.to_owned()]),
    }
    for source in &draft.sources {
        words.extend(["--source".to_owned(), source_of(source)]);
    }
    for binding in &draft.destinations {
        let known = all.iter().find(|one| one.id.to_string() == binding.destination);
        let to = known.map_or(binding.destination.as_str(), |one| one.name.as_str());
        let folder = match binding.folder.as_str() {
            "" => String::new(),
            folder => format!(":{folder}"),
        };
        words.extend(["--destination".to_owned(), format!("{to}{folder}")]);
    }
    if draft.destinations.is_empty() {
        words.extend(["--destination".to_owned(), "NAME".to_owned()]);
    }
    match &draft.schedule {
        Some(schedule) => {
            words.extend(["--schedule".to_owned(), schedule.spec.clone()]);
            if !schedule.time_zone.is_empty() {
                words.extend(["--time-zone".to_owned(), schedule.time_zone.clone()]);
            }
        }
        None => words.extend(["--schedule".to_owned(), "none".to_owned()]),
    }
    let keep = &draft.retention;
    for (rule, number) in [
        ("last", keep.keep_last),
        ("hourly", keep.keep_hourly),
        ("daily", keep.keep_daily),
        ("weekly", keep.keep_weekly),
        ("monthly", keep.keep_monthly),
        ("yearly", keep.keep_yearly),
        ("pre-deploy", keep.keep_pre_deploy),
    ] {
        if let Some(number) = number {
            words.extend([format!("--keep-{rule}"), number.to_string()]);
        }
    }
    if let Some(within) = &keep.keep_within {
        words.extend(["--keep-within".to_owned(), within.to_string()]);
    }
    // Only what holds a zero byte cannot be quoted; no field does.
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default()
}

/// `NAME:kind=…,KEY=VALUE,KEY-file=KEY.txt`.
fn source_of(source: &SourceDraft) -> String {
    let mut pairs = vec![format!("kind={}", source.kind)];
    for (key, value) in source.settings.iter().filter(|(_, value)| !value.is_empty()) {
        let is_plain = !value.contains([',', '"', '\\']);
        let value = if is_plain {
            value.clone()
        } else {
            format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
        };
        pairs.push(format!("{key}={value}"));
    }
    for key in source.secrets.keys() {
        pairs.push(format!("{key}-file={key}.txt"));
    }
    let pairs = pairs.join(",");
    if source.name.is_empty() { pairs } else { format!("{}:{pairs}", source.name) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::ScheduleDraft;
    use model::retention::RetentionPolicy;

    use super::*;

    #[test]
    fn the_command_says_what_the_form_says_and_no_secret() {
        let settings = [("host", "db"), ("database", "a,b"), ("user", "")];
        let draft = AppDraft {
            name: "shop".to_owned(),
            sources: vec![SourceDraft {
                kind: "postgres".to_owned(),
                settings: settings
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into_iter()
                    .collect(),
                secrets: BTreeMap::from([("password".to_owned(), "hush".into())]),
                ..SourceDraft::default()
            }],
            schedule: Some(ScheduleDraft {
                spec: "0 3 * * *".to_owned(),
                ..ScheduleDraft::default()
            }),
            retention: RetentionPolicy { keep_daily: Some(7), ..RetentionPolicy::default() },
            ..AppDraft::default()
        };
        let command = of(&draft, None, &[]);
        let words = shlex::split(&command).unwrap();
        let expected = [
            "backup-orchestrator",
            "app",
            "add",
            "shop",
            "--source",
            "kind=postgres,database=\"a,b\",host=db,password-file=password.txt",
            "--destination",
            "NAME",
            "--schedule",
            "0 3 * * *",
            "--keep-daily",
            "7",
        ];
        assert_eq!(words, expected);
    }
}
