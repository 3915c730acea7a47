//! Roles: those that are missing are made, as the dump of the whole server has them.

use std::collections::{BTreeSet, HashSet};

use model::{Fact, Failure};
use secrecy::SecretString;

use super::{super::Loaded, Supply, refused};
use crate::source::postgres::{session::Session, tools::Tools};

/// How often roles are made before it is given up, where others make some at the same time.
const TRIES: u32 = 3;

/// A server with more roles than fit in here is restored by hand.
const MAX_BYTES: usize = 16 << 20;

/// Makes the roles that `supply` has and the server has not.
pub(crate) async fn load(
    session: &Session<'_>,
    tools: &Tools,
    maintenance: &str,
    supply: &Supply<'_>,
) -> Result<Loaded, Failure> {
    let text = text_of(supply).await?;
    let mut tries = TRIES;
    let statements = loop {
        let known = "SELECT rolname FROM pg_catalog.pg_roles";
        let known = session.ask(tools, maintenance, known).await?;
        let known: HashSet<_> = known.into_iter().map(|row| row.join("\t")).collect();
        let statements = missing(&text, &known);
        if statements.is_empty() {
            break statements;
        }
        tries -= 1;
        let all = SecretString::from(format!("{};\n", statements.join(";\n")));
        match session.tell(supply.context(), tools, maintenance, &all).await {
            // All of them or none: somebody else has made one meanwhile, or changed it.
            Err(failure) if tries > 0 && failure.message.contains("ERROR:") => {}
            told => break told.map(|()| statements)?,
        }
    };
    let made = statements.iter().filter(|one| one.starts_with("CREATE ROLE ")).count();
    let notes = vec![Fact::RolesMade { count: made as u64 }.into()];
    Ok(Loaded { notes, ..Loaded::default() })
}

async fn text_of(supply: &Supply<'_>) -> Result<String, Failure> {
    let mut bytes = supply.open()?;
    let mut all = Vec::new();
    while let Some(chunk) = bytes.chunk().await? {
        if all.len() + chunk.len() > MAX_BYTES {
            return Err(refused("the dump of roles is too large: restore it with psql"));
        }
        all.extend_from_slice(&chunk);
    }
    String::from_utf8(all).map_err(|_| refused("the dump of roles is no text"))
}

/// The roles that a dump makes.
pub(crate) async fn named(supply: &Supply<'_>) -> Result<BTreeSet<String>, Failure> {
    let text = text_of(supply).await?;
    let statements = text.lines().filter_map(|line| line.strip_prefix("CREATE ROLE "));
    Ok(statements.filter_map(|rest| Some(name(rest)?.0)).collect())
}

/// The statements about roles that are not among `known`, in their order. Of each line only what
/// `pg_dumpall` writes counts: one statement, whole.
fn missing(text: &str, known: &HashSet<String>) -> Vec<String> {
    let mut new = HashSet::new();
    let mut statements = Vec::new();
    for line in text.lines() {
        let Some(statement) = line.strip_suffix(';') else { continue };
        let wanted = if let Some(rest) = statement.strip_prefix("CREATE ROLE ") {
            match name(rest) {
                Some((role, "")) if !known.contains(&role) => new.insert(role),
                _ => false,
            }
        } else if let Some(rest) = statement.strip_prefix("ALTER ROLE ") {
            name(rest).is_some_and(|(role, _)| new.contains(&role))
        } else if let Some(rest) = statement.strip_prefix("GRANT ") {
            // `GRANT role TO member`: to a member that is new.
            name(rest)
                .and_then(|(_, rest)| name(rest.strip_prefix(" TO ")?))
                .is_some_and(|(member, _)| new.contains(&member))
        } else {
            false
        };
        if wanted && is_one_statement(statement) {
            statements.push(statement.to_owned());
        }
    }
    statements
}

/// Whether it is surely one statement, and nothing that psql takes for its own: no `;` outside
/// quotes, and none of what would make other quotes than these.
fn is_one_statement(text: &str) -> bool {
    let (mut single, mut double) = (false, false);
    let mut last = ' ';
    for c in text.chars() {
        match c {
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            // In a string it may escape its end.
            '\\' => return false,
            ';' | '$' | ':' if !single && !double => return false,
            '-' if last == '-' && !single && !double => return false,
            '*' if last == '/' && !single && !double => return false,
            _ => {}
        }
        last = c;
    }
    !single && !double
}

/// The name that `text` begins with, and what follows it.
pub(super) fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
            .unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        name += before;
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_made() {
        let text = "\
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$x';
CREATE ROLE \"Shop \"\"app\"\"\";
ALTER ROLE \"Shop \"\"app\"\"\" WITH LOGIN PASSWORD 'a;b';
CREATE ROLE evil; DROP DATABASE shop;
GRANT reader TO \"Shop \"\"app\"\"\" WITH INHERIT TRUE GRANTED BY postgres;
GRANT reader TO postgres;
ALTER ROLE \"Shop \"\"app\"\"\" PASSWORD E'\\''; DROP DATABASE shop; --';
ALTER ROLE \"Shop \"\"app\"\"\" PASSWORD $$'$$; DROP DATABASE shop; --';
ALTER ROLE \"Shop \"\"app\"\"\" /* ' */; DROP DATABASE shop; --';
ALTER ROLE \"Shop \"\"app\"\"\" -- ' ; DROP DATABASE shop '
ALTER ROLE \"Shop \"\"app\"\"\" CONNECTION LIMIT :DBNAME;
ALTER ROLE \"Shop \"\"app\"\"\" WITH PASSWORD 'SCRAM-SHA-256$4096:a/*b--c==';
CREATE TABLESPACE fast OWNER postgres LOCATION '/x';
";
        let known = HashSet::from(["postgres".to_owned(), "reader".to_owned()]);
        assert_eq!(
            missing(text, &known),
            [
                "CREATE ROLE \"Shop \"\"app\"\"\"",
                "ALTER ROLE \"Shop \"\"app\"\"\" WITH LOGIN PASSWORD 'a;b'",
                "GRANT reader TO \"Shop \"\"app\"\"\" WITH INHERIT TRUE GRANTED BY postgres",
                "ALTER ROLE \"Shop \"\"app\"\"\" WITH PASSWORD 'SCRAM-SHA-256$4096:a/*b--c=='",
            ]
        );
    }
}
