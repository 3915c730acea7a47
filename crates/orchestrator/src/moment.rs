//! Times as people write them, for a moment to go back to: with a zone or an offset, and only where
//! that is one moment and no other.

use jiff::{
    Timestamp,
    civil::DateTime,
    fmt::temporal::Pieces,
    tz::{AmbiguousOffset, Offset},
};

/// Why a time is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MomentError {
    /// It is not written as a time with a zone.
    #[error(
        "`{0}` is no time with its zone: write it as 2026-11-21T14:30:00+01:00 or as \
         2026-11-21T14:30[Europe/Madrid]"
    )]
    Unreadable(String),
    /// Clocks are put back over it.
    #[error(
        "`{text}` comes twice, because clocks are put back then: say which one, `{first}` or \
         `{second}`"
    )]
    Twice {
        /// As it was written.
        text: String,
        /// The earlier reading.
        first: String,
        /// The later one.
        second: String,
    },
    /// Clocks are put forward over it.
    #[error("`{text}` never was, because clocks are put forward then: `{before}` is when they are")]
    Never {
        /// As it was written.
        text: String,
        /// The first moment after the jump.
        before: String,
    },
}

/// The moment that `text` says.
pub(crate) fn parse(text: &str) -> Result<Timestamp, MomentError> {
    let text = text.trim();
    let unreadable = || MomentError::Unreadable(text.chars().take(80).collect());
    let pieces = Pieces::parse(text).map_err(|_| unreadable())?;
    let time = pieces.time().ok_or_else(unreadable)?;
    if pieces.offset().is_some() {
        // With a zone beside it, both have to say the same.
        return match pieces.time_zone_annotation() {
            None => text.parse().map_err(|_| unreadable()),
            Some(_) => {
                text.parse::<jiff::Zoned>().map(|at| at.timestamp()).map_err(|_| unreadable())
            }
        };
    }
    let zone = pieces.to_time_zone().ok().flatten().ok_or_else(unreadable)?;
    let civil = DateTime::from_parts(pieces.date(), time);
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            offset.to_timestamp(civil).map_err(|_| unreadable())
        }
        AmbiguousOffset::Fold { before, after } => Err(MomentError::Twice {
            text: text.to_owned(),
            first: told(civil, before),
            second: told(civil, after),
        }),
        // Read by the clock before the jump, it is as far behind the jump as it is written.
        AmbiguousOffset::Gap { before, .. } => {
            let at = before.to_timestamp(civil).map_err(|_| unreadable())?;
            let jump = zone.preceding(at).next().map_or(at, |transition| transition.timestamp());
            let before = jump.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            Err(MomentError::Never { text: text.to_owned(), before })
        }
    }
}

fn told(civil: DateTime, offset: Offset) -> String {
    let Ok(at) = offset.to_timestamp(civil) else { return civil.to_string() };
    at.to_zoned(offset.to_time_zone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_says_its_zone() {
        let at: Timestamp = "2026-11-21T13:30:00Z".parse().unwrap();
        for text in [
            "2026-11-21T13:30:00Z",
            "2026-11-21T14:30+01:00",
            "2026-11-21 14:30:00+01",
            "2026-11-21T14:30[Europe/Madrid]",
            " 2026-11-21 14:30:00[Europe/Madrid] ",
            "2026-11-21T14:30+01:00[Europe/Madrid]",
        ] {
            assert_eq!(parse(text), Ok(at), "{text}");
        }
        let fine = parse("2026-11-21T13:30:00.123456Z").unwrap();
        assert_eq!(fine.as_microsecond() % 1_000_000, 123_456);
        for text in [
            "",
            "yesterday",
            "14:30",
            "2026-11-21",
            "2026-11-21T14:30",
            "2026-11-21T25:00Z",
            "2026-11-21T14:30[Mars/Base]",
            // Madrid is not there then.
            "2026-11-21T14:30+05:00[Europe/Madrid]",
        ] {
            assert!(matches!(parse(text), Err(MomentError::Unreadable(_))), "{text}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_is_asked_for() {
        let twice = parse("2026-10-25T02:30[Europe/Madrid]").unwrap_err();
        let MomentError::Twice { first, second, .. } = &twice else { panic!("{twice}") };
        assert_eq!(first, "2026-10-25T02:30:00+02:00");
        assert_eq!(second, "2026-10-25T02:30:00+01:00");
        let (first, second) = (parse(first).unwrap(), parse(second).unwrap());
        assert_eq!(second.duration_since(first).as_secs(), 3_600);
        let told = twice.to_string();
        assert!(told.contains("+02:00") && told.contains("+01:00"), "{told}");
        // Each of them may be written in its zone, too.
        assert_eq!(parse("2026-10-25T02:30+02:00[Europe/Madrid]"), Ok(first));
        assert_eq!(parse("2026-10-25T02:30+01:00[Europe/Madrid]"), Ok(second));
    }

    #[test]
    fn an_hour_that_never_was_is_refused() {
        let never = parse("2026-03-29T02:30[Europe/Madrid]").unwrap_err();
        let MomentError::Never { before, .. } = &never else { panic!("{never}") };
        assert_eq!(before, "2026-03-29T03:00:00+02:00");
    }
}
