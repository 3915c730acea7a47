//! The table of contents of a dump. In the format `directory` its entries name the files that hold
//! their rows, and `pg_restore` would follow such a name anywhere; in both formats they tell what
//! needs what.

/// The newest version of the format that is known here (PostgreSQL 16 to 18).
const NEWEST: (u8, u8) = (1, 16);
/// The oldest (PostgreSQL 9).
const OLDEST: (u8, u8) = (1, 12);
/// The word for a dump in one file.
const CUSTOM: u8 = 1;
/// The word for the format `directory`, whose table of contents is a tar's.
const DIRECTORY: u8 = 3;

/// Why a table of contents cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TocError {
    /// There is more of it than was given.
    Short,
    /// It is not what is known here.
    Odd(String),
}

impl std::fmt::Display for TocError {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Short => out.write_str("its table of contents ends too early"),
            Self::Odd(why) => out.write_str(why),
        }
    }
}

/// One thing that a dump holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number in this dump.
    pub(super) id: i64,
    /// What it is, in capitals: `TABLE`, `TABLE DATA`, `INDEX`.
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) schema: String,
    /// Numbers of what has to be there before it.
    pub(super) needs: Vec<i64>,
}

/// Errs where an entry of `toc` names a file outside of the dump, or where it cannot be told.
pub(super) fn check(toc: &[u8]) -> Result<(), String> {
    let mut files = Vec::new();
    Toc { rest: toc, int_bytes: 4 }
        .entries(DIRECTORY, &mut files)
        .map_err(|error| error.to_string())?;
    let is_name = |file: &&[u8]| !file.contains(&b'/') && !file.contains(&0) && *file != b"..";
    match files.iter().find(|file| !is_name(file)) {
        Some(_) => Err("its toc.dat names a file elsewhere".to_owned()),
        None => Ok(()),
    }
}

/// What a dump holds that begins so, in its order.
pub(super) fn entries(beginning: &[u8]) -> Result<Vec<Entry>, TocError> {
    let format = if beginning.get(10) == Some(&DIRECTORY) { DIRECTORY } else { CUSTOM };
    Toc { rest: beginning, int_bytes: 4 }.entries(format, &mut Vec::new())
}

struct Toc<'a> {
    rest: &'a [u8],
    int_bytes: usize,
}

