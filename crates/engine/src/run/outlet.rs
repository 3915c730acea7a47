//! Where sealed bytes go on to: one destination, encrypted for it where it asks for that.

use artifact::{Digest, Encrypter, Recipients, SealError};
use bytes::Bytes;
use tokio::sync::mpsc;

/// One destination's end of a sealed stream. All its work blocks.
pub(crate) struct Outlet {
    feed: mpsc::Sender<Bytes>,
    encrypter: Option<Encrypter>,
}

impl Outlet {
    /// An outlet into `feed`, for `recipients` if there are.
    pub(crate) fn new(
        feed: mpsc::Sender<Bytes>,
        recipients: Option<&Recipients>,
    ) -> Result<Self, SealError> {
        Ok(Self { feed, encrypter: recipients.map(Encrypter::new).transpose()? })
    }

    /// Hands `chunk` on; gives whether anybody still listens.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<bool, SealError> {
        let Self { feed, encrypter } = self;
        let Some(encrypter) = encrypter else { return Ok(feed.blocking_send(chunk).is_ok()) };
        let mut heard = true;
        encrypter.push(&chunk, &mut |bytes| heard = heard && feed.blocking_send(bytes).is_ok())?;
        Ok(heard)
    }

    /// Hands the rest on; gives what was stored where that is not what was handed in.
    pub(crate) fn finish(self) -> Result<Option<Digest>, SealError> {
        let Self { feed, encrypter } = self;
        let Some(encrypter) = encrypter else { return Ok(None) };
        // Nobody listening any more shows where the upload is finished.
        encrypter.finish(&mut |bytes| _ = feed.blocking_send(bytes)).map(Some)
    }
}
