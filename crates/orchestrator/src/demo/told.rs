//! What runs and drills of the demonstration told: their logs and reports.

use model::{
    Artifact, Contents, DrillCheck, DrillItem, DrillReport, DrillState, Fact, LogLevel, Size,
    Snapshot, Stage,
};

use super::{company::Kept, history::RATE};

/// The log of a run: seconds after its beginning, and what it says.
pub(super) fn lines(
    snapshot: &Snapshot,
    is_partial: bool,
    secs: i64,
) -> Vec<(i64, LogLevel, Stage, String)> {
    let mut all = Vec::new();
    let copy = &snapshot.copies[0];
    for (artifact, object) in snapshot.artifacts.iter().zip(&copy.objects) {
        let since = artifact.began_at.unwrap_or(snapshot.taken_at);
        let at = since.duration_since(snapshot.taken_at).as_secs();
        let (name, format) = (&artifact.source, artifact.format.as_deref().unwrap_or_default());
        let file = &artifact.file_name;
        let mut say = |stage, text| all.push((at, LogLevel::Info, stage, text));
        say(Stage::Export, format!("asking `{name}` for its export"));
        let sends = format!("`{name}` sends {file} ({format}), stored with compression zstd:3");
        say(Stage::Export, sends);
        say(Stage::Store, format!("local-disk: writing {}", object.key));
        if !is_partial {
            say(Stage::Store, format!("offsite: writing {}", object.key));
        }
    }
    if is_partial {
        let refused = "offsite: 503 Service Unavailable".to_owned();
        all.push((secs, LogLevel::Warn, Stage::Store, refused));
    }
    let key = &copy.manifest_key;
    for name in ["local-disk", "offsite"].into_iter().take(snapshot.copies.len()) {
        all.push((secs + 2, LogLevel::Info, Stage::Commit, format!("{name}: committed {key}")));
    }
    all
}

/// What the drill of a snapshot told.
pub(super) fn report(kept: &[Kept], snapshot: &Snapshot, took_secs: f64) -> DrillReport {
    let check = |name: &str, fact: Fact| DrillCheck {
        name: name.to_owned(),
        state: DrillState::Passed,
        sentence: fact.into(),
    };
    let item = |(kept, artifact): (&Kept, &Artifact)| {
        let server = |kind: &str, image: &str| {
            let (kind, image) = (kind.to_owned(), image.to_owned());
            Fact::ScratchAsStored { kind, image }
        };
        let scratch = match kept.kind {
            "postgres" => server("PostgreSQL", "postgres:17"),
            "mysql" => server("MariaDB", "mariadb:11"),
            "redis" => server("Redis", "redis:7"),
            _ => Fact::ScratchFolder {},
        };
        let checks = match &artifact.contents {
            Some(Contents::Tables { tables, total }) => {
                let rows = tables.iter().map(|one| one.rows).sum();
                let agree = Fact::TablesAgree { tables: *total, rows, counted: *total };
                vec![check("rows", agree), check("pg_amcheck", Fact::AllSound {})]
            }
            Some(Contents::Members { files, bytes, .. }) => {
                vec![check("files", Fact::FilesAgree { files: *files, size: Size(*bytes) })]
            }
            None => vec![check("redis-check-rdb", Fact::FileSound {})],
        };
        let secs = (artifact.size_bytes / RATE) as f64;
        let (restore_secs, check_secs) = (secs + 3.0, 4.0);
        let artifact = artifact.source.clone();
        DrillItem {
            artifact,
            scratch: scratch.into(),
            restore_secs,
            check_secs,
            checks,
            landing: None,
        }
    };
    let items = kept.iter().zip(&snapshot.artifacts).map(item).collect();
    DrillReport { items, boot: None, took_secs }
}
