//! Against real PostgreSQL servers.

mod admission;
mod base;
mod cluster;
mod ranges;
mod receiving;
mod segments;
mod timelines;
