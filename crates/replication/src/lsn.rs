//! Positions in WAL, timelines, and how segments are named.

use std::{fmt, str::FromStr};

use crate::Error;

/// A position in WAL: bytes since the cluster was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// So many bytes later; stays at the end of all positions.
    pub fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// How many bytes this is after `earlier`; 0 where it is not.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::protocol(format!("\"{}\" is no WAL position", text.escape_debug()));
        let (high, low) = text.split_once('/').ok_or_else(bad)?;
        let part = |text: &str| hex32(text).ok_or_else(bad);
        Ok(Self((u64::from(part(high)?) << 32) | u64::from(part(low)?)))
    }
}

/// One to eight hexadecimal digits, and nothing else.
fn hex32(text: &str) -> Option<u32> {
    let fits = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// A line of history; a promotion begins a new one. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(u32);

impl Timeline {
    /// The timeline of this number; `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The name of its history file.
    pub fn history_name(self) -> String {
        format!("{:08X}.history", self.0)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Timeline {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.parse()
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| Error::protocol(format!("\"{}\" is no timeline", text.escape_debug())))
    }
}

/// How many bytes a segment of WAL has: a power of two from 1 MiB to 1 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentSize(u64);

impl Default for SegmentSize {
    fn default() -> Self {
        Self(16 << 20)
    }
}

impl SegmentSize {
    /// A size in bytes, where PostgreSQL allows it.
    pub fn new(bytes: u64) -> Option<Self> {
        (bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes)).then_some(Self(bytes))
    }

    /// As `SHOW wal_segment_size` tells it: `16MB`, `1GB`.
    pub fn shown(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().ok()?;
        let unit = match text[digits..].trim() {
            "B" | "" => 1,
            "kB" => 1 << 10,
            "MB" => 1 << 20,
            "GB" => 1 << 30,
            _ => return None,
        };
        Self::new(number.checked_mul(unit)?)
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Where the segment begins that holds `at`.
    pub fn start_of(self, at: Lsn) -> Lsn {
        Lsn(at.0 & !(self.0 - 1))
    }

    /// The name of the segment of `timeline` that holds `at`.
    pub fn name(self, timeline: Timeline, at: Lsn) -> String {
        let per_log = (1 << 32) / self.0;
        let number = at.0 / self.0;
        format!("{:08X}{:08X}{:08X}", timeline.0, number / per_log, number % per_log)
    }

    /// What a segment's name says; `None` for what is no name of this size.
    pub fn parse_name(self, name: &str) -> Option<(Timeline, Lsn)> {
        if name.len() != 24 || !name.is_ascii() || name.bytes().any(|b| b.is_ascii_lowercase()) {
            return None;
        }
        let timeline = Timeline::new(hex32(&name[..8])?)?;
        let (log, segment) = (u64::from(hex32(&name[8..16])?), u64::from(hex32(&name[16..])?));
        (segment < (1 << 32) / self.0).then(|| (timeline, Lsn((log << 32) | (segment * self.0))))
    }
}