impl<'a> Toc<'a> {
    /// All entries, with the names of the files that hold their rows, where they have some.
    fn entries(&mut self, format: u8, files: &mut Vec<&'a [u8]>) -> Result<Vec<Entry>, TocError> {
        let odd = |why: &str| TocError::Odd(why.to_owned());
        if self.take(5)? != b"PGDMP" {
            return Err(odd("it has no table of contents"));
        }
        let version = (self.byte()?, self.byte()?);
        let _revision = self.byte()?;
        if !(OLDEST..=NEWEST).contains(&version) {
            return Err(TocError::Odd(format!(
                "its table of contents is of the version {}.{}, which is not known here: restore \
                 it into a folder, look at it, and load it by hand",
                version.0, version.1
            )));
        }
        self.int_bytes = usize::from(self.byte()?);
        let offset_bytes = usize::from(self.byte()?);
        if self.byte()? != format || self.int_bytes > 8 || offset_bytes > 8 {
            return Err(odd("its table of contents is of another format"));
        }
        if version >= (1, 15) {
            self.byte()?;
        } else {
            self.int()?;
        }
        // The time; then the database's name and two versions.
        for _ in 0..7 {
            self.int()?;
        }
        for _ in 0..3 {
            self.text()?;
        }
        let mut entries = Vec::new();
        for _ in 0..self.int()? {
            entries.push(self.entry(version)?);
            if format == DIRECTORY {
                files.push(self.text()?.unwrap_or_default());
            } else {
                // Whether its rows have a place, and where.
                self.take(1 + offset_bytes)?;
            }
        }
        Ok(entries)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], TocError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(TocError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, TocError> {
        Ok(self.take(1)?[0])
    }

    /// Its sign, then its bytes, the least first.
    fn int(&mut self) -> Result<i64, TocError> {
        let is_negative = self.byte()? != 0;
        let mut bytes = [0; 8];
        bytes[..self.int_bytes].copy_from_slice(self.take(self.int_bytes)?);
        let number = i64::from_le_bytes(bytes);
        Ok(if is_negative { number.wrapping_neg() } else { number })
    }

    /// `None` where there is none.
    fn text(&mut self) -> Result<Option<&'a [u8]>, TocError> {
        match usize::try_from(self.int()?) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn word(&mut self) -> Result<String, TocError> {
        Ok(String::from_utf8_lossy(self.text()?.unwrap_or_default()).into_owned())
    }

    fn entry(&mut self, version: (u8, u8)) -> Result<Entry, TocError> {
        let id = self.int()?;
        // Whether it has rows; two numbers of the catalog as text.
        self.int()?;
        self.text()?;
        self.text()?;
        let (name, kind) = (self.word()?, self.word()?);
        let _section = self.int()?;
        // What makes it, drops it and copies it.
        for _ in 0..3 {
            self.text()?;
        }
        let schema = self.word()?;
        // Tablespace; its way of access.
        for _ in 0..=usize::from(version >= (1, 14)) {
            self.text()?;
        }
        if version >= (1, 16) {
            let _kind = self.int()?;
        }
        // Its owner, and a word that means nothing any more.
        self.text()?;
        self.text()?;
        let mut needs = Vec::new();
        while let Some(number) = self.text()? {
            needs.extend(std::str::from_utf8(number).ok().and_then(|n| n.parse::<i64>().ok()));
        }
        Ok(Entry { id, kind, name, schema, needs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(of: Option<&str>) -> Vec<u8> {
        let Some(of) = of else { return vec![1, 1, 0, 0, 0] };
        [&[0][..], &u32::try_from(of.len()).unwrap().to_le_bytes(), of.as_bytes()].concat()
    }

    fn int(number: u8) -> Vec<u8> {
        vec![0, number, 0, 0, 0]
    }

    /// A table of contents with one entry, whose rows are in `file`.
    fn toc(minor: u8, file: &str) -> Vec<u8> {
        let mut toc = [b"PGDMP", &[1, minor, 0, 4, 8, DIRECTORY][..]].concat();
        toc.extend(if minor >= 15 { vec![0] } else { int(0) });
        toc.extend((0..7).flat_map(int));
        toc.extend((0..3).flat_map(|_| text(Some("15.3"))));
        toc.extend([int(1), int(9), int(1)].concat());
        toc.extend(["0", "16385", "here", "TABLE DATA"].map(|one| text(Some(one))).concat());
        toc.extend(int(3));
        let words = 5 + usize::from(minor >= 14);
        toc.extend((0..words).flat_map(|_| text(Some("a/b"))));
        if minor >= 16 {
            toc.extend(int(b'r'));
        }
        toc.extend(
            [text(Some("owner")), text(Some("false")), text(Some("7")), text(None)].concat(),
        );
        toc.extend(text(Some(file)));
        toc
    }

    #[test]
    fn files_are_only_named_in_the_folder_itself() {
        for minor in [12, 13, 14, 15, 16] {
            let whole = toc(minor, "4071.dat.gz");
            assert_eq!(check(&whole), Ok(()), "{minor}");
            let entry = &entries(&whole).unwrap()[0];
            assert_eq!((entry.id, entry.kind.as_str()), (9, "TABLE DATA"), "{minor}");
            assert_eq!((entry.schema.as_str(), entry.name.as_str()), ("a/b", "here"));
            assert_eq!(entry.needs, [7]);
            for elsewhere in ["../4071.dat", "/etc/shadow", "a/../../b", ".."] {
                assert!(check(&toc(minor, elsewhere)).unwrap_err().contains("elsewhere"));
            }
        }
        assert!(check(&toc(17, "1.dat")).unwrap_err().contains("not known"));
        let whole = toc(14, "1.dat");
        for end in 0..whole.len() {
            assert!(check(&whole[..end]).is_err(), "{end}");
            assert!(entries(&whole[..end]).is_err(), "{end}");
        }
    }
}
