//! Deduplicated, encrypted snapshots in restic's repository format, over any [`store::Store`].
//!
//! Stock restic reads what is written here, and the other way round.
//!
//! - [`Repository`]: `init`, `open`; its files: `save`, `save_json`, `save_index`, `save_snapshot`,
//!   `load`, `load_range`, `load_json`, `list`, `remove`; `load_index` for the whole [`Index`].
//! - [`Id`], [`BlobKind`], [`FileKind`]: names of things.
//! - [`MasterKey`]: `seal_into`, `open_in_place`; [`KeyFile`]: passwords.
//! - [`compress`]: [`compress::Compressor`], [`compress::decompress`].
//! - [`PackBuilder`]: sealed blobs to a pack; [`pack`]: reading its header.
//! - [`Index`]: where blobs lie, in memory; [`IndexBuilder`] and [`IndexFile`]: as files.
//! - [`TreeBuilder`], [`Tree`], [`Node`]: folders. [`Snapshot`]: what was kept when.
//! - [`Repository::lock`]: a [`Lock`] as restic's; `ensure` before whatever others rely on, `guard`
//!   around work, `release` at the end.
//! - [`Reader`]: `blob`, `tree`, `stream` of a file, `tar`, `restore` into a folder, `resolve`,
//!   `folder`, `find`, `diff`; [`Walk`]: entry by entry.
//! - [`Repository::check`], `statistics`, `forget`, `prune`, `prolong_locks`, `keys`, `add_key`, `remove_key`,
//!   `make_key`, `save_key`, `change_password`; [`Reader::copy`].
//! - [`Surroundings`]: clock, randomness, the process at work.
//!
//! - [`write::Writer`]: streams and trees into snapshots; [`chunk`]: where they are cut.
//!
//! - [`Objects`]: named streams, each a snapshot of its own, as a [`store::Store`].
//!
//! Whoever writes keeps the order packs, index, (the source is proven), snapshot.

mod browse;
mod buffers;
mod check;
pub mod chunk;
pub mod compress;
mod config;
mod copy;
pub mod crypto;
mod error;
pub mod guidance;
pub mod hash;
mod id;
mod index;
mod key;
mod keys;
mod lock;
mod node;
mod objects;
pub mod pack;
mod packer;
mod pieces;
mod prolong;
mod prune;
pub mod quote;
mod read;
mod repository;
mod restore;
mod skeleton;
mod snapshot;
mod statistics;
mod surroundings;
mod tarball;
pub mod tree;
mod visit;
mod walk;
pub mod write;

pub use browse::{Difference, Found};
pub use check::{CheckOptions, Checked, Problem, ReadData};
pub use config::{Config, Version};
pub use copy::Copied;
pub use crypto::MasterKey;
pub use error::RepositoryError;
pub use id::{BlobKind, FileKind, Id, InvalidId};
pub use index::{Index, IndexBuilder, IndexFile, IndexedPack, Location};
pub use key::{Kdf, KeyFile};
pub use keys::{KeyEntry, NewKey};
pub use lock::{FoundLock, Lock, LockFile, LockKind, LockTimes, STALE_AFTER};
pub use node::{ExtendedAttribute, Node, NodeKind, check_name};
pub use objects::{Alone, Hold, OBJECT_TAG, Objects, ObjectsOptions};
pub use pack::{PackBuilder, PackedBlob, SealedBlob};
pub use packer::PACK_BYTES;
pub use prolong::{LocksProlonged, locked_ahead};
pub use prune::{PruneOptions, PrunePlan, Pruned};
pub use read::Reader;
pub use repository::{FileEntry, InitOptions, LoadedIndex, Repository};
pub use restore::Restored;
pub use snapshot::{MANIFEST_TAG, Snapshot};
pub use statistics::Statistics;
pub use surroundings::Surroundings;
pub use tree::{Tree, TreeBuilder};
pub use walk::{Visit, Walk};
