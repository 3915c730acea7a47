//! Alerts in words, for mail and messengers: the same words as on the pages.

use engine::{DigestEntry, Notice, Wording};
use jiff::{Timestamp, tz::TimeZone};
use model::{Alert, AlertChange, AlertKind};
use notify::Message;
use serde_json::{Value, json};
use url::Url;

use super::lang::Lang;
use crate::settings::Settings;

/// Lines of a digest; what is more is counted.
const MAX_LINES: usize = 40;

/// Puts alerts into words.
#[derive(Debug)]
pub(crate) struct Words {
    zone: TimeZone,
    public_url: Option<Url>,
}

impl Words {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { zone: settings.zone.clone(), public_url: settings.public_url.clone() }
    }

    fn link(&self, path: &[&str]) -> Option<String> {
        let mut url = self.public_url.clone()?;
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        Some(url.into())
    }

    /// The page that shows what an alert is about.
    fn page_of(&self, alert: &Alert) -> Option<String> {
        let (path, id) = page_of(alert);
        let mut segments: Vec<&str> = path.split('/').collect();
        segments.extend(id.as_deref());
        self.link(&segments)
    }

    /// A message about one alert.
    fn about(&self, lang: Lang, change: AlertChange, alert: &Alert) -> Message {
        let moment = |at| lang.moment(at, &self.zone);
        let told = unmarked(lang, &lang.sentence(&alert.sentence, &self.zone));
        let over = alert.closed_at.filter(|_| change == AlertChange::Closed);
        let body = match over {
            Some(until) => {
                let length = until.duration_since(alert.opened_at).as_secs();
                let values = [
                    ("from", moment(alert.opened_at).into()),
                    ("length", lang.span(length).into()),
                ];
                let was = lang.with("alert-was", "told", told);
                format!("{}\n\n{was}", lang.fill("alert-lasted", values))
            }
            None => format!("{told}\n\n{}", advice(lang, alert.kind)),
        };
        let mut facts = Vec::new();
        let mut fact = |word: &str, value: String| {
            facts.push((lang.t(&format!("alert-fact-{word}")), value));
        };
        if let Some(app) = &alert.app {
            fact("app", app.clone());
        }
        if let Some(destination) = &alert.destination {
            fact("destination", destination.clone());
        }
        fact("since", moment(alert.opened_at));
        if let Some(until) = over {
            fact("until", moment(until));
        }
        Message {
            title: title(lang, change, alert),
            body,
            facts,
            link: self.page_of(alert),
            data: data(change, alert),
            ..blank(alert.opened_at)
        }
    }

    fn digest(&self, lang: Lang, entries: &[DigestEntry]) -> Message {
        let over = entries.iter().filter(|one| one.change == AlertChange::Closed).count();
        let open = entries.len() - over;
        let values = [("open", open.into()), ("over", over.into())];
        let title = match entries.len() {
            0 => lang.t("alert-digest-none"),
            _ => lang.fill("alert-digest-title", values),
        };
        let lines = entries.iter().map(|one| {
            let closed = one.alert.closed_at.filter(|_| one.change == AlertChange::Closed);
            (sign(one.change), title_of(lang, one), closed.unwrap_or(one.alert.opened_at))
        });
        let alerts: Vec<_> = entries.iter().map(|one| data(one.change, &one.alert)).collect();
        Message {
            title,
            body: self.list(lang, lines),
            link: self.link(&["alerts"]),
            data: json!({ "kind": "digest", "alerts": alerts }),
            ..blank(Timestamp::UNIX_EPOCH)
        }
    }

    fn heartbeat(&self, lang: Lang, open: &[Alert]) -> Message {
        let lines = open
            .iter()
            .map(|alert| ("•", title(lang, AlertChange::Opened, alert), alert.opened_at));
        let alerts: Vec<_> = open.iter().map(|one| data(AlertChange::Lasts, one)).collect();
        Message {
            title: match open.len() {
                0 => lang.t("alert-beat-well"),
                count => lang.with("alert-beat-open", "count", count),
            },
            body: self.list(lang, lines),
            link: self.link(&["alerts"]),
            data: json!({ "kind": "heartbeat", "alerts": alerts }),
            ..blank(Timestamp::UNIX_EPOCH)
        }
    }

    /// A line for each, and how many more there are.
    fn list<'a>(
        &self,
        lang: Lang,
        lines: impl ExactSizeIterator<Item = (&'a str, String, Timestamp)>,
    ) -> String {
        let more = lines.len().saturating_sub(MAX_LINES);
        let mut told: Vec<_> = lines
            .take(MAX_LINES)
            .map(|(sign, title, at)| {
                let when = lang.moment(at, &self.zone);
                let values = [("title", title.into()), ("when", when.into())];
                format!("{sign} {}", lang.fill("alert-digest-line", values))
            })
            .collect();
        if more > 0 {
            told.push(lang.with("alert-digest-more", "count", more));
        }
        told.join("\n")
    }
}

