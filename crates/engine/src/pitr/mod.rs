//! Point-in-time recovery of PostgreSQL.

pub(crate) mod restore;
