//! Versions of servers: of the one that a dump was taken from, as its first bytes tell, and of the
//! one that it would be loaded into.

use model::{Fact, PreflightLevel};

/// How much of a dump's beginning is looked at, in bytes.
pub(crate) const HEAD: usize = 8 << 10;
/// Longest text in the head of a dump in PostgreSQL's own format.
const MAX_TEXT: usize = 4 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Product {
    Postgres,
    MariaDb,
    Mysql,
}

impl Product {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::Mysql => "MySQL",
        }
    }
}

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    product: Product,
    /// What decides whether it understands another's dump: the major version, and of MariaDB and
    /// MySQL the minor one too.
    numbers: (u32, u32),
    text: String,
}

impl Version {
    /// A PostgreSQL, by its own word: `15.14 (Debian …)`.
    pub(crate) fn of_postgres(told: &str) -> Option<Self> {
        let text = told.split_whitespace().next()?.to_owned();
        let (major, minor) = numbers(&text)?;
        // Before 10 two numbers made a major version.
        let numbers = if major >= 10 { (major, 0) } else { (major, minor) };
        Some(Self { product: Product::Postgres, numbers, text })
    }

    /// A MariaDB or MySQL, by its own word: `10.11.14-MariaDB-…`.
    pub(crate) fn of_mysql(told: &str) -> Option<Self> {
        let text = told.split_whitespace().next()?.to_owned();
        let is_mariadb = text.contains("MariaDB");
        let product = if is_mariadb { Product::MariaDb } else { Product::Mysql };
        // Replication made MariaDB call itself so.
        let told = text.strip_prefix("5.5.5-").filter(|_| is_mariadb).unwrap_or(&text);
        Some(Self { product, numbers: numbers(told)?, text })
    }

    /// That of the server a dump was taken from, where its beginning tells.
    pub(crate) fn of_dump(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"PGDMP") {
            return of_custom(&head[5..]).and_then(|told| Self::of_postgres(&told));
        }
        let head = String::from_utf8_lossy(&head[..head.len().min(HEAD)]);
        head.lines().find_map(|line| {
            let postgres = line.strip_prefix("-- Dumped from database version ");
            let mysql = line.strip_prefix("-- Server version");
            postgres.and_then(Self::of_postgres).or_else(|| mysql.and_then(Self::of_mysql))
        })
    }

    /// What is to be known of loading a dump of `self` into `server`.
    pub(crate) fn loaded_into(&self, server: &Self) -> (PreflightLevel, Fact) {
        let (from, to) = (self.told(), server.told());
        if self.product != server.product {
            return (PreflightLevel::Warning, Fact::OtherProduct { from, to });
        }
        if server.numbers < self.numbers {
            return (PreflightLevel::Warning, Fact::OlderServer { from, to });
        }
        (PreflightLevel::Good, Fact::Understands { from, to })
    }

    fn told(&self) -> String {
        format!("{} {}", self.product.name(), self.text)
    }
}

fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next().unwrap_or(0)))
}

/// The server's version in the head of `pg_dump --format=custom`, after its first word.
fn of_custom(head: &[u8]) -> Option<String> {
    let mut rest = head;
    let mut byte = || {
        let (first, others) = rest.split_first()?;
        rest = others;
        Some(*first)
    };
    let (major, minor, _) = (byte()?, byte()?, byte()?);
    let int_size = usize::from(byte()?);
    let (_offset_size, _format) = (byte()?, byte()?);
    if !(1..=8).contains(&int_size) {
        return None;
    }
    // A sign, then the number, its lowest byte first.
    let int = |rest: &mut &[u8]| {
        let (digits, others) = rest.split_at_checked(1 + int_size)?;
        *rest = others;
        let value = digits[1..].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        (digits[0] == 0).then_some(value)
    };
    if (major, minor) >= (1, 15) {
        byte()?;
    } else {
        // How it is compressed, which may be below zero.
        rest = rest.get(1 + int_size..)?;
    }
    for _ in 0..7 {
        rest = rest.get(1 + int_size..)?;
    }
    let text = |rest: &mut &[u8]| {
        let length = usize::try_from(int(rest)?).ok().filter(|length| *length <= MAX_TEXT)?;
        let (text, others) = rest.split_at_checked(length)?;
        *rest = others;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let _database = text(&mut rest)?;
    text(&mut rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_tells_its_server() {
        let plain =
            b"--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.14 \
            (Debian 15.14-0)\n-- Dumped by pg_dump version 16.1\n";
        assert_eq!(Version::of_dump(plain), Version::of_postgres("15.14"));
        let maria = b"/*!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n-- Server \
            version\t10.11.14-MariaDB-0+deb12u2\n";
        assert_eq!(Version::of_dump(maria), Version::of_mysql("10.11.14-MariaDB-0+deb12u2"));
        for (minor, size) in [(14_u8, 4_u8), (15, 4), (16, 8)] {
            let int = |value: u8| {
                let mut bytes = vec![0; 1 + usize::from(size)];
                bytes[1] = value;
                bytes
            };
            let mut head = [b"PGDMP".to_vec(), vec![1, minor, 0, size, 8, 1]].concat();
            if minor < 15 {
                // -1
                head.extend([&[1_u8][..], &int(1)[1..]].concat());
            } else {
                head.push(1);
            }
            (0..7).for_each(|at| head.extend(int(at)));
            for text in ["shop", "16.2 (Debian)", "16.2"] {
                head.extend(int(u8::try_from(text.len()).unwrap()));
                head.extend(text.as_bytes());
            }
            assert_eq!(Version::of_dump(&head), Version::of_postgres("16.2"), "1.{minor}");
            (0..head.len() - 10).for_each(|end| drop(Version::of_dump(&head[..end])));
        }
        assert_eq!(Version::of_dump(b"PGDMP"), None);
    }

    #[test]
    fn an_older_server_and_another_product_are_told() {
        let postgres = |told| Version::of_postgres(told).unwrap();
        let mysql = |told| Version::of_mysql(told).unwrap();
        let level = |from: &Version, to: &Version| from.loaded_into(to).0;
        assert_eq!(level(&postgres("15.14"), &postgres("15.3")), PreflightLevel::Good);
        assert_eq!(level(&postgres("15.14"), &postgres("17.0")), PreflightLevel::Good);
        assert_eq!(level(&postgres("16.1"), &postgres("15.14")), PreflightLevel::Warning);
        assert_eq!(level(&postgres("9.6.1"), &postgres("9.5.2")), PreflightLevel::Warning);
        let maria = mysql("5.5.5-10.11.14-MariaDB");
        assert_eq!(level(&maria, &mysql("11.4.2-MariaDB")), PreflightLevel::Good);
        assert_eq!(level(&maria, &mysql("10.6.1-MariaDB")), PreflightLevel::Warning);
        assert_eq!(level(&mysql("8.4.1"), &maria), PreflightLevel::Warning);
    }
}
