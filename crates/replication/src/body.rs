//! The bytes of segments: in memory, and what is too large for that in a file without a name.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use tokio::{sync::OwnedSemaphorePermit, task::spawn_blocking};

/// How much is kept in one block.
pub(crate) const BLOCK: usize = 256 << 10;
/// So many blocks may be in memory before they are spilled.
const IN_MEMORY: usize = 4;

/// A part of a segment.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    Memory(Bytes),
    /// One block's length of a file.
    Spilled(Arc<File>, u64),
}

/// The bytes of a segment, or of its beginning. Cheap to clone: the bytes are shared.
#[derive(Debug, Clone)]
pub struct Body {
    blocks: VecDeque<Block>,
    len: u64,
    /// Room in memory, given back with the last clone.
    _room: Option<Arc<OwnedSemaphorePermit>>,
}

impl Body {
    pub(crate) fn new(
        blocks: Vec<Block>,
        len: u64,
        room: Option<Arc<OwnedSemaphorePermit>>,
    ) -> Self {
        Self { blocks: blocks.into(), len, _room: room }
    }

    /// How many bytes there are in all, taken or not.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there never was any.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next bytes, at most 1 MiB; `None` after the last.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self.blocks.pop_front() {
            None => Ok(None),
            Some(Block::Memory(bytes)) => Ok(Some(bytes)),
            Some(Block::Spilled(file, at)) => {
                let mut blocks = 1;
                // Those of one segment lie in one file, one after the other.
                while blocks < IN_MEMORY && matches!(self.blocks.front(), Some(Block::Spilled(..)))
                {
                    self.blocks.pop_front();
                    blocks += 1;
                }
                blocking(move || {
                    let mut bytes = vec![0; blocks * BLOCK];
                    file.read_exact_at(&mut bytes, at)?;
                    Ok(Some(bytes.into()))
                })
                .await
            }
        }
    }
}

/// Where blocks go that are too many for memory.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    file: Option<Arc<File>>,
    /// How many blocks are in it.
    written: usize,
}

impl Spill {
    /// Writes the full blocks that are in memory, once they are enough.
    pub(crate) async fn write(&mut self, blocks: &mut [Block], folder: &Path) -> io::Result<()> {
        if blocks.len() < self.written + IN_MEMORY {
            return Ok(());
        }
        let file = if let Some(file) = &self.file {
            Arc::clone(file)
        } else {
            let folder: PathBuf = folder.into();
            let made = move || {
                // Others may have to pass through it: servers that replay work in it, too.
                std::fs::create_dir_all(&folder)?;
                tempfile::tempfile_in(folder)
            };
            let file = Arc::new(blocking(made).await?);
            self.file = Some(Arc::clone(&file));
            file
        };
        let new: Vec<(Bytes, u64)> = (self.written..blocks.len())
            .filter_map(|number| match &blocks[number] {
                Block::Memory(bytes) => Some((bytes.clone(), (number * BLOCK) as u64)),
                Block::Spilled(..) => None,
            })
            .collect();
        let to = Arc::clone(&file);
        blocking(move || new.iter().try_for_each(|(bytes, at)| to.write_all_at(bytes, *at)))
            .await?;
        for (number, block) in blocks.iter_mut().enumerate().skip(self.written) {
            *block = Block::Spilled(Arc::clone(&file), (number * BLOCK) as u64);
        }
        self.written = blocks.len();
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    what: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(what).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_much_goes_into_a_folder_that_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("not/yet");
        let bytes = |number: u8| Bytes::from(vec![number; BLOCK]);
        let mut blocks: Vec<_> = (0..6).map(|number| Block::Memory(bytes(number))).collect();
        let mut spill = Spill::default();
        spill.write(&mut blocks, &spool).await.unwrap();
        assert!(blocks.iter().all(|block| matches!(block, Block::Spilled(..))));
        let mut body = Body::new(blocks, 6 * BLOCK as u64, None);
        let mut all = Vec::new();
        while let Some(read) = body.next().await.unwrap() {
            assert!(read.len() <= IN_MEMORY * BLOCK);
            all.extend_from_slice(&read);
        }
        assert_eq!(all, (0..6).flat_map(bytes).collect::<Vec<u8>>());
    }
}
