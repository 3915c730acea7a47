//! What is done to a stream before it is stored.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Lowest and highest accepted level of zstd. Above 19 the tables alone pass 64 MiB.
const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = 1..=19;
/// Lowest and highest accepted level of gzip.
const GZIP_LEVELS: std::ops::RangeInclusive<u32> = 1..=9;
/// zstd's own default, and ours: about 500 MB/s on one core.
/// Level 2 takes a quarter less of the processor than zstd's own default, 3, and gives 1 to 7 % more
/// bytes; still no more than `gzip -6` (docs/performance.md).
const ZSTD_DEFAULT: i32 = 2;
/// gzip's own default.
const GZIP_DEFAULT: u32 = 6;

/// What is done to a stream before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// How it is compressed.
    pub compression: Compression,
    /// Threads that compress beside the caller's; 0 compresses in the caller's thread. Only zstd
    /// uses them. See [`crate::Sealer`] for the memory each costs.
    pub workers: u32,
    /// Whether zstd looks back half a MiB only: less memory, somewhat larger objects.
    pub frugal: bool,
    /// Whether zstd is to be quick rather than good, at whatever level: twice as quick or more, and
    /// half as much again to twice the bytes.
    pub hurried: bool,
}

impl Recipe {
    /// A recipe that works in the caller's thread.
    pub const fn new(compression: Compression) -> Self {
        Self { compression, workers: 0, frugal: false, hurried: false }
    }

    /// The same with `workers` threads.
    pub const fn with_workers(self, workers: u32) -> Self {
        Self { workers, ..self }
    }

    /// The same with a smaller memory.
    pub const fn frugal(self) -> Self {
        Self { frugal: true, ..self }
    }

    /// The same, quick rather than good.
    pub const fn hurried(self) -> Self {
        Self { hurried: true, ..self }
    }
}

/// How a stream is compressed. Written `none`, `gzip`, `gzip:9`, `zstd` or `zstd:12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// Stored as it came.
    None,
    /// One gzip member (RFC 1952).
    Gzip {
        /// 1 (quick) to 9 (small).
        level: u32,
    },
    /// One Zstandard frame with a content checksum (RFC 8878).
    Zstd {
        /// 1 (quick) to 19 (small).
        level: i32,
    },
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd { level: ZSTD_DEFAULT }
    }
}

impl Compression {
    /// What a reader must know to undo it.
    pub fn method(self) -> Method {
        match self {
            Self::None => Method::None,
            Self::Gzip { .. } => Method::Gzip,
            Self::Zstd { .. } => Method::Zstd,
        }
    }

    /// Whether its level is one we accept.
    pub fn is_valid(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip { level } => GZIP_LEVELS.contains(&level),
            Self::Zstd { level } => ZSTD_LEVELS.contains(&level),
        }
    }
}

/// A text that names no compression we can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no compression: use `none`, `gzip` (levels `gzip:1` to `gzip:9`) or `zstd` (`zstd:1` to `zstd:19`)",
    .text.escape_debug()
)]
pub struct ParseCompressionError {
    text: String,
}

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseCompressionError { text: text.chars().take(32).collect() };
        let (method, level) = match text.split_once(':') {
            Some((method, level)) => (method, Some(level)),
            None => (text, None),
        };
        let compression = match (method, level) {
            ("none", None) => Self::None,
            ("gzip", None) => Self::Gzip { level: GZIP_DEFAULT },
            ("zstd", None) => Self::Zstd { level: ZSTD_DEFAULT },
            ("gzip", Some(level)) => Self::Gzip { level: level.parse().map_err(|_| wrong())? },
            ("zstd", Some(level)) => Self::Zstd { level: level.parse().map_err(|_| wrong())? },
            _ => return Err(wrong()),
        };
        compression.is_valid().then_some(compression).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Compression {
    type Error = ParseCompressionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> Self {
        compression.to_string()
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip { level } => write!(f, "gzip:{level}"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
        }
    }
}

/// A compression as a reader sees it: levels do not matter to undo it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Stored as it came.
    #[default]
    None,
    /// One gzip member.
    Gzip,
    /// One Zstandard frame.
    Zstd,
}

impl Method {
    /// Its word in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What an object's name ends with, dot included; empty for [`Method::None`].
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(ParseCompressionError { text: text.chars().take(32).collect() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_compressions_read_back() {
        for text in ["none", "gzip:1", "gzip:9", "zstd:1", "zstd:19"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("zstd".parse(), Ok(Compression::default()));
        for bad in ["", "lz4", "zstd:0", "zstd:20", "zstd:-5", "gzip:0", "gzip:10", "none:1"] {
            assert!(bad.parse::<Compression>().is_err(), "{bad} was accepted");
        }
    }
}
