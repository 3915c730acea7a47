//! An index as a file: folders, what is in them, and where that lies in the archive.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::IndexError;

/// Version of the tables: a file of another is made anew.
const VERSION: i64 = 1;
const TABLES: &str = "
    CREATE TABLE meta (packing TEXT NOT NULL);
    CREATE TABLE folders (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
    CREATE TABLE members (
        id INTEGER PRIMARY KEY, folder INTEGER NOT NULL, is_leaf INTEGER NOT NULL,
        name TEXT NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL, mode INTEGER NOT NULL,
        uid INTEGER NOT NULL, gid INTEGER NOT NULL, mtime INTEGER NOT NULL, link TEXT,
        begins INTEGER, ends INTEGER
    );
";
const ORDER: &str = "CREATE UNIQUE INDEX in_folder ON members (folder, is_leaf, name, id)";
const COLUMNS: &str = "f.path, m.name, m.kind, m.size, m.mode, m.uid, m.gid, m.mtime, m.link, \
                       m.begins, m.ends, m.id";

/// What a member of an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// Another name of a file.
    Link,
    /// A FIFO, a device, or what is not known.
    Other,
}

impl EntryKind {
    pub(super) fn of(kind: archive::Kind) -> Self {
        match kind {
            archive::Kind::File => Self::File,
            archive::Kind::Folder => Self::Folder,
            archive::Kind::Symlink => Self::Symlink,
            archive::Kind::Link => Self::Link,
            _ => Self::Other,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Symlink => "symlink",
            Self::Link => "link",
            Self::Other => "other",
        }
    }

    fn parse(text: &str) -> Self {
        let all = [Self::File, Self::Folder, Self::Symlink, Self::Link];
        all.into_iter().find(|kind| kind.as_str() == text).unwrap_or(Self::Other)
    }
}

/// A member of an archive. Names may hold anything: whoever shows them escapes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ArchiveEntry {
    /// Its path in the archive, without a slash at its ends. What is no UTF-8 is replaced.
    pub path: String,
    /// The last part of it.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its length in bytes, holes included.
    pub size_bytes: u64,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When it was modified, in seconds since 1970.
    pub modified_at: i64,
    /// Where a link leads.
    pub link: Option<String>,
}

/// Where a member lies in the archive: from where on, up to where, in bytes.
pub(crate) type Place = std::ops::Range<u64>;

/// A page of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Listing {
    /// The folder's path; empty for the archive's own.
    pub path: String,
    /// Folders first, then the rest, each by name.
    pub entries: Vec<ArchiveEntry>,
    /// What to ask for the next page with; `None` on the last.
    pub next: Option<String>,
}

/// An index that is there.
pub(crate) struct Index {
    file: Connection,
}

