//! The machine and the folder where trees lie: this one or a server, asked with the same words.

use std::{path::Path, time::Duration};

use model::{Destination, DestinationKind, Fact, Failure, FailureCode};
use store::Key;

use super::ssh::{Ssh, quoted};
use crate::{
    EngineConfig, EngineError, Inner,
    process::{self, Program},
};

/// Longest time for a command that only looks.
const SOON: Duration = Duration::from_secs(120);
/// Longest time for making durable or removing a tree.
pub(super) const LONG: Duration = Duration::from_secs(6 * 3600);
/// Most that is read of what such a command writes, in bytes.
const MAX_TOLD: usize = 64 << 10;

/// Into the root `$1`, which must be there: a disk that is not mounted has lost nothing. Other languages would make messages and numbers unreadable to us.
const ENTER: &str = r#"LC_ALL=C; export LC_ALL; unset CDPATH; cd -- "$1" || exit 1; "#;
/// Makes `$2.partial` unless something of that name is there.
const CLAIM: &str = r#"
mkdir -p -- "$(dirname -- "$2")" || exit 1
for one in "$2" "$2.partial" "$2.expiring"; do
    if [ -e "$one" ] || [ -L "$one" ]; then echo taken; exit 0; fi
done
mkdir -m 0700 -- "$2.partial" || exit 1
pwd -P"#;
/// A tree that is whole on the disk becomes one by name.
const PUBLISH: &str = r#"
[ -d "$2.partial" ] && [ ! -L "$2.partial" ] || { echo "$2.partial is not there" >&2; exit 1; }
if [ -e "$2" ] || [ -L "$2" ]; then echo "$2 is there already" >&2; exit 1; fi
sync -f -- "$2.partial" && mv -T -- "$2.partial" "$2" && sync -- "$(dirname -- "$2")""#;
/// What is half removed is no tree by name. Folders that let nobody in are opened first, where
/// their owner is not root.
const REMOVE: &str = r#"
gone() { rm -rf -- "$1" 2>/dev/null && return
    find "$1" -type d -exec chmod u+rwx {} \; 2>/dev/null; rm -rf -- "$1"; }
if [ -L "$2" ] || [ -f "$2" ]; then rm -f -- "$2" || exit 1; fi
if [ -e "$2" ]; then gone "$2.expiring" && mv -T -- "$2" "$2.expiring" || exit 1; fi
gone "$2.expiring" && gone "$2.partial""#;

/// What a tree takes, tried.
const READY: &str = r#"
for one in rsync find xargs sha256sum tar; do
    command -v "$one" >/dev/null || { echo "$one is not installed" >&2; exit 1; }
done
find . -maxdepth 0 -printf "" && sha256sum -z /dev/null >/dev/null"#;

/// A machine and a folder on it.
#[derive(Clone)]
pub(crate) struct Host {
    root: String,
    ssh: Option<Ssh>,
}

/// What became of asking for a name.
pub(crate) enum Claim {
    /// The folder `NAME.partial` is ours; this is the root without links.
    Ours(String),
    /// Something is there already.
    Taken,
}

impl Host {
    /// Where `destination` keeps trees; `None` where it is of another kind.
    pub(crate) fn of(
        inner: &Inner,
        destination: &Destination,
    ) -> Result<Option<Self>, EngineError> {
        if destination.kind != DestinationKind::Tree {
            return Ok(None);
        }
        let setting = |key: &str| destination.settings.get(key).cloned().unwrap_or_default();
        let needed = |name: &str| EngineError::invalid(name, Fact::SshNeeds {});
        let root = setting("path");
        let host = setting("host");
        if host.is_empty() {
            for key in ["username", "host_key", "port"] {
                if !setting(key).is_empty() {
                    let field = format!("settings.{key}");
                    return Err(EngineError::invalid(field, Fact::SshAlone {}));
                }
            }
            return Ok(Some(Self { root, ssh: None }));
        }
        if root.split('/').any(|part| part == "..") {
            return Err(EngineError::invalid("settings.path", Fact::FolderPlain {}));
        }
        let port = match setting("port").as_str() {
            "" => 22,
            text => text
                .parse()
                .map_err(|_| EngineError::invalid("settings.port", Fact::GiveNumber {}))?,
        };
        let key = inner.secret(destination, "private_key")?;
        let key = key.ok_or_else(|| needed("secrets.private_key"))?;
        let ssh = Ssh::new(host, port, setting("username"), &setting("host_key"), &key)?;
        Ok(Some(Self { root, ssh: Some(ssh) }))
    }

    /// A program that runs `script` in the root; `$2` and so on are `args`.
    pub(super) fn script(&self, config: &EngineConfig, script: &str, args: &[&str]) -> Program {
        self.outside(config, &format!("{ENTER}{script}"), args)
    }

