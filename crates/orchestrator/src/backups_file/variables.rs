//! `${NAME}` in values: from `stack.env`, and below it from the environment.

use std::path::{Path, PathBuf};

use crate::settings::{Environment, dotenv};

/// Largest file of variables, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The variables that a file may use.
#[derive(Default)]
pub(crate) struct Variables(Environment);

impl Variables {
    /// What `text` (of `stack.env`) says, over what the environment does: the file is read again
    /// when it changes, the environment is as old as the process.
    pub(crate) fn new(environment: &Environment, text: &str) -> Self {
        let mut all = environment.clone();
        all.extend(dotenv(text));
        Self(all)
    }

    /// A variable that is set, maybe to nothing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable that is set to something.
    pub(crate) fn something(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// `${NAME}` and `${NAME:-default}`; `$$` is a dollar. The error is the name that is not set.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        handwritten::expand(text, |name| self.get(name))
    }
}

/// Whether `text` takes its value from elsewhere.
pub(super) fn is_reference(text: &str) -> bool {
    text.replace("$$", "").contains("${")
}

/// Text that [`Variables::expand`] gives back as `text`.
pub(super) fn literally(text: &str) -> String {
    text.replace('$', "$$")
}

/// `stack.env` beside `file`, or what the environment names.
pub(crate) fn stack_env_of(file: &Path, environment: &Environment) -> PathBuf {
    match environment.get("STACK_ENV").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => file.with_file_name("stack.env"),
    }
}

/// The text of a file that is no larger than such files are; `None` where there is none.
pub(crate) fn read_small(path: &Path) -> std::io::Result<Option<String>> {
    use std::io::{Error, ErrorKind, Read as _};
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Error::new(ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_before_the_environment_and_defaults_come_last() {
        let environment: Environment =
            [("A", "old"), ("B", "b")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let variables = Variables::new(&environment, "# words\nA=new\nEMPTY=\nQ=\"a b\"\n");
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}-${B}", "new-b"),
            ("x${NO:-y}z", "xyz"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${Q}", "a b"),
            ("$$A ${", "$A ${"),
        ] {
            assert_eq!(variables.expand(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(variables.expand("${NO}"), Err("NO".to_owned()));
        let odd = "p$a${A}$$";
        assert_eq!(variables.expand(&literally(odd)).as_deref(), Ok(odd));
        assert!(is_reference("${A}") && !is_reference("$${A}") && !is_reference("$A"));
    }
}
