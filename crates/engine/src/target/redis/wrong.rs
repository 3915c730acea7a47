//! What stands in the way of keys, and what to do.

use model::{Failure, FailureCode};

use super::told::Told;

/// The rights that a restore needs.
pub(crate) const RIGHTS: &str =
    "ACL SETUSER name +select +multi +discard +restore +flushall +function|restore +info +ping ~*";

/// A key that `target` does not take, and what it says.
pub(crate) fn of_key(why: &str, source: &Told, target: &Told, place: &str) -> Failure {
    let advice = if why.contains("payload version") {
        format!(
            "it is {}, and the keys were loaded by {}, whose form it does not know: install a \
             server of its version on this machine, or update it",
            target.server(),
            source.server()
        )
    } else {
        advice(why)
    };
    let message = format!("{place} does not take a key: {}; {advice}", shown(why));
    Failure::new(FailureCode::RestoreRefused, message)
}

/// A command that was refused, and what to do.
pub(crate) fn of_command(command: &str, why: &str, place: &str) -> Failure {
    let message = format!("{place} refuses {command}: {}; {}", shown(why), advice(why));
    Failure::new(FailureCode::RestoreRefused, message)
}

pub(crate) fn odd(place: &str) -> Failure {
    let message = format!("{place} does not answer as Redis or Valkey does: check host and port");
    Failure::new(FailureCode::SourceConfig, message)
}

fn advice(why: &str) -> String {
    match why.split(' ').next().unwrap_or_default() {
        "NOPERM" => format!("the user needs: {RIGHTS}"),
        "OOM" => "raise its `maxmemory`".to_owned(),
        "READONLY" => "restore into its master".to_owned(),
        "MOVED" | "CROSSSLOT" | "CLUSTERDOWN" => "a cluster is not restored".to_owned(),
        "MISCONF" => "its last snapshot failed: look at its log and its disk".to_owned(),
        _ if why.contains("unknown command") || why.contains("unknown subcommand") => {
            "the command is switched off or not known there: restore into a folder".to_owned()
        }
        _ => "look at the server's log".to_owned(),
    }
}

fn shown(why: &str) -> String {
    why.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_told_with_the_version_to_install() {
        let told = |version: &str| Told(format!("redis_version:{version}\r\n"));
        let why = "ERR DUMP payload version or checksum are wrong";
        let failure = of_key(why, &told("7.0.15"), &told("6.2.14"), "cache:6379");
        assert!(failure.message.contains("it is Redis 6.2.14"), "{failure:?}");
        assert!(failure.message.contains("loaded by Redis 7.0.15"), "{failure:?}");
        let failure = of_command("FLUSHALL", "NOPERM this user has no", "cache:6379");
        assert!(failure.message.ends_with("~*"), "{failure:?}");
    }
}
