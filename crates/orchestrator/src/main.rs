//! Composition and edges: configuration, command line, API and web.
fn main() {}
