//! Which snapshots are kept, and why.

use serde::{Deserialize, Serialize};

/// Which snapshots are kept; empty keeps everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetentionPolicy {
    /// The newest this many.
    pub keep_last: Option<u32>,
}
