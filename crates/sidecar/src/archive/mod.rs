//! Files as one stream: a tar, which keeps all that files are, or a zip, which is read anywhere.

mod zip;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use archive::{ArchiveError, Format, Root, Sink, Tar, Walk, Warnings};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{config::Config, export::ExportError, spool::Spool};

/// The presets above it take up to 94 MiB of memory for little.
const XZ_PRESET: u32 = 2;
const ZSTD_LEVEL: i32 = 3;
/// Folder within every folder that is archived, for restores: what comes and what was before.
pub(crate) const ASIDE: &str = ".backup-sidecar-restore";

/// Writes the archive; gives warnings.
pub(crate) fn write(config: &Config, to: mpsc::Sender<Bytes>) -> Result<Vec<String>, ExportError> {
    let mut warnings = Warnings::default();
    let sink = Sink::new(to);
    let strategy = &config.strategy.config;
    let compression = strategy.compression.as_deref();
    if strategy.format.as_deref() == Some("zip") {
        let mut zip = zip::Zip::new(sink, compression);
        walk(config, &mut zip, &mut warnings)?;
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
    let mut tar = Tar::new(to);
    walk(config, &mut tar, warnings)?;
    tar.finish().map_err(told)
}

/// Adds everything that `paths` finds.
fn walk(
    config: &Config,
    format: &mut impl Format,
    warnings: &mut Warnings,
) -> Result<(), ExportError> {
    let artifacts = &config.paths.artifacts;
    let walk = Walk::default()
        .following(config.strategy.config.follow_symlinks)
        .without(Spool::within(artifacts).folder())
        .without_below(artifacts);
    let roots = roots(config)?;
    // What a restore has put aside is not what is there.
    let walk = roots.iter().fold(walk, |walk, root| walk.without_name(&root.join(ASIDE)));
    for root in roots {
        walk.add(&Root::at(root), format, warnings)?;
    }
    Ok(())
}

/// What is asked for, nothing of it twice.
fn roots(config: &Config) -> Result<Vec<PathBuf>, ExportError> {
    let mut all = Vec::new();
    for pattern in &config.strategy.config.paths {
        let pattern = config.paths.workdir.join(pattern);
        let told = |error| ExportError::Failed(format!("{}: {error}", pattern.display()));
        let found = archive::find(&pattern).map_err(told)?;
        if found.is_empty() {
            return Err(ExportError::Failed(format!("nothing is at {}", pattern.display())));
        }
        for path in found {
            all.push(archive::without_parents(path).map_err(told)?);
        }
    }
    Ok(archive::distinct(all, Some(&config.paths.artifacts)))
}

impl From<ArchiveError> for ExportError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Gone => Self::Gone,
            ArchiveError::Failed(what) => Self::Failed(what),
        }
    }
}

fn told(error: io::Error) -> ExportError {
    ArchiveError::from(error).into()
}
