//! Development tasks: quickstart, test, bench, tidy.
fn main() {}
