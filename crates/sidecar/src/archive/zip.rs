//! zip: for who needs it. It has no hard links (files are there twice), no extended attributes
//! and no holes.

use std::{
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
};

use zip::{
    CompressionMethod, DateTime, ZipWriter,
    write::{FullFileOptions, StreamWriter},
};

use archive::{Format, Item, Sink, Warnings};

use super::{XZ_PRESET, ZSTD_LEVEL};

/// From this size on, an entry gets 64-bit sizes: what does not compress grows a little.
const LARGE: u64 = 0xf000_0000;
/// Info-ZIP's field of a time in seconds since 1970.
const TIME_FIELD: u16 = 0x5455;
/// Info-ZIP's field of owners.
const OWNER_FIELD: u16 = 0x7875;
/// The type of a link in `st_mode`.
const LINK: u32 = 0o120_000;

/// Writes a zip.
pub(super) struct Zip {
    writer: ZipWriter<StreamWriter<Sink>>,
    method: CompressionMethod,
    level: Option<i64>,
}

impl Zip {
    pub(super) fn new(to: Sink, compression: Option<&str>) -> Self {
        let (method, level) = match compression {
            Some("store") => (CompressionMethod::Stored, None),
            Some("bz2") => (CompressionMethod::Bzip2, None),
            Some("xz") => (CompressionMethod::Xz, Some(i64::from(XZ_PRESET))),
            Some("zst") => (CompressionMethod::Zstd, Some(i64::from(ZSTD_LEVEL))),
            _ => (CompressionMethod::Deflated, None),
        };
        Self { writer: ZipWriter::new_stream(to), method, level }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.writer.finish()?.into_inner().flush()
    }

    fn options(item: &Item) -> io::Result<FullFileOptions<'static, 'static>> {
        let meta = &item.meta;
        let mut options = FullFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(dos_time(meta.mtime()))
            .external_attributes(meta.mode() << 16);
        if let Ok(secs) = i32::try_from(meta.mtime()) {
            let mut field = vec![1];
            field.extend(secs.to_le_bytes());
            options.add_extra_field(TIME_FIELD, field, false)?;
        }
        let mut field = vec![1, 4];
        field.extend(meta.uid().to_le_bytes());
        field.push(4);
        field.extend(meta.gid().to_le_bytes());
        options.add_extra_field(OWNER_FIELD, field, false)?;
        Ok(options)
    }

    fn file(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()> {
        let Some(mut content) = item.open()? else {
            warnings.push(&item.path, "it is no longer a file; left out");
            return Ok(());
        };
        let length = content.meta.len();
        let options = Self::options(item)?
            .compression_method(self.method)
            .compression_level(self.level)
            .large_file(length >= LARGE);
        let name = item.name.as_os_str().as_bytes();
        self.writer.start_file_with_options(options.name(name))?;
        content.copy(0..length, &mut self.writer)?;
        if let Some(what) = content.changed() {
            warnings.push(&item.path, what);
        }
        Ok(())
    }
}

impl Format for Zip {
    fn add(&mut self, item: &Item, warnings: &mut Warnings) -> io::Result<()> {
        let kind = item.meta.file_type();
        let name = item.name.as_os_str().as_bytes();
        if kind.is_file() {
            return self.file(item, warnings);
        }
        if kind.is_dir() {
            let Some(name) = item.name.to_str() else {
                let what = "a zip keeps what is in a folder whose name is no text, not the folder";
                warnings.push(&item.path, what);
                return Ok(());
            };
            let options = Self::options(item)?;
            return Ok(self.writer.add_directory(name, options)?);
        }
        if kind.is_symlink() {
            let target = std::fs::read_link(&item.path)?;
            let options = Self::options(item)?.external_attributes((LINK | 0o777) << 16);
            self.writer.start_file_with_options(options.name(name))?;
            return self.writer.write_all(target.as_os_str().as_bytes());
        }
        let what =
            if kind.is_socket() { "a socket; left out" } else { "no file; a zip cannot hold it" };
        warnings.push(&item.path, what);
        Ok(())
    }
}

/// The old field of a time, in UTC and within its years; the exact time has a field of its own.
fn dos_time(secs: i64) -> DateTime {
    let Ok(at) = jiff::Timestamp::from_second(secs) else { return DateTime::DEFAULT };
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    let part = |value: i8| u8::try_from(value).unwrap_or_default();
    let Ok(year) = u16::try_from(at.year()) else { return DateTime::DEFAULT };
    DateTime::from_date_and_time(
        year,
        part(at.month()),
        part(at.day()),
        part(at.hour()),
        part(at.minute()),
        part(at.second()),
    )
    .unwrap_or(DateTime::DEFAULT)
}
