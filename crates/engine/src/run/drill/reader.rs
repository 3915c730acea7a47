//! Who asks the questions of a restored PostgreSQL: somebody who may read everything and do nothing
//! else.

use model::Failure;

use crate::source::postgres::{session::Session, tools::Tools};

pub(super) const READER: &str = "backup_orchestrator_reader";

/// Of a server before PostgreSQL 14, which has no role that may read everything: what is in one
/// database now.
const GRANTED: &str = "DO $grant$ DECLARE one name; BEGIN \
     IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'backup_orchestrator_reader') \
     THEN CREATE ROLE backup_orchestrator_reader LOGIN BYPASSRLS; END IF; \
     FOR one IN SELECT nspname FROM pg_catalog.pg_namespace \
       WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP \
     EXECUTE format('GRANT USAGE ON SCHEMA %I TO backup_orchestrator_reader', one); \
     EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO backup_orchestrator_reader', one); \
     EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO backup_orchestrator_reader', \
       one); END LOOP; END $grant$";

/// What makes a role one that may read everything, where the server has such a right.
pub(super) async fn right(
    session: &Session<'_>,
    tools: &Tools,
    database: &str,
) -> Result<&'static str, Failure> {
    let query = "SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = 'pg_read_all_data'";
    let there = session.value(tools, database, query).await?;
    Ok(if there == "0" { "" } else { " IN ROLE pg_read_all_data" })
}

/// Makes it, for questions to `databases`.
pub(super) async fn make(
    session: &Session<'_>,
    tools: &Tools,
    databases: &[&str],
) -> Result<(), Failure> {
    let Some(first) = databases.first() else { return Ok(()) };
    let right = right(session, tools, first).await?;
    if !right.is_empty() {
        let made = format!("CREATE ROLE {READER} LOGIN BYPASSRLS{right}");
        return session.ask(tools, first, &made).await.map(drop);
    }
    for database in databases {
        session.ask(tools, database, GRANTED).await?;
    }
    Ok(())
}
