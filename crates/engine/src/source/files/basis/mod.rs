//! What is read instead of the files themselves, so that it stands still: snapshots of their file
//! systems.

mod btrfs;
mod lvm;
pub(crate) mod mounts;
mod zfs;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use archive::{Bounds, Root};
use model::{Duty, Fact, Failure, FailureCode};
use nix::sys::statfs::{BTRFS_SUPER_MAGIC, FsType, statfs};

use self::mounts::Mount;
use crate::{
    Engine, EngineConfig,
    duty::Owed,
    process,
    run::RunContext,
    source::{Part, direct::Asked},
};

/// What every snapshot of ours is called at its beginning.
const PREFIX: &str = "backup-orchestrator-";
/// Longest time for one command of a file system.
const COMMAND_TIME: Duration = Duration::from_secs(120);
/// What ZFS calls itself to the kernel.
const ZFS_SUPER_MAGIC: FsType = FsType(0x2fc1_2fc1);
/// Most that is read of what such a command writes, in bytes.
const MAX_TOLD: usize = 1 << 20;

/// Where the source's files are read.
pub(crate) struct Basis {
    pub(crate) roots: Vec<Root>,
    /// What a snapshot does not hold.
    pub(super) warnings: Vec<(PathBuf, &'static str)>,
    kind: Option<Kind>,
    taken: Vec<Taken>,
}

/// A volume and its snapshot.
struct Taken {
    /// Where the volume is mounted.
    volume: PathBuf,
    /// Where its snapshot can be read.
    place: PathBuf,
    /// What it is called there.
    id: String,
    owed: Owed,
}

/// A kind of snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Btrfs,
    Zfs,
    Lvm,
}

impl Kind {
    /// What the source asks for.
    pub(super) fn asked(asked: &Asked<'_>) -> Option<Self> {
        match asked.setting("snapshot") {
            Some("btrfs") => Some(Self::Btrfs),
            Some("zfs") => Some(Self::Zfs),
            Some("lvm") => Some(Self::Lvm),
            _ => None,
        }
    }

    /// What `path` is on, where a snapshot of it can be taken with what is installed.
    pub(crate) async fn found(engine: &Engine, path: &Path) -> Option<Self> {
        let config = &engine.0.config;
        let path = path.to_owned();
        let on = tokio::task::spawn_blocking(move || statfs(&path)).await.ok()?.ok()?;
        let kind = match on.filesystem_type() {
            BTRFS_SUPER_MAGIC => Self::Btrfs,
            ZFS_SUPER_MAGIC => Self::Zfs,
            _ => Self::Lvm,
        };
        kind.is_installed(config).ok().map(|()| kind)
    }

    /// Its word in settings.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Btrfs => "btrfs",
            Self::Zfs => "zfs",
            Self::Lvm => "lvm",
        }
    }

    /// Its program, and the Debian package that brings it.
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Btrfs => ("btrfs", "btrfs-progs"),
            Self::Zfs => ("zfs", "zfsutils-linux"),
            Self::Lvm => ("lvcreate", "lvm2"),
        }
    }

    /// Errs where its program is missing.
    pub(super) fn is_installed(self, config: &EngineConfig) -> Result<(), Failure> {
        let (program, package) = self.program();
        process::find(config, program).map(drop).ok_or_else(|| {
            let (program, package) = (program.to_owned(), package.to_owned());
            unfit(Fact::NotInstalled { program, package })
        })
    }

    /// The volume that `real` lies on.
    pub(super) async fn volume(
        self,
        engine: &Engine,
        mounts: &[Mount],
        real: &Path,
    ) -> Result<Volume, Failure> {
        match self {
            Self::Btrfs => btrfs::volume(real),
            Self::Zfs => zfs::volume(engine, real).await,
            Self::Lvm => lvm::volume(engine, mounts, real).await,
        }
    }
}

/// Something that a snapshot can be taken of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    /// Where it begins among the files.
    pub(super) top: PathBuf,
    /// In the words of its kind.
    pub(super) id: String,
    /// The folder of it that is mounted there.
    within: PathBuf,
}

impl Basis {
    /// The files themselves, or snapshots of the volumes they are on.
    pub(super) async fn take(
        context: &RunContext,
        asked: &Asked<'_>,
        part: &Part,
        paths: Vec<PathBuf>,
    ) -> Result<Self, Failure> {
        match Kind::asked(asked) {
            Some(kind) => Self::of(context, asked, part, paths, kind).await,
            None => Ok(Self {
                roots: paths.into_iter().map(Root::at).collect(),
                warnings: Vec::new(),
                kind: None,
                taken: Vec::new(),
            }),
        }
    }