impl Index {
    /// A new one in `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, IndexError> {
        let file = Connection::open(path)?;
        // It is renamed when it is whole, and made anew when it is lost.
        file.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;")?;
        file.execute_batch(TABLES)?;
        Ok(Self { file })
    }

    /// One that was made; `None` where it is of another version.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, IndexError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(path, flags)?;
        let version: i64 = file.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok((version == VERSION).then_some(Self { file }))
    }

    pub(crate) fn finish(self, packing: &str) -> Result<(), IndexError> {
        self.file.execute("INSERT INTO meta VALUES (?1)", [packing])?;
        self.file.execute_batch(ORDER)?;
        self.file.execute_batch(&format!("PRAGMA user_version = {VERSION}; COMMIT;"))?;
        Ok(())
    }

    /// How the archive is packed within the artifact.
    pub(crate) fn packing(&self) -> Result<String, IndexError> {
        Ok(self.file.query_row("SELECT packing FROM meta", [], |row| row.get(0))?)
    }

    /// The folder `path`, which is made with those above it where it is not there.
    pub(crate) fn folder(&self, path: &str) -> Result<i64, IndexError> {
        let mut find = self.file.prepare_cached("SELECT id FROM folders WHERE path = ?1")?;
        if let Some(id) = find.query_row([path], |row| row.get(0)).optional()? {
            return Ok(id);
        }
        let mut add = self.file.prepare_cached("INSERT INTO folders (path) VALUES (?1)")?;
        let id = add.insert([path])?;
        if !path.is_empty() {
            let (above, name) = split(path);
            let above = self.folder(above)?;
            // Until its own member comes, or for ever.
            self.file
                .prepare_cached(
                    "INSERT INTO members (folder, is_leaf, name, kind, size, mode, uid, gid, mtime)
                     VALUES (?1, 0, ?2, 'folder', 0, 0, 0, 0, 0)",
                )?
                .execute(params![above, name])?;
        }
        Ok(id)
    }

    pub(crate) fn add(
        &self,
        folder: i64,
        entry: &ArchiveEntry,
        place: &Place,
    ) -> Result<(), IndexError> {
        let is_folder = entry.kind == EntryKind::Folder;
        let signed = u64::cast_signed;
        let values = params![
            folder,
            !is_folder,
            entry.name,
            entry.kind.as_str(),
            signed(entry.size_bytes),
            entry.mode,
            entry.uid,
            entry.gid,
            entry.modified_at,
            entry.link,
            signed(place.start),
            signed(place.end),
        ];
        if is_folder {
            self.folder(&entry.path)?;
            let mut update = self.file.prepare_cached(
                "UPDATE members SET size = ?5, mode = ?6, uid = ?7, gid = ?8, mtime = ?9,
                     link = ?10, begins = ?11, ends = ?12
                 WHERE id = (SELECT max(id) FROM members
                             WHERE folder = ?1 AND is_leaf = ?2 AND name = ?3 AND kind = ?4)",
            )?;
            update.execute(values)?;
            return Ok(());
        }
        let mut add = self.file.prepare_cached(
            "INSERT INTO members (folder, is_leaf, name, kind, size, mode, uid, gid, mtime, link,
                 begins, ends)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        add.execute(values)?;
        Ok(())
    }

    /// At most `count` entries of the folder `path`, those after `next`; `None` where there is no
    /// such folder.
    pub(crate) fn list(
        &self,
        path: &str,
        next: Option<&str>,
        count: usize,
    ) -> Result<Option<Listing>, IndexError> {
        let mut find = self.file.prepare_cached("SELECT id FROM folders WHERE path = ?1")?;
        let Some(folder) = find.query_row([path], |row| row.get::<_, i64>(0)).optional()? else {
            return Ok(None);
        };
        let after = next.and_then(|next| next.split_once(':'));
        let (id, is_leaf_and_name) = after.unwrap_or(("-1", "0"));
        let (is_leaf, name) = is_leaf_and_name.split_at(is_leaf_and_name.len().min(1));
        let mut page = self.file.prepare_cached(&format!(
            "SELECT {COLUMNS}, m.is_leaf FROM members m JOIN folders f ON f.id = m.folder
             WHERE m.folder = ?1 AND (m.is_leaf, m.name, m.id) > (?2, ?3, ?4)
             ORDER BY m.is_leaf, m.name, m.id LIMIT ?5"
        ))?;
        let values = params![
            folder,
            is_leaf.parse::<i64>().unwrap_or_default(),
            name,
            id.parse::<i64>().unwrap_or(-1),
            i64::try_from(count).unwrap_or(i64::MAX),
        ];
        let mut last = None;
        let rows = page.query_map(values, |row| {
            let (id, is_leaf): (i64, i64) = (row.get(11)?, row.get(12)?);
            entry(row).map(|entry| (entry, id, is_leaf))
        })?;
        let mut entries = Vec::new();
        for row in rows {
            let (entry, id, is_leaf) = row?;
            last = Some(format!("{id}:{is_leaf}{}", entry.name));
            entries.push(entry);
        }
        let next = last.filter(|_| entries.len() == count);
        Ok(Some(Listing { path: path.to_owned(), entries, next }))
    }

    /// At most `count` members whose name holds `words`, or matches them where they have a `*` or
    /// a `?`, in the order of the archive.
    pub(crate) fn search(
        &self,
        words: &str,
        count: usize,
    ) -> Result<Vec<ArchiveEntry>, IndexError> {
        let is_glob = words.contains(['*', '?']);
        let test = if is_glob { "m.name GLOB ?1" } else { "instr(lower(m.name), lower(?1)) > 0" };
        let mut find = self.file.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM members m JOIN folders f ON f.id = m.folder
             WHERE {test} ORDER BY m.id LIMIT ?2"
        ))?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let found = find.query_map(params![words, count], entry)?.collect::<Result<_, _>>()?;
        Ok(found)
    }

    /// All members, folder by folder and by name; of one name in the order of the archive.
    pub(super) fn in_order(&self) -> Result<InOrder<'_>, IndexError> {
        let all = format!(
            "SELECT {COLUMNS} FROM members m JOIN folders f ON f.id = m.folder
             ORDER BY f.path, m.name, m.id"
        );
        Ok(InOrder(self.file.prepare(&all)?))
    }

    /// What is at `path`; the last where there are several.
    pub(crate) fn find(
        &self,
        path: &str,
    ) -> Result<Option<(ArchiveEntry, Option<Place>)>, IndexError> {
        let (folder, name) = split(path);
        let mut find = self.file.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM members m JOIN folders f ON f.id = m.folder
             WHERE f.path = ?1 AND m.name = ?2 ORDER BY m.id DESC LIMIT 1"
        ))?;
        Ok(find.query_row([folder, name], |row| Ok((entry(row)?, place(row)?))).optional()?)
    }

    /// The places of everything at and below the folder `path`, in the order of the archive; where
    /// one follows the other, as one.
    pub(crate) fn below(&self, path: &str) -> Result<Vec<Place>, IndexError> {
        let (above, name) = split(path);
        let mut find = self.file.prepare_cached(
            "SELECT m.begins, m.ends FROM members m JOIN folders f ON f.id = m.folder
             WHERE m.begins IS NOT NULL AND (
                 ?1 = '' OR f.path = ?1 OR substr(f.path, 1, length(?1) + 1) = ?1 || '/'
                 OR f.path = ?2 AND m.name = ?3)
             ORDER BY m.begins",
        )?;
        let mut places: Vec<Place> = Vec::new();
        let rows = find.query_map([path, above, name], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
        })?;
        for row in rows {
            let (start, end) = row?;
            match places.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => places.push(start..end),
            }
        }
        Ok(places)
    }
}

/// All members of an index.
pub(super) struct InOrder<'a>(rusqlite::Statement<'a>);

impl InOrder<'_> {
    pub(super) fn entries(
        &mut self,
    ) -> rusqlite::Result<impl Iterator<Item = rusqlite::Result<ArchiveEntry>>> {
        self.0.query_map([], entry)
    }
}

/// The folder of a path, and its name in it.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<ArchiveEntry> {
    let (folder, name): (String, String) = (row.get(0)?, row.get(1)?);
    Ok(ArchiveEntry {
        path: if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") },
        name,
        kind: EntryKind::parse(&row.get::<_, String>(2)?),
        size_bytes: row.get::<_, i64>(3)?.cast_unsigned(),
        mode: row.get(4)?,
        uid: row.get(5)?,
        gid: row.get(6)?,
        modified_at: row.get(7)?,
        link: row.get(8)?,
    })
}

fn place(row: &Row<'_>) -> rusqlite::Result<Option<Place>> {
    let (start, end): (Option<i64>, Option<i64>) = (row.get(9)?, row.get(10)?);
    Ok(start.zip(end).map(|(start, end)| start.cast_unsigned()..end.cast_unsigned()))
}
