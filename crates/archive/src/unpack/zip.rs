//! zip, under the rules of tar. It keeps less: no owner, no holes, no further names.

use std::io::{Read, Seek};

use zip::{ExtraField, ZipArchive, read::ZipFile, result::ZipError};

use super::{Excess, Refusal, UnpackError, Unpacker, failed, refused};
use crate::{Attributes, packed::HARMLESS};

const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
/// The longest target of a link that Linux has.
const MAX_TARGET: u64 = 4096;

impl Unpacker<'_> {
    pub(super) fn zip(&mut self, from: impl Read + Seek) -> Result<(), UnpackError> {
        let mut zip = ZipArchive::new(from).map_err(unread)?;
        if zip.has_duplicate_names() {
            return Err(refused(b"*", Refusal::Twice));
        }
        // A bomb of which all members are the same bytes.
        if zip.has_overlapping_files().map_err(unread)? {
            return Err(UnpackError::Zip("its members overlap, as a bomb's do".to_owned()));
        }
        for index in 0..zip.len() {
            // The raw one is looked at first: it opens nothing.
            let raw = zip.by_index_raw(index).map_err(unread)?;
            if raw.encrypted() {
                return Err(refused(raw.name_raw(), Refusal::Encrypted));
            }
            drop(raw);
            self.zipped(zip.by_index(index).map_err(unread)?)?;
        }
        Ok(())
    }

    fn zipped<R: Read>(&mut self, mut file: ZipFile<'_, R>) -> Result<(), UnpackError> {
        self.count()?;
        let limits = self.options.limits;
        let name = file.name_raw().to_vec();
        let parts = self.parts(&name)?;
        if file.size() > limits.file_bytes {
            return Err(UnpackError::TooMuch(Excess::FileBytes(limits.file_bytes)));
        }
        if !self.options.only.wants(&parts) {
            return Ok(());
        }
        let mode = file.unix_mode();
        let is_folder = name.ends_with(b"/") || file.is_dir();
        let attributes = Attributes {
            mode: mode.map_or(if is_folder { 0o755 } else { 0o644 }, |mode| mode & 0o7777),
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            mtime: (mtime(&file), 0),
            extended: Vec::new(),
        };
        if is_folder {
            self.place.make_folder(&parts).map_err(|fault| failed(&name, fault))?;
            self.report.folders += 1;
            return self.dress_later(parts.join(&b'/'), attributes);
        }
        if mode.is_some_and(|mode| mode & KIND == LINK) {
            let mut target = Vec::new();
            let read = file.by_ref().take(MAX_TARGET + 1).read_to_end(&mut target);
            read.map_err(|error| UnpackError::Zip(error.to_string()))?;
            if target.len() as u64 > MAX_TARGET {
                return Err(refused(&name, Refusal::LinkTarget));
            }
            return self.symlink(&name, &parts, &target, &attributes);
        }
        let packed = file.compressed_size();
        let made = self.place.create(&parts).map_err(|fault| failed(&name, fault))?;
        self.pour(&name, &mut file, &made, &mut |grown| {
            if grown > limits.file_bytes {
                return Err(UnpackError::TooMuch(Excess::FileBytes(limits.file_bytes)));
            }
            let bound = limits.ratio.map(|ratio| (ratio, packed.saturating_mul(ratio)));
            match bound {
                Some((ratio, allowed)) if grown > allowed.max(HARMLESS) => {
                    Err(UnpackError::TooMuch(Excess::Ratio(ratio)))
                }
                _ => Ok(()),
            }
        })?;
        self.report.files += 1;
        self.dress_file(&name, &made, &attributes)
    }
}

/// The Unix time where it has one; else the local one of DOS, taken for UTC.
fn mtime<R: Read>(file: &ZipFile<'_, R>) -> i64 {
    for field in file.extra_data_fields() {
        if let ExtraField::ExtendedTimestamp(times) = field
            && let Some(mtime) = times.mod_time()
        {
            return i64::from(mtime.cast_signed());
        }
    }
    let Some(dos) = file.last_modified() else { return 0 };
    // Days since 1970 by the calendar that never changed.
    let (year, month, day) = (i64::from(dos.year()), i64::from(dos.month()), i64::from(dos.day()));
    let shifted = if month <= 2 { year - 1 } else { year };
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100
        + of_year
        - 719_468;
    let (hour, minute) = (i64::from(dos.hour()), i64::from(dos.minute()));
    days * 86_400 + hour * 3_600 + minute * 60 + i64::from(dos.second())
}

fn unread(error: ZipError) -> UnpackError {
    UnpackError::Zip(error.to_string())
}
