//! What would make a dump fail.

use model::{Fact, Failure, FailureCode, Size};

use super::{super::direct::Asked, ALL, Session, tools::Tools, wants_globals};
use crate::{
    CheckState, Report,
    doctor::{Finding, said},
};

pub(super) async fn look(asked: &Asked<'_>, report: &mut Report) {
    if let Err(failure) = look_in_turn(asked, report).await {
        let (id, advice) = match failure.code {
            FailureCode::SourceUnreachable | FailureCode::Timeout => {
                ("reachable", Fact::DoStartServer {})
            }
            FailureCode::SourceUnauthorized => ("login", Fact::DoLoginHba {}),
            FailureCode::SecretUnreadable => ("secrets", Fact::DoPassword {}),
            FailureCode::SourceConfig => ("settings", Fact::DoSourceSettings {}),
            _ => ("database", Fact::DoServerLog {}),
        };
        report.failed(id, told(asked, failure), advice);
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
    let (address, user) = (session.server.address(), session.server.user.clone());
    let answers = Fact::PostgresAnswers { major: major.to_string(), address };
    report.ok("reachable", told(asked, answers));
    report.ok("login", told(asked, Fact::MayLogIn { user }));
    report.ok("tools", told(asked, Fact::CanDump { major: tools.major.to_string() }));
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
    report.ok("databases", told(asked, Fact::DatabasesSeen { databases: sizes.join(", ") }));
    if wants_globals(asked) {
        let (maintenance, ..) = session.maintenance().await?;
        if !session.sees_passwords(&tools, maintenance).await? {
            report.push(
                "globals",
                CheckState::Warning,
                told(asked, Fact::RolesNoPasswords {}),
                Some(Fact::DoReadAllOrSet {}),
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
    let grant = said(format!("GRANT pg_read_all_data TO {}", session.server.user));
    let name = || database.to_owned();
    if rights.unreadable > 0 {
        let found = Fact::Unreadable { count: rights.unreadable, database: name() };
        report.failed("rights", told(asked, found), grant);
    } else if !rights.reads_all {
        let found = told(asked, Fact::ReadableNow { database: name() });
        report.push("rights", CheckState::Warning, found, Some(grant));
    } else {
        report.ok("rights", told(asked, Fact::Readable { database: name() }));
    }
    let limit = asked.max_size_bytes();
    if rights.size_bytes > limit {
        let size = Size(rights.size_bytes);
        let found = Fact::IsTooLarge { what: name(), size, limit: Size(limit) };
        let advice = Some(Fact::DoRaiseLimit {});
        report.push("size", CheckState::Warning, told(asked, found), advice);
    }
    Ok(rights.size_bytes)
}

fn told(asked: &Asked<'_>, why: impl Into<Finding>) -> Fact {
    Fact::At { place: asked.source.name.to_string(), why: why.into().into() }
}
