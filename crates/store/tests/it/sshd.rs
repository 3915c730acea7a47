//! OpenSSH's own server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// OpenSSH's server; without it the tests that need it end early, except in CI.
pub(crate) fn program() -> Option<PathBuf> {
    let places = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"];
    let found = places.map(PathBuf::from).into_iter().find(|place| place.exists());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "sshd is needed in CI");
    if found.is_none() {
        eprintln!("skipped: sshd is not installed");
    }
    found
}

/// A server on the loopback interface for the user of this process, whose keys `host` and `user`
/// are made in `folder`.
pub(crate) fn command(sshd: &Path, folder: &Path, port: u16) -> Command {
    for name in ["host", "user"] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(folder.join(name))
            .status();
        assert!(made.unwrap().success());
    }
    let at = folder.display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile none\n\
         AuthorizedKeysFile {at}/user.pub\nStrictModes no\nUsePAM no\n\
         PermitRootLogin yes\nPasswordAuthentication no\n\
         Subsystem sftp internal-sftp\n"
    );
    std::fs::write(folder.join("sshd_config"), config).unwrap();
    // Root's server wants it; where it cannot be made it is not needed.
    let _ = std::fs::create_dir_all("/run/sshd");
    let mut command = Command::new(sshd);
    command.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
    command
}
