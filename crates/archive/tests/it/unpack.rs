//! What was archived comes back as it was, by us and by the tar of the system, either way.

use std::{
    ffi::OsStr,
    fs::{File, FileTimes, Permissions},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use archive::{Only, Options, Packing, Report, Root, Tar, UnpackError, Walk, Warnings, unpack};

pub(crate) fn unpacked(tar: &[u8], target: &Path, options: Options) -> Result<Report, UnpackError> {
    unpack(tar, target, options, &mut |_| true)
}

/// Everything that a file system can keep.
pub(crate) fn everything(folder: &Path) {
    let at = |name: &str| folder.join(name);
    std::fs::create_dir_all(at("deep/er/still")).unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("plain"), "plain").unwrap();
    std::fs::write(at("nothing"), "").unwrap();
    std::fs::write(folder.join(OsStr::from_bytes(b"odd\xff\nname")), "odd").unwrap();
    std::fs::write(at("deep/er/still/<b>\u{202e}x"), vec![7; 300_000]).unwrap();
    let long = "l".repeat(200);
    std::fs::create_dir(at(&long)).unwrap();
    std::fs::write(at(&long).join(&long), "long").unwrap();
    symlink("plain", at("near")).unwrap();
    symlink("/nowhere/at/all", at("far")).unwrap();
    symlink("x".repeat(300), at("long-link")).unwrap();
    std::fs::hard_link(at("plain"), at("deep/again")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o640)).unwrap();
    let holes = File::create(at("holes")).unwrap();
    holes.set_len(50 << 20).unwrap();
    for part in 0..30_u64 {
        holes.write_all_at(&[9; 4096], part << 20).unwrap();
    }
    File::create(at("all-hole")).unwrap().set_len(1 << 20).unwrap();
    std::fs::write(at("program"), "#!").unwrap();
    std::os::unix::fs::chown(at("program"), Some(1234), Some(4321)).unwrap();
    std::os::unix::fs::lchown(at("far"), Some(77), Some(78)).unwrap();
    std::fs::set_permissions(at("program"), Permissions::from_mode(0o6755)).unwrap();
    std::fs::set_permissions(at("empty"), Permissions::from_mode(0o1770)).unwrap();
    xattr::set(at("plain"), "user.of=us%", b"a\0value\n").unwrap();
    xattr::set(at("deep"), "user.folder", b"yes").unwrap();
    // cap_net_bind_service, as setcap writes it.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(at("nothing"), "security.capability", &capability).unwrap();
    // user::rw-, user:1234:r--, group::r--, mask::r--, other::---
    let acl: Vec<u8> = [
        (1_u16, 6_u16, u32::MAX),
        (2, 4, 1234),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ]
    .into_iter()
    .flat_map(|(tag, rights, id)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    })
    .collect();
    xattr::set(at("holes"), "system.posix_acl_access", &[&[2, 0, 0, 0][..], &acl].concat())
        .unwrap();
    let long_ago = SystemTime::UNIX_EPOCH - Duration::new(1000, 1);
    File::open(at("nothing")).unwrap().set_times(FileTimes::new().set_modified(long_ago)).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    File::open(at("deep")).unwrap().set_times(FileTimes::new().set_modified(then)).unwrap();
}

/// What there is to say of a tree, one line a name; with what tar keeps of the content.
pub(crate) fn told(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path();
        let meta = path.symlink_metadata().unwrap();
        let kind = meta.file_type();
        let mut held: Vec<_> = xattr::list(path)
            .unwrap()
            .map(|name| (name.clone(), xattr::get(path, &name).unwrap()))
            .collect();
        held.sort();
        let content = if kind.is_file() {
            let bytes = std::fs::read(path).unwrap();
            let sum = bytes.iter().fold(7_u64, |sum, b| sum.wrapping_mul(31) + u64::from(*b));
            format!("{} bytes {sum:x}, sparse {}", bytes.len(), meta.blocks() * 512 < meta.len())
        } else if kind.is_symlink() {
            std::fs::read_link(path).unwrap().display().to_string()
        } else {
            format!("fifo {}", kind.is_fifo())
        };
        lines.push(format!(
            "{} {:o} {}:{} {}.{:09} n{} {held:?} {content}",
            path.strip_prefix(folder).unwrap().display(),
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec(),
            if kind.is_dir() { 0 } else { meta.nlink() },
        ));
    }
    lines
}

