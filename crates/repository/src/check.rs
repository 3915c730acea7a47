//! Whether a repository is whole: that what is told to be there is there, and is what was written.

mod packs;

use std::collections::{HashMap, HashSet};

use crate::{
    BlobKind, FileKind, Id, Index, IndexFile, KeyFile, Reader, Repository, RepositoryError,
    guidance,
    visit::{BlobSet, Met, each_tree},
};
pub(crate) use packs::PackSums;

/// How many problems are told one by one.
const MAX_TOLD: usize = 10_000;

/// How much of the packs is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadData {
    /// Nothing but trees: the structure.
    #[default]
    Nothing,
    /// The `part`th of `of` parts, counted from 0: each of them in turn, and all was read.
    Part {
        /// Which part.
        part: u32,
        /// How many parts there are.
        of: u32,
    },
    /// Every byte.
    All,
}

/// What is to be checked.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// How much of the packs is read.
    pub read_data: ReadData,
    /// Files that have to be there, as whoever keeps a catalog knows: nothing in a repository tells
    /// of a snapshot or a key that is gone.
    pub expected: Vec<(FileKind, Id)>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or what else it is about.
    pub about: String,
    /// What is wrong with it, and what to do.
    pub what: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong, at most 10,000.
    pub problems: Vec<Problem>,
    /// How much is wrong.
    pub problem_count: u64,
    /// What is no loss, and may be of interest.
    pub notes: Vec<String>,
    /// Snapshots that were read.
    pub snapshots: u64,
    /// Trees that were read.
    pub trees: u64,
    /// Packs that are known.
    pub packs: u64,
    /// Packs of which every byte was read.
    pub packs_read: u64,
    /// Bytes of those.
    pub bytes_read: u64,
    /// Blobs that no snapshot needs.
    pub unused_blobs: u64,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.problem_count == 0
    }

    pub(crate) fn problem(&mut self, about: impl ToString, what: impl ToString) {
        self.problem_count += 1;
        if self.problems.len() < MAX_TOLD {
            self.problems.push(Problem { about: about.to_string(), what: what.to_string() });
        }
    }

    /// Tells an error of a file as a problem, but for a store that does not answer.
    fn take(
        &mut self,
        about: impl ToString,
        error: RepositoryError,
    ) -> Result<(), RepositoryError> {
        match error {
            RepositoryError::Store(error) if !error.is_not_found() => Err(error.into()),
            error => {
                self.problem(about, error);
                Ok(())
            }
        }
    }
}

impl Repository {
    /// Checks the repository. What is wrong with it is in what is returned; an error means that it
    /// could not be checked.
    pub async fn check(&self, options: &CheckOptions) -> Result<Checked, RepositoryError> {
        let mut checked = Checked::default();
        self.check_expected(options, &mut checked).await?;
        self.check_keys(&mut checked).await?;
        // Snapshots before the index: what they need was there when they were written.
        let roots = self.check_snapshots(&mut checked).await?;
        let (index, sums, marked) = self.check_index(&mut checked).await?;
        self.check_packs(&sums, &marked, &mut checked).await?;
        let reader = Reader::new(self.clone(), std::sync::Arc::new(index));
        check_trees(&reader, roots, &mut checked).await?;
        packs::read(&reader, &sums, options.read_data, &mut checked).await?;
        Ok(checked)
    }

    async fn check_expected(
        &self,
        options: &CheckOptions,
        checked: &mut Checked,
    ) -> Result<(), RepositoryError> {
        for kind in FileKind::ALL {
            let mut expected = options.expected.iter().filter(|(of, _)| *of == kind).peekable();
            if expected.peek().is_none() {
                continue;
            }
            let there = self.list(kind).await?;
            for (_, id) in expected {
                if there.binary_search_by_key(id, |file| file.id).is_err() {
                    checked
                        .problem(kind.path(id), format!("it is not there; {}", guidance::DAMAGED));
                }
            }
        }
        Ok(())
    }

