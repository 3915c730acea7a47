//! Text that others had a hand in: made harmless, cut to what a service takes, escaped.

/// What a cut text ends with.
const CUT: char = '…';

/// Characters that turn the direction of what follows, or are not seen at all.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// One line, without controls and what turns the direction of text.
pub(crate) fn line(text: &str) -> String {
    let seen = |character: char| match character {
        '\u{2028}' | '\u{2029}' => ' ',
        control if control.is_control() => ' ',
        other => other,
    };
    let text: String = text.chars().filter(|one| !is_hidden(*one)).map(seen).collect();
    text.trim().to_owned()
}

/// The same for several lines.
pub(crate) fn block(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(line).collect();
    lines.join("\n").trim().to_owned()
}

/// How much of a limit a character takes.
type Weight = fn(char) -> usize;

pub(crate) const CHARS: Weight = |_| 1;
pub(crate) const BYTES: Weight = char::len_utf8;
pub(crate) const UTF16: Weight = char::len_utf16;

/// At most `most` of `text`, by `weight`; what was cut ends with an ellipsis.
pub(crate) fn cut(text: &str, most: usize, weight: Weight) -> String {
    if text.chars().map(weight).sum::<usize>() <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(weight(CUT));
    let kept = text.chars().take_while(|one| {
        let fits = weight(*one) <= left;
        left = left.saturating_sub(weight(*one));
        fits
    });
    let mut kept: String = kept.collect();
    kept.truncate(kept.trim_end().len());
    kept.push(CUT);
    kept
}

/// For HTML, and for what takes the same three characters as markup.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_and_reads_one_way() {
        assert_eq!(line("shop\r\nBcc: x@y"), "shop  Bcc: x@y");
        assert_eq!(line("a\u{202e}gpj.exe\u{200b}\u{0}"), "agpj.exe");
        assert_eq!(line("a\u{2028}b\u{1b}[31m"), "a b [31m");
        assert_eq!(block("one\r\ntwo\u{7}\n"), "one\ntwo");
        assert_eq!(line("niño 👩‍🚀 日本"), "niño 👩‍🚀 日本");
    }

    #[test]
    fn a_cut_holds_the_limit_on_a_character() {
        assert_eq!(cut("áéíóú", 5, CHARS), "áéíóú");
        assert_eq!(cut("áéíóú", 4, CHARS), "áéí…");
        assert_eq!(cut("áéíóú", 10, BYTES), "áéíóú");
        for most in 3..10 {
            let cut = cut("áéíóú", most, BYTES);
            assert!(cut.len() <= most && cut.ends_with('…'), "{most}: {cut}");
        }
        let emoji = "🚀".repeat(10);
        let cut = cut(&emoji, 7, UTF16);
        assert_eq!(cut, "🚀🚀🚀…");
    }
}
