//! Tars of all kinds, made entry by entry.

use proptest::prelude::*;
use tar::{EntryType, Header};

/// What headers look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    V7,
    Ustar,
    Gnu,
    Pax,
}

/// An entry of a tar.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) format: Format,
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
}

impl Item {
    pub(crate) fn file(name: &str, content: &[u8]) -> Self {
        Self {
            format: Format::Ustar,
            kind: b'0',
            name: name.as_bytes().to_vec(),
            target: Vec::new(),
            content: content.to_vec(),
            mode: 0o640,
        }
    }

    pub(crate) fn of(kind: u8, name: &str, target: &str) -> Self {
        let target = target.as_bytes().to_vec();
        Self { kind, target, mode: 0o755, ..Self::file(name, b"") }
    }
}

fn padded(to: &mut Vec<u8>, content: &[u8]) {
    to.extend_from_slice(content);
    to.resize(to.len().next_multiple_of(512), 0);
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn extension(to: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::new(kind));
    header.set_size(body.len() as u64);
    header.as_mut_bytes()[..1].copy_from_slice(b"@");
    header.set_cksum();
    to.extend_from_slice(header.as_bytes());
    padded(to, body);
}

pub(crate) fn append(to: &mut Vec<u8>, item: &Item) {
    let mut header = match item.format {
        Format::V7 => Header::new_old(),
        Format::Ustar | Format::Pax => Header::new_ustar(),
        Format::Gnu => Header::new_gnu(),
    };
    if item.format == Format::Pax {
        let mut body = record("mtime", b"1700000000.25");
        body.extend(record("SCHILY.xattr.user.note", b"a\nb\0c"));
        if item.name.len() > 100 {
            body.extend(record("path", &item.name));
        }
        if item.target.len() > 100 {
            body.extend(record("linkpath", &item.target));
        }
        extension(to, b'x', &body);
    } else if item.format == Format::Gnu {
        for (kind, text) in [(b'L', &item.name), (b'K', &item.target)] {
            if text.len() > 100 {
                extension(to, kind, &[text.as_slice(), b"\0"].concat());
            }
        }
    }
    let (name, target) = (item.name.len().min(100), item.target.len().min(100));
    let old = header.as_old_mut();
    old.name[..name].copy_from_slice(&item.name[..name]);
    old.linkname[..target].copy_from_slice(&item.target[..target]);
    header.set_entry_type(EntryType::new(item.kind));
    header.set_size(item.content.len() as u64);
    header.set_mode(item.mode);
    header.set_uid(1000);
    header.set_gid(33);
    header.set_mtime(1_600_000_000);
    if let (b'S', Some(gnu)) = (item.kind, header.as_gnu_mut()) {
        // Two parts, not always with sense.
        let half = item.content.len() as u64 / 2;
        for (slot, (at, length)) in gnu.sparse.iter_mut().zip([
            (half % 700, half),
            (
                half * 2 + 10_000,
                item.content.len() as u64 - half + u64::from(half.is_multiple_of(9)),
            ),
        ]) {
            slot.set_offset(at);
            slot.set_length(length);
        }
        gnu.set_real_size(half * 4 + 12_345);
    }
    header.set_cksum();
    to.extend_from_slice(header.as_bytes());
    padded(to, &item.content);
}

pub(crate) fn tar_of(items: &[Item]) -> Vec<u8> {
    let mut tar = Vec::new();
    for item in items {
        append(&mut tar, item);
    }
    tar.extend_from_slice(&[0; 1024]);
    tar
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let names = [
        "a",
        "b",
        "a/x",
        "a/y",
        "b/x",
        "a/c/d",
        "./a/z",
        "a/",
        "b/c/",
        ".",
        "./",
        "",
        "/",
        "../x",
        "a/../../x",
        "/etc/absolute",
        "a//b",
        "a\u{7f}b",
        "ñ",
        "..",
        "a/x/below",
    ];
    prop_oneof![
        8 => prop::sample::select(names.map(|name| name.as_bytes().to_vec()).to_vec()),
        1 => (90..400_usize).prop_map(|length| "long/name ".bytes().cycle().take(length).collect()),
        1 => Just(vec![b'n'; 300]),
        1 => Just(b"odd \xff\xfe".to_vec()),
    ]
}

fn items() -> impl Strategy<Value = Item> {
    let formats = [Format::V7, Format::Ustar, Format::Gnu, Format::Pax];
    let kinds = b"0000000\x007123456DMNSSVXgxLKA";
    let sizes = prop_oneof![4 => 0..2000_usize, 1 => 10_000..40_000_usize, 1 => Just(512)];
    (prop::sample::select(formats.to_vec()), prop::sample::select(kinds.to_vec()), names(), names())
        .prop_flat_map(move |(format, kind, name, target)| {
            (Just((format, kind, name, target)), sizes.clone(), any::<u8>(), 0..0o10000_u32)
        })
        .prop_map(|((format, kind, name, target), size, seed, mode)| {
            // Others have no content, most often.
            let has = matches!(kind, b'0' | 0 | b'7' | b'D' | b'S' | b'A') || seed % 16 == 0;
            let content = crate::writer::noise(seed, if has { size } else { 0 });
            Item { format, kind, name, target, content, mode }
        })
}

/// Tars, some of them broken or with something behind them.
pub(crate) fn tars() -> impl Strategy<Value = Vec<u8>> {
    let first = Item::file("first", b"so that it is a tar");
    (prop::collection::vec(items(), 0..25), 0..6_u8, any::<prop::sample::Index>(), any::<u8>())
        .prop_map(move |(items, fate, at, seed)| {
            let items: Vec<_> = std::iter::once(first.clone()).chain(items).collect();
            let mut tar = tar_of(&items);
            match fate {
                0 => tar.truncate(512 + at.index(tar.len() - 512)),
                1 => tar.extend(crate::writer::noise(seed, 1 + at.index(40_000))),
                2 => tar.extend(tar.clone()),
                3 => {
                    let at = 512 + at.index(tar.len() - 512);
                    tar[at] ^= 1 + seed % 255;
                }
                _ => {}
            }
            tar
        })
}
