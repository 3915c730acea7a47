//! A copy of what an image build reads, so that the clone, its `.env` and its `dist/` are left
//! alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::{base, client::Docker};

/// The image whose `cargo` hands over the binaries of this build.
pub(super) const BUILDER: &str = "backup-test-builder";
const NEEDED: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    ".dockerignore",
    "crates",
    "docker",
    "docker-compose.yml",
];
/// The sidecar's image and compose file.
const SIDECAR: &str = "sidecar";
const BINARIES: &[&str] = &["backup-orchestrator", "backup-sidecar"];

/// The folder in which `docker compose` is run.
pub(super) struct Stage {
    folder: TempDir,
}

impl Stage {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("backup-docker-").tempdir()?;
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let sources = NEEDED.iter().map(|name| repository.join(name));
        let copied =
            Command::new("cp").arg("-r").args(sources).arg(folder.path()).status()?.success();
        ensure!(copied, "the build's context cannot be copied");
        let sidecar = repository.join(SIDECAR);
        let into = folder.path().join(SIDECAR);
        ensure!(
            Command::new("cp").arg("-r").arg(sidecar).arg(into).status()?.success(),
            "no sidecar"
        );
        let build = ["build", "--workspace"];
        ensure!(crate::cargo::cargo().args(build).status()?.success(), "the build failed");
        let dist = folder.path().join("dist");
        fs::create_dir(&dist)?;
        let built = std::env::current_exe()?.parent().context("no folder")?.to_owned();
        for binary in BINARIES {
            fs::copy(built.join(binary), dist.join(binary))
                .with_context(|| (*binary).to_owned())?;
        }
        Ok(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::write(&path, text).with_context(|| name.to_owned())?;
        Ok(path)
    }

    /// Proves that the ignore file leaves the workspace whole, and makes the builder.
    pub(super) fn make_builder(&self, docker: &Docker) -> Result<()> {
        let context = self.path().display().to_string();
        let file = self.path().join("docker/prebuilt/Dockerfile").display().to_string();
        let base = format!("BASE={}", base::IMAGE);
        docker
            .ask(&["build", "--build-arg", &base, "--tag", BUILDER, "--file", &file, &context])
            .map(drop)
    }
}

/// What compose files read of the environment: which images to build on, and a project's name of
/// ours.
pub(super) fn environment(project: &str) -> Vec<(&str, &str)> {
    vec![("BUILDER", BUILDER), ("BASE", base::IMAGE), ("COMPOSE_PROJECT_NAME", project)]
}
