//! Users: those that are missing are made, with what is granted to them.

use std::collections::{BTreeSet, HashSet};

use model::{Fact, Failure};
use secrecy::SecretString;

use super::{super::Loaded, Aim, Supply, refused};
use crate::source::mysql::{USERS, client::Client};

/// A server with more users than fit in here is restored by hand.
const MAX_BYTES: usize = 16 << 20;

/// Whether the artifact is one of users and grants.
pub(crate) fn are(aim: &Aim<'_>) -> bool {
    aim.artifact.part.as_deref() == Some(USERS) && aim.artifact.file_name == "users.sql"
}

/// Makes the users that `supply` has and the server has not.
pub(crate) async fn load(client: &Client<'_>, supply: &Supply<'_>) -> Result<Loaded, Failure> {
    let dump = text_of(supply).await?;
    let known = there(client).await?;
    let known: HashSet<_> = known.iter().map(String::as_str).collect();
    let (made, statements) = missing(&dump, &known);
    if !statements.is_empty() {
        let all = SecretString::from(format!("{};\n", statements.join(";\n")));
        client.tell(supply.context(), &all).await?;
    }
    let notes = vec![Fact::UsersMade { count: made as u64 }.into()];
    Ok(Loaded { notes, ..Loaded::default() })
}

async fn text_of(supply: &Supply<'_>) -> Result<String, Failure> {
    let mut bytes = supply.open()?;
    let mut all = Vec::new();
    while let Some(chunk) = bytes.chunk().await? {
        if all.len() + chunk.len() > MAX_BYTES {
            return Err(refused("the dump of users is too large: restore it by hand"));
        }
        all.extend_from_slice(&chunk);
    }
    String::from_utf8(all).map_err(|_| refused("the dump of users is no text"))
}

/// The users of the server.
pub(crate) async fn there(client: &Client<'_>) -> Result<BTreeSet<String>, Failure> {
    let told = client.ask("SELECT concat('`', user, '`@`', host, '`') FROM mysql.user").await?;
    Ok(told.lines().map(str::to_owned).collect())
}

/// The users that a dump makes.
pub(crate) async fn named(supply: &Supply<'_>) -> Result<BTreeSet<String>, Failure> {
    let dump = text_of(supply).await?;
    let statements =
        dump.lines().filter_map(|line| line.strip_prefix("CREATE USER IF NOT EXISTS "));
    Ok(statements.filter_map(user).map(str::to_owned).collect())
}

/// How many users are not among `known`, and the statements about them.
fn missing<'a>(dump: &'a str, known: &HashSet<&str>) -> (usize, Vec<&'a str>) {
    let mut new = HashSet::new();
    let mut statements = Vec::new();
    for line in dump.lines() {
        let Some(statement) = line.strip_suffix(';') else { continue };
        let wanted = if let Some(rest) = statement.strip_prefix("CREATE USER IF NOT EXISTS ") {
            user(rest).is_some_and(|user| !known.contains(user) && new.insert(user))
        } else if statement.starts_with("GRANT ") {
            let to = statement.rsplit_once(" TO ").and_then(|(_, rest)| user(rest));
            to.is_some_and(|user| new.contains(user))
        } else {
            false
        };
        // The shell would take two for two.
        if wanted && !statement.contains([';', '\\']) {
            statements.push(statement);
        }
    }
    (new.len(), statements)
}

/// The user that `text` begins with, as it stands there: `` `name`@`host` ``.
fn user(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('`')?;
    let (name, rest) = rest.split_once("`@`")?;
    let (host, _) = rest.split_once('`')?;
    Some(&text[..name.len() + host.len() + 5])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_made() {
        let dump = "CREATE USER IF NOT EXISTS `root`@`localhost` IDENTIFIED BY PASSWORD 'x';\n\
            CREATE USER IF NOT EXISTS `clerk`@`%` IDENTIFIED BY PASSWORD '*1';\n\
            CREATE USER IF NOT EXISTS `bad`@`%`; DROP DATABASE shop;\n\
            GRANT SELECT ON `shop`.* TO `clerk`@`%`;\nGRANT ALL ON *.* TO `root`@`localhost`;\n";
        let known = HashSet::from(["`root`@`localhost`"]);
        let (_, statements) = missing(dump, &known);
        assert_eq!(
            statements,
            [
                "CREATE USER IF NOT EXISTS `clerk`@`%` IDENTIFIED BY PASSWORD '*1'",
                "GRANT SELECT ON `shop`.* TO `clerk`@`%`",
            ]
        );
    }
}
