//! What a tar tells of an entry, in its header and in what goes before that.

use jiff::Timestamp;
use tar::{EntryType, Header};

use crate::{ExtendedAttribute, Node, NodeKind, check_name};

/// Begins the PAX records that are extended attributes.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";
/// Begins those of sparse files, whose content is not what it says.
const SPARSE: &[u8] = b"GNU.sparse.";
/// Longest name and path that a system takes, in bytes.
const MAX_NAME: usize = 255;
const MAX_PATH: usize = 4096;
/// Most bytes that are told for all entries.
const MAX_GLOBAL: usize = 256 << 10;
/// Deepest folder.
const MAX_DEPTH: usize = 512;
/// Years that restic reads, as seconds: 1 to 9999.
const SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_207_200;

/// Whether it tells of the entry that follows.
pub(super) fn is_extension(kind: EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// What goes before a header.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// For all that follow.
    global: Records,
    records: Records,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// There was something that is not understood.
    odd: bool,
    /// The same of what is for all that follow.
    is_lost: bool,
}

impl Told {
    /// Forgets what was told of one entry.
    pub(super) fn next(&mut self) {
        let (global, is_lost) = (std::mem::take(&mut self.global), self.is_lost);
        *self = Self { global, is_lost, ..Self::default() };
    }

    /// Takes what `body` tells.
    pub(super) fn extension(&mut self, kind: EntryType, body: &[u8]) {
        let text = || body.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        if kind.is_gnu_longname() {
            self.name = Some(text());
        } else if kind.is_gnu_longlink() {
            self.link = Some(text());
        } else {
            match (records(body), kind.is_pax_global_extensions()) {
                (Some(records), false) => self.records = records,
                (Some(records), true) => self.global.extend(records),
                (None, false) => self.odd = true,
                (None, true) => self.is_lost = true,
            }
            let bytes = self.global.iter().map(|(key, value)| key.len() + value.len() + 48);
            if bytes.sum::<usize>() > MAX_GLOBAL {
                self.is_lost = true;
                self.global.clear();
            }
        }
    }

    /// The last record called `key`.
    fn record(&self, key: &str) -> Option<&[u8]> {
        let mut all = self.records.iter().rev().chain(self.global.iter().rev());
        all.find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value.as_slice())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.record(key).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// How many bytes follow the header; `None` where that is not clear.
    pub(super) fn size(&self, header: &Header) -> Option<u64> {
        let told = match self.record("size") {
            Some(_) if !is_extension(header.entry_type()) => self.text("size")?.parse().ok()?,
            _ => header.entry_size().ok()?,
        };
        // Nothing is that long; sums of it would be too large.
        (told < 1 << 62).then_some(told)
    }

    pub(super) fn path(&self, header: &Header) -> Vec<u8> {
        let told = self.record("path").or(self.name.as_deref());
        told.map_or_else(|| header.path_bytes().into_owned(), <[u8]>::to_vec)
    }

    /// Where a link leads.
    pub(super) fn target(&self, header: &Header) -> Option<Vec<u8>> {
        let told = self.record("linkpath").or(self.link.as_deref()).map(<[u8]>::to_vec);
        let target = told.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        target.filter(|target| !target.is_empty() && target.len() < MAX_PATH)
    }

