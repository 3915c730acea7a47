//! An app's code: a git work tree of this machine.
//!
//! git runs as whoever owns the tree: what its configuration may ask for is done with their rights,
//! not with ours.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use model::{App, CodeState, Failure, FailureCode};

use crate::{Engine, process::Program, run::RunContext};

/// How long one command of git may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Most that is read of what it writes, in bytes.
const MAX_TOLD: usize = 1 << 20;

/// A work tree.
pub(crate) struct Tree<'a> {
    engine: &'a Engine,
    path: PathBuf,
    owner: (u32, u32),
}

/// What is checked out now, and whether the caller's commit is another.
pub(super) async fn noted(context: &RunContext, app: &App) -> Result<Option<CodeState>, Failure> {
    let Some(plan) = &app.code else { return Ok(None) };
    let tree = Tree::at(&context.engine, &plan.path).await?;
    let state = tree.state().await?;
    let (path, commit) = (&state.path, &state.git_commit);
    context.journal.info(format!("the code at {path} is {commit}"));
    if state.dirty {
        context.journal.warn(format!(
            "files of the code at {path} differ from its commit: a restore brings back the commit, \
             not these changes"
        ));
    }
    Ok(Some(state))
}

impl<'a> Tree<'a> {
    /// The tree at `path`, which has to lie in a folder that sources of files may lie in.
    pub(crate) async fn at(engine: &'a Engine, path: &Path) -> Result<Self, Failure> {
        let real = tokio::fs::canonicalize(path).await;
        let real = real.map_err(|error| wrong(path, &error.to_string()))?;
        let roots = &engine.0.config.file_roots;
        let is_inside = roots
            .iter()
            .filter_map(|root| root.canonicalize().ok())
            .any(|root| real.starts_with(root));
        if !is_inside {
            return Err(wrong(path, "BACKUP_FILE_ROOTS does not allow it"));
        }
        let meta = tokio::fs::metadata(&real).await;
        let meta = meta.map_err(|error| wrong(path, &error.to_string()))?;
        Ok(Self { engine, path: real, owner: (meta.uid(), meta.gid()) })
    }

    /// Runs git; gives what it wrote, without the end of its line.
    pub(crate) async fn git(&self, args: &[&str]) -> Result<String, Failure> {
        let own = nix::unistd::geteuid().as_raw();
        let program = Program::new(&self.engine.0.config, "git")
            .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-C"])
            .args([self.path.as_os_str()])
            .args(args)
            .env("LC_ALL", "C")
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0");
        let program = match self.owner {
            (owner, group) if own == 0 && owner != 0 => program.run_by(owner, group),
            _ => program,
        };
        let out = program.output(MAX_TOLD, PATIENCE).await.map_err(|failure| {
            failure.reworded(|message| format!("the code at {}: {message}", self.path.display()))
        })?;
        Ok(String::from_utf8_lossy(&out).trim_end().to_owned())
    }

    /// What is checked out.
    pub(crate) async fn state(&self) -> Result<CodeState, Failure> {
        let top = self.git(&["rev-parse", "--show-toplevel"]).await?;
        if Path::new(&top) != self.path {
            return Err(wrong(&self.path, "it is not the top of a git work tree"));
        }
        let git_commit = self.git(&["rev-parse", "--verify", "HEAD^{commit}"]).await?;
        let branch = self.git(&["rev-parse", "--abbrev-ref", "HEAD"]).await?;
        let changed = self.git(&["status", "--porcelain", "--untracked-files=no"]).await?;
        Ok(CodeState {
            path: self.path.display().to_string(),
            git_commit,
            branch: Some(branch).filter(|branch| branch != "HEAD"),
            dirty: !changed.is_empty(),
        })
    }

    /// Sets aside changes to files that git knows, for somebody to take up again.
    pub(crate) async fn set_aside(&self, tag: &str) -> Result<(), Failure> {
        let message = format!("set aside by backup-orchestrator, restore {tag}");
        self.git(&[
            "-c",
            "user.name=backup-orchestrator",
            "-c",
            "user.email=backup-orchestrator@localhost",
            "stash",
            "push",
            "--message",
            &message,
        ])
        .await
        .map(drop)
    }

    /// Checks out `commit`: the branch of that name where it is there still, else no branch. Git
    /// refuses where a file that it does not know would be overwritten.
    pub(crate) async fn check_out(
        &self,
        commit: &str,
        branch: Option<&str>,
    ) -> Result<(), Failure> {
        if let Some(branch) = branch {
            let tip = format!("refs/heads/{branch}^{{commit}}");
            let tip = self.git(&["rev-parse", "--quiet", "--verify", &tip]).await;
            if tip.is_ok_and(|tip| tip == commit) {
                return self.git(&["checkout", "--quiet", branch, "--"]).await.map(drop);
            }
        }
        self.git(&["checkout", "--quiet", "--detach", commit, "--"]).await.map(drop)
    }

    /// Whether `commit` is there.
    pub(crate) async fn has(&self, commit: &str) -> bool {
        let commit = format!("{commit}^{{commit}}");
        self.git(&["rev-parse", "--quiet", "--verify", &commit]).await.is_ok()
    }
}

fn wrong(path: &Path, why: &str) -> Failure {
    let message = format!("the code at {}: {why}", path.display());
    Failure::new(FailureCode::SourceConfig, message)
}