impl Wording for Words {
    fn languages(&self) -> &'static [&'static str] {
        &["en", "es"]
    }

    fn message(&self, language: &str, notice: &Notice) -> Message {
        let lang = Lang::from_code(language).unwrap_or_default();
        let message = match notice {
            Notice::Opened(alert) => self.about(lang, AlertChange::Opened, alert),
            Notice::Lasts(alert) => self.about(lang, AlertChange::Lasts, alert),
            Notice::Closed(alert) => self.about(lang, AlertChange::Closed, alert),
            Notice::Digest(entries) => self.digest(lang, entries),
            Notice::Heartbeat(open) => self.heartbeat(lang, open),
            Notice::Test => Message {
                title: lang.t("alert-test-title"),
                body: lang.t("alert-test-body"),
                link: self.link(&["alerts"]),
                data: json!({ "kind": "test" }),
                ..blank(Timestamp::UNIX_EPOCH)
            },
        };
        Message { level: notice.level(), ..message }
    }
}

/// Whoever sends it sets what is missing.
fn blank(at: Timestamp) -> Message {
    Message {
        id: String::new(),
        level: notify::Level::Info,
        title: String::new(),
        body: String::new(),
        facts: Vec::new(),
        link: None,
        at,
        data: Value::Null,
    }
}

/// For programs.
fn data(change: AlertChange, alert: &Alert) -> Value {
    json!({
        "kind": change,
        "alert": alert.kind,
        "id": alert.id,
        "severity": alert.severity,
        "app": alert.app,
        "destination": alert.destination,
        "run": alert.run_id,
        "snapshot": alert.snapshot_id,
        "opened_at": alert.opened_at,
        "closed_at": alert.closed_at,
        "code": alert.sentence.fact.as_ref().map(model::Fact::code),
        "message": alert.sentence.message,
    })
}

fn sign(change: AlertChange) -> &'static str {
    if change == AlertChange::Closed { "✓" } else { "•" }
}

fn title_of(lang: Lang, entry: &DigestEntry) -> String {
    let change = match entry.change {
        AlertChange::Lasts => AlertChange::Opened,
        other => other,
    };
    title(lang, change, &entry.alert)
}

/// The line that says it all.
fn title(lang: Lang, change: AlertChange, alert: &Alert) -> String {
    let values = [("about", about(lang, alert).into()), ("what", what(lang, change, alert).into())];
    lang.fill(&format!("alert-title-{change}"), values)
}

/// What is wrong, or that it is well again; follows the name of what it is about.
fn what(lang: Lang, change: AlertChange, alert: &Alert) -> String {
    let kind = alert.kind.to_string().replace('_', "-");
    let over = (change == AlertChange::Closed).then(|| lang.find(&format!("alert-over-{kind}")));
    over.flatten().unwrap_or_else(|| lang.t(&format!("alert-is-{kind}")))
}

/// What to do about it.
pub(super) fn advice(lang: Lang, kind: AlertKind) -> String {
    lang.t(&format!("alert-do-{}", kind.to_string().replace('_', "-")))
}

/// The name of what an alert is about.
pub(super) fn about(lang: Lang, alert: &Alert) -> String {
    match (&alert.app, &alert.destination) {
        (Some(app), Some(destination)) => lang
            .fill("alert-about-both", [("app", app.into()), ("destination", destination.into())]),
        (Some(name), None) | (None, Some(name)) => name.clone(),
        (None, None) => lang.t("alert-about-here"),
    }
}

