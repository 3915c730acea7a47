//! What is found, what is left out, and what is never read.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use archive::{ArchiveError, Bounds, Root, Tar, Walk, Warnings};
use tar::EntryType as E;

use crate::{Meddling, held};

fn tree(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    folder
}

/// `folder`, called `it` in the archive.
fn it(folder: &tempfile::TempDir) -> Root {
    Root::read_from(Path::new("/it"), folder.path().to_owned())
}

fn names(walk: &Walk, root: &Root) -> Vec<String> {
    held(walk, root).unwrap().0.into_keys().collect()
}

#[test]
fn names_are_those_of_the_root() {
    let folder = tree(&["a", "b/c"]);
    let found = names(&Walk::default(), &it(&folder));
    assert_eq!(found, ["it", "it/a", "it/b", "it/b/c"]);
    let file = Root::at(folder.path().join("a"));
    let found = names(&Walk::default(), &file);
    assert_eq!(found, [folder.path().join("a").strip_prefix("/").unwrap().to_str().unwrap()]);
    let as_root = Root::read_from(Path::new("/"), folder.path().to_owned());
    assert_eq!(names(&Walk::default(), &as_root), ["a", "b", "b/c"]);
}

#[test]
fn what_is_excluded_is_left_out() {
    let folder = tree(&["a.tmp", "a.txt", "b/a.tmp", "b/cache/x", "cache/x", "d/cache/deep/y"]);
    let of = |patterns: &[&str]| {
        let walk = Walk::default().excluding(patterns.iter().copied()).unwrap();
        names(&walk, &it(&folder))
    };
    let none = of(&["*.tmp", "cache"]);
    assert_eq!(none, ["it", "it/a.txt", "it/b", "it/d"]);
    let by_path = of(&["/it/cache", "/it/b/**"]);
    let left = ["it", "it/a.tmp", "it/a.txt", "it/b", "it/d", "it/d/cache", "it/d/cache/deep"];
    assert_eq!(by_path[..7], left);
    assert!(of(&["b/cache"]).contains(&"it/cache/x".to_owned()));
    assert!(!of(&["b/cache"]).contains(&"it/b/cache".to_owned()));
    let by_name = Walk::default().without_name(Path::new("/it/b"));
    assert!(!names(&by_name, &it(&folder)).iter().any(|name| name.starts_with("it/b")));
    let own = Walk::default().without(&folder.path().join("d"));
    assert!(!names(&own, &it(&folder)).iter().any(|name| name.starts_with("it/d")));
}

#[test]
fn links_are_followed_only_within_bounds() {
    let folder = tree(&["in/file", "out/secret", "in/near/x"]);
    let inside = folder.path().join("in");
    symlink(folder.path().join("out"), inside.join("away")).unwrap();
    symlink(folder.path().join("out/secret"), inside.join("away-file")).unwrap();
    symlink("near", inside.join("same")).unwrap();
    symlink("nowhere", inside.join("dangling")).unwrap();
    let root = Root::read_from(Path::new("/it"), inside.clone());
    let walk = Walk::default().following(true).within(Bounds::new([&inside]));
    let (found, warnings) = held(&walk, &root).unwrap();
    let kind = |name: &str| found[name].0;
    for link in ["it/away", "it/away-file", "it/dangling"] {
        assert_eq!(kind(link), tar::EntryType::Symlink, "{link}");
    }
    assert_eq!(found["it/same/x"].1, b"in/near/x");
    assert!(!found.keys().any(|name| name.contains("secret")));
    assert_eq!(warnings.iter().filter(|line| line.contains("leads out")).count(), 2);
    let anywhere = Walk::default().following(true);
    assert_eq!(held(&anywhere, &root).unwrap().0["it/away/secret"].1, b"out/secret");
}

