//! Numbers in a header: octal text, or binary where the first bit is set.

/// One that is not negative.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    u64::try_from(signed(field)?).ok()
}

/// One of either sign.
pub(super) fn signed(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        return binary(field);
    }
    let text = field.split(|byte| *byte == 0).next()?.trim_ascii();
    if text.is_empty() {
        return Some(0);
    }
    text.iter().try_fold(0_i64, |sum, byte| match byte {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// Two's complement, of which the first bit only says that it is binary.
fn binary(field: &[u8]) -> Option<i64> {
    let is_negative = field[0] & 0x40 != 0;
    let first = if is_negative { field[0] } else { field[0] & 0x7f };
    let start = if is_negative { -1_i128 } else { 0 };
    let value = std::iter::once(&first)
        .chain(&field[1..])
        .try_fold(start, |sum, byte| sum.checked_mul(256)?.checked_add(i128::from(*byte)));
    i64::try_from(value?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_and_never_more() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xfb"), None);
        assert_eq!(signed(b"\xff\xff\xff\xff\xff\xff\xff\xfb"), Some(-5));
        assert_eq!(signed(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(number(b"-0000005"), None);
        assert_eq!(number(b"12x\0"), None);
        assert_eq!(number(b"777777777777777777777777777"), None);
    }
}
