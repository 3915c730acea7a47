//! A tree as a tar stream: GNU headers, with PAX records for what those cannot hold; owners are
//! numbers. What is in it is read ahead.

use std::{collections::HashMap, io};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use crate::{
    BlobKind, Id, Node, NodeKind, Reader, RepositoryError,
    browse::Found,
    pieces::{Piece, filled},
    read::BATCH_BLOBS,
    walk::{Visit, Walk},
};

const BLOCK: usize = 512;

type Pieces = mpsc::Sender<Result<Piece, RepositoryError>>;

impl Reader {
    /// What `path` leads to, as a tar: of a folder what is in it, of anything else itself.
    pub async fn tar(
        &self,
        root: &Id,
        path: &[u8],
    ) -> Result<impl Stream<Item = Result<Bytes, RepositoryError>> + Send + use<>, RepositoryError>
    {
        let found = self.resolve(root, path).await?;
        let (to, mut pieces) = mpsc::channel(BATCH_BLOBS);
        let reader = self.clone();
        tokio::spawn(async move {
            let mut archive = Archive { reader, names: HashMap::new(), to };
            if let Err(error) = archive.write(found).await {
                let _ = archive.to.send(Err(error)).await;
            }
        });
        let pieces = stream::poll_fn(move |context| pieces.poll_recv(context));
        Ok(filled(self, pieces.boxed()))
    }
}

/// The first name of a file that has several, what was in it, and how many are still to come.
type FirstName = (Vec<u8>, Option<Vec<Id>>, u64);

struct Archive {
    reader: Reader,
    /// Files with several names: the first, what it was, and how many are still to come.
    names: HashMap<(u64, u64), FirstName>,
    to: Pieces,
}

impl Archive {
    async fn write(&mut self, found: Found) -> Result<(), RepositoryError> {
        if let Some(tree) = found.tree() {
            let mut walk = Walk::begin(&self.reader, &tree).await?;
            while let Some(visit) = walk.next().await? {
                if let Visit::Enter { path, node } = visit
                    && !self.add(path, &node).await?
                {
                    return Ok(());
                }
            }
        } else if let Found::Node(node) = found {
            self.add(node.name.clone(), &node).await?;
        }
        let end = Bytes::from_static(&[0; 2 * BLOCK]);
        let _ = self.to.send(Ok(Piece::Bytes(end))).await;
        Ok(())
    }

    /// Adds an entry; `false` when nobody reads any more.
    async fn add(&mut self, path: Vec<u8>, node: &Node) -> Result<bool, RepositoryError> {
        let blobs: Result<Vec<_>, _> =
            node.blobs().iter().map(|id| self.reader.locate(BlobKind::Data, id)).collect();
        let mut blobs = blobs?;
        let size: u64 = blobs.iter().map(|blob| u64::from(blob.blob.plain_length())).sum();
        let kind = match node.kind {
            NodeKind::File => EntryType::Regular,
            NodeKind::Dir => EntryType::Directory,
            NodeKind::Symlink => EntryType::Symlink,
            NodeKind::Fifo => EntryType::Fifo,
            NodeKind::Dev => EntryType::Block,
            NodeKind::Chardev => EntryType::Char,
            NodeKind::Socket | NodeKind::Other(_) => return Ok(true),
        };
        let first = self.first_name(&path, node);
        let header = match &first {
            Some(first) => {
                blobs.clear();
                head(&path, node, EntryType::Link, 0, first)
            }
            None => head(&path, node, kind, size, node.link_target()),
        };
        let failed = |e: io::Error| {
            RepositoryError::malformed("an entry", format!("{}: {e}", path.escape_ascii()))
        };
        let mut pieces = vec![Piece::Bytes(header.map_err(failed)?.into())];
        let padding = size.wrapping_neg() % BLOCK as u64;
        let has_content = !blobs.is_empty();
        pieces.extend(blobs.into_iter().map(Piece::whole));
        if has_content && padding > 0 {
            pieces.push(Piece::Bytes(vec![0; usize::try_from(padding).unwrap_or_default()].into()));
        }
        for piece in pieces {
            if self.to.send(Ok(piece)).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The name under which the archive has a file already. Forgotten with the last of its names.
    fn first_name(&mut self, path: &[u8], node: &Node) -> Option<Vec<u8>> {
        if node.kind != NodeKind::File || node.links < 2 || node.inode == 0 {
            return None;
        }
        let identity = (node.inode, node.device_id);
        let Some((first, content, to_come)) = self.names.get_mut(&identity) else {
            let told = (path.to_vec(), node.content.clone(), node.links - 1);
            self.names.insert(identity, told);
            return None;
        };
        if *content != node.content {
            return None;
        }
        *to_come -= 1;
        let first = first.clone();
        if *to_come == 0 {
            self.names.remove(&identity);
        }
        Some(first)
    }
}

fn head(
    path: &[u8],
    node: &Node,
    kind: EntryType,
    size: u64,
    target: &[u8],
) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let records = records(node);
    let told = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
    builder.append_pax_extensions(told)?;
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(node.unix_mode());
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    let seconds = node.mtime.map_or(0, jiff::Timestamp::as_second);
    header.set_mtime(u64::try_from(seconds).unwrap_or_default());
    if matches!(kind, EntryType::Block | EntryType::Char) {
        header.set_device_major(u32::try_from(nix::sys::stat::major(node.device)).unwrap_or(0))?;
        header.set_device_minor(u32::try_from(nix::sys::stat::minor(node.device)).unwrap_or(0))?;
    }
    if matches!(kind, EntryType::Link | EntryType::Symlink) {
        if target.len() > header.as_old().linkname.len() {
            long(&mut builder, b'K', target)?;
        } else {
            header.set_link_name_literal(target)?;
        }
    }
    let mut name = path.to_vec();
    if kind == EntryType::Directory {
        name.push(b'/');
    }
    if name.len() > header.as_old().name.len() {
        long(&mut builder, b'L', &name)?;
    }
    let count = name.len().min(header.as_old().name.len());
    header.as_old_mut().name[..count].copy_from_slice(&name[..count]);
    header.set_cksum();
    builder.append(&header, io::empty())?;
    Ok(std::mem::take(builder.get_mut()))
}

/// A name that is too long for its field, before the header that it belongs to.
fn long(builder: &mut Builder<Vec<u8>>, kind: u8, name: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    let title = b"././@LongLink";
    header.as_old_mut().name[..title.len()].copy_from_slice(title);
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(name.len() as u64 + 1);
    header.set_cksum();
    builder.append(&header, [name, b"\0"].concat().as_slice())
}

/// What a header cannot hold: the whole time, and extended attributes.
fn records(node: &Node) -> Vec<(String, Vec<u8>)> {
    let mut records = Vec::new();
    if let Some(time) =
        node.mtime.filter(|time| time.subsec_nanosecond() != 0 || time.as_second() < 0)
    {
        let sign = if time.as_nanosecond() < 0 { "-" } else { "" };
        let nanos = time.as_nanosecond().unsigned_abs();
        let text = format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
        records.push(("mtime".to_owned(), text.into_bytes()));
    }
    for attribute in &node.extended_attributes {
        // As GNU tar has it: a key ends at the first `=`.
        let key = attribute.name.replace('%', "%25").replace('=', "%3D");
        records.push((format!("SCHILY.xattr.{key}"), attribute.value.clone()));
    }
    records
}