/// Between looking and reading, a folder can have become a link.
#[test]
fn a_folder_that_becomes_a_link_leads_nowhere() {
    for follow in [false, true] {
        let folder = tree(&["in/folder/secret", "out/secret"]);
        let inside = folder.path().join("in");
        let swapped = inside.join("folder");
        let before = |name: &Path| {
            if name == Path::new("it/folder") {
                std::fs::rename(&swapped, inside.join("other")).unwrap();
                symlink(folder.path().join("out"), &swapped).unwrap();
            }
        };
        let mut format = Meddling { tar: Tar::new(Vec::new()), before };
        let root = Root::read_from(Path::new("/it"), inside.clone());
        let walk = Walk::default().following(follow).within(Bounds::new([&inside]));
        let ended = walk.add(&root, &mut format, &mut Warnings::default());
        let Err(ArchiveError::Failed(told)) = ended else { panic!("{follow}: {ended:?}") };
        assert!(told.contains("leads out of the allowed folders"), "{told}");
        let bytes = format.tar.inner();
        assert!(!bytes.windows(10).any(|some| some == b"out/secret"));
    }
}

#[test]
fn what_is_mounted_below_can_be_left_out() {
    let folder = tree(&["a", "mounted/covered"]);
    let at = folder.path().join("mounted");
    let mut mount = Command::new("mount");
    let done = mount.args(["-t", "tmpfs", "tmpfs"]).arg(&at).status();
    if !done.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "mounting needs root");
        println!("not tried: mounting needs root");
        return;
    }
    std::fs::write(at.join("there"), "").unwrap();
    let all = names(&Walk::default(), &it(&folder));
    let one = names(&Walk::default().on_one_file_system(true), &it(&folder));
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    assert_eq!(all, ["it", "it/a", "it/mounted", "it/mounted/there"]);
    assert_eq!(one, ["it", "it/a", "it/mounted"]);
}

#[test]
fn a_file_with_many_names_is_there_once() {
    let folder = tree(&["a", "z"]);
    for name in ["b", "c", "d"] {
        std::fs::hard_link(folder.path().join("a"), folder.path().join(name)).unwrap();
    }
    let outside = tempfile::tempdir_in(folder.path().parent().unwrap()).unwrap();
    std::fs::hard_link(folder.path().join("z"), outside.path().join("z")).unwrap();
    let (found, _) = held(&Walk::default(), &it(&folder)).unwrap();
    let kinds: Vec<_> = found.values().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [E::Directory, E::Regular, E::Link, E::Link, E::Link, E::Regular]);
}

#[test]
fn what_is_not_there_ends_the_archive() {
    let missing = held(&Walk::default(), &Root::at("/no/such/place".into()));
    assert!(matches!(missing, Err(ArchiveError::Failed(_))), "{missing:?}");
}

/// Runs itself again as nobody: who is root may read everything.
#[test]
fn a_file_that_may_not_be_read_ends_the_archive() {
    if let Some(folder) = std::env::var_os("READ_AS_NOBODY") {
        let ended = held(&Walk::default(), &Root::at(folder.into()));
        let Err(ArchiveError::Failed(told)) = ended else { panic!("{ended:?}") };
        assert!(told.contains("private") && told.contains("Permission denied"), "{told}");
        return;
    }
    for name in ["private", "private folder/file"] {
        let folder = tree(&["open", name]);
        let private = folder.path().join(Path::new(name).components().next().unwrap());
        let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        set(folder.path(), 0o755).unwrap();
        set(&private, 0).unwrap();
        let mut nobody = Command::new("setpriv");
        nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        let test = "walks::a_file_that_may_not_be_read_ends_the_archive";
        // Where the tests themselves lie may be closed to nobody.
        let copy = tempfile::tempdir().unwrap();
        set(copy.path(), 0o755).unwrap();
        let program = copy.path().join("test");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        nobody.arg(&program).args(["--exact", test, "--nocapture"]);
        let done = nobody.env("READ_AS_NOBODY", folder.path()).output();
        set(&private, 0o755).unwrap();
        let done = done.expect("setpriv is part of util-linux");
        let said = String::from_utf8_lossy(&done.stdout);
        if said.is_empty() && !is_root() {
            println!("not tried: only root can become nobody");
            return;
        }
        assert!(done.status.success() && said.contains("1 passed"), "{done:?}");
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
