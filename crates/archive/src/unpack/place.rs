//! A folder that is filled, and outside of which nothing is touched: every name is opened relative
//! to the folder that holds it, one component at a time, and no link is ever followed.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat},
    sys::stat::{self, Mode, SFlag, UtimensatFlags},
    sys::time::TimeSpec,
    unistd::{Gid, LinkatFlags, Uid, fchownat, linkat, mkfifoat, symlinkat},
};

use super::{Refusal, UnpackError};

const AT_FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Why something is not done at a name.
pub(super) enum Fault {
    Refused(Refusal),
    Io(io::Error),
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) struct Place {
    root: OwnedFd,
    /// The folder that was used last: what lies in one folder mostly comes together.
    last: Option<(Vec<Vec<u8>>, OwnedFd)>,
}

impl Place {
    /// `path`, which is made where it is not there, and must be empty.
    pub(super) fn open(path: &Path) -> Result<Self, UnpackError> {
        let failed = |why: String| UnpackError::Target { path: path.to_owned(), why };
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(format!("it cannot be made: {error}")));
            }
            _ => {}
        }
        let root =
            nix::fcntl::open(path, AT_FOLDER, Mode::empty()).map_err(|error| match error {
                Errno::ELOOP | Errno::ENOTDIR => failed("it is a link or no folder".to_owned()),
                other => failed(other.desc().to_owned()),
            })?;
        let held = std::fs::read_dir(path).map_err(|error| failed(error.to_string()))?;
        for entry in held {
            let name = entry.map_err(|error| failed(error.to_string()))?.file_name();
            // Every new ext4 has it.
            if name != "lost+found" {
                return Err(failed(
                    "it is not empty: name an empty folder or a new one".to_owned(),
                ));
            }
        }
        Ok(Self { root, last: None })
    }

    /// The folder of these components. Those that are missing are made where `make` says so.
    pub(super) fn folder(&mut self, parts: &[&[u8]], make: bool) -> Result<&OwnedFd, Fault> {
        if parts.is_empty() {
            return Ok(&self.root);
        }
        let is_last = self.last.as_ref().is_some_and(|(last, _)| last.iter().eq(parts.iter()));
        if !is_last {
            let mut at: Option<OwnedFd> = None;
            for part in parts {
                let here = at.as_ref().unwrap_or(&self.root);
                let opened = match openat(here, *part, AT_FOLDER, Mode::empty()) {
                    Err(Errno::ENOENT) if make => {
                        stat::mkdirat(here, *part, Mode::from_bits_truncate(0o755))?;
                        openat(here, *part, AT_FOLDER, Mode::empty())
                    }
                    opened => opened,
                };
                at = Some(match opened {
                    Err(Errno::ELOOP | Errno::ENOTDIR) => {
                        return Err(Fault::Refused(Refusal::Through));
                    }
                    opened => opened?,
                });
            }
            let parts = parts.iter().map(|part| part.to_vec()).collect();
            self.last = at.map(|folder| (parts, folder));
        }
        Ok(self.last.as_ref().map_or(&self.root, |(_, folder)| folder))
    }

    /// A new folder, or one that is there.
    pub(super) fn make_folder(&mut self, parts: &[&[u8]]) -> Result<(), Fault> {
        let Some((name, above)) = parts.split_last() else { return Ok(()) };
        let above = self.folder(above, true)?;
        // Nobody else looks in while it is filled.
        match stat::mkdirat(above, *name, Mode::from_bits_truncate(0o700)) {
            Err(Errno::EEXIST) => match openat(above, *name, AT_FOLDER, Mode::empty()) {
                Err(Errno::ELOOP | Errno::ENOTDIR) => Err(Fault::Refused(Refusal::Twice)),
                opened => Ok(opened.map(drop)?),
            },
            made => Ok(made?),
        }
    }

    pub(super) fn create(&mut self, parts: &[&[u8]]) -> Result<File, Fault> {
        let (name, above) = named(parts)?;
        let above = self.folder(above, true)?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = openat(above, name, flags, Mode::from_bits_truncate(0o600));
        Ok(File::from(new(made)?))
    }

    pub(super) fn symlink(&mut self, parts: &[&[u8]], target: &[u8]) -> Result<(), Fault> {
        let (name, above) = named(parts)?;
        new(symlinkat(target, self.folder(above, true)?, name))
    }

    pub(super) fn fifo(&mut self, parts: &[&[u8]]) -> Result<(), Fault> {
        let (name, above) = named(parts)?;
        new(mkfifoat(self.folder(above, true)?, name, Mode::from_bits_truncate(0o600)))
    }

    pub(super) fn device(
        &mut self,
        parts: &[&[u8]],
        kind: SFlag,
        (major, minor): (u32, u32),
    ) -> Result<(), Fault> {
        let (name, above) = named(parts)?;
        let number = stat::makedev(major.into(), minor.into());
        let mode = Mode::from_bits_truncate(0o600);
        new(stat::mknodat(self.folder(above, true)?, name, kind, mode, number))
    }

    /// Another name for what `target` names, itself and not what it may lead to.
    pub(super) fn link(&mut self, parts: &[&[u8]], target: &[&[u8]]) -> Result<(), Fault> {
        let missing = || Fault::Refused(Refusal::LinkTarget);
        let (file, holder) = target.split_last().ok_or_else(missing)?;
        let holder = match self.folder(holder, false) {
            Err(Fault::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(missing());
            }
            holder => holder?.try_clone()?,
        };
        match stat::fstatat(&holder, *file, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Err(missing()),
            found
                if SFlag::from_bits_truncate(found?.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR =>
            {
                return Err(missing());
            }
            _ => {}
        }
        let (name, above) = named(parts)?;
        new(linkat(&holder, *file, self.folder(above, true)?, name, LinkatFlags::empty()))
    }

    /// What is at a name, whatever it is, to change it and nothing else.
    pub(super) fn handle(&mut self, parts: &[&[u8]]) -> Result<OwnedFd, Fault> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match parts.split_last() {
            None => Ok(self.root.try_clone()?),
            Some((name, above)) => {
                Ok(openat(self.folder(above, false)?, *name, flags, Mode::empty())?)
            }
        }
    }

    /// Writes everything to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::syncfs(&self.root)?)
    }
}

fn named<'p, 'n>(parts: &'p [&'n [u8]]) -> Result<(&'n [u8], &'p [&'n [u8]]), Fault> {
    let (name, above) = parts.split_last().ok_or(Fault::Refused(Refusal::Empty))?;
    Ok((name, above))
}

fn new<T>(made: nix::Result<T>) -> Result<T, Fault> {
    match made {
        Err(Errno::EEXIST) => Err(Fault::Refused(Refusal::Twice)),
        made => Ok(made?),
    }
}

/// Changes the owner of what `handle` holds, a link included.
pub(super) fn own(handle: impl AsFd, uid: u32, gid: u32) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    fchownat(handle, c"", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)
}

/// Where the kernel shows what a handle holds: for calls that take a path only.
pub(super) fn shown(handle: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

/// Changes when what a name in `above` names was modified, a link itself.
pub(super) fn touch(above: impl AsFd, name: &[u8], (secs, nanos): (i64, u32)) -> nix::Result<()> {
    let mtime = TimeSpec::new(secs, i64::from(nanos));
    let name = if name.is_empty() { b"." } else { name };
    stat::utimensat(above, name, &TimeSpec::UTIME_OMIT, &mtime, UtimensatFlags::NoFollowSymlink)
}
