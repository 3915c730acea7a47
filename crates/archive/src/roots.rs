//! Patterns of `paths`, and what they find. Names that are no text are found as well.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use glob::{MatchOptions, Pattern, PatternError};

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    // Hidden files are files.
    require_literal_leading_dot: false,
};

/// What is at `pattern`, sorted. `**` is any number of folders.
pub fn find(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    let mut components = pattern.components().peekable();
    while let Some(component) = components.next() {
        let text = component.as_os_str().to_string_lossy();
        if component == Component::CurDir {
            continue;
        }
        if text == "**" {
            // At the end, a folder with all that is in it.
            if components.peek().is_some() {
                found = found.iter().flat_map(|folder| folders(folder)).collect();
            }
        } else if text.contains(['*', '?', '[']) {
            let pattern = Pattern::new(&text).map_err(io::Error::other)?;
            found = matching(&found, &pattern, component)?;
        } else {
            for path in &mut found {
                path.push(component);
            }
        }
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found.sort();
    found.dedup();
    Ok(found)
}

/// Whether `find` understands `pattern`.
pub fn check_pattern(pattern: &Path) -> Result<(), PatternError> {
    let mut parts = pattern.components().map(|part| part.as_os_str().to_string_lossy());
    parts.try_for_each(|part| Pattern::new(&part).map(drop))
}

fn folders(within: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(within)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
        .collect()
}

fn matching(
    folders: &[PathBuf],
    pattern: &Pattern,
    literal: Component<'_>,
) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        // A name that only looks like a pattern.
        let path = folder.join(literal);
        if path.symlink_metadata().is_ok() {
            found.push(path);
        }
        let entries = match std::fs::read_dir(folder) {
            Err(error) if absent(&error) => continue,
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            if pattern.matches_with(&name.to_string_lossy(), OPTIONS) {
                found.push(folder.join(name));
            }
        }
    }
    Ok(found)
}

/// Leaves out what lies within another root. What lies in `own` is there only where it is asked
/// for itself.
pub fn distinct(mut all: Vec<PathBuf>, own: Option<&Path>) -> Vec<PathBuf> {
    all.sort();
    let in_own = |path: &Path| own.is_some_and(|own| path.starts_with(own));
    let mut roots: Vec<PathBuf> = Vec::new();
    let mut last_outside: Option<PathBuf> = None;
    // What lies within a folder follows it.
    for path in all {
        let is_own = in_own(&path);
        let around = if is_own { roots.last() } else { last_outside.as_ref() };
        let covers = |root: &PathBuf| path.starts_with(root) && (in_own(root) || !is_own);
        if around.is_some_and(covers) {
            continue;
        }
        if !is_own {
            last_outside = Some(path.clone());
        }
        roots.push(path);
    }
    roots
}

/// Names in the archive come from the path: `..` must not make two places one.
pub fn without_parents(path: PathBuf) -> io::Result<PathBuf> {
    if path.components().any(|component| component == Component::ParentDir) {
        return path.canonicalize();
    }
    Ok(path)
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use super::*;

    #[test]
    fn patterns_find_what_they_say() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("a/b/c")).unwrap();
        for name in ["a/x.txt", "a/b/y.txt", "a/b/c/z.txt", "a/.hidden.txt", "a/[x].txt", "a/w.log"]
        {
            std::fs::write(at(name), "").unwrap();
        }
        let odd = folder.path().join("a").join(OsStr::from_bytes(b"\xff\xfe.txt"));
        std::fs::write(&odd, "").unwrap();
        let find = |pattern: &str| find(&at(pattern)).unwrap();
        assert_eq!(find("a/?.txt"), [at("a/x.txt")]);
        assert_eq!(find("a/b"), [at("a/b")]);
        assert_eq!(find("a/[x].txt"), [at("a/[x].txt"), at("a/x.txt")]);
        assert_eq!(find("a/**/y.txt"), [at("a/b/y.txt")]);
        assert_eq!(find("**/[yz].txt"), [at("a/b/c/z.txt"), at("a/b/y.txt")]);
        assert_eq!(find("./a/./b/**"), [at("a/b")]);
        assert!(find("a/*.txt").contains(&odd) && find("a/*.txt").contains(&at("a/.hidden.txt")));
        assert!(find("a/*.none").is_empty() && find("b").is_empty() && find("b/*").is_empty());
    }

    #[test]
    fn nothing_is_archived_twice() {
        let of = |paths: &[&str]| {
            let all = paths.iter().map(PathBuf::from).collect();
            let roots = distinct(all, Some(Path::new("/data/own")));
            roots.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(&["/a/b", "/a", "/a/b/c", "/ab", "/a"]), ["/a", "/ab"]);
        assert_eq!(of(&["/data", "/data/own/x", "/data/z"]), ["/data", "/data/own/x"]);
        assert_eq!(of(&["/data/own", "/data/own/x"]), ["/data/own"]);
    }
}
