//! Whose rights a PostgreSQL dump has while it is tried: those of a user who owns what is in it and
//! has no power over the server. A superuser's SQL runs commands on the machine.

use std::collections::BTreeSet;

use model::{Fact, Failure};

use crate::{
    source::postgres::{session::Session, tools::Tools},
    target::postgres::database::ident,
};

/// Made by `initdb`, with a name that no dump has. Nothing of a dump is run by it.
pub(super) const SUPERUSER: &str = "backup_orchestrator";
/// Runs the dump, and counts what came back.
pub(super) const OWNER: &str = "backup_orchestrator_dump";

/// Extensions that only a superuser may make, and that give those who use them no file, no command
/// and no connection of the server's machine.
const HARMLESS: &[&str] = &[
    "address_standardizer",
    "amcheck",
    "autoinc",
    "bloom",
    "earthdistance",
    "hll",
    "insert_username",
    "intagg",
    "ip4r",
    "moddatetime",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_stat_statements",
    "pg_uuidv7",
    "pg_visibility",
    "pgrouting",
    "pgrowlocks",
    "pgstattuple",
    "postgis",
    "postgis_topology",
    "refint",
    "rum",
    "sslinfo",
    "vector",
];

/// Makes the owner, and the `roles` that a script gives things to.
pub(super) async fn make(
    session: &Session<'_>,
    tools: &Tools,
    maintenance: &str,
    roles: &BTreeSet<String>,
) -> Result<(), Failure> {
    let right = super::reader::right(session, tools, maintenance).await?;
    let make = format!("CREATE ROLE {OWNER} LOGIN BYPASSRLS{right}");
    session.ask(tools, maintenance, &make).await?;
    for role in roles.iter().filter(|role| *role != SUPERUSER && *role != OWNER) {
        // Without being of a role one cannot give it anything.
        let make = format!("CREATE ROLE {} ROLE {OWNER}", ident(role));
        session.ask(tools, maintenance, &make).await?;
    }
    Ok(())
}

/// Lets `users` do what the owner may; those that a script has made have it from that.
pub(super) async fn let_in(
    session: &Session<'_>,
    tools: &Tools,
    users: BTreeSet<&str>,
) -> Result<(), Failure> {
    let there = "SELECT rolname FROM pg_catalog.pg_roles";
    let there: BTreeSet<_> =
        session.ask(tools, "template1", there).await?.into_iter().flatten().collect();
    for user in users.into_iter().filter(|user| *user != SUPERUSER && *user != OWNER) {
        let statement = if there.contains(user) {
            format!("ALTER ROLE {} LOGIN", ident(user))
        } else {
            format!("CREATE ROLE {} LOGIN IN ROLE {OWNER}", ident(user))
        };
        session.ask(tools, "template1", &statement).await?;
    }
    Ok(())
}

/// Makes the new `database` the owner's own.
pub(super) async fn give(
    session: &Session<'_>,
    tools: &Tools,
    database: &str,
) -> Result<(), Failure> {
    let names: Vec<_> = HARMLESS.iter().map(|name| format!("'{name}'")).collect();
    for statement in [
        format!("GRANT ALL ON DATABASE {} TO {OWNER}", ident(database)),
        format!("ALTER SCHEMA public OWNER TO {OWNER}"),
        // Who is given something in a schema has to be allowed to have something there.
        "GRANT USAGE, CREATE ON SCHEMA public TO PUBLIC".to_owned(),
        format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT USAGE, CREATE ON SCHEMAS TO PUBLIC"
        ),
        FUNCTION.replace("NAMES", &names.join(", ")),
        "CREATE EVENT TRIGGER backup_orchestrator ON ddl_command_start \
         WHEN TAG IN ('CREATE EXTENSION') \
         EXECUTE FUNCTION pg_catalog.backup_orchestrator_extension()"
            .to_owned(),
        format!("UPDATE pg_catalog.pg_extension SET extowner = '{OWNER}'::pg_catalog.regrole"),
    ] {
        session.ask(tools, database, &statement).await?;
    }
    Ok(())
}

/// Makes an extension of the list right before the dump's own statement, which then finds it. Only
/// while nothing of the dump is there but schemas and other extensions: an extension's script, which
/// runs as superuser, may take a dump's function for one of the server's.
const FUNCTION: &str = r#"
CREATE FUNCTION pg_catalog.backup_orchestrator_extension() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET session_replication_role = replica AS $function$
DECLARE
  asked text[] := regexp_match(current_query(), '^(?:\s|--[^\n]*\n)*'
    'CREATE EXTENSION IF NOT EXISTS ("(?:[^"]|"")+"|[a-z0-9_]+)'
    '(?: WITH SCHEMA ("(?:[^"]|"")+"|[a-z0-9_]+))?;\s*$');
  extension text := (parse_ident(asked[1]))[1];
  place text := (parse_ident(asked[2]))[1];
  one record;
BEGIN
  IF extension IS NULL OR extension NOT IN (NAMES)
    OR NOT EXISTS (SELECT FROM pg_available_extensions
      WHERE name = extension AND installed_version IS NULL)
    OR EXISTS (SELECT FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
      WHERE d.datname = current_database() AND s.deptype = 'o' AND s.classid NOT IN
        ('pg_namespace'::regclass, 'pg_extension'::regclass, 'pg_default_acl'::regclass))
  THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE EXTENSION %I', extension)
    || CASE WHEN place IS NULL THEN '' ELSE format(' WITH SCHEMA %I', place) END;
  UPDATE pg_extension SET extowner = session_user::text::regrole WHERE extname = extension;
  -- Dumps bring what was added to an extension's own tables.
  FOR one IN SELECT c.oid::regclass AS name FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
    JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass
      AND d.deptype = 'e' AND c.relkind IN ('r', 'p') AND e.extname = extension
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', one.name, session_user);
  END LOOP;
END
$function$"#;

/// Says of a restore that failed at an extension which of the two could not do it.
pub(super) fn explained(failure: Failure) -> Failure {
    let at_extension = ["permission denied to create extension", "extension control file"]
        .iter()
        .any(|words| failure.message.contains(words))
        || (failure.message.contains("extension \"")
            && failure.message.contains("is not available"));
    if !at_extension {
        return failure;
    }
    failure.told_in(|why| Fact::ExtensionMissing { why })
}
