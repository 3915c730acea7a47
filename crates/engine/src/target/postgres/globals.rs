//! Roles: those that are missing are made, as the dump of the whole server has them.

use std::collections::HashSet;

use model::{Fact, Failure};

use super::{super::Loaded, Supply, refused};
use crate::source::postgres::{session::Session, tools::Tools};

/// A server with more roles than fit in here is restored by hand.
const MAX_BYTES: usize = 16 << 20;

/// Makes the roles that `supply` has and the server has not.
pub(crate) async fn load(
    session: &Session<'_>,
    tools: &Tools,
    maintenance: &str,
    supply: &Supply<'_>,
) -> Result<Loaded, Failure> {
    let mut bytes = supply.open()?;
    let mut all = Vec::new();
    while let Some(chunk) = bytes.chunk().await? {
        if all.len() + chunk.len() > MAX_BYTES {
            return Err(refused("the dump of roles is too large: restore it with psql"));
        }
        all.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(all).map_err(|_| refused("the dump of roles is no text"))?;
    let known = session.ask(tools, maintenance, "SELECT rolname FROM pg_catalog.pg_roles").await?;
    let known: HashSet<_> = known.into_iter().map(|row| row.join("\t")).collect();
    let statements = missing(&text, &known);
    for statement in &statements {
        session.ask(tools, maintenance, statement).await?;
    }
    let made = statements.iter().filter(|one| one.starts_with("CREATE ROLE ")).count();
    Ok(Loaded { notes: vec![Fact::RolesMade { count: made as u64 }.into()] })
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

/// Whether no `;` outside quotes makes two of it.
fn is_one_statement(text: &str) -> bool {
    let (mut single, mut double) = (false, false);
    for c in text.chars() {
        match c {
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            ';' if !single && !double => return false,
            _ => {}
        }
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
CREATE TABLESPACE fast OWNER postgres LOCATION '/x';
";
        let known = HashSet::from(["postgres".to_owned(), "reader".to_owned()]);
        assert_eq!(
            missing(text, &known),
            [
                "CREATE ROLE \"Shop \"\"app\"\"\"",
                "ALTER ROLE \"Shop \"\"app\"\"\" WITH LOGIN PASSWORD 'a;b'",
                "GRANT reader TO \"Shop \"\"app\"\"\" WITH INHERIT TRUE GRANTED BY postgres",
            ]
        );
    }
}