/// What is wrong, after the name of what it is about.
pub(super) fn what_is(lang: Lang, alert: &Alert) -> String {
    what(lang, AlertChange::Opened, alert)
}

/// The path of the page that shows what an alert is about, and the last part of it.
pub(super) fn page_of(alert: &Alert) -> (&'static str, Option<String>) {
    let run = alert.run_id.map(|id| ("runs", Some(id.to_string())));
    let snapshot = alert.snapshot_id.map(|id| ("snapshots", Some(id.to_string())));
    let app = alert.app.clone().map(|name| ("apps", Some(name)));
    let destination = alert.destination.clone().map(|name| ("destinations", Some(name)));
    let found = match alert.kind {
        AlertKind::CatalogCopyFailed | AlertKind::RecoveryKitDue | AlertKind::RecoveryHold => {
            Some(("settings/recovery", None))
        }
        AlertKind::Uncovered => Some(("coverage", None)),
        AlertKind::Overdue | AlertKind::FiresMissed => app,
        AlertKind::SizeAnomaly | AlertKind::FileCountAnomaly => snapshot.or(app),
        AlertKind::CopyDamaged => snapshot.or(destination),
        AlertKind::DestinationFull | AlertKind::DestinationUnreachable => destination,
        _ => run.or(app).or(destination),
    };
    found.unwrap_or(("alerts", None))
}

