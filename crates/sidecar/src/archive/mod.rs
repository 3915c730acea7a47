//! Files as one stream: a tar, which keeps all that files are, or a zip, which is read anywhere.

mod content;
mod roots;
mod sink;
mod tar;
mod walk;
mod zip;

use std::{
    io::{self, Write},
    path::Path,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use self::sink::Sink;
use crate::{config::Config, export::ExportError};

/// Most warnings that are told one by one.
const MAX_WARNINGS: usize = 1_000;
/// The presets above it take up to 94 MiB of memory for little.
const XZ_PRESET: u32 = 2;
const ZSTD_LEVEL: i32 = 3;

/// What was left out or is not as it was.
#[derive(Default)]
struct Warnings {
    lines: Vec<String>,
    more: usize,
}

impl Warnings {
    fn push(&mut self, path: &Path, what: &str) {
        if self.lines.len() < MAX_WARNINGS {
            self.lines.push(format!("{}: {what}", quoted(path)));
        } else {
            self.more += 1;
        }
    }

    fn told(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(format!("{} more files are not as they were", self.more));
        }
        self.lines
    }
}

/// Writes the archive; gives warnings.
pub(crate) fn write(config: &Config, to: mpsc::Sender<Bytes>) -> Result<Vec<String>, ExportError> {
    let mut warnings = Warnings::default();
    let sink = Sink::new(to);
    let strategy = &config.strategy.config;
    let compression = strategy.compression.as_deref();
    if strategy.format.as_deref() == Some("zip") {
        let mut zip = zip::Zip::new(sink, compression, strategy.follow_symlinks);
        walk::walk(config, &mut zip, &mut warnings)?;
        zip.finish().map_err(told)?;
        return Ok(warnings.told());
    }
    let warned = &mut warnings;
    let sink = match compression {
        Some("gz") => {
            let to = flate2::write::GzEncoder::new(sink, flate2::Compression::default());
            tar(config, to, warned)?.finish()
        }
        Some("bz2") => {
            let to = bzip2::write::BzEncoder::new(sink, bzip2::Compression::default());
            tar(config, to, warned)?.finish()
        }
        Some("xz") => {
            let to = liblzma::write::XzEncoder::new(sink, XZ_PRESET);
            tar(config, to, warned)?.finish()
        }
        Some("zst") => {
            let mut to = zstd::Encoder::new(sink, ZSTD_LEVEL).map_err(told)?;
            to.include_checksum(true).map_err(told)?;
            tar(config, to, warned)?.finish()
        }
        _ => Ok(tar(config, sink, warned)?),
    };
    sink.and_then(|mut sink| sink.flush()).map_err(told)?;
    Ok(warnings.told())
}

fn tar<W: Write>(config: &Config, to: W, warnings: &mut Warnings) -> Result<W, ExportError> {
    let mut tar = tar::Tar::new(to, config.strategy.config.follow_symlinks);
    walk::walk(config, &mut tar, warnings)?;
    tar.finish().map_err(told)
}

/// A name may hold anything, line ends too.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().escape_debug())
}

fn told(error: io::Error) -> ExportError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => ExportError::Gone,
        _ => ExportError::Failed(error.to_string()),
    }
}
