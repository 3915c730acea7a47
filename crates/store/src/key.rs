//! Names of objects.

use std::fmt;

/// Longest name, in bytes; what S3 allows, less room for a temporary suffix.
const MAX_LEN: usize = 900;
/// Longest part between slashes, in bytes; what file systems allow, less the same.
const MAX_PART_LEN: usize = 220;

/// Marks a name under which an unfinished upload lies.
pub(crate) const PARTIAL_SUFFIX: &str = ".partial";
/// Begins such a name.
pub(crate) const PARTIAL_PREFIX: &str = ".bo-";

/// Why a text cannot name an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot name an object: {reason}", .text.escape_debug())]
pub struct InvalidKey {
    text: String,
    reason: &'static str,
}

/// The name of an object: relative, `/`-separated, without empty, `.` or `..` parts and
/// without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// A folder: every object in it or below. It ends at a part's end: `app` is no prefix of
/// `app_archive`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Key {
    /// A name, if `text` can be one.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder and the last part.
    pub(crate) fn split(&self) -> (Option<&str>, &str) {
        match self.0.rsplit_once('/') {
            Some((folder, name)) => (Some(folder), name),
            None => (None, &self.0),
        }
    }

    /// A name beside this one under which it is written until it is finished.
    pub(crate) fn partial(&self, unique: u64) -> String {
        let (folder, name) = self.split();
        let partial = format!("{PARTIAL_PREFIX}{unique:016x}-{name}{PARTIAL_SUFFIX}");
        folder.map_or(partial.clone(), |folder| format!("{folder}/{partial}"))
    }
}

/// Whether the last part of `name` is one that [`Key::partial`] makes.
pub(crate) fn is_partial(name: &str) -> bool {
    finished_name(name).is_some()
}

/// The last part of the key for which [`Key::partial`] made the last part of `name`.
pub(crate) fn finished_name(name: &str) -> Option<&str> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let rest = last.strip_prefix(PARTIAL_PREFIX)?.strip_suffix(PARTIAL_SUFFIX)?;
    let (unique, finished) = rest.split_once('-')?;
    let is_ours = unique.len() == 16 && unique.bytes().all(|b| b.is_ascii_hexdigit());
    is_ours.then_some(finished)
}

impl Prefix {
    /// Everything.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// A folder.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim_end_matches('/');
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The folder as text, without a slash at its end; empty for everything.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `key` is in this folder or below.
    pub fn contains(&self, key: &str) -> bool {
        self.0.is_empty() || key.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn check(text: &str) -> Result<(), InvalidKey> {
    let refuse = |reason| Err(InvalidKey { text: text.chars().take(100).collect(), reason });
    if text.is_empty() {
        return refuse("it is empty");
    }
    if text.len() > MAX_LEN {
        return refuse("it is too long");
    }
    if text.chars().any(char::is_control) {
        return refuse("it has control characters");
    }
    if text.contains('\\') {
        return refuse("it has a backslash");
    }
    for part in text.split('/') {
        if part.is_empty() || part == "." || part == ".." {
            return refuse("it has an empty part, `.` or `..`");
        }
        if part.len() > MAX_PART_LEN {
            return refuse("one of its parts is too long");
        }
        if part != part.trim() {
            return refuse("one of its parts begins or ends with a space");
        }
    }
    if is_partial(text) {
        return refuse("names of this shape are for unfinished uploads");
    }
    Ok(())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_reach_elsewhere_are_refused() {
        for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0b", "a\nb", "a\\b", " a"] {
            assert!(Key::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(Key::new(&"x".repeat(300)).is_err());
        assert!(Key::new(&Key::new("a/b").unwrap().partial(7)).is_err());
    }

    #[test]
    fn a_folder_is_no_prefix_of_its_namesake() {
        let app = Prefix::new("app/").unwrap();
        assert!(app.contains("app/x"));
        assert!(!app.contains("app_archive/x"));
        assert!(!app.contains("app"));
    }
}
