//! Archives as files again: everything that was kept of them, and nothing outside the target,
//! whatever the archive says.

mod attributes;
mod error;
mod limits;
mod place;
mod zip;

use std::{
    fs::File,
    io::{self, Read, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use nix::sys::stat::SFlag;

pub use error::{Excess, Refusal, UnpackError};
pub use limits::{Limits, Only};
use place::{Fault, Place};

use crate::{Attributes, Kind, Member, Members, Packing, TarError, Warnings, packed::Bomb};

/// How much is copied at once, in bytes.
const BLOCK: usize = 256 << 10;

/// How an archive is unpacked.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How much it may hold.
    pub limits: Limits,
    /// What of it is wanted.
    pub only: Only,
    /// Restores setuid and setgid of files, and capabilities: what makes a program more than who
    /// starts it.
    pub privileges: bool,
    /// Makes device nodes; without it an archive that holds one is refused.
    pub devices: bool,
    /// Waits at the end until everything is on the disk.
    pub sync: bool,
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Members of the archive, wanted or not.
    pub members: u64,
    /// Files.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files.
    pub links: u64,
    /// FIFOs and devices.
    pub others: u64,
    /// Bytes written, holes not counted.
    pub bytes: u64,
    /// What was wanted and is not in the archive.
    pub missing: Vec<String>,
    /// What is not as it was.
    pub warnings: Vec<String>,
}

/// Hears how far it is, now and then; `false` calls it off.
pub type Watch<'w> = &'w mut dyn FnMut(&Report) -> bool;

/// Unpacks the tar that `from` gives, compressed or not, into `target`: an empty folder or a new
/// one. Blocks.
pub fn unpack(
    mut from: impl Read + Send,
    target: &Path,
    options: Options,
    watch: Watch<'_>,
) -> Result<Report, UnpackError> {
    let mut first = [0; 6];
    let mut held = 0;
    while held < first.len() {
        match from.read(&mut first[held..]) {
            Ok(0) => break,
            Ok(read) => held += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(TarError::Read(error).into()),
        }
    }
    let packing = Packing::of(&first[..held]);
    let whole = first[..held].chain(from);
    let plain = packing.open(whole, options.limits.ratio).map_err(TarError::Read)?;
    let mut unpacker = Unpacker::new(target, options, watch)?;
    unpacker.tar(plain).map_err(|error| match error {
        UnpackError::Tar(TarError::Read(error)) => bomb(error),
        other => other,
    })?;
    unpacker.finish()
}

/// The same for a zip, which is read from its end.
pub fn unpack_zip(
    from: impl Read + io::Seek,
    target: &Path,
    options: Options,
    watch: Watch<'_>,
) -> Result<Report, UnpackError> {
    let mut unpacker = Unpacker::new(target, options, watch)?;
    unpacker.zip(from)?;
    unpacker.finish()
}

fn bomb(error: io::Error) -> UnpackError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Bomb>()) {
        Some(Bomb(ratio)) => UnpackError::TooMuch(Excess::Ratio(*ratio)),
        None => TarError::Read(error).into(),
    }
}

struct Unpacker<'w> {
    place: Place,
    options: Options,
    report: Report,
    warnings: Warnings,
    /// Folders get their attributes last: what is written into them changes them.
    folders: Vec<(Vec<u8>, Attributes)>,
    folder_memory_bytes: u64,
    watch: Watch<'w>,
    told: u64,
    block: Vec<u8>,
}

impl<'w> Unpacker<'w> {
    fn new(target: &Path, options: Options, watch: Watch<'w>) -> Result<Self, UnpackError> {
        Ok(Self {
            place: Place::open(target)?,
            options,
            report: Report::default(),
            warnings: Warnings::default(),
            folders: Vec::new(),
            folder_memory_bytes: 0,
            watch,
            told: 0,
            block: vec![0; BLOCK],
        })
    }

    fn tar(&mut self, from: impl Read) -> Result<(), UnpackError> {
        let mut members = Members::new(from);
        while let Some(member) = members.next_member()? {
            self.member(&member, &mut members)?;
        }
        Ok(members.drain()?)
    }

