//! The engine against a real catalog, real stores and an app that behaves as it is told.

mod app_server;
mod faults;
mod flow;
mod world;
