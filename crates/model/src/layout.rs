//! How objects are named.

use serde::{Deserialize, Serialize};

/// A name template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(String);
