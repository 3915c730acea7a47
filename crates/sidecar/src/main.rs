//! Serves backup contract v1 beside an application.
fn main() {}