    /// What the entry is in a tree; `None` for what is none there.
    pub(super) fn kind(&self, header: &Header, size: u64) -> Option<NodeKind> {
        let is_sparse = || self.records.iter().any(|(key, _)| key.starts_with(SPARSE));
        if self.odd || self.is_lost || is_sparse() {
            return None;
        }
        Some(match header.entry_type() {
            // As old ones write folders.
            EntryType::Regular | EntryType::Continuous if self.path(header).ends_with(b"/") => {
                return (size == 0).then_some(NodeKind::Dir);
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Link => {
                NodeKind::File
            }
            EntryType::Directory => NodeKind::Dir,
            EntryType::Symlink => NodeKind::Symlink,
            EntryType::Block => NodeKind::Dev,
            EntryType::Char => NodeKind::Chardev,
            EntryType::Fifo => NodeKind::Fifo,
            _ => return None,
        })
    }

    /// The entry, still without a name and without content.
    pub(super) fn node(&self, header: &Header, kind: NodeKind) -> Option<Node> {
        let mut node = Node::new(b"", kind);
        node.set_unix_mode(header.mode().ok()?);
        let owner = |key: &str, own: u64| match self.record(key) {
            Some(_) => self.text(key)?.parse().ok(),
            None => u32::try_from(own).ok(),
        };
        node.uid = owner("uid", header.uid().unwrap_or(u64::MAX))?;
        node.gid = owner("gid", header.gid().unwrap_or(u64::MAX))?;
        let name =
            |key: &str, own: Option<&str>| self.text(key).or(own).unwrap_or_default().to_owned();
        node.user = name("uname", header.username().ok().flatten());
        node.group = name("gname", header.groupname().ok().flatten());
        let whole = header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
        let whole = whole.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let mtime = self.text("mtime").and_then(time).or(whole).unwrap_or_default();
        let mtime = if SECONDS.contains(&mtime.as_second()) { mtime } else { Timestamp::default() };
        let ctime = self.text("ctime").and_then(time);
        let ctime = ctime.filter(|time| SECONDS.contains(&time.as_second()));
        (node.mtime, node.atime, node.ctime) = (Some(mtime), Some(mtime), ctime.or(Some(mtime)));
        if matches!(node.kind, NodeKind::Dev | NodeKind::Chardev) {
            let major = header.device_major().ok()?.unwrap_or_default();
            let minor = header.device_minor().ok()?.unwrap_or_default();
            node.device = nix::sys::stat::makedev(u64::from(major), u64::from(minor));
        }
        if node.kind == NodeKind::Symlink {
            node.set_link_target(&self.target(header)?);
        }
        node.extended_attributes = self.attributes();
        Some(node)
    }

    fn attributes(&self) -> Vec<ExtendedAttribute> {
        let mut all: Vec<_> = self
            .records
            .iter()
            .filter_map(|(key, value)| {
                let name = std::str::from_utf8(key.strip_prefix(ATTRIBUTE)?).ok()?;
                // As GNU tar has it: a key ends at the first `=`.
                let name = name.replace("%3D", "=").replace("%25", "%");
                let is_name = !name.is_empty() && name.len() <= MAX_NAME && !name.contains('\0');
                is_name.then(|| ExtendedAttribute { name, value: value.clone() })
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|later, first| later.name == first.name);
        all
    }
}

/// The records of an extended header: a length, a key, a value that may hold anything.
fn records(mut body: &[u8]) -> Option<Records> {
    let mut all = Records::new();
    while !body.is_empty() && body[0] != 0 {
        let digits = body.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&body[..digits]).ok()?.parse().ok()?;
        let record = body.get(digits + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        all.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        body = &body[length..];
    }
    Some(all)
}

/// The names in a path; `.` is nothing. `None` where it leads elsewhere, or is longer than systems
/// take.
pub(super) fn path_of(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    if path.len() >= MAX_PATH {
        return None;
    }
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && name != b".");
    let names = names
        .map(|name| {
            let is_good = check_name(name).is_ok() && name.len() <= MAX_NAME;
            is_good.then(|| name.to_vec())
        })
        .collect::<Option<Vec<_>>>()?;
    (names.len() <= MAX_DEPTH).then_some(names)
}

/// Seconds with a fraction, as PAX writes them.
fn time(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = Timestamp::from_second(seconds.parse().ok()?).ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds = jiff::SignedDuration::from_nanos(digits.parse().ok()?);
    if seconds.starts_with('-') {
        whole.checked_sub(nanoseconds).ok()
    } else {
        whole.checked_add(nanoseconds).ok()
    }
}