    /// Snapshots of the volumes that `paths` are on.
    pub(crate) async fn of(
        context: &RunContext,
        asked: &Asked<'_>,
        part: &Part,
        paths: Vec<PathBuf>,
        kind: Kind,
    ) -> Result<Self, Failure> {
        let engine = &context.engine;
        kind.is_installed(&engine.0.config)?;
        let mounts = mounts::all().await?;
        let mut volumes = BTreeMap::new();
        let mut placed = Vec::new();
        for path in paths {
            let real = tokio::fs::canonicalize(&path).await;
            let real = real.map_err(|error| failed(format!("{}: {error}", path.display())))?;
            let volume = kind.volume(engine, &mounts, &real).await?;
            placed.push((path, real, volume.top.clone()));
            volumes.entry(volume.top.clone()).or_insert(volume);
        }
        let mut taken = Vec::new();
        let whose = match kind {
            Kind::Lvm => lvm::short(part.name.as_str()),
            Kind::Btrfs | Kind::Zfs => part.name.to_string(),
        };
        for (index, volume) in volumes.values().enumerate() {
            let name = format!("{PREFIX}{}-{whose}-{index}", context.run.id);
            let done = match kind {
                Kind::Btrfs => btrfs::take(context, volume, &name).await,
                Kind::Zfs => zfs::take(context, volume, &name).await,
                Kind::Lvm => lvm::take(context, asked, &mounts, volume, &name).await,
            };
            let (place, owed) = done?;
            let shown = place.display();
            context.journal.info(format!("reading {} from {shown}", volume.top.display()));
            let id = match kind {
                Kind::Btrfs => place.display().to_string(),
                Kind::Zfs => format!("{}@{name}", volume.id),
                Kind::Lvm => format!("{} of {}", name, volume.id),
            };
            taken.push(Taken { volume: volume.top.clone(), place, id, owed });
        }
        let (roots, warnings) = (Vec::new(), Vec::new());
        let mut basis = Self { roots, warnings, kind: Some(kind), taken };
        for (path, real, top) in placed {
            basis.missing(&real, &top, &mounts);
            let place = basis.place_of(&real, &top);
            basis.roots.push(Root::read_from(&path, place));
        }
        Ok(basis)
    }

    /// Where `real`, on the volume at `top`, is in its snapshot.
    fn place_of(&self, real: &Path, top: &Path) -> PathBuf {
        let below = real.strip_prefix(top).unwrap_or(Path::new(""));
        let taken = self.taken.iter().find(|one| one.volume == top);
        let place = taken.map_or(top, |one| one.place.as_path());
        if below.as_os_str().is_empty() { place.to_owned() } else { place.join(below) }
    }

    /// Notes what is mounted below `real`: the snapshot has an empty folder there.
    fn missing(&mut self, real: &Path, top: &Path, mounts: &[Mount]) {
        let within = |mount: &&Mount| mount.at.starts_with(real) && mount.at != top;
        for mount in mounts.iter().filter(within) {
            let what = "another file system is mounted there, which the snapshot does not hold; \
                        left out";
            self.warnings.push((mount.at.clone(), what));
        }
    }

    /// Whether snapshots of Btrfs are read.
    pub(super) fn is_btrfs(&self) -> bool {
        self.kind == Some(Kind::Btrfs)
    }

    /// Outside of which nothing is read.
    pub(super) fn bounds(&self, roots: &[PathBuf]) -> Bounds {
        if self.taken.is_empty() {
            return Bounds::new(roots);
        }
        let roots: Vec<_> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
        Bounds::new(self.taken.iter().flat_map(|one| {
            roots.iter().filter_map(|root| {
                if one.volume.starts_with(root) {
                    return Some(one.place.clone());
                }
                root.strip_prefix(&one.volume).ok().map(|below| one.place.join(below))
            })
        }))
    }

    /// A line that names a file as it is known, not as it was read.
    pub(super) fn as_named(&self, line: &str) -> String {
        let escaped = |path: &Path| path.to_string_lossy().escape_debug().to_string();
        self.taken.iter().fold(line.to_owned(), |line, one| {
            line.replace(&escaped(&one.place), &escaped(&one.volume))
        })
    }

    /// What was taken, in its kind's word and by its own names.
    pub(crate) fn ids(&self) -> Option<(&'static str, String)> {
        let kind = self.kind?;
        let ids: Vec<_> = self.taken.iter().map(|one| one.id.as_str()).collect();
        Some((kind.word(), ids.join(", ")))
    }

    /// Removes the snapshots.
    pub(crate) async fn end(self, context: &RunContext) -> Result<(), Failure> {
        let mut ended = Ok(());
        for one in self.taken {
            ended = ended.and(context.settle(one.owed).await);
        }
        ended
    }
}

/// Removes a snapshot that may be there. Done twice it does no harm.
pub(crate) async fn remove(engine: &Engine, duty: &Duty) -> Result<(), Failure> {
    match duty {
        Duty::DeleteSubvolume { path } => btrfs::remove(engine, path).await,
        Duty::DestroyZfsSnapshot { name } => zfs::remove(engine, name).await,
        Duty::RemoveLogicalVolume { name, mount } => lvm::remove(engine, name, mount).await,
        other => Err(failed(format!("{other:?} is about no snapshot"))),
    }
}

fn failed(message: impl Into<model::Sentence>) -> Failure {
    Failure::new(FailureCode::SourceFailed, message)
}

fn unfit(message: impl Into<model::Sentence>) -> Failure {
    Failure::new(FailureCode::SourceConfig, message)
}

/// Runs one command of a file system; gives what it wrote.
async fn told(
    engine: &Engine,
    program: &str,
    args: &[&std::ffi::OsStr],
) -> Result<String, Failure> {
    let program = process::Program::new(&engine.0.config, program).args(args.iter().copied());
    // Other languages would make messages and numbers unreadable to us.
    let out = program.env("LC_ALL", "C").output(MAX_TOLD, COMMAND_TIME).await?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}
