//! Redis read directly.
