//! What files written by people have in common: where a key stands, `${NAME}` in values, and
//! what the parser of YAML did not like.

mod lines;
mod parser;
mod variables;

pub use lines::Lines;
pub use parser::{nearest, parser_says};
pub use variables::expand;
