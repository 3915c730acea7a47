//! Headers and trailers, parsed strictly: what decides over success is not guessed.

use http::{HeaderMap, HeaderName};

/// SHA-256 of the artifact, 64 hex digits.
pub const CHECKSUM: HeaderName = HeaderName::from_static("x-checksum-sha256");
/// Size of the artifact in bytes, decimal.
pub const SIZE: HeaderName = HeaderName::from_static("x-size");
/// Format of the artifact, for example `pg_dump_Fc`.
pub const FORMAT: HeaderName = HeaderName::from_static("x-format");

/// Where an import is to go: `replace`, or `beside:` and a name.
pub const TARGET: HeaderName = HeaderName::from_static("x-target");
/// Of an import: the same id again gives the finished result and restores nothing twice.
pub const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");

/// Longest file name kept, in bytes: file systems count bytes, and names get longer on their way.
const MAX_FILE_NAME: usize = 120;
/// Longest other text kept, in characters.
const MAX_TEXT: usize = 100;

/// A header that is not as the contract wants it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header {name} {reason}")]
pub struct BadHeader {
    name: String,
    reason: &'static str,
}

fn bad<T>(name: &HeaderName, reason: &'static str) -> Result<T, BadHeader> {
    Err(BadHeader { name: name.as_str().to_owned(), reason })
}

/// The only value of `name`; two are refused even where they agree.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, BadHeader> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return bad(name, "is there twice");
    }
    match first.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => bad(name, "is not plain ASCII"),
    }
}

/// `X-Size`: decimal digits and nothing else.
pub fn size(headers: &HeaderMap) -> Result<Option<u64>, BadHeader> {
    let Some(text) = single(headers, &SIZE)? else { return Ok(None) };
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return bad(&SIZE, "is not a decimal number of bytes");
    }
    match text.parse() {
        Ok(size) => Ok(Some(size)),
        Err(_) => bad(&SIZE, "is larger than any artifact"),
    }
}

/// `X-Checksum-SHA256`: 64 hex digits.
pub fn checksum(headers: &HeaderMap) -> Result<Option<[u8; 32]>, BadHeader> {
    let Some(text) = single(headers, &CHECKSUM)? else { return Ok(None) };
    let mut bytes = [0; 32];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(_) => bad(&CHECKSUM, "is not 64 hexadecimal digits"),
    }
}

/// Whether `Transfer-Encoding` is `chunked` and nothing else. After any other last coding the end
/// of the connection would be the end of the body, cut or not.
pub(crate) fn only_chunked(headers: &HeaderMap) -> bool {
    let value = single(headers, &http::header::TRANSFER_ENCODING);
    // Beside a length, two readers could see two different ends.
    matches!(value, Ok(Some(text)) if text.trim().eq_ignore_ascii_case("chunked"))
        && !headers.contains_key(http::header::CONTENT_LENGTH)
}

/// Whether `Trailer` names the checksum.
pub(crate) fn announces_checksum(headers: &HeaderMap) -> bool {
    headers
        .get_all(http::header::TRAILER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(CHECKSUM.as_str()))
}

/// A header of free text, without control characters and not too long.
pub fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    (!text.is_empty()).then_some(text)
}

/// File name of `Content-Disposition` (RFC 6266), made a safe base name.
pub fn file_name(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::CONTENT_DISPOSITION)?;
    let value = String::from_utf8_lossy(value.as_bytes());
    let lower = value.to_ascii_lowercase();
    if let Some(at) = lower.find("filename*=") {
        let rest = value[at + "filename*=".len()..].split(';').next()?.trim().trim_matches('"');
        let mut parts = rest.splitn(3, '\'');
        if parts.next()?.eq_ignore_ascii_case("utf-8") {
            let encoded = parts.nth(1)?;
            let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8().ok()?;
            return safe_name(&decoded);
        }
    }
    let at = lower.find("filename=")?;
    let rest = value[at + "filename=".len()..].trim_start();
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split(';').next()?.trim(),
    };
    safe_name(name)
}

/// The last part of `name`, with anything a file system, shell or terminal could take for
/// something else replaced.
pub fn safe_name(name: &str) -> Option<String> {
    let base = name.rsplit(['/', '\\']).next()?.trim();
    let safe: String = base
        .chars()
        .map(|c| {
            let plain = c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '=' | '@');
            if plain { c } else { '_' }
        })
        .collect();
    // The end of a name tells its format: what is too long loses its beginning.
    let mut skip = safe.len().saturating_sub(MAX_FILE_NAME);
    while !safe.is_char_boundary(skip) {
        skip += 1;
    }
    let safe = safe[skip..].trim_start_matches(['.', '-']);
    (!safe.is_empty()).then(|| safe.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn sizes_are_decimal_digits_once() {
        assert_eq!(size(&with(&SIZE, &["0"])), Ok(Some(0)));
        assert_eq!(size(&with(&SIZE, &["18446744073709551615"])), Ok(Some(u64::MAX)));
        assert_eq!(size(&HeaderMap::new()), Ok(None));
        for wrong in ["-1", "+1", "1e30", "18446744073709551616", "abc", "", "0x10", "1 2", "1.0"] {
            assert!(size(&with(&SIZE, &[wrong])).is_err(), "{wrong:?} was accepted");
        }
        assert!(size(&with(&SIZE, &["5", "5"])).is_err());
    }

    #[test]
    fn checksums_are_64_digits_once() {
        let right = "ab".repeat(32);
        assert_eq!(checksum(&with(&CHECKSUM, &[&right])), Ok(Some([0xab; 32])));
        assert_eq!(checksum(&with(&CHECKSUM, &[&right.to_uppercase()])), Ok(Some([0xab; 32])));
        for wrong in [&right[1..], "", "zz", &format!("{right} ")] {
            assert!(checksum(&with(&CHECKSUM, &[wrong])).is_err(), "{wrong:?} was accepted");
        }
        assert!(checksum(&with(&CHECKSUM, &[&right, &right])).is_err());
    }

    #[test]
    fn file_names_cannot_lead_elsewhere() {
        let name = |value: &str| file_name(&with(&http::header::CONTENT_DISPOSITION, &[value]));
        assert_eq!(name("attachment; filename=\"a.dump\"").unwrap(), "a.dump");
        assert_eq!(name("attachment; filename=a.tar.gz").unwrap(), "a.tar.gz");
        assert_eq!(name("attachment; filename*=UTF-8''copia%20%C3%B1.sql").unwrap(), "copia_ñ.sql");
        assert_eq!(name("attachment; filename=\"../../etc/passwd\"").unwrap(), "passwd");
        assert_eq!(name("attachment; filename=\"..\\\\x\"").unwrap(), "x");
        assert_eq!(name("attachment; filename=\"--config\"").unwrap(), "config");
        assert_eq!(name("attachment; filename=\"..\""), None);
        assert_eq!(name("attachment"), None);
    }
}
