//! Codes by time: RFC 6238 with what every app knows (SHA-1, six digits, 30 seconds).

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;

use super::sha256;

/// Length of a new secret, in bytes: that of the hash (RFC 4226, 4).
pub(super) const SECRET_LEN: usize = 20;
const STEP_SECS: i64 = 30;
const DIGITS: usize = 6;
/// Who asks, as apps show it.
const ISSUER: &str = "Backup Orchestrator";
/// RFC 4648, 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The time step of a moment.
fn step(at: Timestamp) -> u64 {
    u64::try_from(at.as_second().div_euclid(STEP_SECS)).unwrap_or(0)
}

/// The code of a time step (RFC 4226, 5.3).
fn code(secret: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let digest = hmac::sign(&key, &step.to_be_bytes());
    let digest = digest.as_ref();
    let from = usize::from(digest[digest.len() - 1] & 0xf);
    let word = digest[from..from + 4].iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// Whether `typed` looks like a code by time rather than like a recovery code.
pub(super) fn is_code(typed: &str) -> bool {
    typed.len() == DIGITS && typed.bytes().all(|byte| byte.is_ascii_digit())
}

/// The time step whose code `typed` is: the present one or a neighbour (RFC 6238, 5.2), and
/// after `last`, which was used up.
pub(super) fn accepted(
    secret: &[u8],
    typed: &str,
    now: Timestamp,
    last: Option<u64>,
) -> Option<u64> {
    let now = step(now);
    let mut found = None;
    for step in now.saturating_sub(1)..=now + 1 {
        // Digests take the same time however much was right.
        let is_it = sha256(&code(secret, step)) == sha256(typed);
        if is_it && last.is_none_or(|last| step > last) {
            found = found.or(Some(step));
        }
    }
    found
}

/// A secret as people type it into an app.
pub(super) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(held >> bits & 31) as usize]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(BASE32[(held << (5 - bits) & 31) as usize]));
    }
    text
}

/// What an app reads from the picture.
pub(super) fn uri(secret: &[u8], user: &str) -> String {
    let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (issuer, user) = (part(ISSUER), part(user));
    format!("otpauth://totp/{issuer}:{user}?secret={}&issuer={issuer}", base32(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B; its codes have eight digits.
        for (secs, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(SECRET, step(at(secs))), expected, "{secs}");
        }
    }

    #[test]
    fn a_code_is_good_for_its_step_and_the_neighbours_once() {
        let now = 1_790_000_010;
        let typed = code(SECRET, step(at(now)));
        let accepted = |secs: i64, last| accepted(SECRET, &typed, at(now + secs), last);
        let own = step(at(now));
        for (secs, good) in [(-60, false), (-30, true), (0, true), (30, true), (60, false)] {
            assert_eq!(accepted(secs, None).is_some(), good, "{secs}");
        }
        assert_eq!(accepted(0, Some(own)), None, "a second time");
        assert_eq!(accepted(0, Some(own + 1)), None, "after a later one");
        assert_eq!(accepted(0, Some(own - 1)), Some(own));
        for wrong in ["", "000000 ", &typed[1..]] {
            assert_eq!(super::accepted(SECRET, wrong, at(now), None), None, "{wrong:?}");
        }
    }

    #[test]
    fn secrets_are_written_as_apps_read_them() {
        // RFC 4648, 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        let uri = uri(SECRET, "ana.b");
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        assert_eq!(
            uri,
            format!(
                "otpauth://totp/Backup%20Orchestrator:ana%2Eb?secret={secret}&issuer=Backup%20Orchestrator"
            )
        );
    }
}
