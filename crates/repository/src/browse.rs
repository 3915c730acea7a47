//! Looking into a repository: snapshots, folders, finding, differences.

use std::cmp::Ordering;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    FileKind, Id, Node, NodeKind, Reader, Repository, RepositoryError, Snapshot, Tree,
    walk::{Visit, Walk},
};

/// How many snapshots are read at once.
const SNAPSHOT_READERS: usize = 16;

impl Repository {
    /// Every snapshot with its id, the oldest first.
    pub async fn snapshots(&self) -> Result<Vec<(Id, Snapshot)>, RepositoryError> {
        let files = self.list(FileKind::Snapshot).await?;
        let mut snapshots: Vec<_> = stream::iter(files)
            .map(|file| async move {
                Ok::<_, RepositoryError>((file.id, self.load_snapshot(&file.id).await?))
            })
            .buffer_unordered(SNAPSHOT_READERS)
            .try_collect()
            .await?;
        snapshots.sort_by_key(|(id, snapshot)| (snapshot.time, *id));
        Ok(snapshots)
    }

    /// The one snapshot whose id begins with `prefix`.
    pub async fn snapshot(&self, prefix: &str) -> Result<(Id, Snapshot), RepositoryError> {
        let files = self.list(FileKind::Snapshot).await?;
        let found: Vec<_> =
            files.iter().map(|file| file.id).filter(|id| id.to_hex().starts_with(prefix)).collect();
        let [id] = found[..] else {
            let prefix = prefix.chars().take(64).collect();
            return Err(RepositoryError::WhichSnapshot { prefix, count: found.len() });
        };
        Ok((id, self.load_snapshot(&id).await?))
    }
}

/// What a path in a snapshot leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// The snapshot's own root.
    Root(Id),
    /// An entry.
    Node(Box<Node>),
}

impl Found {
    /// The tree, if it is a folder.
    pub fn tree(&self) -> Option<Id> {
        match self {
            Self::Root(tree) => Some(*tree),
            Self::Node(node) => node.subtree.filter(|_| node.kind == NodeKind::Dir),
        }
    }
}

/// One difference between two snapshots.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The path of the entry.
    pub path: Vec<u8>,
    /// What it was; `None` if it is new. A folder stands for all in it.
    pub before: Option<Box<Node>>,
    /// What it is; `None` if it is gone.
    pub after: Option<Box<Node>>,
}

impl Reader {
    /// What `path` leads to, with `/` between names; an empty one is the root.
    pub async fn resolve(&self, root: &Id, path: &[u8]) -> Result<Found, RepositoryError> {
        let not_there =
            || RepositoryError::NotInSnapshot(String::from_utf8_lossy(path).into_owned());
        let mut found = Found::Root(*root);
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let tree = found.tree().ok_or_else(not_there)?;
            let Tree { nodes } = self.tree(&tree).await?;
            let node = nodes.into_iter().find(|node| node.name == name).ok_or_else(not_there)?;
            found = Found::Node(Box::new(node));
        }
        Ok(found)
    }

    /// The entries of the folder at `path`.
    pub async fn folder(&self, root: &Id, path: &[u8]) -> Result<Vec<Node>, RepositoryError> {
        let found = self.resolve(root, path).await?;
        let tree = found.tree().ok_or_else(|| {
            RepositoryError::NotInSnapshot(format!("{}/", String::from_utf8_lossy(path)))
        })?;
        Ok(self.tree(&tree).await?.nodes)
    }

    /// Entries below `root` that `wanted` wants, at most `most`; with their paths.
    pub async fn find(
        &self,
        root: &Id,
        wanted: impl Fn(&[u8], &Node) -> bool,
        most: usize,
    ) -> Result<Vec<(Vec<u8>, Node)>, RepositoryError> {
        let (mut walk, mut found) = (Walk::begin(self, root).await?, Vec::new());
        while let Some(visit) = walk.next().await? {
            if found.len() >= most {
                break;
            }
            if let Visit::Enter { path, node } = visit
                && wanted(&path, &node)
            {
                found.push((path, *node));
            }
        }
        Ok(found)
    }

    /// What is different between two trees, each difference told to `each`. Folders that are the
    /// same are not read.
    pub async fn diff(
        &self,
        before: &Id,
        after: &Id,
        mut each: impl FnMut(Difference),
    ) -> Result<(), RepositoryError> {
        let mut pairs = vec![(Vec::new(), *before, *after)];
        while let Some((path, before, after)) = pairs.pop() {
            if before == after {
                continue;
            }
            let (before, after) = (self.tree(&before).await?, self.tree(&after).await?);
            for (before, after) in paired(before.nodes, after.nodes) {
                let name = before.as_ref().or(after.as_ref()).map(|node| node.name.clone());
                let path = join(&path, &name.unwrap_or_default());
                if let (Some(a), Some(b)) = (&before, &after) {
                    if a == b {
                        continue;
                    }
                    if let (Some(a), Some(b)) = (a.subtree, b.subtree) {
                        pairs.push((path.clone(), a, b));
                    }
                    if is_same_but_below(a, b) {
                        continue;
                    }
                }
                each(Difference { path, before: before.map(Box::new), after: after.map(Box::new) });
            }
        }
        Ok(())
    }
}

pub(crate) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

/// Whether two folders differ only in what is in them, or in when that was looked at.
fn is_same_but_below(a: &Node, b: &Node) -> bool {
    let bare = |node: &Node| {
        let mut node = node.clone();
        node.atime = None;
        node.ctime = None;
        if node.kind == NodeKind::Dir {
            node.subtree = None;
            node.mtime = None;
        }
        node
    };
    bare(a) == bare(b)
}

/// Entries of the same name side by side, by name.
fn paired(mut a: Vec<Node>, mut b: Vec<Node>) -> Vec<(Option<Node>, Option<Node>)> {
    a.sort_unstable_by(|x, y| x.name.cmp(&y.name));
    b.sort_unstable_by(|x, y| x.name.cmp(&y.name));
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    let mut pairs = Vec::new();
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(x), Some(y)) => x.name.cmp(&y.name),
        };
        let before = if order == Ordering::Greater { None } else { a.next() };
        let after = if order == Ordering::Less { None } else { b.next() };
        pairs.push((before, after));
    }
}
