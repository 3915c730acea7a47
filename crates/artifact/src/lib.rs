//! Plain-file snapshots: seal a stream of bytes and verify it back.
//!
//! A [`Sealer`] turns what a source sends into what is stored, an [`Encrypter`] after it closes
//! it to others, an [`Opener`] turns it back and proves it, a [`RangeOpener`] does so for a part, a [`FormatChecker`] looks whether it is what it claims to be, and a [`Manifest`]
//! says what a snapshot consists of. Nothing here does I/O; `FORMAT.md` describes the files.

pub mod contents;
pub mod format;
pub mod manifest;

mod crypt;
mod decode;
mod digest;
mod encode;
mod keys;
mod open;
mod pieces;
mod range;
mod reader;
mod recipe;
mod seal;

pub use crypt::Encrypter;
pub use digest::{Digest, Digester, ParseSha256Error, Sha256};
pub use format::{Dump, FormatChecker, FormatError, FormatReport, Hints};
pub use keys::{Identities, KeyError, Recipients};
pub use manifest::{Manifest, ManifestError, Restart};
pub use open::{OpenError, Opener};
pub use range::{Proof, RangeOpener};
pub use reader::{decompress, unseal};
pub use recipe::{Compression, Method, ParseCompressionError, Recipe};
pub use seal::{SealError, Sealed, Sealer};
