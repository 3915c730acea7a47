//! An app for codes, as people have it on their phones.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::hmac;

const STEP: u64 = 30;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Waits until the present code is good for a while.
pub(crate) async fn calm() {
    while now() % STEP > STEP - 12 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The code of the present time step, or of one so many before or after it (RFC 6238).
pub(crate) fn code(secret: &str, steps: i64) -> String {
    let step = (now() / STEP).checked_add_signed(steps).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base32(secret));
    let digest = hmac::sign(&key, &step.to_be_bytes());
    let digest = digest.as_ref();
    let at = usize::from(digest[19] & 15);
    let word = u32::from_be_bytes(digest[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

/// What `secret` stands for (RFC 4648, 6).
pub(crate) fn base32(secret: &str) -> Vec<u8> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for sign in secret.bytes().filter(|sign| !sign.is_ascii_whitespace()) {
        let five = match sign {
            b'A'..=b'Z' => sign - b'A',
            b'2'..=b'7' => sign - b'2' + 26,
            _ => panic!("{secret} is not base32"),
        };
        held = held << 5 | u32::from(five);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).unwrap());
        }
    }
    bytes
}
