//! Lengths of time as people type them: `4h`, `1h30m`, `30d`.

/// Units of fixed length, longest first. A year is 365 days.
const UNITS: &[(&str, u64)] =
    &[("y", 365 * 86_400), ("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Seconds of `text`; `None` where it is not one or more counts with a unit each, longest first.
pub fn parse_secs(text: &str) -> Option<u64> {
    let mut units = UNITS.iter();
    let mut rest = text.trim();
    let mut total_secs = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        // Each unit once and in order: `1m1h` is rather a slip than a length.
        let (unit, secs) = units.find(|(unit, _)| rest.starts_with(unit))?;
        total_secs = total_secs.checked_add(count.checked_mul(*secs)?)?;
        rest = &rest[unit.len()..];
    }
    Some(total_secs)
}

/// The shortest text that [`parse_secs`] reads as `secs`.
pub fn print_secs(mut secs: u64) -> String {
    if secs == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    // Weeks and years are read, not written: `30d` stays `30d`.
    for (unit, length) in UNITS.iter().filter(|(unit, _)| !matches!(*unit, "y" | "w")) {
        if secs >= *length {
            text.push_str(&(secs / length).to_string());
            text.push_str(unit);
            secs %= length;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written() {
        for (text, secs) in [("4h", 14_400), ("1h30m", 5_400), ("30d", 2_592_000), ("90s", 90)] {
            assert_eq!(parse_secs(text), Some(secs));
            assert_eq!(parse_secs(&print_secs(secs)), Some(secs));
        }
        assert_eq!(print_secs(2_592_000), "30d");
        assert_eq!(parse_secs("2w"), Some(14 * 86_400));
        for bad in
            ["", "4", "h", "-4h", "4 h", "1m1h", "1h1h", "4x", "1.5h", "99999999999999999999h"]
        {
            assert_eq!(parse_secs(bad), None, "{bad}");
        }
    }
}
