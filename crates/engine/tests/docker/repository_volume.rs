//! A volume that goes into a repository: stock restic has each of its files, and it comes back byte for
//! byte, with owners.

use std::{path::Path, process::Command, sync::Arc};

use crate::{
    host::Host,
    images::Image,
    restics::restics,
    restore_volume::{beside, good, list, to},
    volume::{TREE, world_to},
    world::REPOSITORY_PASSWORD,
};

/// What trees of hosts have beside that of [`TREE`].
const MORE: &str = r#"
set -e; cd /v
deep=$(printf 'deeper/%.0s' $(seq 60)); mkdir -p "$deep"; echo bottom > "$deep/file"
chown -R 1234:4321 deeper
truncate -s 50M holes; printf end >> holes; printf begin | dd of=holes conv=notrunc status=none
mknod null c 1 3
"#;

fn restic(program: &Path, vault: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .arg("-r")
        .arg(vault)
        .args(["--no-cache", "-q"])
        .args(arguments)
        .env("RESTIC_PASSWORD", REPOSITORY_PASSWORD)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "restic {arguments:?}: {told}");
    output.stdout
}

pub(crate) async fn a_volume_is_a_tree_for_restic_and_comes_back(host: Arc<Host>) {
    let volume = host.volume("tree-in-repository");
    let mount = format!("{}:/v", volume.name);
    for fill in [TREE, MORE] {
        host.run(&["-v", &mount], Image::Postgres15, &["bash", "-c", fill]);
    }
    let folder = host.docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &volume.name]);
    let folder = Path::new(&folder);
    // Where the file system has them.
    let attributed = xattr::set(folder.join("a"), "user.note", b"a\nb\0c").is_ok();
    let before = list(&host, &volume.name);
    let world = world_to("repository", &host, &volume, &[]).await;
    let snapshot = world.good_snapshot().await;

    let vault = world.folder.path().join("repository");
    let object = &snapshot.copies[0].objects[0].key;
    for program in restics() {
        let listed = restic(&program, &vault, &["ls", "latest", "--path", &format!("/{object}")]);
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let deep = "deeper/".repeat(60);
        for name in ["soft", "d/hard", "suid", "pipe", "null", &format!("{deep}file")] {
            let path = format!("/{object}/{name}");
            assert!(listed.lines().any(|line| line == path), "{path}: {listed}");
        }
        // A single file, by its name.
        for (name, expected) in [("a", b"one\n".as_slice()), (&format!("{deep}file"), b"bottom\n")]
        {
            let path = format!("/{object}/{name}");
            let told = restic(
                &program,
                &vault,
                &["dump", "latest", "--path", &format!("/{object}"), &path],
            );
            assert!(told == expected, "{name}");
        }
        let target = world.folder.path().join("by-restic");
        let include = format!("/{object}/suid");
        let arguments =
            ["restore", "latest", "--path", &format!("/{object}"), "--include", &include];
        let target_of = ["--target", target.to_str().unwrap()];
        restic(&program, &vault, &[&arguments[..], &target_of].concat());
        let back = target.join(object).join("suid");
        let meta = std::fs::metadata(&back).unwrap();
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (1, 2, 0o4755));
        assert_eq!(std::fs::read(&back).unwrap(), b"run\n");
        assert!(!target.join(object).join("a").exists());
        std::fs::remove_dir_all(&target).unwrap();
        // Our own lock may be there for a while yet.
        restic(&program, &vault, &["check", "--read-data", "--no-lock"]);
    }

    let name = Host::name("beside");
    assert_eq!(good(&world, &snapshot, &beside(&name)).await, None);
    assert_eq!(list(&host, &name), before);
    host.docker(&["volume", "rm", &name]);

    host.docker(&["volume", "rm", &volume.name]);
    assert_eq!(good(&world, &snapshot, &to("app")).await, None);
    assert_eq!(list(&host, &volume.name), before);
    if attributed {
        let note = xattr::get(folder.join("a"), "user.note").unwrap();
        assert_eq!(note.as_deref(), Some(&b"a\nb\0c"[..]));
    }
}
