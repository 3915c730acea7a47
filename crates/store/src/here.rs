//! Objects that are files of this machine: for whoever works on what is read where it is read, and
//! does not want it handed from thread to thread.

use std::{fs::File, path::PathBuf, time::Duration};

use crate::{StoreError, deadline::within};

/// An object that is a file of this machine.
#[derive(Debug, Clone)]
pub struct Here {
    path: PathBuf,
    patience: Option<Duration>,
}

impl Here {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, patience: None }
    }

    /// The same, given up after `patience`: what is mounted there may be gone.
    pub(crate) fn within(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// Opens it on a thread of its own, and does `work` with it there.
    pub async fn read<T: Send + 'static>(
        self,
        work: impl FnOnce(File) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let name = self.path.display().to_string();
        let done = async {
            let work = tokio::task::spawn_blocking(move || File::open(&self.path).map(work));
            match work.await {
                Ok(done) => done.map_err(|e| StoreError::io("reading", &name, &e)),
                // A panic there is one here.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        };
        match self.patience {
            Some(patience) => within(patience, format!("reading {name}"), done).await,
            None => done.await,
        }
    }
}
