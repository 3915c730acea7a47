//! The table of contents of a dump of the format `directory`: its entries name the files that hold
//! their rows, and `pg_restore` would follow such a name anywhere.

/// The newest version of the format that is known here (PostgreSQL 16 to 18).
const NEWEST: (u8, u8) = (1, 16);
/// The oldest (PostgreSQL 9).
const OLDEST: (u8, u8) = (1, 12);
/// The word for this format, whose table of contents is a tar's.
const DIRECTORY: u8 = 3;

/// Errs where an entry of `toc` names a file outside of the dump, or where it cannot be told.
pub(super) fn check(toc: &[u8]) -> Result<(), String> {
    let mut toc = Toc { rest: toc, int_bytes: 4 };
    if toc.take(5)? != b"PGDMP" {
        return Err("its toc.dat is none".to_owned());
    }
    let version = (toc.byte()?, toc.byte()?);
    let _revision = toc.byte()?;
    if !(OLDEST..=NEWEST).contains(&version) {
        return Err(format!(
            "its toc.dat is of the version {}.{}, which is not known here: restore it into a \
             folder, look at it, and load it by hand",
            version.0, version.1
        ));
    }
    toc.int_bytes = usize::from(toc.byte()?);
    let _offset_bytes = toc.byte()?;
    if toc.byte()? != DIRECTORY || toc.int_bytes > 8 {
        return Err("its toc.dat is of another format".to_owned());
    }
    if version >= (1, 15) {
        toc.byte()?;
    } else {
        toc.int()?;
    }
    // The time; then the database's name and two versions.
    for _ in 0..7 {
        toc.int()?;
    }
    for _ in 0..3 {
        toc.text()?;
    }
    for _ in 0..toc.int()? {
        toc.entry(version)?;
    }
    Ok(())
}

struct Toc<'a> {
    rest: &'a [u8],
    int_bytes: usize,
}

impl<'a> Toc<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or("its toc.dat ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// Its sign, then its bytes, the least first.
    fn int(&mut self) -> Result<i64, String> {
        let is_negative = self.byte()? != 0;
        let mut bytes = [0; 8];
        bytes[..self.int_bytes].copy_from_slice(self.take(self.int_bytes)?);
        let number = i64::from_le_bytes(bytes);
        Ok(if is_negative { number.wrapping_neg() } else { number })
    }

    /// `None` where there is none.
    fn text(&mut self) -> Result<Option<&'a [u8]>, String> {
        match usize::try_from(self.int()?) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn entry(&mut self, version: (u8, u8)) -> Result<(), String> {
        // Its number, and whether it has rows.
        self.int()?;
        self.int()?;
        // Two numbers of the catalog as text, its tag and its kind.
        for _ in 0..4 {
            self.text()?;
        }
        let _section = self.int()?;
        // What makes it, drops it and copies it; schema and tablespace; its way of access.
        for _ in 0..5 + usize::from(version >= (1, 14)) {
            self.text()?;
        }
        if version >= (1, 16) {
            let _kind = self.int()?;
        }
        // Its owner, and a word that means nothing any more.
        self.text()?;
        self.text()?;
        // What it depends on.
        while self.text()?.is_some() {}
        let file = self.text()?.unwrap_or_default();
        let is_name = !file.contains(&b'/') && !file.contains(&0) && file != b"..";
        if is_name { Ok(()) } else { Err("its toc.dat names a file elsewhere".to_owned()) }
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
            assert_eq!(check(&toc(minor, "4071.dat.gz")), Ok(()), "{minor}");
            for elsewhere in ["../4071.dat", "/etc/shadow", "a/../../b", ".."] {
                assert!(check(&toc(minor, elsewhere)).unwrap_err().contains("elsewhere"));
            }
        }
        assert!(check(&toc(17, "1.dat")).unwrap_err().contains("not known"));
        let whole = toc(14, "1.dat");
        for end in 0..whole.len() {
            assert!(check(&whole[..end]).is_err(), "{end}");
        }
    }
}