    /// The same, not yet in the root.
    fn outside(&self, config: &EngineConfig, script: &str, args: &[&str]) -> Program {
        let args = std::iter::once(self.root.as_str()).chain(args.iter().copied());
        match &self.ssh {
            None => {
                Program::new(config, "sh").args(["-c", script, "sh"]).args(args.map(str::to_owned))
            }
            Some(ssh) => {
                let words: Vec<_> = args.map(quoted).collect();
                let command = format!("exec sh -c {} sh {}", quoted(script), words.join(" "));
                Program::new(config, "ssh")
                    .args(ssh.words())
                    .args(["--", ssh.host()])
                    .args([command])
            }
        }
    }

    async fn told(
        &self,
        config: &EngineConfig,
        script: &str,
        tree: &Key,
        deadline: Duration,
    ) -> Result<String, Failure> {
        let program = self.script(config, script, &[&inside(tree)]);
        let out =
            program.output(MAX_TOLD, deadline).await.map_err(|failure| self.fault(failure))?;
        Ok(String::from_utf8_lossy(&out).trim_end_matches('\n').to_owned())
    }

    /// A folder of this machine.
    pub(super) fn here(root: &Path) -> Self {
        Self { root: root.display().to_string(), ssh: None }
    }

    /// Whether trees can be made here.
    pub(crate) async fn ready(&self, config: &EngineConfig) -> Result<(), Failure> {
        let own: &[&str] = if self.ssh.is_some() { &["rsync", "ssh"] } else { &["rsync"] };
        for program in own {
            if process::find(config, program).is_none() {
                let missing = Fact::NotOnMachine { program: (*program).to_owned() };
                return Err(self.fault(Failure::new(FailureCode::SourceConfig, missing)));
            }
        }
        let program = self.script(config, READY, &[]);
        program.output(MAX_TOLD, SOON).await.map_err(|failure| self.fault(failure)).map(drop)
    }

    /// Makes the folder in which `tree` is going to be made.
    pub(crate) async fn claim(&self, config: &EngineConfig, tree: &Key) -> Result<Claim, Failure> {
        if self.ssh.is_some() {
            // A server's folder is made by the first tree.
            let make = r#"mkdir -p -- "$1""#;
            let program = self.outside(config, make, &[]);
            program.output(MAX_TOLD, SOON).await.map_err(|failure| self.fault(failure))?;
        }
        match self.told(config, CLAIM, tree, SOON).await?.as_str() {
            "taken" => Ok(Claim::Taken),
            root if root.starts_with('/') => Ok(Claim::Ours(root.to_owned())),
            other => Err(self.fault(Failure::new(
                FailureCode::SourceFailed,
                format!("the shell answered `{}`", other.escape_debug()),
            ))),
        }
    }

    /// Makes a folder inside a tree that is being made.
    pub(super) async fn make_inside(
        &self,
        config: &EngineConfig,
        tree: &Key,
        folder: &Path,
    ) -> Result<(), Failure> {
        let folder = format!("{}.partial/{}", inside(tree), folder.display());
        let program = self.script(config, r#"mkdir -p -- "$2""#, &[&folder]);
        program.output(MAX_TOLD, SOON).await.map_err(|failure| self.fault(failure)).map(drop)
    }

    /// What was made of `tree` is the tree from now on.
    pub(crate) async fn publish(&self, config: &EngineConfig, tree: &Key) -> Result<(), Failure> {
        self.told(config, PUBLISH, tree, LONG).await.map(drop)
    }

    /// Removes exactly `tree`, whole or half made or half removed. What is not there is removed.
    pub(crate) async fn remove(&self, config: &EngineConfig, tree: &Key) -> Result<(), Failure> {
        self.told(config, REMOVE, tree, LONG).await.map(drop)
    }

    /// rsync with the server's address in its words, if there is a server, and what a path on the
    /// other side begins with.
    pub(super) fn rsync(&self, config: &EngineConfig) -> (Program, String) {
        let program = Program::new(config, "rsync").env("LC_ALL", "C");
        match &self.ssh {
            None => (program, String::new()),
            Some(ssh) => {
                let words = ssh.words().join(" ");
                (program.args(["-e".to_owned(), format!("ssh {words}")]), ssh.rsync_host())
            }
        }
    }

    /// Whether trees lie on this machine.
    pub(super) fn local_root(&self) -> Option<&Path> {
        self.ssh.is_none().then(|| Path::new(&self.root))
    }

    /// A program's failure, as that of this destination.
    pub(super) fn fault(&self, failure: Failure) -> Failure {
        let code = match failure.code {
            FailureCode::SourceFailed => FailureCode::DestinationUnavailable,
            FailureCode::SourceConfig => FailureCode::DestinationConfig,
            other => other,
        };
        let place = self.ssh.as_ref().map_or_else(|| self.root.clone(), Ssh::location);
        Failure::new(code, Fact::At { place, why: failure.into() })
    }
}

/// `tree` as no program takes it for an option.
pub(super) fn inside(tree: &Key) -> String {
    format!("./{tree}")
}
