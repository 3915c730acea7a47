//! Pieces compressed and encrypted, on threads for such work.

use artifact::{Compression, Encrypter, Recipe, Recipients, SealError, Sealed, Sealer};
use bytes::Bytes;
use store::StoreError;
use tokio::task::spawn_blocking;

use crate::EngineError;

/// One piece being sealed.
pub(super) struct Sealing {
    sealer: Sealer,
    encrypter: Option<Encrypter>,
}

impl Sealing {
    pub(super) fn new(recipients: Option<Recipients>) -> Result<Self, EngineError> {
        Self::by(Recipe::new(Compression::default()).frugal(), recipients)
    }

    /// The same, quick rather than good.
    pub(super) fn hurried(recipients: Option<Recipients>) -> Result<Self, EngineError> {
        Self::by(Recipe::new(Compression::default()).frugal().hurried(), recipients)
    }

    fn by(recipe: Recipe, recipients: Option<Recipients>) -> Result<Self, EngineError> {
        let sealer = Sealer::new(recipe).map_err(told)?;
        let encrypter = recipients.map(|to| Encrypter::new(&to)).transpose().map_err(told)?;
        Ok(Self { sealer, encrypter })
    }

    /// Takes plain bytes; gives what is ready to be stored.
    pub(super) async fn push(mut self, chunk: Bytes) -> Result<(Self, Vec<Bytes>), EngineError> {
        let work = move || {
            let mut ready = Vec::new();
            let mut packed = Vec::new();
            self.sealer.push(chunk, &mut |bytes| packed.push(bytes))?;
            encrypt(self.encrypter.as_mut(), packed, &mut ready)?;
            Ok((self, ready))
        };
        apart(work).await
    }

    /// The rest, and what came and is stored in all.
    pub(super) async fn finish(mut self) -> Result<(Vec<Bytes>, Sealed), EngineError> {
        let work = move || {
            let mut ready = Vec::new();
            let mut packed = Vec::new();
            let sealed = self.sealer.finish(&mut |bytes| packed.push(bytes))?;
            encrypt(self.encrypter.as_mut(), packed, &mut ready)?;
            let stored = match self.encrypter {
                Some(encrypter) => encrypter.finish(&mut |bytes| ready.push(bytes))?,
                None => sealed.stored,
            };
            Ok((ready, Sealed { stored, ..sealed }))
        };
        apart(work).await
    }
}

fn encrypt(
    encrypter: Option<&mut Encrypter>,
    packed: Vec<Bytes>,
    ready: &mut Vec<Bytes>,
) -> Result<(), SealError> {
    let Some(encrypter) = encrypter else {
        ready.extend(packed);
        return Ok(());
    };
    packed.iter().try_for_each(|chunk| encrypter.push(chunk, &mut |bytes| ready.push(bytes)))
}

async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SealError> + Send + 'static,
) -> Result<T, EngineError> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| EngineError::Store(StoreError::internal(error.to_string())))?.map_err(told)
}

fn told(error: SealError) -> EngineError {
    EngineError::Store(StoreError::internal(format!("a piece of WAL: {error}")))
}
