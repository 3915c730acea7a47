//! Archives of files: unpacked on the file system where they belong, then exchanged with what is
//! there. What is archived is often a volume, which cannot be renamed: so it is the content of a
//! folder that changes places, within the folder.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use archive::{Only, Options};
use contract::ImportReport;

use super::{Given, failed, report};
use crate::{archive::ASIDE, config::Config, export::ExportError};

/// Most warnings that are told.
const MAX_NOTES: usize = 10;

/// One path of the configuration on its way back.
#[derive(Debug, Clone)]
struct Place {
    root: PathBuf,
    /// On the same file system, for what comes and for what was there.
    aside: PathBuf,
    stage: PathBuf,
    /// Where it lies in the stage.
    staged: PathBuf,
}

#[derive(Debug, Default)]
struct Progress {
    is_called_off: AtomicBool,
    /// Places that are exchanged.
    exchanged: AtomicUsize,
    /// Held while files are written; what is not as it was.
    warnings: Mutex<Vec<String>>,
}

pub(super) struct Archive<'a> {
    given: &'a Given<'a>,
    is_zip: bool,
    places: Vec<Place>,
    progress: Arc<Progress>,
}

impl<'a> Archive<'a> {
    pub(super) fn new(config: &Config, given: &'a Given<'a>) -> Result<Self, ExportError> {
        let mut roots = Vec::new();
        for path in &config.strategy.config.paths {
            let path = config.paths.workdir.join(path);
            let told = |error: io::Error| failed(format!("{}: {error}", path.display()));
            roots.push(archive::without_parents(path.clone()).map_err(told)?);
        }
        let roots = archive::distinct(roots, Some(&config.paths.artifacts));
        let places = roots.into_iter().map(|root| Place::of(root, given.tag)).collect();
        let is_zip = config.strategy.config.format.as_deref() == Some("zip");
        Ok(Self { given, is_zip, places, progress: Arc::default() })
    }

