//! A server of this test alone, and a client for it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program;

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A data folder, and the program to run on it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn new(environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { folder, environment }
    }

    /// With one more variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The program, with nothing of this process's environment but the path.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command =
            program::command(env!("CARGO_BIN_EXE_backup-orchestrator"), self.folder.path());
        command
            .args(arguments)
            .env("BACKUP_ALLOW_LOOPBACK", "true")
            .envs(self.environment.iter().map(|(k, v)| (k, v)));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.program(arguments).output().unwrap()
    }

    /// Writes a file beside the data folder; gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.data().join(name)).unwrap()
    }

    /// What the servers on this place have told so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) async fn serve(self) -> Server {
        // Once for the process; the others find it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = self.data().join("address");
        let _ = std::fs::remove_file(&address);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let child = self.program(&["serve"]).stderr(log).spawn().unwrap();
        let mut server = Server {
            child: Some(child),
            place: self,
            base: String::new(),
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        };
        let until = Instant::now() + Duration::from_secs(30);
        while !address.exists() {
            assert!(Instant::now() < until, "no server: {}", server.place.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.place.read("address").trim().clone_into(&mut server.base);
        server
    }
}

/// Who sends a request.
#[derive(Debug, Clone)]
pub(crate) enum As {
    Nobody,
    Token(String),
    /// A browser with this cookie, on a page of the server.
    Browser(String),
}

pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) place: Place,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
}

impl Server {
    pub(crate) fn request(&self, method: Method, path: &str, by: &As) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match by {
            As::Nobody => request,
            As::Token(token) => request.bearer_auth(token),
            As::Browser(cookie) => {
                request.header(header::COOKIE, cookie).header(header::ORIGIN, &self.base)
            }
        }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        by: &As,
        body: Option<Value>,
    ) -> Response {
        let request = self.request(method.parse().unwrap(), &format!("/api/v1/{path}"), by);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, by: &As) -> StatusCode {
        self.send("GET", path, by, None).await.status()
    }

    /// The credential of this machine's command line.
    pub(crate) fn local(&self) -> As {
        As::Token(self.place.read("cli.token").trim().to_owned())
    }

    /// Does what must succeed; gives the answer.
    pub(crate) async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let response = self.send(method, path, &self.local(), Some(body)).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// What a path shows.
    pub(crate) async fn done_get(&self, path: &str) -> Value {
        let response = self.send("GET", path, &self.local(), None).await;
        assert!(response.status().is_success(), "GET {path}: {}", response.status());
        response.json().await.unwrap()
    }

    pub(crate) async fn add_user(&self, name: &str, role: &str) {
        let body = json!({ "name": name, "role": role, "password": PASSWORD });
        self.done("POST", "users", body).await;
    }

    pub(crate) async fn try_login(&self, user: &str, password: &str) -> Response {
        let body = json!({ "user": user, "password": password });
        self.send("POST", "session", &As::Nobody, Some(body)).await
    }

    pub(crate) async fn login(&self, user: &str, password: &str) -> As {
        let response = self.try_login(user, password).await;
        assert_eq!(response.status(), 204, "{}", self.place.log());
        As::Browser(cookie(&response))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Ends the server as a power cut would.
    pub(crate) fn kill(mut self) -> Place {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.leave()
    }

    /// Stops the server in order.
    pub(crate) fn stop(mut self) -> Place {
        self.end();
        self.leave()
    }

    fn leave(&mut self) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let empty = Place { folder, environment: Vec::new() };
        std::mem::replace(&mut self.place, empty)
    }

    fn end(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let until = Instant::now() + Duration::from_secs(15);
        while Instant::now() < until && !matches!(child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// `name=value` of a reply's cookie.
pub(crate) fn cookie(response: &Response) -> String {
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777
}