    async fn check_keys(&self, checked: &mut Checked) -> Result<(), RepositoryError> {
        for file in self.list(FileKind::Key).await? {
            let read = self.load(FileKind::Key, &file.id).await;
            if let Err(error) = read.and_then(|json| KeyFile::parse(&json)) {
                checked.take(FileKind::Key.path(&file.id), error)?;
            }
        }
        Ok(())
    }

    async fn check_snapshots(&self, checked: &mut Checked) -> Result<Vec<Id>, RepositoryError> {
        let mut roots = Vec::new();
        for file in self.list(FileKind::Snapshot).await? {
            match self.load_snapshot(&file.id).await {
                Ok(snapshot) => {
                    checked.snapshots += 1;
                    roots.push(snapshot.tree);
                }
                Err(error) => checked.take(FileKind::Snapshot.path(&file.id), error)?,
            }
        }
        Ok(roots)
    }

    async fn check_index(
        &self,
        checked: &mut Checked,
    ) -> Result<(Index, PackSums, HashSet<Id>), RepositoryError> {
        let (mut index, mut sums, mut marked) = (Index::new(), PackSums::default(), HashSet::new());
        for file in self.list(FileKind::Index).await? {
            match self.load_index_file(&file.id).await {
                Ok(IndexFile { packs, packs_to_delete, .. }) => {
                    index.load(&packs);
                    for pack in &packs {
                        sums.add(pack);
                    }
                    marked.extend(packs_to_delete.iter().map(|pack| pack.id));
                }
                Err(error) => checked.take(FileKind::Index.path(&file.id), error)?,
            }
        }
        index.settle();
        Ok((index, sums, marked))
    }

    /// Each pack of the index is there, and has the size that its blobs make.
    async fn check_packs(
        &self,
        sums: &PackSums,
        marked: &HashSet<Id>,
        checked: &mut Checked,
    ) -> Result<(), RepositoryError> {
        let there: HashMap<_, _> = self
            .list(FileKind::Pack)
            .await?
            .into_iter()
            .map(|file| (file.id, file.size_bytes))
            .collect();
        for (id, expected) in sums.iter() {
            checked.packs += 1;
            let path = FileKind::Pack.path(id);
            match there.get(id) {
                None => checked.problem(path, format!("it is not there; {}", guidance::DAMAGED)),
                Some(size) if *size != expected.size => checked.problem(
                    path,
                    format!("it has {size} bytes, not {}; {}", expected.size, guidance::DAMAGED),
                ),
                Some(_) => {}
            }
        }
        let orphans = there.keys().filter(|id| !sums.contains(id) && !marked.contains(id)).count();
        if orphans > 0 {
            checked
                .notes
                .push(format!("{orphans} packs are in no index; the next prune takes them"));
        }
        let waiting = marked.iter().filter(|id| !sums.contains(id)).count();
        if waiting > 0 {
            checked.notes.push(format!("{waiting} packs wait to be deleted"));
        }
        Ok(())
    }
}

async fn check_trees(
    reader: &Reader,
    roots: Vec<Id>,
    checked: &mut Checked,
) -> Result<(), RepositoryError> {
    let mut trees = BlobSet::new(reader.index());
    let mut data = BlobSet::new(reader.index());
    each_tree(reader, roots, &mut trees, |met| {
        match met {
            Met::Tree(tree) => {
                checked.trees += 1;
                for id in &tree.content {
                    match reader.index().number(BlobKind::Data, id) {
                        Some(number) => {
                            data.insert(BlobKind::Data, number);
                        }
                        None => {
                            let missing =
                                RepositoryError::MissingBlob { kind: BlobKind::Data, id: *id };
                            checked.problem(format!("tree {}", tree.id), missing);
                        }
                    }
                }
            }
            Met::Missing(id) => {
                let missing = RepositoryError::MissingBlob { kind: BlobKind::Tree, id };
                checked.problem(format!("tree {id}"), missing);
            }
            Met::Unreadable(id, error) => checked.problem(format!("tree {id}"), error),
        }
        Ok(())
    })
    .await?;
    let used = trees.len(BlobKind::Tree) + data.len(BlobKind::Data);
    let known = reader.index().len(BlobKind::Tree) + reader.index().len(BlobKind::Data);
    checked.unused_blobs = (known - used) as u64;
    Ok(())
}
