//! Checks of what users send, field by field.

use model::{Fact, Name};

use crate::{EngineError, FieldError};

/// A name, or an error on `field`.
pub(crate) fn name(field: &str, text: &str, errors: &mut Vec<FieldError>) -> Option<Name> {
    match text.trim().parse() {
        Ok(name) => Some(name),
        Err(error) => {
            errors.push(FieldError::new(field, error));
            None
        }
    }
}

/// An optional single line without control characters.
pub(crate) fn line(
    field: &str,
    text: Option<&str>,
    max_chars: usize,
) -> Result<Option<String>, EngineError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > max_chars {
        return Err(EngineError::invalid(
            field,
            Fact::AtMostCharacters { count: max_chars as u64 },
        ));
    }
    if text.chars().any(is_unprintable) {
        return Err(EngineError::invalid(field, Fact::OneLine {}));
    }
    Ok(Some(text.to_owned()))
}

/// Control characters, and those that make text read in another order than it is written.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// An optional commit id.
pub(crate) fn commit(field: &str, text: Option<&str>) -> Result<Option<String>, EngineError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let fits = (7..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
    if fits {
        Ok(Some(text.to_ascii_lowercase()))
    } else {
        Err(EngineError::invalid(field, Fact::CommitId {}))
    }
}

/// A folder inside a destination: relative, without `.` and `..`.
pub(crate) fn folder(field: &str, text: &str, errors: &mut Vec<FieldError>) -> String {
    let folder = text.trim().trim_matches('/');
    if !folder.is_empty() && store::Key::new(folder).is_err() {
        errors.push(FieldError::new(field, Fact::RelativeFolder {}));
    }
    if crate::recovery::names::is_ours(folder) {
        errors.push(FieldError::new(field, Fact::FolderOfCopies {}));
    }
    folder.to_owned()
}
