//! Servers of others, started for a test on a free port; and who looks at what everybody runs.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// With all that a shell, an options file, a connection string or a protocol could stumble over.
pub(crate) const PASSWORD: &str = "ca'na\"ry\\s #;&%40 $HOME";

/// A server process on the loopback interface, stopped with its owner.
pub(crate) struct Server {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Server {
    /// Starts what `command` builds from a folder of its own and a free port.
    pub(crate) fn start(command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(folder.path().join("server.log")).unwrap();
        let mut command = command(folder.path(), port);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let server = Self { child, folder, port };
        for _ in 0..1_200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server did not start: {}", server.log());
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// MariaDB, with a root who needs no password. `None` where it is not installed.
pub(crate) fn mariadb() -> Option<Server> {
    let (server, install) = (installed("mariadbd")?, installed("mariadb-install-db")?);
    let is_root =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    Some(Server::start(|folder, port| {
        let data = format!("--datadir={}/data", folder.display());
        let mut made = Command::new(install);
        made.args(["--no-defaults", &data, "--auth-root-authentication-method=normal"]);
        let mut command = Command::new(server);
        command.args(["--no-defaults", &data, "--bind-address=127.0.0.1"]);
        command.arg(format!("--port={port}")).arg(format!("--socket={}/s", folder.display()));
        command.arg("--innodb-flush-log-at-trx-commit=0");
        // A server that starts clears away what others have in theirs.
        made.env("TMPDIR", folder);
        command.env("TMPDIR", folder);
        if is_root {
            made.arg("--user=mysql");
            command.arg("--user=mysql");
        }
        output(&mut made);
        command
    }))
}

/// Where `program` is. `None` where it is not installed, which CI does not allow.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/bin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(program)).find(|f| f.is_file());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "{program} is needed in CI");
    if found.is_none() {
        println!("left out: {program} is not installed");
    }
    found
}

pub(crate) fn output(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Looks at the arguments of all processes for as long as it lives.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Watcher {
    /// Looks for `word` anywhere, and counts processes that have `program` in theirs.
    pub(crate) fn start(word: &'static str, program: &'static str) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_over, count) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let mut found = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
                    let line = String::from_utf8_lossy(&line).replace('\0', " ");
                    if line.contains(program) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    if line.contains(word) {
                        found.push(line);
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            found
        });
        Self { stop, seen, thread: Some(thread) }
    }

    /// What had the word in it, and how often the program was seen.
    pub(crate) fn stop(mut self) -> (Vec<String>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        (self.thread.take().unwrap().join().unwrap(), self.seen.load(Ordering::Relaxed))
    }
}
