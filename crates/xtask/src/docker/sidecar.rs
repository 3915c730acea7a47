//! The sidecar's compose file with its example app: up, backed up through the orchestrator, and
//! what arrived compared with what the app has.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    client::Docker,
    orchestrator::Orchestrator,
    stage::{self, Stage},
};

const PROJECT: &str = "backup-test-app";
const APP: &str = "example";
/// A token of this test only, looked for wherever it must not be.
pub(super) const TOKEN: &str = "canary-token-93b1d6f0a4c84c57";
const ANSWERS: Duration = Duration::from_secs(60);

/// The app and its sidecar; taken down with its volumes when dropped.
pub(super) struct Sidecar<'a> {
    docker: &'a Docker,
    folder: PathBuf,
}

/// One object at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    path: String,
    sha256: String,
}

impl<'a> Sidecar<'a> {
    pub(super) fn up(docker: &'a Docker, stage: &Stage) -> Result<Self> {
        let folder = stage.path().join("sidecar");
        fs::write(folder.join(".env"), format!("BACKUP_API_TOKEN={TOKEN}\n"))?;
        fs::copy(folder.join("config/config.example.yaml"), folder.join("config/config.yaml"))?;
        let sidecar = Self { docker, folder };
        sidecar.compose(&["up", "-d", "--build"])?;
        Ok(sidecar)
    }

    fn compose(&self, arguments: &[&str]) -> Result<String> {
        self.docker.compose(&self.folder, &stage::environment(PROJECT), arguments)
    }

    fn container(&self, service: &str) -> Result<String> {
        let id = self.compose(&["ps", "-q", service])?.trim().to_owned();
        ensure!(!id.is_empty(), "the service `{service}` has no container");
        Ok(id)
    }

    fn wait_until_it_answers(&self, orchestrator: &Orchestrator) -> Result<()> {
        let until = Instant::now() + ANSWERS;
        loop {
            match orchestrator.cli(&["doctor", APP], "") {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => {
                    let sidecar = self.container("sidecar")?;
                    let told = self.docker.try_ask(&["logs", &sidecar])?;
                    let logs = [told.stdout, told.stderr].concat();
                    bail!("{error:#}\nthe sidecar's log:\n{}", String::from_utf8_lossy(&logs));
                }
                Err(_) => thread::sleep(Duration::from_secs(1)),
            }
        }
    }

    /// Who runs it.
    pub(super) fn check_confinement(&self) -> Result<()> {
        let sidecar = self.container("sidecar")?;
        let user = self.docker.ask(&["exec", &sidecar, "id", "-u"])?;
        ensure!(user.trim() != "0", "the sidecar's user is root");
        Ok(())
    }

    /// Registers the app, runs it, and proves the object at each destination.
    pub(super) fn back_up(&self, orchestrator: &Orchestrator) -> Result<Vec<Stored>> {
        // What `rclone config` writes as the container's user is what the server reads.
        let remote = ["config", "create", "gdrive", "alias", "remote", "/app/data/remote"];
        orchestrator.exec(&[&["rclone"], &remote[..]].concat())?;
        let add = ["destination", "add"];
        for (name, rest) in [
            ("disk", ["--kind", "local", "--set", "path=/app/data/disk"]),
            ("drive", ["--kind", "rclone", "--set", "path=backups"]),
        ] {
            orchestrator.cli(&[&add[..], &[name], &rest[..]].concat(), "")?;
            orchestrator.cli(&["destination", "test", name], "")?;
        }
        let url = ["--url", "http://app-sidecar:8080", "--token-file", "/dev/stdin"];
        let to = ["--destination", "disk:example", "--destination", "drive:example"];
        let plan = ["--schedule", "daily", "--keep-daily", "7"];
        orchestrator.cli(&[&["app", "add", APP], &url[..], &to[..], &plan[..]].concat(), TOKEN)?;
        self.wait_until_it_answers(orchestrator)?;
        let run = orchestrator.cli(&["run", APP, "--wait"], "")?;
        ensure!(run["state"] == "succeeded", "the run did not succeed: {run}");
        let snapshot = run["snapshot_id"].as_str().context("the run made no snapshot")?;
        let snapshot = orchestrator.cli(&["snapshot-show", snapshot], "")?;
        let sha256 = snapshot["artifacts"][0]["sha256"].as_str().context("no checksum")?;
        ["/app/data/disk/example", "/app/data/remote/backups/example"]
            .into_iter()
            .map(|folder| stored(orchestrator, folder, sha256))
            .collect()
    }