    fn member(
        &mut self,
        member: &Member,
        members: &mut Members<impl Read>,
    ) -> Result<(), UnpackError> {
        self.count()?;
        let parts = self.parts(&member.name)?;
        let limits = self.options.limits;
        if member.kind == Kind::File {
            if member.size > limits.file_bytes {
                return Err(UnpackError::TooMuch(Excess::FileBytes(limits.file_bytes)));
            }
            if self.report.bytes.saturating_add(member.stored) > limits.bytes {
                return Err(UnpackError::TooMuch(Excess::Bytes(limits.bytes)));
            }
        }
        if !self.options.only.wants(&parts) {
            return Ok(());
        }
        let name = &member.name;
        if parts.is_empty() && member.kind != Kind::Folder {
            return Err(refused(name, Refusal::Empty));
        }
        match member.kind {
            Kind::File => {
                let file = self.place.create(&parts).map_err(|fault| failed(name, fault))?;
                self.fill(member, &file, members)?;
                self.report.files += 1;
                self.dress_file(name, &file, &member.attributes)
            }
            Kind::Folder => {
                self.place.make_folder(&parts).map_err(|fault| failed(name, fault))?;
                self.report.folders += 1;
                self.dress_later(parts.join(&b'/'), member.attributes.clone())
            }
            Kind::Symlink => self.symlink(name, &parts, &member.link, &member.attributes),
            Kind::Link => {
                let target = self.parts(&member.link)?;
                if !self.options.only.wants(&target) {
                    let path = crate::path_of(name);
                    let target = crate::quoted(crate::path_of(&member.link));
                    let what = format!("left out: its content is in {target}, ask for that too");
                    self.warnings.push(path, &what);
                    return Ok(());
                }
                self.place.link(&parts, &target).map_err(|fault| failed(name, fault))?;
                self.report.links += 1;
                Ok(())
            }
            Kind::Fifo => {
                self.place.fifo(&parts).map_err(|fault| failed(name, fault))?;
                self.report.others += 1;
                self.dress(name, &parts, &member.attributes)
            }
            Kind::Char | Kind::Block => {
                if !self.options.devices {
                    return Err(refused(name, Refusal::Device));
                }
                let is_char = member.kind == Kind::Char;
                let kind = if is_char { SFlag::S_IFCHR } else { SFlag::S_IFBLK };
                let made = self.place.device(&parts, kind, member.device);
                made.map_err(|fault| failed(name, fault))?;
                self.report.others += 1;
                self.dress(name, &parts, &member.attributes)
            }
            Kind::Other => {
                let path = crate::path_of(name);
                self.warnings.push(path, "it is of a kind that is not known here; left out");
                Ok(())
            }
        }
    }

    fn symlink(
        &mut self,
        name: &[u8],
        parts: &[&[u8]],
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        if target.is_empty() || target.contains(&0) {
            return Err(refused(name, Refusal::LinkTarget));
        }
        self.place.symlink(parts, target).map_err(|fault| failed(name, fault))?;
        self.report.symlinks += 1;
        self.dress(name, parts, attributes)
    }

    fn fill(
        &mut self,
        member: &Member,
        file: &File,
        members: &mut Members<impl Read>,
    ) -> Result<(), UnpackError> {
        let whole = 0..member.size;
        let parts = member.parts.as_deref().unwrap_or(std::slice::from_ref(&whole));
        for part in parts {
            let mut at = part.start;
            while at < part.end {
                let room = usize::try_from(part.end - at).unwrap_or(BLOCK).min(BLOCK);
                let read = members.read_data(&mut self.block[..room])?;
                let written = file.write_all_at(&self.block[..read], at);
                written.map_err(|source| unwritten(&member.name, source))?;
                at += read as u64;
                self.wrote(read as u64)?;
            }
        }
        if member.parts.is_some() {
            file.set_len(member.size).map_err(|source| unwritten(&member.name, source))?;
        }
        Ok(())
    }