pub(crate) fn packed(folder: &Path) -> Vec<u8> {
    let (mut warnings, mut tar) = (Warnings::default(), Tar::new(Vec::new()));
    let root = Root::read_from(Path::new("/"), folder.to_owned());
    Walk::default().add(&root, &mut tar, &mut warnings).unwrap();
    assert_eq!(warnings.told(), Vec::<String>::new());
    tar.finish().unwrap()
}

fn privileged() -> Options {
    Options { privileges: true, ..Options::default() }
}

/// The root's own attributes are no part of what `packed` keeps.
fn same(ours: &Path, theirs: &Path) {
    let (ours, theirs) = (told(ours), told(theirs));
    for (ours, theirs) in ours[1..].iter().zip(&theirs[1..]) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    everything(from.path());
    let report = unpacked(&packed(from.path()), to.path(), privileged()).unwrap();
    assert_eq!(report.warnings, Vec::<String>::new());
    same(from.path(), to.path());
    assert!(to.path().join("holes").metadata().unwrap().blocks() * 512 < 1 << 20);
    let counts = (report.symlinks, report.links, report.others, report.folders);
    assert_eq!(counts, (3, 1, 1, 5));
    assert_eq!(report.files, 8);
}

const XATTRS: [&str; 2] = ["--xattrs", "--xattrs-include=*"];
/// The ways in which GNU tar writes holes.
pub(crate) const FORMATS: &[&str] = &["gnu", "posix", "posix-0.1", "posix-0.0"];

fn done(command: &mut Command) -> Vec<u8> {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// The tar that GNU tar makes of `folder`, in one of [`FORMATS`].
pub(crate) fn by_gnu_tar(folder: &Path, format: &str) -> Vec<u8> {
    let (format, version) = format.split_once('-').unwrap_or((format, "1.0"));
    let mut tar = Command::new("tar");
    tar.args([
        format!("--format={format}"),
        "-S".to_owned(),
        format!("--sparse-version={version}"),
    ]);
    // It keeps attributes in its newer format only.
    if format == "posix" {
        tar.args(XATTRS);
    }
    done(tar.arg("-C").arg(folder).args(["-cf", "-", "."]))
}

#[test]
fn the_tar_of_the_system_reads_ours_and_we_read_its() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    everything(from.path());
    let file = to.path().join("it.tar");
    std::fs::write(&file, packed(from.path())).unwrap();
    let theirs = to.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    let mut tar = Command::new("tar");
    tar.args(XATTRS).args(["-p", "--same-owner", "--numeric-owner", "-C"]).arg(&theirs);
    done(tar.arg("-xf").arg(&file));
    same(from.path(), &theirs);
    for format in FORMATS {
        let ours = to.path().join(format);
        let is_posix = *format != "gnu";
        let report = unpacked(&by_gnu_tar(from.path(), format), &ours, privileged()).unwrap();
        assert_eq!(report.warnings, Vec::<String>::new());
        if is_posix {
            same(from.path(), &ours);
        } else {
            assert_eq!(
                std::fs::read(ours.join("holes")).unwrap(),
                std::fs::read(from.path().join("holes")).unwrap()
            );
        }
    }
}

