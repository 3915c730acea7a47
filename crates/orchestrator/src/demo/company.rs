//! The company of the demonstration: what its apps are made of.

use engine::{AppDraft, BindingDraft, RecoveryDraft, ScheduleDraft, SourceDraft};
use model::{
    Contents, DestinationId, DrillPlan, Limits, TableRows, retention::RetentionPolicy,
    schedule::Schedule,
};

/// A source, and what a snapshot has of it.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    /// Its size at the beginning of the history, in MiB.
    pub(super) mib: u64,
    /// Its largest tables and their rows, where it is a database.
    tables: &'static [(&'static str, u64)],
}

const fn database(kind: &'static str, mib: u64, tables: &'static [(&'static str, u64)]) -> Kept {
    Kept { name: "db", kind, mib, tables }
}

const fn volume(name: &'static str, mib: u64) -> Kept {
    Kept { name, kind: "volume", mib, tables: &[] }
}

/// Names of apps and their sources; with more apps they come again with a number.
const APPS: &[(&str, &[Kept])] = &[
    (
        "shop",
        &[
            database(
                "postgres",
                420,
                &[
                    ("public.customers", 18_211),
                    ("public.order_lines", 402_773),
                    ("public.orders", 131_940),
                    ("public.products", 4_312),
                ],
            ),
            volume("uploads", 2_900),
        ],
    ),
    (
        "wiki",
        &[
            database("mysql", 260, &[("page", 12_904), ("revision", 88_120), ("user", 214)]),
            volume("images", 1_450),
        ],
    ),
    ("mail", &[volume("mailboxes", 7_200)]),
    (
        "photos",
        &[
            database("postgres", 310, &[("public.albums", 612), ("public.photos", 48_733)]),
            volume("originals", 9_800),
        ],
    ),
    (
        "crm",
        &[database("postgres", 640, &[("public.companies", 2_415), ("public.contacts", 30_118)])],
    ),
    (
        "forum",
        &[
            database("postgres", 380, &[("public.posts", 204_511), ("public.topics", 21_087)]),
            Kept { name: "cache", kind: "redis", mib: 45, tables: &[] },
        ],
    ),
    ("billing", &[database("mysql", 510, &[("invoice_lines", 277_390), ("invoices", 61_204)])]),
    (
        "chat",
        &[database("postgres", 880, &[("public.channels", 341), ("public.posts", 1_204_551)])],
    ),
    ("analytics", &[database("postgres", 2_100, &[("public.visits", 9_120_447)])]),
    (
        "git",
        &[database("postgres", 150, &[("public.issues", 8_204)]), volume("repositories", 3_300)],
    ),
    ("monitoring", &[volume("grafana", 140)]),
    ("intranet", &[database("mysql", 190, &[("node", 5_120), ("node_revision", 20_773)])]),
];

/// The name of the app of this number, and its sources.
pub(super) fn app(number: usize) -> (String, &'static [Kept]) {
    let (name, kept) = APPS[number % APPS.len()];
    match number / APPS.len() {
        0 => (name.to_owned(), kept),
        round => (format!("{name}-{}", round + 1), kept),
    }
}

/// Whether it is the one that is deployed by a pipeline, and comes back to any moment.
pub(super) fn is_shop(number: usize) -> bool {
    number == 0
}

/// Minutes after 3 in the morning at which it runs.
pub(super) fn minutes(number: usize) -> usize {
    (number * 7) % 180
}

/// What its retention keeps.
pub(super) fn retention() -> RetentionPolicy {
    RetentionPolicy {
        keep_daily: Some(7),
        keep_weekly: Some(4),
        keep_monthly: Some(6),
        ..RetentionPolicy::default()
    }
}

impl Kept {
    /// The ending of its file, and its format.
    pub(super) fn file(&self) -> (&'static str, &'static str) {
        match self.kind {
            "postgres" => ("dump", "pg_dump_Fc"),
            "mysql" => ("sql", "mysqldump"),
            "redis" => ("rdb", "rdb"),
            _ => ("tar", "tar"),
        }
    }

    /// What was counted in it when it was `bytes` large.
    pub(super) fn contents(&self, bytes: u64) -> Option<Contents> {
        let begun = self.mib << 20;
        // In KiB, so that the product fits.
        let grown = |rows: u64| rows * (bytes >> 10) / (begun >> 10);
        let rows = |(table, rows): &(&str, u64)| TableRows {
            table: (*table).to_owned(),
            rows: grown(*rows),
        };
        match self.kind {
            "redis" => None,
            "volume" => {
                let files = bytes >> 18;
                Some(Contents::Members { files, bytes, others: files / 40 })
            }
            _ => {
                let tables: Vec<_> = self.tables.iter().map(rows).collect();
                Some(Contents::Tables { total: tables.len() as u64, tables })
            }
        }
    }

    fn draft(&self, app: &str) -> SourceDraft {
        let settings = match self.kind {
            "volume" => vec![("volume", format!("{app}_{}", self.name))],
            "redis" => vec![("host", format!("{app}-cache"))],
            _ => vec![
                ("host", format!("{app}-db")),
                ("user", "backup".to_owned()),
                ("database", app.replace('-', "_")),
            ],
        };
        SourceDraft {
            name: self.name.to_owned(),
            kind: self.kind.to_owned(),
            settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            ..SourceDraft::default()
        }
    }
}

/// An app as somebody describes it, whose drills are on a day of the week, 0 for Sundays.
pub(super) fn draft(number: usize, destinations: [DestinationId; 2], drilled_on: i8) -> AppDraft {
    let (name, kept) = app(number);
    let binding = |id: &DestinationId| BindingDraft {
        destination: id.to_string(),
        folder: format!("apps/{name}"),
        ..BindingDraft::default()
    };
    let (hour, minute) = (3 + minutes(number) / 60, minutes(number) % 60);
    let spec = format!("{minute} {hour} * * *");
    let drills = format!("{minute} {} * * {drilled_on}", hour + 1);
    AppDraft {
        sources: kept.iter().map(|one| one.draft(&name)).collect(),
        destinations: destinations.iter().map(binding).collect(),
        schedule: Some(ScheduleDraft { spec, ..ScheduleDraft::default() }),
        retention: retention(),
        limits: Limits {
            objective_secs: Some(2 * 24 * 3600),
            restore_objective_secs: Some(if is_shop(number) { 900 } else { 3600 }),
            ..Limits::default()
        },
        drill: Some(DrillPlan { schedule: schedule(drills), ..DrillPlan::default() }),
        recovery: is_shop(number).then(|| RecoveryDraft { heartbeat: true, ..Default::default() }),
        name,
        ..AppDraft::default()
    }
}

fn schedule(spec: String) -> Option<Schedule> {
    ScheduleDraft { spec, ..ScheduleDraft::default() }.parse().ok()
}