    /// What comes without a length that can be trusted, such as from a zip.
    fn pour(
        &mut self,
        name: &[u8],
        mut from: impl Read,
        mut to: &File,
        bounds: &mut dyn FnMut(u64) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let mut sum = 0;
        loop {
            let read = match from.read(&mut self.block) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(UnpackError::Zip(error.to_string())),
            };
            sum += read as u64;
            bounds(sum)?;
            if self.report.bytes + read as u64 > self.options.limits.bytes {
                return Err(UnpackError::TooMuch(Excess::Bytes(self.options.limits.bytes)));
            }
            to.write_all(&self.block[..read]).map_err(|source| unwritten(name, source))?;
            self.wrote(read as u64)?;
        }
    }

    fn wrote(&mut self, bytes: u64) -> Result<(), UnpackError> {
        self.report.bytes += bytes;
        self.told += bytes;
        if self.told < 8 << 20 {
            return Ok(());
        }
        self.told = 0;
        if (self.watch)(&self.report) { Ok(()) } else { Err(UnpackError::Cancelled) }
    }

    fn count(&mut self) -> Result<(), UnpackError> {
        self.report.members += 1;
        if self.report.members > self.options.limits.members {
            return Err(UnpackError::TooMuch(Excess::Members(self.options.limits.members)));
        }
        // A small file costs about as much as these bytes.
        self.told += 16 << 10;
        if self.told < 8 << 20 {
            return Ok(());
        }
        self.told = 0;
        if (self.watch)(&self.report) { Ok(()) } else { Err(UnpackError::Cancelled) }
    }

    /// The components of a name that may be used.
    fn parts<'n>(&self, name: &'n [u8]) -> Result<Vec<&'n [u8]>, UnpackError> {
        let limits = &self.options.limits;
        if name.len() > limits.name_bytes {
            return Err(UnpackError::TooMuch(Excess::NameBytes(limits.name_bytes)));
        }
        let parts = crate::parts_of(name).map_err(|why| refused(name, why))?;
        if parts.len() > limits.depth {
            return Err(UnpackError::TooMuch(Excess::Depth(limits.depth)));
        }
        Ok(parts)
    }

    fn dress_later(&mut self, path: Vec<u8>, attributes: Attributes) -> Result<(), UnpackError> {
        let extended: usize = attributes
            .extended
            .iter()
            .map(|pair| size_of_val(pair) + pair.0.len() + pair.1.len())
            .sum();
        let one = size_of::<(Vec<u8>, Attributes)>() + path.len() + extended;
        self.folder_memory_bytes = self.folder_memory_bytes.saturating_add(one as u64);
        let most = self.options.limits.folder_memory_bytes;
        if self.folder_memory_bytes > most {
            return Err(UnpackError::TooMuch(Excess::FolderMemory(most)));
        }
        self.folders.push((path, attributes));
        Ok(())
    }

    fn finish(mut self) -> Result<Report, UnpackError> {
        // The deepest first: a folder that may not be entered closes what is below it.
        let mut folders = std::mem::take(&mut self.folders);
        folders.sort_by(|a, b| b.0.cmp(&a.0));
        for (path, attributes) in &folders {
            let parts: Vec<_> = path.split(|byte| *byte == b'/').collect();
            let parts = if path.is_empty() { &[][..] } else { &parts };
            self.dress_folder(path, parts, attributes)?;
        }
        if self.options.sync {
            self.place.sync().map_err(|source| unwritten(b".", source))?;
        }
        self.report.missing = self.options.only.missing();
        self.report.warnings = self.warnings.told();
        Ok(self.report)
    }
}

fn refused(name: &[u8], why: Refusal) -> UnpackError {
    UnpackError::Refused { name: crate::quoted(crate::path_of(name)), why }
}

fn unwritten(name: &[u8], source: io::Error) -> UnpackError {
    UnpackError::Write { name: crate::quoted(crate::path_of(name)), source }
}

fn failed(name: &[u8], fault: Fault) -> UnpackError {
    match fault {
        Fault::Refused(why) => refused(name, why),
        Fault::Io(source) => unwritten(name, source),
    }
}
