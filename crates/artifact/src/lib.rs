//! Plain-file snapshots: seal a stream of bytes and verify it back.