#[test]
fn compressed_ones_are_known_by_their_bytes() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    everything(from.path());
    let plain = to.path().join("it.tar");
    std::fs::write(&plain, packed(from.path())).unwrap();
    let kinds = [
        ("gzip", Packing::Gzip),
        ("bzip2", Packing::Bzip2),
        ("xz", Packing::Xz),
        ("zstd", Packing::Zstd),
    ];
    for (program, packing) in kinds {
        let Ok(done) = Command::new(program).arg("-c").arg(&plain).output() else {
            assert!(std::env::var("CI").is_err(), "{program} is missing");
            eprintln!("{program} is missing: left out");
            continue;
        };
        assert_eq!(Packing::of(&done.stdout), packing);
        let target = to.path().join(program);
        unpacked(&done.stdout, &target, privileged()).unwrap();
        same(from.path(), &target);
    }
}

#[test]
fn only_what_is_wanted_is_unpacked() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    everything(from.path());
    std::fs::write(from.path().join("deep/er-not"), "").unwrap();
    let only = Only::paths(["deep/er", "./nothing/", "plain", "no/such"]);
    let options = Options { only, ..privileged() };
    let report = unpacked(&packed(from.path()), to.path(), options).unwrap();
    let found: Vec<_> = walkdir::WalkDir::new(to.path())
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().path().strip_prefix(to.path()).unwrap().to_owned())
        .collect();
    let expected = ["deep", "deep/er", "deep/er/still", "deep/er/still/<b>\u{202e}x", "nothing"]
        .map(Path::new);
    assert_eq!(found, expected);
    assert_eq!(report.missing, ["no/such"]);
    // The archive has it under another name, and says so.
    assert!(report.warnings[0].contains("\"deep/again\""), "{:?}", report.warnings);
}

#[test]
fn privileges_are_given_only_where_they_are_asked_for() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    everything(from.path());
    let report = unpacked(&packed(from.path()), to.path(), Options::default()).unwrap();
    assert_eq!(to.path().join("program").metadata().unwrap().mode() & 0o7777, 0o755);
    let capability = xattr::get(to.path().join("nothing"), "security.capability").unwrap();
    assert_eq!(capability, None);
    assert_eq!(report.warnings.len(), 2);
    // A sticky folder is no privilege.
    assert_eq!(to.path().join("empty").metadata().unwrap().mode() & 0o7777, 0o1770);
}

#[test]
fn it_can_be_called_off() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(from.path().join("big"), vec![1; 20 << 20]).unwrap();
    let tar = packed(from.path());
    let ended = unpack(&*tar, to.path(), Options::default(), &mut |_| false);
    assert!(matches!(ended, Err(UnpackError::Cancelled)));
}

#[test]
fn zips_come_back_too() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = to.path().join("it.zip");
    let at = |name: &str| from.path().join(name);
    std::fs::create_dir_all(at("a/b")).unwrap();
    std::fs::write(at("a/b/text"), "text ".repeat(1000)).unwrap();
    std::fs::set_permissions(at("a/b/text"), Permissions::from_mode(0o640)).unwrap();
    symlink("b/text", at("a/link")).unwrap();
    let script = format!(
        "import os, zipfile\nz = zipfile.ZipFile({file:?}, 'w', zipfile.ZIP_DEFLATED)\n\
         for name in ['a', 'a/b', 'a/b/text']: z.write(os.path.join({:?}, name), name)\n\
         i = zipfile.ZipInfo('a/link', (2020, 2, 29, 12, 30, 8))\ni.create_system = 3\n\
         i.external_attr = 0o120777 << 16\nz.writestr(i, 'b/text')\nz.close()\n",
        from.path()
    );
    let done = Command::new("python3").arg("-c").arg(script).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let target = to.path().join("out");
    let zip = File::open(&file).unwrap();
    let report = archive::unpack_zip(zip, &target, Options::default(), &mut |_| true).unwrap();
    assert_eq!((report.files, report.folders, report.symlinks), (1, 2, 1));
    assert_eq!(std::fs::read_to_string(target.join("a/link")).unwrap(), "text ".repeat(1000));
    assert_eq!(target.join("a/b/text").metadata().unwrap().mode() & 0o7777, 0o640);
    let link = target.join("a/link").symlink_metadata().unwrap();
    assert_eq!(link.mtime(), 1_582_979_408);
}
