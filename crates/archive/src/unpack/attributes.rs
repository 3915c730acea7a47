//! Owner, mode, times and extended attributes, put back on what a handle holds.

use std::{
    ffi::OsStr,
    fs::{File, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    },
};

use nix::errno::Errno;

use super::{Unpacker, failed, place, unwritten};
use crate::{Attributes, UnpackError};

const SPECIAL: u32 = 0o6000;
const CAPABILITY: &[u8] = b"security.capability";

/// What an object is, as far as its attributes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    File,
    Folder,
    Other,
    Symlink,
}

impl Unpacker<'_> {
    pub(super) fn dress_file(
        &mut self,
        name: &[u8],
        file: &File,
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        let handle = file.try_clone().map_err(|source| unwritten(name, source))?.into();
        self.put(name, &handle, attributes, Of::File)?;
        let (secs, nanos) = attributes.mtime;
        let mtime = nix::sys::time::TimeSpec::new(secs, i64::from(nanos));
        let omit = nix::sys::time::TimeSpec::UTIME_OMIT;
        nix::sys::stat::futimens(file, &omit, &mtime).map_err(|error| unwritten(name, error.into()))
    }

    /// A link, a FIFO or a device.
    pub(super) fn dress(
        &mut self,
        name: &[u8],
        parts: &[&[u8]],
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        let handle = self.place.handle(parts).map_err(|fault| failed(name, fault))?;
        let found = nix::sys::stat::fstat(&handle).map_err(|e| unwritten(name, e.into()))?;
        let is_link = found.st_mode & libc_kind() == LINK;
        self.put(name, &handle, attributes, if is_link { Of::Symlink } else { Of::Other })?;
        self.touch(name, parts, attributes)
    }

    pub(super) fn dress_folder(
        &mut self,
        name: &[u8],
        parts: &[&[u8]],
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        let handle = self.place.handle(parts).map_err(|fault| failed(name, fault))?;
        self.touch(name, parts, attributes)?;
        self.put(name, &handle, attributes, Of::Folder)?;
        Ok(())
    }

    fn touch(
        &mut self,
        name: &[u8],
        parts: &[&[u8]],
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        let (last, above) = parts.split_last().map_or((&b""[..], parts), |(last, up)| (*last, up));
        let above = self.place.folder(above, false).map_err(|fault| failed(name, fault))?;
        place::touch(above, last, attributes.mtime).map_err(|error| unwritten(name, error.into()))
    }

    /// In the order in which one does not undo the other: owner, mode, the rest.
    fn put(
        &mut self,
        name: &[u8],
        handle: &OwnedFd,
        attributes: &Attributes,
        of: Of,
    ) -> Result<(), UnpackError> {
        let path = crate::path_of(name);
        match place::own(handle, attributes.uid, attributes.gid) {
            Err(Errno::EPERM | Errno::EINVAL) => {
                self.warnings.push(path, "its owner cannot be set by this user");
            }
            owned => owned.map_err(|error| unwritten(name, error.into()))?,
        }
        let shown = place::shown(handle);
        if of != Of::Symlink {
            let mut mode = attributes.mode & 0o7777;
            if of != Of::Folder && mode & SPECIAL != 0 && !self.options.privileges {
                mode &= !SPECIAL;
                self.warnings.push(path, "its setuid or setgid is left out");
            }
            std::fs::set_permissions(&shown, Permissions::from_mode(mode))
                .map_err(|source| unwritten(name, source))?;
        }
        for (key, value) in &attributes.extended {
            let is_known = key.starts_with(b"user.")
                || key.starts_with(b"system.posix_acl_")
                || key == CAPABILITY && self.options.privileges;
            let told = || format!("its attribute {}", crate::quoted(crate::path_of(key)));
            // What a link holds could be set through it only, and would change another.
            if !is_known || of == Of::Symlink {
                self.warnings.push(path, &format!("{} is left out", told()));
                continue;
            }
            match xattr::set_deref(&shown, OsStr::from_bytes(key), value) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(Errno::ENOSPC as i32) => {
                    return Err(unwritten(name, error));
                }
                Err(error) => {
                    let error: io::Error = error;
                    self.warnings.push(path, &format!("{} cannot be set: {error}", told()));
                }
            }
        }
        Ok(())
    }
}

const LINK: u32 = nix::sys::stat::SFlag::S_IFLNK.bits();

fn libc_kind() -> u32 {
    nix::sys::stat::SFlag::S_IFMT.bits()
}
