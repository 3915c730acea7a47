//! A dump on its way to the shell. Commands of the shell's own would be run on the machine that
//! restores, and some statements would lead into other databases: a dump that has any is refused.

use artifact::contents::{Reader, Seen};
use model::{Fact, Failure};

use super::refused;

/// Of a statement's beginning no more than this is looked at.
const MAX_HEAD: usize = 64;
/// What a shell takes for a command of its own at the beginning of a statement.
const COMMANDS: [&str; 12] = [
    "use",
    "source",
    "system",
    "tee",
    "notee",
    "pager",
    "edit",
    "connect",
    "resetconnection",
    "sandbox",
    "shutdown",
    "load",
];

/// Looks at a dump as it passes.
#[derive(Debug, Default)]
pub(crate) struct Script {
    reader: Reader,
    head: String,
    is_judged: bool,
}

impl Script {
    /// Errs at what a dump of one database has not.
    pub(crate) fn pass(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        let mut found = None;
        let Self { reader, head, is_judged } = self;
        reader.push(chunk, |seen| match seen {
            Seen::Command => found = found.take().or(Some("a command of the shell".to_owned())),
            Seen::Code(byte) if !*is_judged => {
                let is_nothing = byte.is_ascii_whitespace() || matches!(byte, b'/' | b'-' | b'*');
                if !(head.is_empty() && is_nothing) {
                    head.push(char::from(byte).to_ascii_lowercase());
                }
                if head.len() == MAX_HEAD {
                    *is_judged = true;
                    found = found.take().or_else(|| judge(head));
                }
            }
            Seen::Name(_) if !*is_judged => {
                if !head.is_empty() && !head.ends_with(' ') {
                    head.push(' ');
                }
            }
            Seen::End => {
                if !*is_judged {
                    found = found.take().or_else(|| judge(head));
                }
                head.clear();
                *is_judged = false;
            }
            Seen::Code(_) | Seen::Name(_) => {}
        });
        let Some(what) = found else { return Ok(()) };
        Err(refused(Fact::NotOfOneDatabase { what }))
    }
}

/// What is wrong with a statement that begins so.
fn judge(head: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<_> = head.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
    let first = *words.first()?;
    let leads_away = matches!(first, "create" | "drop")
        && words.iter().take(4).any(|word| matches!(*word, "database" | "schema"));
    (leads_away || COMMANDS.contains(&first)).then(|| format!("the statement `{first} …`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(text: &str) -> bool {
        let all = [1, 5, 4_096].map(|size| {
            let mut script = Script::default();
            text.as_bytes().chunks(size).all(|chunk| script.pass(chunk).is_ok())
        });
        assert!(all.iter().all(|one| *one == all[0]), "chunks made a difference");
        all[0]
    }

    #[test]
    fn only_what_stays_in_its_database_passes() {
        for good in [
            "/*!999999\\- enable the sandbox mode */ \n-- use x; \\! id\nCREATE TABLE `use` (a int);\n",
            "INSERT INTO t VALUES ('\\'; use mysql; \\\\');\n",
            "DELIMITER ;;\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END ;;\nDELIMITER ;\n",
        ] {
            assert!(passed(good), "{good}");
        }
        for bad in [
            "use mysql;\n",
            "SELECT 1; /* x */ USE `mysql`;\n",
            "/*!50003 use mysql */;\n",
            "CREATE DATABASE /*!32312 IF NOT EXISTS*/ x;\n",
            "create or replace schema x;\n",
            "DROP DATABASE x;\n",
            "\\! id\n",
            "SELECT 'x' \\g\n",
            "source /etc/passwd;\n",
            "DELIMITER ;;\nuse mysql;;\n",
            "DELIMITER '\n",
        ] {
            assert!(!passed(bad), "{bad}");
        }
    }
}
