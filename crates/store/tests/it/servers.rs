//! Real servers for the stores to talk to, on the loopback interface.

use std::{
    net::TcpListener as StdListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    s3_error,
    service::S3ServiceBuilder,
};
use store::{RcloneConfig, S3Config, SftpConfig, Store, StoreConfig, WebdavConfig, open};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::script::Script;
pub(crate) use crate::sshd::program as sshd;

/// The key of a user who may do everything but delete objects.
const WRITER: &str = "writer-id";

struct NoDeletionByWriters;

#[async_trait::async_trait]
impl S3Access for NoDeletionByWriters {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = context.s3_op().name();
        match context.credentials() {
            None => Err(s3_error!(AccessDenied)),
            Some(who) if who.access_key == WRITER && operation.starts_with("DeleteObject") => {
                Err(s3_error!(AccessDenied))
            }
            Some(_) => Ok(()),
        }
    }
}

pub(crate) struct S3Server {
    address: std::net::SocketAddr,
    pub(crate) script: Script,
    folder: TempDir,
}

impl S3Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
        let service = {
            let mut builder = S3ServiceBuilder::new(files);
            let mut users = SimpleAuth::from_single("key-id", "key-secret");
            users.register(WRITER.to_owned(), "writer-secret".into());
            builder.set_auth(users);
            builder.set_access(NoDeletionByWriters);
            builder.build()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script::default();
        let played = script.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, script) = (service.clone(), played.clone());
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let played =
                        service_fn(move |request| script.clone().play(service.clone(), request));
                    let _ = server.serve_connection(TokioIo::new(stream), played).await;
                });
            }
        });
        Self { address, script, folder }
    }

    pub(crate) fn config(&self, prefix: &str) -> S3Config {
        S3Config {
            bucket: "bucket".to_owned(),
            endpoint: Some(format!("http://{}", self.address)),
            prefix: Some(prefix.to_owned()),
            path_style: true,
            access_key_id: Some("key-id".into()),
            secret_access_key: Some("key-secret".into()),
            ..S3Config::default()
        }
    }

    /// With a key that cannot delete.
    pub(crate) fn writer_config(&self, prefix: &str) -> S3Config {
        S3Config {
            access_key_id: Some(WRITER.into()),
            secret_access_key: Some("writer-secret".into()),
            ..self.config(prefix)
        }
    }

    pub(crate) async fn store(&self, prefix: &str) -> Arc<dyn Store> {
        open(StoreConfig::S3(self.config(prefix))).await.unwrap()
    }

    /// How many parts of unfinished uploads the server keeps.
    pub(crate) fn parts_kept(&self) -> usize {
        std::fs::read_dir(self.folder.path())
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().contains(".upload_id-")
            })
            .count()
    }
}

/// The rclone program; without it the tests that need it end early, except in CI.
pub(crate) fn rclone() -> Option<PathBuf> {
    let there = Command::new("rclone").arg("version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "rclone is needed in CI");
    if !there {
        eprintln!("skipped: rclone is not installed");
    }
    there.then(|| PathBuf::from("rclone"))
}

/// A server program with a folder of its own, ended with its owner.
pub(crate) struct Server {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
}

impl Server {
    /// Starts what `command` makes of the folder and a free port.
    pub(crate) async fn start(command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("served")).unwrap();
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = command(folder.path(), port);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From here on it is ended with its owner, whatever goes wrong.
        let server = Self { child: Some(child), folder, port };
        for _ in 0..400 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{command:?} did not start");
    }

    fn served(program: &Path, protocol: &str, folder: &Path, port: u16) -> Command {
        let mut command = Command::new(program);
        command
            .args(["serve", protocol, "--addr", &format!("127.0.0.1:{port}"), "--config", ""])
            .args(if protocol == "sftp" {
                &["--user", "anyone", "--pass", "word"][..]
            } else {
                &[]
            })
            .arg(folder.join("served"));
        command
    }

    pub(crate) async fn webdav(program: &Path) -> Self {
        let server =
            Self::start(|folder, port| Self::served(program, "webdav", folder, port)).await;
        let port = server.port;
        server.configure(&format!("type = webdav\nurl = http://127.0.0.1:{port}\nvendor = other"))
    }

    /// A server of restic's repositories; the user is `ana`, the password `a word`.
    pub(crate) async fn restic(program: &Path, more: &[&str]) -> Self {
        Self::start(|folder, port| {
            let mut command = Self::served(program, "restic", folder, port);
            command.args(["--user", "ana", "--pass", "a word"]).args(more);
            command
        })
        .await
    }

    pub(crate) async fn sftp(program: &Path) -> Self {
        let server = Self::start(|folder, port| Self::served(program, "sftp", folder, port)).await;
        let hidden = Command::new(program).args(["obscure", "word"]).output().unwrap().stdout;
        let (port, pass) = (server.port, String::from_utf8(hidden).unwrap());
        server.configure(&format!(
            "type = sftp\nhost = 127.0.0.1\nport = {port}\nuser = anyone\npass = {}",
            pass.trim()
        ))
    }

    /// OpenSSH's own server, for the user of this process.
    pub(crate) async fn sshd(sshd: &Path) -> Self {
        Self::sshd_with(sshd, "internal-sftp").await
    }

    /// The same; nobody can delete there.
    pub(crate) async fn sshd_without_deletion(sshd: &Path) -> Self {
        Self::sshd_with(sshd, "internal-sftp -P remove,rmdir").await
    }

    async fn sshd_with(sshd: &Path, service: &str) -> Self {
        let server = Self::start(|folder, port| {
            let command = crate::sshd::command(sshd, folder, port);
            let file = folder.join("sshd_config");
            let settings = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, settings.replace("internal-sftp", service)).unwrap();
            command
        })
        .await;
        let (port, at) = (server.port, server.folder.path().display().to_string());
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
        server.configure(&format!(
            "type = sftp\nhost = 127.0.0.1\nport = {port}\nuser = {user}\nkey_file = {at}/user"
        ))
    }

    fn configure(self, settings: &str) -> Self {
        let file = self.folder.path().join("rclone.conf");
        std::fs::write(file, format!("[remote]\n{settings}\n")).unwrap();
        self
    }

    pub(crate) fn sshd_config(&self, path: &str) -> SftpConfig {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        SftpConfig {
            host: "127.0.0.1".to_owned(),
            port: Some(self.port),
            username: nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name,
            path: self.folder().join(path).display().to_string(),
            host_key: read("host.pub"),
            private_key: Some(read("user").into()),
            ..SftpConfig::default()
        }
    }

    /// Where it is; the rest is the test's own.
    pub(crate) fn password_config(&self) -> SftpConfig {
        SftpConfig { host: "127.0.0.1".to_owned(), port: Some(self.port), ..SftpConfig::default() }
    }

    pub(crate) fn webdav_config(&self, path: &str) -> WebdavConfig {
        WebdavConfig {
            url: format!("http://127.0.0.1:{}", self.port),
            path: Some(path.to_owned()),
            username: None,
            password: None,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The server's files.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("served")
    }

    pub(crate) fn remote(&self, program: &Path, path: &str) -> RcloneConfig {
        RcloneConfig {
            program: program.to_owned(),
            config_file: Some(self.folder.path().join("rclone.conf")),
            remote: "remote".to_owned(),
            path: path.to_owned(),
            root_folder_id: None,
            env: Vec::new(),
        }
    }

    /// Ends the server at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
