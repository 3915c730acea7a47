//! Members of a tar, compressed or not: counted by the reader that unpacks it later, on a thread of
//! its own because that one pulls.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use archive::{Kind, Limits, Members as Tar, Packing, TarError};

/// Chunks that may wait to be counted.
const WAITING_CHUNKS: usize = 4;

/// Members, by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Members {
    /// Regular files.
    pub files: u64,
    /// Bytes in them, holes not counted.
    pub bytes: u64,
    /// Folders, links and the rest.
    pub others: u64,
}

/// Counts while a stream passes.
#[derive(Debug)]
pub(super) struct Counting {
    to: Option<SyncSender<Vec<u8>>>,
    counting: JoinHandle<Option<Members>>,
}

impl Counting {
    /// `None` where there is no thread to be had.
    pub(super) fn begin() -> Option<Self> {
        let (to, chunks) = sync_channel(WAITING_CHUNKS);
        let count = move || counted(Chunks { chunks, now: Vec::new(), at: 0 }).ok();
        let counting = thread::Builder::new().name("count".to_owned()).spawn(count).ok()?;
        Some(Self { to: Some(to), counting })
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        // What it cannot read it does not wait for.
        if self.to.as_ref().is_some_and(|to| to.send(chunk.to_vec()).is_err()) {
            self.to = None;
        }
    }

    pub(super) fn finish(mut self) -> Option<Members> {
        drop(self.to.take()?);
        self.counting.join().ok()?
    }
}

/// What a tar holds.
fn counted(mut from: impl Read + Send) -> Result<Members, TarError> {
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
    let (mut tar, mut members) = (Tar::new(plain), Members::default());
    while let Some(member) = tar.next_member()? {
        if member.kind == Kind::File {
            members.files += 1;
            members.bytes += member.stored;
        } else {
            members.others += 1;
        }
    }
    tar.drain()?;
    Ok(members)
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
    use super::{super::Counter, *};

    fn tar() -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, kind, content) in
            [("d/", b'5', ""), ("d/a", b'0', "seven b"), ("d/b", b'0', "12"), ("l", b'2', "")]
        {
            let mut header = [0_u8; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[100..107].copy_from_slice(b"0000644");
            header[108..115].copy_from_slice(b"0000000");
            header[116..123].copy_from_slice(b"0000000");
            header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
            header[136..147].copy_from_slice(b"00000000001");
            header[156] = kind;
            if kind == b'2' {
                header[157] = b'x';
            }
            header[257..265].copy_from_slice(b"ustar\x0000");
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            tar.extend_from_slice(&header);
            tar.extend_from_slice(content.as_bytes());
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.extend_from_slice(&[0; 1024]);
        tar
    }

    fn count(format: &str, bytes: &[u8]) -> Option<Members> {
        let mut counter = Counter::new(Some(format));
        for chunk in bytes.chunks(100) {
            counter.push(chunk);
        }
        counter.finish()?.members
    }

    #[test]
    fn members_are_counted_whatever_they_are_packed_in() {
        let tar = tar();
        let expected = Some(Members { files: 2, bytes: 9, others: 2 });
        assert_eq!(count("tar", &tar), expected);
        let packed = zstd::encode_all(tar.as_slice(), 1).unwrap();
        assert_eq!(count("tar.zst", &packed), expected);
    }

    #[test]
    fn of_what_is_no_tar_nothing_is_told() {
        assert_eq!(count("tar", &[7; 5_000]), None);
        assert_eq!(count("tar", &tar()[..1_000]), None);
        assert_eq!(count("rdb", &tar()), None);
    }
}
