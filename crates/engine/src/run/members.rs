//! Members of a tar, compressed or not: counted by the reader that unpacks it later, on a thread of
//! its own because that one pulls.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use archive::{Kind, Limits, Members, Packing, TarError};
use model::Contents;

use crate::target::unpacking::{Packed, packed_as};

/// Chunks that may wait to be counted.
const WAITING_CHUNKS: usize = 4;

/// Counts while a stream passes.
#[derive(Debug)]
pub(super) struct Counting {
    to: Option<SyncSender<Vec<u8>>>,
    counting: JoinHandle<Option<Contents>>,
}

impl Counting {
    /// `None` where it is no tar, or there is no thread to be had.
    pub(super) fn begin(format: Option<&str>, file_name: &str) -> Option<Self> {
        let Some(Packed::Tar { .. }) = packed_as(format, file_name) else { return None };
        let (to, chunks) = sync_channel(WAITING_CHUNKS);
        let count = move || counted(Chunks { chunks, now: Vec::new(), at: 0 }).ok();
        let counting = thread::Builder::new().name("count".to_owned()).spawn(count).ok()?;
        Some(Self { to: Some(to), counting })
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        // What it cannot read it does not wait for.
        if self.to.as_ref().is_some_and(|to| to.send(chunk.to_vec()).is_err()) {
            self.to = None;
        }
    }

    /// What was counted up to the stream's end; `None` where nothing can be said.
    pub(super) fn finish(mut self) -> Option<Contents> {
        drop(self.to.take()?);
        self.counting.join().ok()?
    }
}

/// What a tar holds.
fn counted(mut from: impl Read + Send) -> Result<Contents, TarError> {
    let mut first = [0; 6];
    let mut held = 0;
    while held < first.len() {
        match from.read(&mut first[held..]).map_err(TarError::Read)? {
            0 => break,
            read => held += read,
        }
    }
    let whole = first[..held].chain(from);
    let ratio = Limits::default().ratio;
    let plain = Packing::of(&first[..held]).open(whole, ratio).map_err(TarError::Read)?;
    let (mut tar, mut files, mut bytes, mut others) = (Members::new(plain), 0, 0, 0);
    while let Some(member) = tar.next_member()? {
        if member.kind == Kind::File {
            files += 1;
            bytes += member.stored;
        } else {
            others += 1;
        }
    }
    tar.drain()?;
    Ok(Contents::Members { files, bytes, others })
}

struct Chunks {
    chunks: Receiver<Vec<u8>>,
    now: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.now.len() {
            match self.chunks.recv() {
                Ok(chunk) => (self.now, self.at) = (chunk, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.now.len() - self.at);
        buffer[..count].copy_from_slice(&self.now[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn tar() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind, content) in [
            ("d/", tar::EntryType::Directory, ""),
            ("d/a", tar::EntryType::Regular, "seven b"),
            ("d/b", tar::EntryType::Regular, "12"),
            ("l", tar::EntryType::Fifo, ""),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(1);
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn count(format: &str, bytes: &[u8]) -> Option<Contents> {
        let mut counting = Counting::begin(Some(format), "x")?;
        for chunk in bytes.chunks(100) {
            counting.push(chunk);
        }
        counting.finish()
    }

    #[test]
    fn members_are_counted_whatever_they_are_packed_in() {
        let tar = tar();
        let expected = Some(Contents::Members { files: 2, bytes: 9, others: 2 });
        assert_eq!(count("tar", &tar), expected);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&tar).unwrap();
        assert_eq!(count("tar.gz", &packed.finish().unwrap()), expected);
    }

    #[test]
    fn of_what_is_no_tar_nothing_is_told() {
        assert_eq!(count("tar", &[7; 5_000]), None);
        assert_eq!(count("tar", &tar()[..1_000]), None);
        assert_eq!(count("rdb", &tar()), None);
    }
}
