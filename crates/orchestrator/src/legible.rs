//! Text that others had a hand in, shown so that it cannot look like another.

/// Stands where a character was that is not shown.
pub(crate) const STAND_IN: char = '\u{fffd}';

/// Whether it turns the direction of the text around it: `exe.gpj` would read `jpg.exe`.
pub(crate) fn turns(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Whether it is seen nowhere and has no place on a page.
fn steers(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

/// A page without controls, and whose text turns nowhere. Within tags what turns it stays: what a form
/// sends back is what it was given.
pub(crate) fn page(html: String) -> String {
    if !html.contains(|one: char| turns(one) || steers(one)) {
        return html;
    }
    let mut in_tag = false;
    let shown = html.chars().map(|one| {
        match one {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ => {}
        }
        if steers(one) || turns(one) && !in_tag { STAND_IN } else { one }
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_one_way_and_values_stay() {
        assert_eq!(page("<p>niño 日本 &#60;</p>".to_owned()), "<p>niño 日本 &#60;</p>");
        let html = "<a href=\"x\" title=\"a\u{202e}b\">cod\u{202e}gpj.exe</a>\u{2066}";
        let shown = "<a href=\"x\" title=\"a\u{202e}b\">cod\u{fffd}gpj.exe</a>\u{fffd}";
        assert_eq!(page(html.to_owned()), shown);
        assert_eq!(
            page("a\0b <i title=\"\u{1b}[m\">\n".to_owned()),
            "a\u{fffd}b <i title=\"\u{fffd}[m\">\n"
        );
    }
}
