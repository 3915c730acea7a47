//! Names in trees: any bytes, written as Go writes them between quotes (`strconv.Quote`), because
//! JSON has no way to write what is not UTF-8.

use std::fmt::Write as _;

/// Why a text is not quoted as Go does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name has an escape that is none")]
pub struct BadEscape;

/// `name` as it stands in a tree.
pub fn quote(name: &[u8]) -> String {
    let mut quoted = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(c, &mut quoted);
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted
}

fn quote_char(c: char, to: &mut String) {
    match c {
        '"' => to.push_str("\\\""),
        '\\' => to.push_str("\\\\"),
        '\u{7}' => to.push_str("\\a"),
        '\u{8}' => to.push_str("\\b"),
        '\u{c}' => to.push_str("\\f"),
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        '\u{b}' => to.push_str("\\v"),
        c if c < ' ' || c == '\u{7f}' => drop(write!(to, "\\x{:02x}", c as u32)),
        c if is_printable(c) => to.push(c),
        c if (c as u32) < 0x1_0000 => drop(write!(to, "\\u{:04x}", c as u32)),
        c => drop(write!(to, "\\U{:08x}", c as u32)),
    }
}

/// Near enough to Go's tables: what differs is read back the same.
fn is_printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..))
}

/// The bytes that `quoted` stands for.
pub fn unquote(quoted: &str) -> Result<Vec<u8>, BadEscape> {
    let Some(first) = quoted.find('\\') else { return Ok(quoted.as_bytes().to_vec()) };
    let mut name = Vec::with_capacity(quoted.len());
    let (plain, mut rest) = quoted.split_at(first);
    name.extend_from_slice(plain.as_bytes());
    loop {
        let Some(at) = rest.find('\\') else {
            name.extend_from_slice(rest.as_bytes());
            return Ok(name);
        };
        name.extend_from_slice(&rest.as_bytes()[..at]);
        rest = unescape(&rest[at + 1..], &mut name)?;
    }
}

/// Reads what follows a backslash; what is after it is returned.
fn unescape<'a>(rest: &'a str, to: &mut Vec<u8>) -> Result<&'a str, BadEscape> {
    let mut chars = rest.chars();
    let kind = chars.next().ok_or(BadEscape)?;
    let after = chars.as_str();
    let (text, length, radix) = match kind {
        'x' => (after, 2, 16),
        'u' => (after, 4, 16),
        'U' => (after, 8, 16),
        '0'..='7' => (rest, 3, 8),
        _ => {
            to.push(match kind {
                'a' => 7,
                'b' => 8,
                'f' => 12,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 11,
                '\\' => b'\\',
                '"' => b'"',
                _ => return Err(BadEscape),
            });
            return Ok(after);
        }
    };
    let digits = text.get(..length).ok_or(BadEscape)?;
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(BadEscape);
    }
    let value = u32::from_str_radix(digits, radix).map_err(|_| BadEscape)?;
    if matches!(kind, 'u' | 'U') {
        let c = char::from_u32(value).ok_or(BadEscape)?;
        to.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        to.push(u8::try_from(value).map_err(|_| BadEscape)?);
    }
    Ok(&text[length..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_go_does() {
        for (name, quoted) in [
            (&b"plain name"[..], "plain name"),
            ("ñandú 日本 😀".as_bytes(), "ñandú 日本 😀"),
            (b"a\"b\\c'd", "a\\\"b\\\\c'd"),
            (b"\x07\x08\x0c\n\r\t\x0b\x01\x7f", "\\a\\b\\f\\n\\r\\t\\v\\x01\\x7f"),
            (b"\xff-\xc3", "\\xff-\\xc3"),
            ("\u{a0}\u{2028}\u{e0001}".as_bytes(), "\\u00a0\\u2028\\U000e0001"),
        ] {
            assert_eq!(quote(name), quoted);
            assert_eq!(unquote(quoted).unwrap(), name);
        }
        assert_eq!(unquote("\\101\\377").unwrap(), b"A\xff");
    }

    #[test]
    fn escapes_that_are_none_are_refused() {
        for bad in [
            "\\",
            "\\q",
            "\\x",
            "\\x1",
            "\\xg0",
            "\\u12",
            "\\ud800",
            "\\U00110000",
            "\\400",
            "\\x+1",
            "\\xñ",
            "\\'",
        ] {
            assert_eq!(unquote(bad), Err(BadEscape), "{bad}");
        }
    }
}
