//! What the templates do with sentences.
#![allow(
    clippy::inline_always,
    clippy::unnecessary_wraps,
    unreachable_pub,
    reason = "what the macro makes of a filter, and wants of one"
)]

use std::fmt::Display;

use askama::{
    Values,
    filters::{Html, Safe},
};

/// A sentence as HTML, in which what stands between two backticks is code. All of it is escaped:
/// names, and what programs said, are in it.
#[askama::filter_fn]
pub(crate) fn code(sentence: impl Display, _: &dyn Values) -> askama::Result<Safe<String>> {
    Ok(Safe(coded(&sentence.to_string())))
}

fn coded(sentence: &str) -> String {
    let escaped = escape(sentence);
    let mut html = String::with_capacity(escaped.len());
    let mut rest = escaped.as_str();
    while let Some((before, after)) = rest.split_once('`') {
        // One that nothing ends, or with nothing in it, is a backtick.
        let Some((code, then)) = after.split_once('`').filter(|(code, _)| is_code(code)) else {
            html.extend([before, "`"]);
            rest = after;
            continue;
        };
        html.extend([before, "<code>", code, "</code>"]);
        rest = then;
    }
    html + rest
}

/// Whether it could be a name or a command: one line, and no gap after the first backtick or before
/// the second, as between two names that a program begins with a backtick and ends otherwise.
fn is_code(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains('\n')
}

fn escape(text: &str) -> String {
    let Ok(html) = askama::filters::escape(text, Html);
    html.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_backticks_is_code() {
        for (sentence, html) in [
            ("nothing of it", "nothing of it"),
            ("`db`: no", "<code>db</code>: no"),
            ("set `a` or `b c`", "set <code>a</code> or <code>b c</code>"),
            ("one ` alone", "one ` alone"),
            ("`a` and ` alone", "<code>a</code> and ` alone"),
            ("`` and ` `", "`` and ` `"),
            ("two\nlines `of\na` log", "two\nlines `of\na` log"),
            ("ñ `é` ü", "ñ <code>é</code> ü"),
            ("cannot open `a: `b` is shut", "cannot open `a: <code>b</code> is shut"),
            ("", ""),
        ] {
            assert_eq!(coded(sentence), html);
        }
    }

    #[test]
    fn nothing_in_it_is_html() {
        for hostile in [
            "<script>alert(1)</script>",
            "`<script>alert(1)</script>`",
            "`</code><img src=x onerror=alert(1)>`",
            "<`b onload=alert(1)`>",
            "`a\" onclick='x`' & `&lt;b&gt;`",
            "`<`script`>`",
            "&#60;script&#62; `&`",
        ] {
            let html = coded(hostile);
            let bare = html.replace("<code>", "").replace("</code>", "");
            assert!(!bare.contains(['<', '>', '"', '\'']), "{html}");
            assert_eq!(html.matches("<code>").count(), html.matches("</code>").count(), "{html}");
            // An entity is never cut in two.
            let names = ["#34;", "#38;", "#39;", "#60;", "#62;"];
            for after in bare.split('&').skip(1) {
                assert!(names.iter().any(|name| after.starts_with(name)), "{html}");
            }
        }
    }
}
