//! What a restore reads: the artifacts that were asked for, and which copy of them.

use model::{Artifact, CopyState, Failure, FailureCode, RestoreOrder, Snapshot, StoredCopy};

/// The artifacts that `order` asks for.
pub(crate) fn chosen<'a>(
    snapshot: &'a Snapshot,
    order: &'a RestoreOrder,
) -> impl Iterator<Item = &'a Artifact> {
    snapshot.artifacts.iter().filter(|artifact| {
        order.only.is_empty() || order.only.iter().any(|one| one.artifact == artifact.source)
    })
}

/// A failure that is of the copy that was read, so that another may do better.
pub(crate) struct Blame {
    /// What the copy is then, where that is known.
    pub(crate) state: Option<CopyState>,
}

impl Blame {
    /// `None` where the copy is not to blame.
    pub(crate) fn of(failure: &Failure) -> Option<Self> {
        let state = match failure.code {
            FailureCode::Damaged => Some(CopyState::Damaged),
            FailureCode::Missing => Some(CopyState::Missing),
            FailureCode::DestinationUnavailable
            | FailureCode::DestinationDenied
            | FailureCode::DestinationConfig
            | FailureCode::SecretUnreadable => None,
            _ => return None,
        };
        Some(Self { state })
    }
}

/// Copies to read from, the likeliest first: those that nobody has marked, and of these the one
/// that was proven last.
pub(crate) fn candidates(
    snapshot: &Snapshot,
    from: Option<model::DestinationId>,
) -> Vec<StoredCopy> {
    let mut copies: Vec<_> = snapshot
        .copies
        .iter()
        .filter(|copy| copy.state.is_restorable())
        .filter(|copy| from.is_none_or(|only| only == copy.destination_id))
        .cloned()
        .collect();
    copies.sort_by_key(|copy| (copy.state != CopyState::Good, std::cmp::Reverse(copy.verified_at)));
    copies
}
