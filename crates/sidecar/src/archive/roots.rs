//! Patterns of `paths`, and what they find. Names that are no text are found as well.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use glob::{MatchOptions, Pattern};

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    // Hidden files are files.
    require_literal_leading_dot: false,
};

/// What is at `pattern`, sorted. `**` is any number of folders.
pub(super) fn find(pattern: &Path) -> io::Result<Vec<PathBuf>> {
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
}
