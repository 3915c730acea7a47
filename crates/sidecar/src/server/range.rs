//! `Range` and `If-Range` (RFC 9110), one range at a time.

use axum::http::{HeaderMap, header};

/// What part of an artifact is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// From the first byte to the last, both included.
    Bytes(u64, u64),
    /// Beyond its end.
    None,
}

/// What cannot be understood asks for the whole, as the RFC wants it.
pub(super) fn asked(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let fits = |condition: &str| condition.trim() == etag;
    if headers.contains_key(header::IF_RANGE) && !text(header::IF_RANGE).is_some_and(fits) {
        return Part::Whole;
    }
    text(header::RANGE).and_then(|range| parse(range, size)).unwrap_or(Part::Whole)
}

fn parse(range: &str, size: u64) -> Option<Part> {
    let (unit, spec) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a size can have are beyond any end.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        let count = number(last)?.min(size);
        return Some(if count == 0 { Part::None } else { Part::Bytes(size - count, size - 1) });
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some(if first >= size { Part::None } else { Part::Bytes(first, last.min(size - 1)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str, size: u64) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        asked(&headers, "\"e\"", size)
    }

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        assert_eq!(of("bytes=0-", 10), Part::Bytes(0, 9));
        assert_eq!(of("bytes=3-4", 10), Part::Bytes(3, 4));
        assert_eq!(of("Bytes=9-999999999999999999999999", 10), Part::Bytes(9, 9));
        assert_eq!(of("bytes=-3", 10), Part::Bytes(7, 9));
        assert_eq!(of("bytes=-30", 10), Part::Bytes(0, 9));
        for beyond in ["bytes=10-", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(of(beyond, 10), Part::None, "{beyond}");
        }
        assert_eq!(of("bytes=0-", 0), Part::None);
        for odd in
            ["bytes=4-3", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "bytes=+1-2", "bytes", ""]
        {
            assert_eq!(of(odd, 10), Part::Whole, "{odd}");
        }
    }

    #[test]
    fn a_changed_artifact_is_sent_whole() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=1-".parse().unwrap());
        headers.insert(header::IF_RANGE, "\"e\"".parse().unwrap());
        assert_eq!(asked(&headers, "\"e\"", 5), Part::Bytes(1, 4));
        assert_eq!(asked(&headers, "\"f\"", 5), Part::Whole);
        headers.insert(header::IF_RANGE, "W/\"e\"".parse().unwrap());
        assert_eq!(asked(&headers, "\"e\"", 5), Part::Whole);
    }
}
