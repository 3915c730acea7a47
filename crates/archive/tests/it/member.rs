//! Members of a tar with their names and links as they are given: no library judges them.

use tar::{EntryType, Header};

pub(crate) fn member(name: &[u8], kind: EntryType, link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let padding = content.len().wrapping_neg() % 512;
    [header.as_bytes(), content, &vec![0; padding]].concat()
}
