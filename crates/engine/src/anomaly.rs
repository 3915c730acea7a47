//! Whether a snapshot looks unlike the ones before it.

use model::{Failure, Snapshot};

use crate::{Engine, run::failure};

/// How many earlier snapshots are compared with.
const COMPARED: usize = 10;
/// Fewer than this tell nothing.
const LEARNING: usize = 3;
/// Below this share of the median a snapshot is anomalous.
const SMALL: f64 = 0.3;
/// Above this multiple of the median a snapshot is anomalous.
const LARGE: f64 = 4.0;
/// Sizes below this vary for no reason worth telling, in bytes.
const NOISE_BYTES: u64 = 64 << 10;

/// Compares the size of `snapshot` with the median of the app's last good ones.
pub(crate) async fn is_anomalous(engine: &Engine, snapshot: &Snapshot) -> Result<bool, Failure> {
    let earlier = engine
        .0
        .catalog
        .snapshots_of_app(snapshot.app_id)
        .await
        .map_err(|error| failure::of_catalog(&error))?;
    let mut usual: Vec<_> = earlier
        .iter()
        .filter(|one| one.is_base() == snapshot.is_base())
        .filter(|one| !one.anomalous && one.artifacts.len() == snapshot.artifacts.len())
        .collect();
    usual.sort_by_key(|one| std::cmp::Reverse(one.taken_at));
    let sizes: Vec<u64> = usual.iter().take(COMPARED).map(|one| one.size_bytes()).collect();
    Ok(is_far(&sizes, snapshot.size_bytes()))
}

fn is_far(earlier: &[u64], size_bytes: u64) -> bool {
    if earlier.len() < LEARNING {
        return false;
    }
    let mut sorted = earlier.to_vec();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    if median.max(size_bytes) < NOISE_BYTES {
        return false;
    }
    let ratio = size_bytes as f64 / median.max(1) as f64;
    !(SMALL..=LARGE).contains(&ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_tenth_of_the_median_is_far() {
        assert!(is_far(&[10 * MIB, 11 * MIB, 9 * MIB], MIB));
        assert!(is_far(&[10 * MIB, 11 * MIB, 9 * MIB], 50 * MIB));
    }

    #[test]
    fn ordinary_growth_is_near() {
        assert!(!is_far(&[10 * MIB, 11 * MIB, 12 * MIB], 14 * MIB));
    }

    #[test]
    fn nothing_is_told_while_learning_or_of_tiny_exports() {
        assert!(!is_far(&[10 * MIB, 10 * MIB], 1));
        assert!(!is_far(&[100, 100, 100], 1));
    }
}
