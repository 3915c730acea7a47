//! What is claimed about a stream.

use super::{dump::Dump, kind::Kind};

/// What is claimed about a stream; all optional.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'a> {
    /// Declared format (`X-Format`), for example `pg_dump_Fc` or `tar.gz`.
    pub format: Option<&'a str>,
    /// Media type (`Content-Type`).
    pub content_type: Option<&'a str>,
    /// File name.
    pub file_name: Option<&'a str>,
}

/// One claim: what the bytes are, and what is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) outer: Kind,
    pub(super) inner: Option<Kind>,
    /// As it was worded.
    pub(super) text: String,
    /// A declared format; file names and media types are weaker.
    pub(super) is_strong: bool,
}

impl Hints<'_> {
    pub(super) fn claims(&self) -> Vec<Claim> {
        let claim = |kinds: Option<(Kind, Option<Kind>)>, text: &str, is_strong| {
            let (outer, inner) = kinds?;
            Some(Claim { outer, inner, text: text.chars().take(64).collect(), is_strong })
        };
        let format = self.format.and_then(|text| claim(of_format(text), text, true));
        let name = self.file_name.and_then(|text| claim(of_suffixes(text), text, false));
        let media = self.content_type.and_then(|text| claim(of_media(text), text, false));
        [format, name, media].into_iter().flatten().collect()
    }

    /// Whether HTML or JSON is what was asked for.
    pub(super) fn expects_page(&self) -> bool {
        let is_page = |text: &str| {
            let text = text.to_ascii_lowercase();
            ["json", "html", "htm", "ndjson", "jsonl"].iter().any(|word| text.ends_with(word))
        };
        // The media type does not count: error pages bring theirs along.
        self.format.is_some_and(is_page) || self.file_name.is_some_and(is_page)
    }
}

fn of_format(text: &str) -> Option<(Kind, Option<Kind>)> {
    if let Some(dump) = Dump::of(text) {
        let kind = match dump {
            Dump::PgCustom => Kind::PgCustom,
            Dump::PgTar | Dump::PgDirectory => Kind::Tar,
            Dump::PgScript | Dump::PgRoles | Dump::Mysql => Kind::Sql,
            Dump::Rdb => Kind::Rdb,
            Dump::Sqlite => Kind::Sqlite,
        };
        return Some((kind, None));
    }
    let text = text.trim().to_ascii_lowercase().replace('+', ".");
    of_suffixes(&format!("x.{}", text.replace("pg_dump_fc.", "pgdmp.")))
}

fn of_suffixes(name: &str) -> Option<(Kind, Option<Kind>)> {
    let name = name.to_ascii_lowercase();
    let (rest, last) = name.rsplit_once('.')?;
    let inner = || of_suffix(rest.rsplit_once('.')?.1);
    Some(match last {
        "gz" | "gzip" => (Kind::Gzip, inner()),
        "tgz" => (Kind::Gzip, Some(Kind::Tar)),
        // What is inside of the others is not looked at.
        "zst" | "zstd" | "tzst" => (Kind::Zstd, None),
        "xz" | "txz" => (Kind::Xz, None),
        "bz2" | "bzip2" | "tbz2" | "tbz" => (Kind::Bzip2, None),
        other => (of_suffix(other)?, None),
    })
}

fn of_suffix(suffix: &str) -> Option<Kind> {
    Some(match suffix {
        "tar" => Kind::Tar,
        "zip" => Kind::Zip,
        "sql" => Kind::Sql,
        "rdb" => Kind::Rdb,
        "sqlite" | "sqlite3" => Kind::Sqlite,
        "pgdmp" => Kind::PgCustom,
        // `.dump`, `.db` and `.bak` are used for anything.
        _ => return None,
    })
}

fn of_media(text: &str) -> Option<(Kind, Option<Kind>)> {
    let media = text.split(';').next()?.trim().to_ascii_lowercase();
    let kind = match media.as_str() {
        "application/gzip" | "application/x-gzip" => Kind::Gzip,
        "application/zstd" | "application/x-zstd" => Kind::Zstd,
        "application/x-xz" => Kind::Xz,
        "application/x-bzip2" => Kind::Bzip2,
        "application/zip" => Kind::Zip,
        "application/x-tar" => Kind::Tar,
        "application/vnd.sqlite3" | "application/x-sqlite3" => Kind::Sqlite,
        "application/sql" => Kind::Sql,
        _ => return None,
    };
    Some((kind, None))
}