    /// Unpacks everything beside what is there.
    pub(super) async fn load(&self) -> Result<(), ExportError> {
        let (places, progress) = (self.places.clone(), Arc::clone(&self.progress));
        let (file, is_zip) = (self.given.file.to_owned(), self.is_zip);
        blocking(move || {
            let mut warnings = progress.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            for place in &places {
                warnings.extend(place.unpack(&file, is_zip, &progress.is_called_off)?);
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn clear(&self) {
        self.progress.is_called_off.store(true, Ordering::SeqCst);
        let (places, progress) = (self.places.clone(), Arc::clone(&self.progress));
        let cleared = blocking(move || {
            // Nothing is written any more once this is had.
            let _ended = progress.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            for place in &places {
                place.clear()?;
            }
            Ok(())
        });
        if let Err(error) = cleared.await {
            tracing::warn!("something is left over: {error}");
        }
    }

    pub(super) async fn switch(&self) -> Result<ImportReport, ExportError> {
        let (places, progress) = (self.places.clone(), Arc::clone(&self.progress));
        let kept = blocking(move || {
            let mut kept = Vec::new();
            for place in &places {
                kept.extend(place.exchange()?);
                progress.exchanged.fetch_add(1, Ordering::SeqCst);
                place.clear()?;
            }
            Ok(kept)
        })
        .await?;
        let roots: Vec<_> = self.places.iter().map(|one| one.root.display().to_string()).collect();
        let kept: Vec<_> = kept.iter().map(|one| one.display().to_string()).collect();
        let kept = (!kept.is_empty()).then(|| kept.join(", "));
        let mut report = report(format!("{} is restored", roots.join(", ")), kept);
        let warnings = self.progress.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        report.notes.extend(warnings.iter().take(MAX_NOTES).cloned());
        Ok(report)
    }

    /// Whether some places were exchanged when another could not be.
    pub(super) fn has_begun(&self) -> bool {
        self.progress.exchanged.load(Ordering::SeqCst) > 0
    }
}

impl Place {
    fn of(root: PathBuf, tag: &str) -> Self {
        let folder = if root.is_dir() { &root } else { root.parent().unwrap_or(&root) };
        let aside = folder.join(ASIDE);
        let stage = aside.join(format!("new-{tag}"));
        let staged = stage.join(root.strip_prefix("/").unwrap_or(&root));
        Self { root, aside, stage, staged }
    }

    fn told(&self, error: &io::Error) -> ExportError {
        failed(format!("{}: {error}", self.root.display()))
    }

    fn unpack(
        &self,
        file: &Path,
        is_zip: bool,
        is_called_off: &AtomicBool,
    ) -> Result<Vec<String>, ExportError> {
        use std::os::unix::fs::DirBuilderExt as _;
        // Nobody else looks in while it is filled.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.stage)
            .map_err(|error| self.told(&error))?;
        let options = Options {
            only: Only::paths([self.root.strip_prefix("/").unwrap_or(&self.root)]),
            privileges: true,
            sync: true,
            ..Options::default()
        };
        let from = io::BufReader::new(fs::File::open(file).map_err(|error| self.told(&error))?);
        let mut watch = |_: &archive::Report| !is_called_off.load(Ordering::SeqCst);
        let unpacked = if is_zip {
            archive::unpack_zip(from, &self.stage, options, &mut watch)
        } else {
            archive::unpack(from, &self.stage, options, &mut watch)
        };
        let report = unpacked.map_err(|error| failed(error.to_string()))?;
        let Ok(staged) = self.staged.symlink_metadata() else {
            return Err(failed(format!("the archive does not hold {}", self.root.display())));
        };
        if self.root.is_dir() && !staged.is_dir() {
            let root = self.root.display();
            return Err(failed(format!("{root} is a folder, and none in the archive")));
        }
        Ok(report.warnings)
    }

    fn clear(&self) -> Result<(), ExportError> {
        match fs::remove_dir_all(&self.stage) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.told(&error)),
            _ => {}
        }
        // Only where nothing is kept in it.
        let _ = fs::remove_dir(&self.aside);
        Ok(())
    }

    /// Puts the new one in the place of the old one; both or neither. Gives where the old one is.
    fn exchange(&self) -> Result<Option<PathBuf>, ExportError> {
        let exchanged = if self.root.is_dir() { self.contents() } else { self.whole() };
        exchanged.map_err(|error| self.told(&error))
    }

    fn whole(&self) -> io::Result<Option<PathBuf>> {
        if self.root.symlink_metadata().is_err() {
            self.place()?;
            return Ok(None);
        }
        let name = self.root.file_name().unwrap_or_default();
        let before = self.aside.join("before");
        fs::create_dir_all(&before)?;
        let before = before.join(name);
        // Never a moment without one: the old one gets a second name first.
        match fs::remove_file(&before) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::hard_link(&self.root, &before)?;
        self.place()?;
        Ok(Some(before))
    }

    /// The new file takes its name, for good.
    fn place(&self) -> io::Result<()> {
        fs::rename(&self.staged, &self.root)?;
        let folder = self.root.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn contents(&self) -> io::Result<Option<PathBuf>> {
        let half = self.aside.join("before-half");
        let before = self.aside.join("before");
        if half.exists() {
            // A sidecar was killed in the midst of this: some of what was there then is in it.
            fs::rename(&half, self.aside.join(format!("cut-{}", name_of(&self.stage))))?;
        }
        fs::create_dir(&half)?;
        if let Err(error) = move_all(&self.root, &half, true) {
            move_all(&half, &self.root, false)?;
            fs::remove_dir(&half)?;
            return Err(error);
        }
        if let Err(error) = move_all(&self.staged, &self.root, false) {
            move_all(&self.root, &self.staged, true)?;
            move_all(&half, &self.root, false)?;
            fs::remove_dir(&half)?;
            return Err(error);
        }
        let meta = self.staged.metadata()?;
        fs::set_permissions(&self.root, meta.permissions())?;
        // Where the sidecar may.
        let _ = std::os::unix::fs::chown(&self.root, Some(meta.uid()), Some(meta.gid()));
        match fs::remove_dir_all(&before) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&half, &before)?;
        for folder in [&before, &self.aside, &self.root] {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(Some(before))
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Moves everything in `from` into `to`, but for what restores keep there.
fn move_all(from: &Path, to: &Path, but_aside: bool) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if !(but_aside && name == ASIDE) {
            fs::rename(from.join(&name), to.join(&name))?;
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| failed(panic.to_string()))?
}
