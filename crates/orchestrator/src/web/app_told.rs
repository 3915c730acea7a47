//! What an app's form says, for a comparison with what somebody else saved.

use engine::{AppDraft, RecoveryDraft, ScheduleDraft, SourceDraft};
use model::Destination;

use super::{
    app_sources::{kind_word, label},
    conflict::{Conflict, Told},
    lang::Lang,
};

/// What is different between what was typed and what is stored `now`.
pub(super) fn conflict(
    typed: &AppDraft,
    now: &AppDraft,
    destinations: &[Destination],
    lang: Lang,
) -> Conflict {
    // A single source needs no name before its fields.
    let several = typed.sources.len().max(now.sources.len()) > 1;
    let said = |draft| told(draft, several, destinations, lang);
    let secrets = typed.sources.iter().any(|source| !source.secrets.is_empty());
    Conflict::between(&said(typed), &said(now), secrets)
}

fn told(draft: &AppDraft, several: bool, destinations: &[Destination], lang: Lang) -> Told {
    let mut told = Told::default();
    told.say(lang.t("name"), &draft.name);
    for (at, source) in draft.sources.iter().enumerate() {
        let name = if source.name.is_empty() { (at + 1).to_string() } else { source.name.clone() };
        of_source(source, several.then_some(name.as_str()), &mut told, lang);
    }
    let name_of = |id: &str| {
        let found = destinations.iter().find(|one| one.id.to_string() == id);
        found.map_or_else(|| id.to_owned(), |one| one.name.to_string())
    };
    let names: Vec<_> = draft.destinations.iter().map(|one| name_of(&one.destination)).collect();
    told.say(lang.t("nav-destinations"), names.join(", "));
    for (name, binding) in names.iter().zip(&draft.destinations) {
        told.say(format!("{name}: {}", lang.t("folder")), &binding.folder);
        told.maybe(format!("{name}: {}", lang.t("template")), binding.template.as_ref());
    }
    of_schedule(draft.schedule.as_ref(), &mut told, lang);
    let keep = &draft.retention;
    for (key, count) in [
        ("keep-last", keep.keep_last),
        ("keep-hourly", keep.keep_hourly),
        ("keep-daily", keep.keep_daily),
        ("keep-weekly", keep.keep_weekly),
        ("keep-monthly", keep.keep_monthly),
        ("keep-yearly", keep.keep_yearly),
        ("keep-pre-deploy", keep.keep_pre_deploy),
    ] {
        told.maybe(format!("{}: {}", lang.t("retention"), lang.t(key)), count);
    }
    told.maybe(format!("{}: {}", lang.t("retention"), lang.t("keep-within")), keep.keep_within);
    if let Some(recovery) = &draft.recovery {
        of_recovery(recovery, &name_of, &mut told, lang);
    }
    let limits = &draft.limits;
    let of = |amount: Option<u64>, unit: u64| amount.map(|amount| amount.div_ceil(unit));
    for (key, amount) in [
        ("objective", of(limits.objective_secs, 3_600)),
        ("rto-objective", of(limits.restore_objective_secs, 60)),
        ("timeout", of(limits.timeout_secs, 60)),
        ("max-size", of(limits.max_size_bytes, 1 << 20)),
        ("retries", limits.retries.map(u64::from)),
    ] {
        told.maybe(lang.t(key), amount);
    }
    told.maybe(lang.t("compression"), draft.compression.as_ref());
    told
}

fn of_source(source: &SourceDraft, name: Option<&str>, told: &mut Told, lang: Lang) {
    let called = |label: String| match name {
        Some(name) => format!("{name}: {label}"),
        None => label,
    };
    told.say(called(lang.t("source-what")), kind_word(lang, &source.kind));
    for (key, value) in &source.settings {
        let word = match value.as_str() {
            "true" => Some(lang.t("yes")),
            word => lang.find(&format!("source-choice-{key}-{word}")),
        };
        told.say(called(label(lang, &source.kind, key)), word.unwrap_or_else(|| value.clone()));
    }
}

/// A schedule, here or of drills.
pub(super) fn of_schedule(schedule: Option<&ScheduleDraft>, told: &mut Told, lang: Lang) {
    let Some(schedule) = schedule else {
        return told.say(lang.t("schedule"), lang.t("by-hand-only"));
    };
    told.say(lang.t("schedule"), &schedule.spec);
    told.say(lang.t("time-zone"), &schedule.time_zone);
    told.tick(lang.t("catch-up"), schedule.catch_up, lang);
    told.say(lang.t("jitter"), schedule.jitter_secs / 60);
}

fn of_recovery(
    recovery: &RecoveryDraft,
    name_of: &impl Fn(&str) -> String,
    told: &mut Told,
    lang: Lang,
) {
    told.tick(lang.t("form-moments-keep"), recovery.enabled, lang);
    if !recovery.enabled {
        return;
    }
    told.say(lang.t("form-moments-how"), lang.t(&format!("wal-{}", recovery.way)));
    told.maybe(lang.t("form-wal-source"), recovery.source.as_ref());
    let to = recovery.destination.as_deref().map(name_of);
    told.say(lang.t("form-wal-destination"), to.unwrap_or_else(|| lang.t("form-wal-first")));
    told.say(lang.t("form-wal-window"), recovery.window_days);
    told.say(lang.t("form-wal-base"), recovery.base_every_hours);
    told.maybe(lang.t("form-wal-kept"), recovery.most_kept_bytes.map(|bytes| bytes >> 20));
    told.tick(lang.t("heartbeat"), recovery.heartbeat, lang);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrecy::SecretString;

    use super::*;

    fn source(name: &str, host: &str) -> SourceDraft {
        let settings = BTreeMap::from([("host".to_owned(), host.to_owned())]);
        let secrets = BTreeMap::from([("password".to_owned(), SecretString::from("hush"))]);
        let (name, kind) = (name.to_owned(), "postgres".to_owned());
        SourceDraft { name, kind, settings, secrets, ..SourceDraft::default() }
    }

    #[test]
    fn fields_are_called_as_the_form_calls_them_and_secrets_are_not_told() {
        let draft = |sources| AppDraft { sources, ..AppDraft::default() };
        let (typed, now) = (draft(vec![source("db", "a")]), draft(vec![source("db", "b")]));
        let found = conflict(&typed, &now, &[], Lang::En);
        let rows: Vec<_> = found.rows.iter().map(|row| (&*row.label, &*row.now)).collect();
        assert_eq!(rows, [("Host", "b")]);
        assert!(found.secrets);
        let more = draft(vec![source("db", "a"), source("other", "c")]);
        let found = conflict(&typed, &more, &[], Lang::En);
        assert!(found.rows.iter().any(|row| row.label == "other: Host" && row.now == "c"));
        assert!(!format!("{found:?}").contains("hush"));
    }
}
