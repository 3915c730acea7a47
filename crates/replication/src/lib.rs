//! PostgreSQL's physical replication protocol: WAL as whole segments, base backups file by file,
//! and the arithmetic of what is stored. Knows neither stores nor catalog.

mod auth;
mod base;
mod body;
mod checksum;
mod commits;
mod connection;
mod durable;
mod error;
mod history;
mod lsn;
mod manifest;
mod query;
mod ranges;
mod receiver;
mod segments;
mod server_error;
mod settings;
mod slot;
mod stream;
mod tar_stream;
mod tls;
mod wire;

pub use base::{BaseBackup, BaseOptions, Finished, Part, Tablespace};
pub use body::Body;
pub use checksum::Algorithm;
pub use commits::{Commits, NewTablespace, Scanner};
pub use connection::Connection;
pub use error::Error;
pub use history::{History, MAX_HISTORY, Stretch};
pub use lsn::{Lsn, SegmentSize, Timeline};
pub use manifest::{Manifest, ManifestFile, WalRange};
pub use query::SystemInfo;
pub use ranges::{Base, Ranges, Stored, SystemId, Window};
pub use receiver::{Event, Piece, Position, Receipt, Receiver, ReceiverOptions, Standing};
pub use segments::{Assembler, Filled};
pub use server_error::{Problem, ServerError};
pub use settings::{Host, Settings, Tls};
pub use slot::SlotState;
pub use stream::{Message, Started, Status, WalStream};
pub use tar_stream::{Kind, Member};
