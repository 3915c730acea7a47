//! Backup contract v1: wire types, client and conformance checker.
