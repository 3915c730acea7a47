//! A tree with all that files can be, and what there is to say of a tree.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{File, FileTimes, Permissions},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

pub(crate) const OUTSIDE_TEXT: &[u8] = b"\xff\xfe not text";
/// Apparent size of the files with holes, in bytes.
const HOLED: u64 = 8 << 20;

/// Whether a program is there. In CI it must be.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new("which").arg(program).output().is_ok_and(|out| out.status.success());
    assert!(found || std::env::var_os("CI").is_none(), "{program} is needed in CI");
    if !found {
        println!("{program} is not installed: not tried");
    }
    found
}

fn set_time(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Makes the tree at `root`.
pub(crate) fn make(root: &Path) {
    let at = |name: &str| root.join(name);
    std::fs::create_dir_all(at("deep/empty")).unwrap();
    let odd = [
        "with space",
        "line\nend",
        "ñ ☂ 漢字",
        "-rf",
        "quo'te\"s",
        "back\\slash",
        " ",
        "$HOME",
        "...",
    ];
    for name in odd {
        std::fs::write(at(name), name).unwrap();
    }
    std::fs::write(root.join(OsStr::from_bytes(OUTSIDE_TEXT)), "no text").unwrap();
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("large"), "0123456789".repeat(70_001)).unwrap();
    let long = "long ".repeat(40);
    for name in ["x".repeat(99), "x".repeat(100), "x".repeat(101), "é".repeat(120)] {
        std::fs::write(at(&name), &name).unwrap();
    }
    let very_deep = at("deep").join(&long).join(&long);
    std::fs::create_dir_all(&very_deep).unwrap();
    std::fs::write(very_deep.join("file"), "deep").unwrap();

    let targets = ["../nowhere", "./a//b/../c/", "with space", &long, &"y".repeat(100)];
    for (n, target) in targets.into_iter().enumerate() {
        symlink(target, at(&format!("deep/link {n}"))).unwrap();
    }
    symlink(OsStr::from_bytes(OUTSIDE_TEXT), at("deep/link odd")).unwrap();

    for (name, mode) in [("setuid", 0o4755), ("secret", 0o600), ("nothing", 0), ("group", 0o2750)] {
        std::fs::write(at(name), name).unwrap();
        std::fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    }
    if is_root() {
        lchown(at("secret"), Some(12_345), Some(3_000_000)).unwrap();
        lchown(at("deep/link 0"), Some(12_345), Some(54_321)).unwrap();
    }
    std::fs::set_permissions(at("deep/empty"), Permissions::from_mode(0o1777)).unwrap();
    set_time(&at("empty"), SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789));
    set_time(&at("deep/empty"), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_001));
}

/// Adds what only a tar keeps.
pub(crate) fn make_more(root: &Path) {
    let at = |name: &str| root.join(name);
    std::fs::hard_link(at("ñ ☂ 漢字"), at("deep/same")).unwrap();
    std::fs::hard_link(at("x".repeat(101).as_str()), at("deep/same as long")).unwrap();
    for (name, count) in [("holes", 3), ("many holes", 60)] {
        let file = File::create(at(name)).unwrap();
        file.set_len(HOLED).unwrap();
        for n in 0..count {
            file.write_all_at(format!("data {n}").as_bytes(), n * (HOLED / (count + 1))).unwrap();
        }
    }
    let file = File::create(at("ends with data")).unwrap();
    file.write_all_at(b"the end", HOLED - 7).unwrap();
    File::create(at("only a hole")).unwrap().set_len(HOLED).unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    set_time(&at("secret"), SystemTime::UNIX_EPOCH - Duration::new(1_000, 250_000_000));
    xattr::set(at("large"), "user.comment", b"with\0 nul and\n line end").unwrap();
    xattr::set(at("large"), "user.empty", b"").unwrap();
    xattr::set(at("deep"), "user.odd=100%", b"folder").unwrap();
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// What there is to say of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// Seconds and nanoseconds; of a link, nothing.
    pub(crate) time: (i64, i64),
    pub(crate) target: Option<PathBuf>,
    /// Digest of its content.
    pub(crate) content: Option<String>,
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first name of a file with several.
    pub(crate) first: Option<PathBuf>,
}

/// Everything below `root`.
pub(crate) fn facts(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut firsts = BTreeMap::new();
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        let (path, meta) = (entry.path(), entry.path().symlink_metadata().unwrap());
        let name = path.strip_prefix(root).unwrap().to_owned();
        let digest = |path| {
            let bytes = std::fs::read(path).unwrap();
            hex::encode(ring::digest::digest(&ring::digest::SHA256, &bytes))
        };
        let names = xattr::list(path).into_iter().flatten();
        let is_several = meta.is_file() && meta.nlink() > 1;
        let first = is_several
            .then(|| firsts.entry((meta.dev(), meta.ino())).or_insert(name.clone()).clone());
        let time = if meta.is_symlink() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
        let facts = Facts {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            time,
            target: std::fs::read_link(path).ok(),
            content: meta.is_file().then(|| digest(path)),
            attributes: names
                .map(|name| {
                    let value = xattr::get(path, &name).unwrap().unwrap();
                    (name.as_bytes().to_vec(), value)
                })
                .collect(),
            first,
        };
        all.insert(name, facts);
    }
    all
}
