//! What the parser did not like, in words for who wrote the file.

use serde_saphyr::Error;

/// The line, where there is one to name, and what is wrong there. Values are never repeated: one
/// may be a password.
pub fn parser_says(error: &Error) -> (Option<u64>, String) {
    let error = error.without_snippet();
    let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("there is no key `{}` here{}", field.escape_debug(), nearest(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let near = nearest(variant, expected);
            format!("`{}` is none of the words known here{near}", variant.escape_debug())
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("{expected} was expected here")
        }
        Error::InvalidScalar { ty, .. } if ty.starts_with('u') => {
            "a whole number was expected here".to_owned()
        }
        Error::InvalidScalar { ty, .. } => format!("a {ty} was expected here"),
        Error::NullIntoString { .. } => "a value is missing here".to_owned(),
        Error::DuplicateMappingKey { .. } => "this key is here twice".to_owned(),
        other => {
            let text = other.render();
            // The line is told already.
            text.split(" at line").next().unwrap_or_default().trim().to_owned()
        }
    };
    (line, message)
}

/// `: did you mean …?` with the nearest of the words that are known, or all of them.
pub fn nearest<T: AsRef<str>>(word: &str, known: &[T]) -> String {
    let near = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate.as_ref()), candidate.as_ref()))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, candidate)) => format!(": did you mean `{candidate}`?"),
        None if known.is_empty() => String::new(),
        None => {
            let all: Vec<_> = known.iter().map(AsRef::as_ref).collect();
            format!(": known are {}", all.join(", "))
        }
    }
}
