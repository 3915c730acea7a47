//! `${NAME}` in values.

/// `text` with its variables put in: `${NAME}`, and `${NAME:-default}` where the variable is not
/// set or empty; `$$` is a dollar. The error is the name of a variable that `known` does not have.
pub fn expand<'a>(text: &str, known: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((inside, after)) =
            rest.strip_prefix('{').and_then(|inner| inner.split_once('}'))
        {
            match inside.split_once(":-") {
                Some((name, default)) => {
                    let value = known(name).filter(|value| !value.is_empty());
                    out.push_str(value.unwrap_or(default));
                }
                None => out.push_str(known(inside).ok_or_else(|| inside.to_owned())?),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expanded() {
        let known = |name: &str| match name {
            "A" => Some("1"),
            "EMPTY" => Some(""),
            _ => None,
        };
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}${A}", "11"),
            ("x${NO:-y}z", "xyz"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY:-}", ""),
            ("$$A $A ${", "$A $A ${"),
        ] {
            assert_eq!(expand(text, known).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(expand("${NO}", known), Err("NO".to_owned()));
    }
}
