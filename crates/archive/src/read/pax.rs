//! PAX records: `length key=value`, each with its own length.

/// Records in their order; the last of a key counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// `None` where they are not what they say.
    pub(super) fn parse(mut text: &[u8]) -> Option<Self> {
        let mut records = Vec::new();
        while !text.is_empty() {
            // Some writers fill up with zeros.
            if text.iter().all(|byte| *byte == 0) {
                break;
            }
            let space = text.iter().take(20).position(|byte| *byte == b' ')?;
            let length = usize::try_from(whole(&text[..space])?).ok()?;
            if length <= space + 1 || length > text.len() || text[length - 1] != b'\n' {
                return None;
            }
            let record = &text[space + 1..length - 1];
            let split = record.iter().position(|byte| *byte == b'=')?;
            records.push((record[..split].to_vec(), record[split + 1..].to_vec()));
            text = &text[length..];
        }
        Some(Self(records))
    }

    pub(super) fn with(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    /// An empty value takes back what was said before.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(name, _)| name == key.as_bytes())?;
        (!found.1.is_empty()).then_some(&*found.1)
    }

    /// All values of `keys`, in order.
    pub(super) fn all<'r>(
        &'r self,
        keys: &'r [&str],
    ) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        self.0
            .iter()
            .filter(|(name, _)| keys.iter().any(|key| key.as_bytes() == name))
            .map(|(name, value)| (&**name, &**value))
    }

    /// Extended attributes, as star and GNU tar write them.
    pub(super) fn extended(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (key, value) in &self.0 {
            let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else { continue };
            let name = unescaped(name);
            found.retain(|(other, _)| *other != name);
            found.push((name, value.clone()));
        }
        found
    }
}

/// `%25` and `%3D`, which stand for what would end a key.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        let (byte, left) = match rest {
            [b'%', b'2', b'5', left @ ..] => (b'%', left),
            [b'%', b'3', b'D', left @ ..] => (b'=', left),
            _ => (*first, after),
        };
        text.push(byte);
        rest = left;
    }
    text
}

/// A decimal number without a sign.
pub(super) fn whole(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Seconds with a fraction and a sign, as whole seconds and the nanoseconds after them.
pub(super) fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (is_negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let secs = i64::try_from(whole(halves.next()?)?).ok()?;
    let fraction = halves.next().unwrap_or_default();
    let mut nanos = 0;
    for at in 0..9 {
        let digit = match fraction.get(at) {
            Some(digit @ b'0'..=b'9') => u32::from(digit - b'0'),
            Some(_) => return None,
            None => 0,
        };
        nanos = nanos * 10 + digit;
    }
    Some(match (is_negative, nanos) {
        (false, _) => (secs, nanos),
        (true, 0) => (-secs, 0),
        (true, _) => (-secs - 1, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_what_they_say_or_nothing() {
        let good = Records::parse(b"12 path=a\nb\n8 gid=7\n8 gid=8\n\0\0").unwrap();
        assert_eq!(good.get("path"), Some(&b"a\nb"[..]));
        assert_eq!(good.get("gid"), Some(&b"8"[..]));
        for bad in [&b"99 a=b\n"[..], b"a=b\n", b"6 a=b", b"2 \n", b"-1 a=b\n", b"5 abc\n", b"0 "] {
            assert!(Records::parse(bad).is_none(), "{bad:?}");
        }
        let named = Records::parse(b"32 SCHILY.xattr.user.a%3Db%25=v\n").unwrap();
        assert_eq!(named.extended(), [(b"user.a=b%".to_vec(), b"v".to_vec())]);
    }

    #[test]
    fn times_have_a_sign_and_a_fraction() {
        assert_eq!(time(b"5.000000001"), Some((5, 1)));
        assert_eq!(time(b"-0.25"), Some((-1, 750_000_000)));
        assert_eq!(time(b"-2"), Some((-2, 0)));
        assert_eq!(time(b"7.1234567899"), Some((7, 123_456_789)));
        for bad in [&b""[..], b"1e9", b"--1", b"99999999999999999999", b"1.x"] {
            assert_eq!(time(bad), None, "{bad:?}");
        }
    }
}
