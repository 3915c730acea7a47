//! The client and the checker against servers of every kind, over real sockets.

mod framing;

mod good;

mod headers;
mod jobs;
mod names;

mod server;
mod slow;
mod token;
