//! Names in a tar, of any length and of any bytes: where one is longer than its field, it goes before
//! the header that it belongs to, as GNU tar does it.

use std::io;

use tar::{Builder, EntryType, Header};

/// Puts the target of a link into `header`, which is appended next.
pub fn link_to(
    builder: &mut Builder<impl io::Write>,
    header: &mut Header,
    target: &[u8],
) -> io::Result<()> {
    if target.len() > header.as_old().linkname.len() {
        return long(builder, b'K', target);
    }
    header.set_link_name_literal(target)
}

/// Appends `header` under `name`; what it is the header of comes next.
pub fn append_header(
    builder: &mut Builder<impl io::Write>,
    header: &mut Header,
    name: &[u8],
) -> io::Result<()> {
    let field = header.as_old().name.len();
    if name.len() > field {
        long(builder, b'L', name)?;
    }
    let count = name.len().min(field);
    header.as_old_mut().name[..count].copy_from_slice(&name[..count]);
    header.set_cksum();
    builder.append(header, io::empty())
}

fn long(builder: &mut Builder<impl io::Write>, kind: u8, name: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    let title = b"././@LongLink";
    header.as_old_mut().name[..title.len()].copy_from_slice(title);
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(name.len() as u64 + 1);
    header.set_cksum();
    builder.append(&header, [name, b"\0"].concat().as_slice())
}
