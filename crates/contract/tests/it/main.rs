//! The client and the checker against servers of every kind, over real sockets.

mod app;
mod check;
mod framing;
mod golden;
mod good;
mod guide;
mod headers;
mod import;
mod jobs;
mod names;
mod openapi;
mod server;
mod slow;
mod token;