    /// Unpacks a stored archive on this machine and compares it with the app's own folder.
    pub(super) fn compare(&self, stored: &Stored, orchestrator_container: &str) -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let here = |name: &str| scratch.path().join(name).display().to_string();
        let archive = here("archive");
        self.docker.ask(&["cp", &format!("{orchestrator_container}:{}", stored.path), &archive])?;
        let app = self.container("app")?;
        let listed = self.docker.ask(&["exec", &app, "find", "/data", "-type", "f"])?;
        let mut compared = 0;
        for file in listed.lines() {
            let theirs = self.docker.ask(&["exec", &app, "sha256sum", file])?;
            let ours = std::process::Command::new("tar")
                .args(["-xaOf", &archive, "--wildcards"])
                .arg(format!("*{}", file.trim_start_matches("/data/")))
                .output()?;
            ensure!(ours.status.success(), "{file} is not in the archive");
            let copy = here("file");
            fs::write(&copy, ours.stdout)?;
            let ours = std::process::Command::new("sha256sum").arg(&copy).output()?.stdout;
            let digest = |text: &str| text.split_whitespace().next().map(str::to_owned);
            ensure!(
                digest(&theirs) == digest(&String::from_utf8_lossy(&ours)),
                "{file} in the archive differs from the app's"
            );
            compared += 1;
        }
        ensure!(compared > 0, "the example app has no files to compare");
        Ok(())
    }
}

impl Drop for Sidecar<'_> {
    fn drop(&mut self) {
        let _ = self.compose(&["down", "--volumes", "--timeout", "10"]);
    }
}

/// The one object in a folder besides its manifest: name and bytes as they should be.
fn stored(orchestrator: &Orchestrator, folder: &str, sha256: &str) -> Result<Stored> {
    let listed = orchestrator.exec(&["find", folder, "-type", "f", "-not", "-name", "*.json"])?;
    let [path] = listed.lines().collect::<Vec<_>>()[..] else {
        bail!("{folder} holds not one object but {listed:?}");
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    ensure!(is_well_named(name), "`{name}` is not named NAME_YYYYmmdd_HHMM.ext");
    let sum = orchestrator.exec(&["sha256sum", path])?;
    ensure!(sum.starts_with(sha256), "{path} has not the SHA-256 of the export ({sha256}): {sum}");
    Ok(Stored { path: path.to_owned(), sha256: sha256.to_owned() })
}

/// After a restart the same bytes are there, and the catalog knows them.
pub(super) fn check_kept(orchestrator: &Orchestrator, stored: &[Stored]) -> Result<()> {
    for object in stored {
        let sum = orchestrator.exec(&["sha256sum", &object.path])?;
        ensure!(sum.starts_with(&object.sha256), "{} changed: {sum}", object.path);
    }
    let snapshots = orchestrator.cli(&["snapshots", APP], "")?;
    let count = snapshots.as_array().map_or(0, Vec::len);
    ensure!(count == 1, "the catalog has {count} snapshots: {snapshots}");
    let id = snapshots[0]["id"].as_str().unwrap_or_default();
    let verified = orchestrator.cli(&["verify", id, "--wait"], "")?;
    ensure!(verified["state"] == "succeeded", "verification failed: {verified}");
    orchestrator.exec(&["rclone", "lsf", "gdrive:backups/example"]).map(drop)
}

fn is_well_named(name: &str) -> bool {
    let Some((time, extension)) =
        name.strip_prefix(APP).and_then(|rest| rest.strip_prefix('_')?.split_once('.'))
    else {
        return false;
    };
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    !extension.is_empty()
        && time.split_once('_').is_some_and(|(day, hour)| digits(day, 8) && digits(hour, 4))
}

#[cfg(test)]
mod tests {
    use super::is_well_named;

    #[test]
    fn names_are_judged() {
        assert!(is_well_named("example_20261121_0815.tar.gz"));
        for wrong in
            ["example_20261121_081.tar", "example_20261121_0815", "other_20261121_0815.tar"]
        {
            assert!(!is_well_named(wrong), "{wrong}");
        }
    }
}
