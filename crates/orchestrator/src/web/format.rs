//! Sizes, lengths of time and moments, as people read them.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::lang::Lang;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

impl Lang {
    /// A size by IEC 80000-13: `512 B`, `1.5 GiB`.
    pub(crate) fn size(self, bytes: u64) -> String {
        if bytes < 1_024 {
            return format!("{bytes} B");
        }
        let mut value = bytes as f64;
        let mut unit = "B";
        for next in UNITS {
            // What would be written as 1024 belongs to the next unit.
            if value < 1_023.5 {
                break;
            }
            value /= 1_024.0;
            unit = next;
        }
        let text = if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
        format!("{} {unit}", self.decimal(&text))
    }

    fn decimal(self, text: &str) -> String {
        match self {
            Self::En => text.to_owned(),
            Self::Es => text.replace('.', ","),
        }
    }

    /// A whole number with its groups of thousands.
    pub(crate) fn number(self, number: u64) -> String {
        let digits = number.to_string();
        // Spanish groups only from five digits on (RAE, Ortografía 2010).
        let group = match self {
            Self::En => ",",
            Self::Es if digits.len() < 5 => return digits,
            Self::Es => "\u{a0}",
        };
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push_str(group);
            }
            text.push(digit);
        }
        text
    }

    /// A length of time in its two largest units: `6 h 12 min`.
    pub(crate) fn span(self, secs: i64) -> String {
        let secs = secs.max(0);
        let two = |(large, name): (i64, &str), (small, next): (i64, &str)| {
            if small == 0 || large >= 10 && next != "h" {
                format!("{large} {name}")
            } else {
                format!("{large} {name} {small} {next}")
            }
        };
        match secs {
            0..60 => format!("{secs} s"),
            60..3_600 => two((secs / 60, "min"), (secs % 60, "s")),
            3_600..172_800 => two((secs / 3_600, "h"), (secs % 3_600 / 60, "min")),
            _ => format!("{} d", secs / 86_400),
        }
    }

    /// A short length of time that is measured: `0.4 s`.
    pub(crate) fn measured(self, length: SignedDuration) -> String {
        let secs = length.as_secs_f64();
        if secs < 10.0 {
            format!("{} s", self.decimal(&format!("{:.1}", secs.max(0.0))))
        } else {
            self.span(length.as_secs())
        }
    }

    fn month(self, month: i8) -> &'static str {
        let index = usize::try_from(month - 1).unwrap_or(0);
        let names = match self {
            Self::En => {
                ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            }
            Self::Es => {
                ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"]
            }
        };
        names.get(index).copied().unwrap_or("")
    }

    /// `21 Nov 2026`.
    pub(crate) fn date(self, date: jiff::civil::Date) -> String {
        format!("{} {} {}", date.day(), self.month(date.month()), date.year())
    }

    /// A moment, on both clocks.
    pub(crate) fn when(self, at: Timestamp, now: Timestamp, zone: &TimeZone) -> When {
        let local = at.to_zoned(zone.clone());
        let secs = at.duration_since(now).as_secs();
        let relative = match secs {
            -4..=4 => self.t("when-now"),
            ..-4 => self.with("when-ago", "length", self.span(-secs)),
            _ => self.with("when-in", "length", self.span(secs)),
        };
        When {
            iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            relative,
            absolute: format!(
                "{}, {:02}:{:02} {}",
                self.date(local.date()),
                local.hour(),
                local.minute(),
                local.strftime("%Z")
            ),
        }
    }
}

/// A moment, on both clocks.
#[derive(Debug, Clone)]
pub(crate) struct When {
    /// For machines.
    pub(crate) iso: String,
    /// `2 h ago`.
    pub(crate) relative: String,
    /// With its date, time and zone.
    pub(crate) absolute: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_two_or_three_figures() {
        for (bytes, english, spanish) in [
            (0, "0 B", "0 B"),
            (1_023, "1023 B", "1023 B"),
            (1_024, "1.0 KiB", "1,0 KiB"),
            (1_536 << 20, "1.5 GiB", "1,5 GiB"),
            (10 << 20, "10 MiB", "10 MiB"),
            ((1 << 30) - 1, "1.0 GiB", "1,0 GiB"),
            (u64::MAX, "16 EiB", "16 EiB"),
        ] {
            assert_eq!(Lang::En.size(bytes), english);
            assert_eq!(Lang::Es.size(bytes), spanish);
        }
    }

    #[test]
    fn lengths_have_two_units_at_most() {
        for (secs, text) in [
            (0, "0 s"),
            (61, "1 min 1 s"),
            (754, "12 min"),
            (3_600, "1 h"),
            (22_320, "6 h 12 min"),
            (111_600, "31 h"),
            (400_000, "4 d"),
        ] {
            assert_eq!(Lang::En.span(secs), text);
        }
        assert_eq!(Lang::Es.measured(SignedDuration::from_millis(420)), "0,4 s");
    }

    #[test]
    fn moments_are_told_on_both_clocks() {
        let at: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let now: Timestamp = "2026-11-21T04:00:00Z".parse().unwrap();
        let zone = TimeZone::get("Europe/Madrid").unwrap();
        let english = Lang::En.when(at, now, &zone);
        assert_eq!(english.relative, "2 h ago");
        assert_eq!(english.absolute, "21 Nov 2026, 03:00 CET");
        assert_eq!(english.iso, "2026-11-21T02:00:00Z");
        let spanish = Lang::Es.when(now, at, &zone);
        assert_eq!(spanish.relative, "en 2 h");
        assert_eq!(spanish.absolute, "21 nov 2026, 05:00 CET");
    }

    #[test]
    fn numbers_are_grouped_as_the_language_does() {
        assert_eq!(Lang::En.number(1_234_567), "1,234,567");
        assert_eq!(Lang::Es.number(1_234), "1234");
        assert_eq!(Lang::Es.number(12_345), "12\u{a0}345");
    }
}