/// Names and commands stand between backticks, which pages show as code; here they are quoted.
fn unmarked(lang: Lang, text: &str) -> String {
    let parts: Vec<_> = text.split('`').collect();
    if parts.len() % 2 == 0 {
        return text.to_owned();
    }
    let (open, close) = match lang {
        Lang::En => ('“', '”'),
        Lang::Es => ('«', '»'),
    };
    let mut plain = String::with_capacity(text.len());
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            plain.push(if at % 2 == 1 { open } else { close });
        }
        plain.push_str(part);
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, path::Path};

    use model::{AlertId, AppId, DestinationId, Fact, RunId, Sentence, Severity, SnapshotId};
    use rand::SeedableRng as _;
    use strum::IntoEnumIterator as _;

    use super::*;

    fn words() -> Words {
        Words {
            zone: TimeZone::get("Europe/Madrid").unwrap(),
            public_url: Some("https://backups.example/base/".parse().unwrap()),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn alert(kind: AlertKind) -> Alert {
        use AlertKind as K;
        let opened = at("2026-11-22T02:00:00Z");
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let about_place = matches!(kind, K::DestinationFull | K::DestinationUnreachable);
        let is_here = matches!(
            kind,
            K::CatalogCopyFailed
                | K::RecoveryKitDue
                | K::RecoveryHold
                | K::ClockSkew
                | K::ConfigRejected
                | K::Uncovered
        );
        let app = !about_place && !is_here;
        let place = about_place || kind == K::CopyDamaged;
        let objective = "24h".to_owned();
        let sentence: Sentence = match kind {
            K::Overdue => {
                Fact::OverdueSince { app: "shop".into(), at: at("2026-11-20T02:00:00Z"), objective }
                    .into()
            }
            K::CopyDamaged => {
                Fact::CopiesDamaged { count: 2, app: "shop".into(), destination: "nas".into() }
                    .into()
            }
            K::BackupFailed => "`shop` answered 401: the token does not match".to_owned().into(),
            _ => "what a program said".to_owned().into(),
        };
        Alert {
            id: AlertId::generate(opened, &mut rng),
            kind,
            severity: if kind == K::SizeAnomaly { Severity::Warning } else { Severity::Error },
            app_id: app.then(|| AppId::generate(opened, &mut rng)),
            app: app.then(|| "shop".to_owned()),
            destination_id: place.then(|| DestinationId::generate(opened, &mut rng)),
            destination: place.then(|| "nas".to_owned()),
            run_id: app.then(|| RunId::generate(opened, &mut rng)),
            snapshot_id: app.then(|| SnapshotId::generate(opened, &mut rng)),
            opened_at: opened,
            closed_at: None,
            withdrawn: false,
            sentence,
            told: Vec::new(),
        }
    }

    fn closed(kind: AlertKind) -> Alert {
        Alert { closed_at: Some(at("2026-11-22T06:12:00Z")), ..alert(kind) }
    }

    fn notices() -> Vec<(String, Notice)> {
        let mut all = vec![("test".to_owned(), Notice::Test)];
        for kind in AlertKind::iter() {
            all.push((format!("{kind} opened"), Notice::Opened(alert(kind))));
        }
        for kind in AlertKind::iter().filter(|kind| !kind.is_moment()) {
            all.push((format!("{kind} closed"), Notice::Closed(closed(kind))));
        }
        let entry = |change, kind| DigestEntry {
            change,
            alert: if change == AlertChange::Closed { closed(kind) } else { alert(kind) },
        };
        let (opened, over) = (AlertChange::Opened, AlertChange::Closed);
        let several = vec![
            entry(opened, AlertKind::BackupFailed),
            entry(over, AlertKind::DestinationFull),
            entry(AlertChange::Lasts, AlertKind::Overdue),
        ];
        let many = (0..45).map(|_| entry(opened, AlertKind::Overdue)).collect();
        all.extend([
            ("overdue lasts".to_owned(), Notice::Lasts(alert(AlertKind::Overdue))),
            ("digest".to_owned(), Notice::Digest(several)),
            (
                "digest of recoveries".to_owned(),
                Notice::Digest(vec![entry(over, AlertKind::Overdue)]),
            ),
            ("digest of many".to_owned(), Notice::Digest(many)),
            ("heartbeat, well".to_owned(), Notice::Heartbeat(vec![])),
            ("heartbeat, open".to_owned(), Notice::Heartbeat(vec![alert(AlertKind::Overdue)])),
        ]);
        all
    }

    fn shown(name: &str, message: &Message) -> String {
        let mut text =
            format!("== {name} ({})\n{}\n\n{}\n", message.level, message.title, message.body);
        for (label, value) in &message.facts {
            writeln!(text, "{label}: {value}").unwrap();
        }
        if let Some(link) = &message.link {
            writeln!(text, "{link}").unwrap();
        }
        text.push('\n');
        text
    }

    #[test]
    fn the_messages_are_as_kept() {
        for language in words().languages() {
            let all = notices();
            let text: String = all
                .iter()
                .map(|(name, notice)| shown(name, &words().message(language, notice)))
                .collect();
            assert!(!text.contains("Unknown localization") && !text.contains('`'), "{text}");
            let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/alerts");
            let file = golden.join(format!("{language}.txt"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::create_dir_all(&golden).unwrap();
                std::fs::write(&file, &text).unwrap();
            }
            let kept = std::fs::read_to_string(&file).unwrap();
            assert!(kept == text, "{}: UPDATE_GOLDEN=1 writes it anew", file.display());
        }
    }

    #[test]
    fn programs_learn_what_it_is_without_reading() {
        let message = words().message("es", &Notice::Opened(alert(AlertKind::Overdue)));
        assert_eq!(message.data["kind"], "opened");
        assert_eq!(message.data["alert"], "overdue");
        assert_eq!(message.data["code"], "overdue_since");
        assert_eq!(message.data["app"], "shop");
        assert_eq!(message.link.as_deref(), Some("https://backups.example/base/apps/shop"));
        let test = words().message("fr", &Notice::Test);
        assert_eq!((&test.data["kind"], test.title.starts_with("Test")), (&json!("test"), true));
        let nowhere = Words { public_url: None, ..words() };
        assert_eq!(nowhere.message("en", &Notice::Test).link, None);
    }

    #[test]
    fn quotes_stand_where_backticks_come_in_pairs() {
        assert_eq!(unmarked(Lang::En, "`a` and `b`"), "“a” and “b”");
        assert_eq!(unmarked(Lang::Es, "`a`"), "«a»");
        assert_eq!(unmarked(Lang::En, "one ` alone"), "one ` alone");
    }
}
