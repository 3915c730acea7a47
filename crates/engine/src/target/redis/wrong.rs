//! What stands in the way of keys, and what to do.

use model::{Fact, Failure, FailureCode};

use super::told::Told;
use crate::target::refused;

/// The rights that a restore needs.
pub(crate) const RIGHTS: &str =
    "ACL SETUSER name +select +multi +discard +restore +flushall +function|restore +info +ping ~*";

/// A key that `target` does not take, and what it says.
pub(crate) fn of_key(why: &str, source: &Told, target: &Told, place: &str) -> Failure {
    let advice = if why.contains("payload version") {
        Fact::KeysOfNewer { server: target.server(), from: source.server() }
    } else {
        advice(why)
    };
    let server = place.to_owned();
    refused(Fact::KeyRefused { server, why: shown(why), advice: advice.into() })
}

/// A command that was refused, and what to do.
pub(crate) fn of_command(command: &str, why: &str, place: &str) -> Failure {
    let (server, command) = (place.to_owned(), command.to_owned());
    let advice = advice(why).into();
    refused(Fact::CommandRefused { server, command, why: shown(why), advice })
}

pub(crate) fn odd(place: &str) -> Failure {
    Failure::new(FailureCode::SourceConfig, Fact::NotRedis { server: place.to_owned() })
}

fn advice(why: &str) -> Fact {
    match why.split(' ').next().unwrap_or_default() {
        "NOPERM" => Fact::NeedsRights { rights: RIGHTS.to_owned() },
        "OOM" => Fact::RaiseMemory {},
        "READONLY" => Fact::RestoreMaster {},
        "MOVED" | "CROSSSLOT" | "CLUSTERDOWN" => Fact::NoClusters {},
        "MISCONF" => Fact::LastSaveFailed {},
        _ if why.contains("unknown command") || why.contains("unknown subcommand") => {
            Fact::CommandUnknown {}
        }
        _ => Fact::LookAtLog {},
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
