//! The host that tests run on, and what they put there.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use rand::RngExt as _;

use crate::images::Image;

/// A Docker engine.
pub(crate) struct Host {
    url: String,
    imported: Mutex<Vec<Image>>,
}

/// A container or a volume of one test; removed when dropped.
pub(crate) struct Made<'a> {
    host: &'a Host,
    kind: &'static str,
    pub(crate) name: String,
}

impl Host {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), imported: Mutex::default() }
    }

    /// What `DOCKER_HOST` would be.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The name of an image that is there, made and taken in on first use.
    pub(crate) fn image(&self, image: Image) -> &'static str {
        let mut imported = self.imported.lock().unwrap();
        if !imported.contains(&image) {
            let words = ["image", "inspect", image.name()];
            if !self.try_docker(&words).status.success() {
                image.import(&self.url);
            }
            imported.push(image);
        }
        image.name()
    }

    /// Runs `docker`, whatever the end.
    pub(crate) fn try_docker(&self, arguments: &[&str]) -> Output {
        Command::new("docker").args(["--host", &self.url]).args(arguments).output().unwrap()
    }

    /// Runs `docker` and gives what it printed.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let told = self.try_docker(arguments);
        let said = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success(), "docker {arguments:?}: {said}");
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    }

    /// A name that no other test has.
    pub(crate) fn name(word: &str) -> String {
        format!("backup-test-{word}-{:08x}", rand::rng().random::<u32>())
    }

    /// A new, empty volume.
    pub(crate) fn volume(&self, word: &str) -> Made<'_> {
        self.volume_with(word, &[])
    }

    /// The same: `docker volume create OPTIONS`.
    pub(crate) fn volume_with(&self, word: &str, options: &[&str]) -> Made<'_> {
        let name = Self::name(word);
        self.docker(&[&["volume", "create"], options, &[&name]].concat());
        Made { host: self, kind: "volume", name }
    }

    /// A running container without a network: `docker run --detach OPTIONS IMAGE COMMAND`.
    pub(crate) fn container(
        &self,
        word: &str,
        options: &[&str],
        image: Image,
        command: &[&str],
    ) -> Made<'_> {
        let (name, image) = (Self::name(word), self.image(image));
        let run = ["run", "--detach", "--network", "none", "--name", &name];
        self.docker(&[&run[..], options, &[image], command].concat());
        Made { host: self, kind: "container", name }
    }

    /// What is there by this name, as one that the test has made.
    pub(crate) fn holding(&self, kind: &'static str, name: String) -> Made<'_> {
        Made { host: self, kind, name }
    }

    /// A new network.
    pub(crate) fn network(&self, word: &str) -> Made<'_> {
        let name = Self::name(word);
        self.docker(&["network", "create", &name]);
        Made { host: self, kind: "network", name }
    }

    /// A running container on the network of `options`, or Docker's own, and its address there.
    pub(crate) fn networked(
        &self,
        word: &str,
        options: &[&str],
        image: Image,
        command: &[&str],
    ) -> (Made<'_>, String) {
        let (name, image) = (Self::name(word), self.image(image));
        let run = ["run", "--detach", "--name", &name];
        self.docker(&[&run[..], options, &[image], command].concat());
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = self.docker(&["inspect", "--format", format, &name]);
        (Made { host: self, kind: "container", name }, address)
    }

    /// Runs a command in a new container and gives what it printed; the container is gone then.
    pub(crate) fn run(&self, options: &[&str], image: Image, command: &[&str]) -> String {
        let run = ["run", "--rm", "--network", "none"];
        self.docker(&[&run[..], options, &[self.image(image)], command].concat())
    }

    /// Runs `docker` with bytes on its standard input.
    pub(crate) fn feed(&self, arguments: &[&str], input: &[u8]) {
        let mut child = Command::new("docker")
            .args(["--host", &self.url])
            .args(arguments)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let told = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success(), "docker {arguments:?}: {said}");
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // By name, and quietly: the test may have removed it.
        let _ = self.host.try_docker(&[self.kind, "rm", "--force", &self.name]);
    }
}

pub(crate) async fn the_engine_answers_and_has_an_image(host: Arc<Host>) {
    let volume = host.volume("harness");
    let mount = format!("{}:/v", volume.name);
    host.run(&["--volume", &mount], Image::Base, &["sh", "-c", "echo kept > /v/file"]);
    let told = host.run(&["--volume", &mount], Image::Base, &["cat", "/v/file"]);
    assert_eq!(told, "kept");
}
