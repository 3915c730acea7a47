//! Lengths, sizes and the word `none` in arguments.

use std::{fmt::Display, str::FromStr};

use serde_json::Value;

/// A new value, or `none`, which takes away what was set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change<T> {
    Clear,
    To(T),
}

impl<T: FromStr<Err: Display>> FromStr for Change<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::Clear);
        }
        text.parse().map(Self::To).map_err(|error| error.to_string())
    }
}

impl<T: Into<Value>> From<Change<T>> for Value {
    fn from(change: Change<T>) -> Self {
        match change {
            Change::Clear => Self::Null,
            Change::To(value) => value.into(),
        }
    }
}

/// A length of time (`90s`, `4h`, `30d`), in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Length(pub(super) u64);

impl FromStr for Length {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        model::duration::parse_secs(text).map(Self).ok_or("write a length such as 90s, 4h or 30d")
    }
}

impl From<Length> for Value {
    fn from(length: Length) -> Self {
        length.0.into()
    }
}

/// A size (`500MB`, `2GiB`), in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size(pub(super) u64);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ADVICE: &str = "write a size such as 500MB, 2GiB or a number of bytes";
        let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let count: u64 = text[..at].parse().map_err(|_| ADVICE)?;
        let unit = text[at..].trim().to_ascii_lowercase();
        let (letter, base) = match unit.strip_suffix("ib") {
            Some(letter) => (letter, 1_024_u64),
            None => (unit.strip_suffix('b').unwrap_or(&unit), 1_000),
        };
        let power = ["", "k", "m", "g", "t"].iter().position(|one| *one == letter).ok_or(ADVICE)?;
        let power = u32::try_from(power).map_err(|_| ADVICE)?;
        count.checked_mul(base.pow(power)).map(Self).ok_or(ADVICE)
    }
}

impl From<Size> for Value {
    fn from(size: Size) -> Self {
        size.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_systems() {
        for (text, bytes) in
            [("0", 0), ("512b", 512), ("500MB", 500_000_000), ("2GiB", 2 << 30), ("3k", 3_000)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for wrong in ["", "GB", "-1", "1.5GB", "5 x", "99999999TiB", "1EiB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn none_takes_away() {
        assert_eq!("none".parse::<Change<u32>>(), Ok(Change::Clear));
        assert_eq!("7".parse::<Change<u32>>(), Ok(Change::To(7)));
        assert!("x".parse::<Change<u32>>().is_err());
    }
}
