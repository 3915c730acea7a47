//! Restores to a moment: from which base backup, along which WAL, replayed by which server.

pub(crate) mod choose;
pub(crate) mod control;
pub(crate) mod home;
pub(crate) mod known;
pub(crate) mod prepare;
pub(crate) mod replay;
pub(crate) mod server;
pub(crate) mod tablespaces;
pub(crate) mod wal;
