//! Known formats and their first bytes.

use std::fmt;

/// A format that can be told by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `pg_dump -Fc`.
    PgCustom,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz format.
    Xz,
    /// bzip2.
    Bzip2,
    /// ZIP.
    Zip,
    /// POSIX, GNU or old tar.
    Tar,
    /// A `SQLite` 3 database.
    Sqlite,
    /// A Redis or Valkey snapshot.
    Rdb,
    /// SQL text.
    Sql,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PgCustom => "pg_dump custom",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::Sqlite => "SQLite",
            Self::Rdb => "Redis RDB",
            Self::Sql => "SQL",
        })
    }
}

/// Size of a tar header, and of every other tar record.
pub(super) const TAR_BLOCK: usize = 512;

/// Tells a format by its first bytes. SQL is text: never told by its bytes.
pub(super) fn sniff(head: &[u8]) -> Option<Kind> {
    const MAGIC: &[(&[u8], Kind)] = &[
        (b"PGDMP", Kind::PgCustom),
        (&[0x1f, 0x8b, 0x08], Kind::Gzip),
        (&[0x28, 0xb5, 0x2f, 0xfd], Kind::Zstd),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], Kind::Xz),
        (b"BZh", Kind::Bzip2),
        (b"PK\x03\x04", Kind::Zip),
        // An archive of nothing is its end record.
        (b"PK\x05\x06", Kind::Zip),
        (b"SQLite format 3\0", Kind::Sqlite),
        (b"REDIS0", Kind::Rdb),
        (b"VALKEY0", Kind::Rdb),
    ];
    MAGIC
        .iter()
        .find_map(|(magic, kind)| head.starts_with(magic).then_some(*kind))
        .or_else(|| is_zstd_skippable(head).then_some(Kind::Zstd))
        .or_else(|| is_tar(head).then_some(Kind::Tar))
}

fn is_zstd_skippable(head: &[u8]) -> bool {
    matches!(head, [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50)
}

/// A header whose checksum holds, which also tells tars older than the `ustar` magic; or, for an
/// archive of nothing, zeros.
fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..TAR_BLOCK) else { return false };
    if header.iter().all(|byte| *byte == 0) {
        return head.iter().all(|byte| *byte == 0);
    }
    is_tar_header(header)
}

/// Whether the checksum of a block of 512 bytes says that it is a header.
pub(super) fn is_tar_header(header: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| if CHECKSUM.contains(&at) { u64::from(b' ') } else { u64::from(*byte) })
        .sum();
    let digits: String = header[CHECKSUM]
        .iter()
        .map(|byte| char::from(*byte))
        .skip_while(|c| *c == ' ')
        .take_while(char::is_ascii_digit)
        .collect();
    u64::from_str_radix(&digits, 8).is_ok_and(|written| written == sum)
}

/// An answer meant for people or for a program that asked something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Html,
    Json,
}

pub(super) fn sniff_page(head: &[u8]) -> Option<Page> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let starts = |prefix: &[u8]| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if starts(b"<!doctype html") || starts(b"<html") || starts(b"<head") || starts(b"<body") {
        return Some(Page::Html);
    }
    // What follows tells JSON from a psql meta-command or a stray bracket.
    let mut rest = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
    match (rest.next(), rest.next()) {
        (Some(b'{'), Some(b'"' | b'}')) | (Some(b'['), Some(b'{' | b'"' | b']')) => {
            Some(Page::Json)
        }
        _ => None,
    }
}

/// Whether a JSON document reads like an error: the members that frameworks and RFC 9457 use.
pub(super) fn is_json_error(text: &[u8]) -> bool {
    const MEMBERS: &[&[u8]] =
        &[b"\"error\"", b"\"errors\"", b"\"detail\"", b"\"message\"", b"\"title\"", b"\"status\""];
    MEMBERS.iter().any(|member| contains(text, member))
}

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
