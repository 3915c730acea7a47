//! What would make a dump fail.

use model::{Failure, FailureCode};

use super::{super::direct::Asked, ALL, Session, tools::Tools, wants_globals};
use crate::{CheckState, Report};

pub(super) async fn look(asked: &Asked<'_>, report: &mut Report) {
    if let Err(failure) = look_in_turn(asked, report).await {
        let (id, advice) = match failure.code {
            FailureCode::SourceUnreachable | FailureCode::Timeout => {
                ("reachable", "start the server, and check host, port and network")
            }
            FailureCode::SourceUnauthorized => {
                ("login", "enter user and password again, and allow them in pg_hba.conf")
            }
            FailureCode::SecretUnreadable => ("secrets", "enter the password again"),
            FailureCode::SourceConfig => ("settings", "change the source's settings"),
            _ => ("database", "look into the server's log"),
        };
        report.failed(id, told(asked, &failure.message), advice);
    }
}

async fn look_in_turn(asked: &Asked<'_>, report: &mut Report) -> Result<(), Failure> {
    let session = Session::of(asked).await?;
    let named = asked.list("database");
    let is_all = named.contains(&ALL);
    let (tools, major) = match named.first() {
        Some(first) if !is_all => session.fit(first).await?,
        _ => {
            let (_, tools, major) = session.maintenance().await?;
            (tools, major)
        }
    };
    let address = session.server.address();
    report.ok("reachable", told(asked, &format!("PostgreSQL {major} answers at {address}")));
    report.ok("login", told(asked, &format!("`{}` may log in", session.server.user)));
    report.ok("tools", told(asked, &format!("pg_dump {} can dump it", tools.major)));
    let databases = if is_all {
        session.databases().await?
    } else {
        named.into_iter().map(str::to_owned).collect()
    };
    let mut sizes = Vec::new();
    for database in &databases {
        let size = look_at(asked, &session, &tools, database, report).await?;
        sizes.push(format!("{database} ({size} bytes)"));
    }
    report.ok("databases", told(asked, &format!("visible: {}", sizes.join(", "))));
    if wants_globals(asked) {
        let (maintenance, ..) = session.maintenance().await?;
        if !session.sees_passwords(&tools, maintenance).await? {
            report.push(
                "globals",
                CheckState::Warning,
                told(asked, "roles are dumped without their passwords"),
                Some("grant pg_read_all_data, or set them after a restore".into()),
            );
        }
    }
    Ok(())
}

/// Looks at one database; gives its size.
async fn look_at(
    asked: &Asked<'_>,
    session: &Session<'_>,
    tools: &Tools,
    database: &str,
    report: &mut Report,
) -> Result<u64, Failure> {
    let rights = session.rights(tools, database).await?;
    let grant = format!("GRANT pg_read_all_data TO {}", session.server.user);
    if rights.unreadable > 0 {
        let count = rights.unreadable;
        report.failed(
            "rights",
            told(asked, &format!("{count} tables or sequences of {database} cannot be read")),
            grant,
        );
    } else if !rights.reads_all {
        report.push(
            "rights",
            CheckState::Warning,
            told(asked, &format!("everything in {database} can be read now, new tables may not")),
            Some(grant),
        );
    } else {
        report.ok("rights", told(asked, &format!("everything in {database} can be read")));
    }
    let limit = asked.max_size_bytes();
    if rights.size_bytes > limit {
        report.push(
            "size",
            CheckState::Warning,
            told(
                asked,
                &format!("{database} has {} bytes, {limit} are allowed", rights.size_bytes),
            ),
            Some("raise BACKUP_MAX_SIZE_MB or the app's own limit".into()),
        );
    }
    Ok(rights.size_bytes)
}

fn told(asked: &Asked<'_>, detail: &str) -> String {
    format!("{}: {detail}", asked.source.name)
}
