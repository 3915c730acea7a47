//! Files as a tar stream: owners, modes, times and links kept.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{config::Config, export::ExportError};

/// How much is gathered before it is sent, in bytes.
const CHUNK: usize = 256 << 10;

/// Sends what is written to it.
struct Sink {
    to: mpsc::Sender<Bytes>,
    gathered: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.gathered, Vec::with_capacity(CHUNK + (64 << 10)));
        self.to.blocking_send(chunk.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Gives exactly `left` bytes: what a file has lost meanwhile is filled with zeros, what it has
/// gained is left out, so that the archive stays valid.
struct Exactly<R> {
    inner: R,
    left: u64,
    is_short: bool,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let mut count = if self.is_short { 0 } else { self.inner.read(&mut buffer[..room])? };
        if count == 0 {
            self.is_short = true;
            buffer[..room].fill(0);
            count = room;
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Writes the archive; gives warnings.
pub(crate) fn write(config: &Config, to: mpsc::Sender<Bytes>) -> Result<Vec<String>, ExportError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::BrokenPipe => ExportError::Gone,
        _ => ExportError::Failed(error.to_string()),
    };
    let sink = Sink { to, gathered: Vec::new() };
    match config.strategy.config.compression.as_deref() {
        Some("gz") => {
            let gz = flate2::write::GzEncoder::new(sink, flate2::Compression::default());
            let (gz, warnings) = tar(config, gz)?;
            gz.finish().and_then(|mut sink| sink.flush()).map_err(failed)?;
            Ok(warnings)
        }
        Some("zst") => {
            let mut zst = zstd::Encoder::new(sink, 3).map_err(failed)?;
            zst.include_checksum(true).map_err(failed)?;
            let (zst, warnings) = tar(config, zst)?;
            zst.finish().and_then(|mut sink| sink.flush()).map_err(failed)?;
            Ok(warnings)
        }
        _ => {
            let (mut sink, warnings) = tar(config, sink)?;
            sink.flush().map_err(failed)?;
            Ok(warnings)
        }
    }
}

fn tar<W: Write>(config: &Config, to: W) -> Result<(W, Vec<String>), ExportError> {
    let strategy = &config.strategy.config;
    let mut builder = tar::Builder::new(to);
    builder.follow_symlinks(strategy.follow_symlinks);
    let mut archive = Archive {
        builder,
        follow: strategy.follow_symlinks,
        own: config.paths.artifacts.canonicalize().ok(),
        links: HashMap::new(),
        warnings: Vec::new(),
    };
    for pattern in &strategy.paths {
        let pattern = config.paths.workdir.join(pattern);
        let found = glob::glob(&pattern.to_string_lossy())
            .map_err(|error| ExportError::Failed(format!("{}: {error}", pattern.display())))?;
        let mut any = false;
        for path in found {
            any = true;
            let path = path.map_err(|error| ExportError::Failed(error.to_string()))?;
            archive.tree(&path)?;
        }
        if !any {
            return Err(ExportError::Failed(format!("nothing is at {}", pattern.display())));
        }
    }
    let warnings = archive.warnings;
    let to = archive.builder.into_inner().map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ExportError::Gone,
        _ => ExportError::Failed(error.to_string()),
    })?;
    Ok((to, warnings))
}

struct Archive<W: Write> {
    builder: tar::Builder<W>,
    follow: bool,
    /// Where artifacts are spooled: not part of what is protected.
    own: Option<PathBuf>,
    /// First name of every file with several.
    links: HashMap<(u64, u64), PathBuf>,
    warnings: Vec<String>,
}

impl<W: Write> Archive<W> {
    fn tree(&mut self, root: &Path) -> Result<(), ExportError> {
        // Only where it lies inside what is asked for: a folder that holds everything excludes
        // nothing.
        let own = self.own.clone().filter(|own| own.starts_with(root) && own != root);
        for entry in walkdir::WalkDir::new(root).follow_links(self.follow).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.depth() > 0 && is_gone(&error) => {
                    self.warnings.push(format!("{error}: gone while it was read"));
                    continue;
                }
                Err(error) => return Err(ExportError::Failed(error.to_string())),
            };
            let path = entry.path();
            if own.as_ref().is_some_and(|own| path.starts_with(own)) {
                continue;
            }
            match self.one(path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.warnings.push(format!("{}: gone while it was read", path.display()));
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(ExportError::Gone);
                }
                Err(error) => {
                    return Err(ExportError::Failed(format!("{}: {error}", path.display())));
                }
            }
        }
        Ok(())
    }

    fn one(&mut self, path: &Path) -> io::Result<()> {
        let meta = if self.follow { path.metadata()? } else { path.symlink_metadata()? };
        let name: PathBuf = path.components().filter(is_plain).collect();
        if name.as_os_str().is_empty() {
            return Ok(());
        }
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&meta);
        if meta.is_dir() {
            return self.builder.append_data(&mut header, name, io::empty());
        }
        if meta.is_symlink() {
            header.set_size(0);
            return self.builder.append_link(&mut header, name, std::fs::read_link(path)?);
        }
        if !meta.is_file() {
            self.warnings.push(format!("{}: no file, folder or link; left out", path.display()));
            return Ok(());
        }
        if meta.nlink() > 1 {
            let known = self.links.entry((meta.dev(), meta.ino()));
            if let std::collections::hash_map::Entry::Occupied(first) = &known {
                header.set_size(0);
                header.set_entry_type(tar::EntryType::Link);
                return self.builder.append_link(&mut header, name, first.get());
            }
            known.or_insert_with(|| name.clone());
        }
        let file = std::fs::File::open(path)?;
        let mut exactly = Exactly { inner: file, left: meta.len(), is_short: false };
        self.builder.append_data(&mut header, name, &mut exactly)?;
        let grew = exactly.inner.read(&mut [0]).is_ok_and(|count| count > 0);
        if exactly.is_short || grew {
            self.warnings.push(format!("{}: changed while it was read", path.display()));
        }
        Ok(())
    }
}

fn is_plain(component: &std::path::Component<'_>) -> bool {
    matches!(component, std::path::Component::Normal(_))
}

fn is_gone(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}
