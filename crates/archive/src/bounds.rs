//! Folders outside of which nothing is read, whatever links say.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

/// Real folders, without links in their paths.
#[derive(Debug, Clone, Default)]
pub struct Bounds(Vec<PathBuf>);

impl Bounds {
    /// Where these folders really are. One that is not there bounds nothing in.
    pub fn new<P: AsRef<Path>>(folders: impl IntoIterator<Item = P>) -> Self {
        Self(folders.into_iter().filter_map(|one| one.as_ref().canonicalize().ok()).collect())
    }

    /// Whether `real`, a path without links, lies within.
    pub fn hold(&self, real: &Path) -> bool {
        self.0.iter().any(|folder| real.starts_with(folder))
    }

    /// Whether what `path` leads to lies within.
    pub fn lead_to(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|real| self.hold(&real))
    }

    /// Errs where the open file is elsewhere: between looking and opening, a folder on the way can
    /// have become a link.
    pub(crate) fn check(&self, file: &File) -> io::Result<()> {
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if self.hold(&real) {
            return Ok(());
        }
        let told = "it leads out of the allowed folders";
        Err(io::Error::new(io::ErrorKind::PermissionDenied, told))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_do_not_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["in/deep", "inside", "out"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::fs::write(at("out/file"), "").unwrap();
        std::fs::write(at("in/file"), "").unwrap();
        symlink(at("out"), at("in/away")).unwrap();
        symlink(at("in/deep"), at("in/near")).unwrap();
        let bounds = Bounds::new([at("in"), at("nothing")]);
        assert!(bounds.lead_to(&at("in/near")) && bounds.lead_to(&at("in")));
        for out in ["in/away", "in/away/file", "inside", "nothing", "in/../out"] {
            assert!(!bounds.lead_to(&at(out)), "{out}");
        }
        bounds.check(&File::open(at("in/file")).unwrap()).unwrap();
        assert!(bounds.check(&File::open(at("in/away/file")).unwrap()).is_err());
    }
}
