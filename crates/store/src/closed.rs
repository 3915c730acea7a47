//! Folders that are one thing: what is in them is somebody's files, and no objects of ours.

/// The end of such folders' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed(pub &'static str);

/// What a folder is to a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    /// Objects lie in it.
    Open,
    /// It counts as one object.
    Object,
    /// It is being made or removed.
    Passing,
}

/// What the folder `name` is where `closed` ones are known.
pub(crate) fn kind(closed: Option<Closed>, name: &str) -> Folder {
    let Some(Closed(suffix)) = closed else { return Folder::Open };
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.ends_with(suffix) {
        Folder::Object
    } else if last.contains(&format!("{suffix}.")) {
        Folder::Passing
    } else {
        Folder::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_it_is_asked_for_folders_are_closed() {
        let closed = Some(Closed(".tree"));
        for (name, expected) in [
            ("a/b.tree", Folder::Object),
            ("a/b.tree.partial", Folder::Passing),
            ("a.tree/b", Folder::Open),
            ("trees", Folder::Open),
        ] {
            assert_eq!(kind(closed, name), expected, "{name}");
            assert_eq!(kind(None, name), Folder::Open, "{name}");
        }
    }
}
