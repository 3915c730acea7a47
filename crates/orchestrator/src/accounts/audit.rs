//! The audit log: who did what, to what, from where.

use model::{AuditEntry, AuditId};

use super::{Accounts, Caller};

/// What a route acted on, where its path does not tell; a handler puts it into its response.
#[derive(Debug, Clone)]
pub(crate) struct AuditTarget(pub(crate) String);

/// Longest text in an entry, in characters.
const MAX_LEN: usize = 200;

impl Accounts {
    /// Notes that `caller` did `action`. What was done stays done when this fails: it is told in
    /// the server's log.
    pub(crate) async fn audit(&self, caller: &Caller, action: &str, target: &str, detail: &str) {
        let from = caller.visitor.address.to_string();
        self.audit_by(&caller.who(), &from, action, target, detail).await;
    }

    pub(super) async fn audit_by(
        &self,
        who: &str,
        from: &str,
        action: &str,
        target: &str,
        detail: &str,
    ) {
        let at = self.0.engine.now();
        let id = self.0.engine.with_rng(|rng| AuditId::generate(at, rng));
        let clean = |text: &str| text.chars().take(MAX_LEN).collect::<String>();
        let entry = AuditEntry {
            id,
            at,
            who: clean(who),
            from: clean(from),
            action: clean(action),
            target: clean(target),
            detail: clean(detail),
        };
        if let Err(error) = self.catalog().append_audit(&entry).await {
            tracing::error!("{who} did {action}, which is not in the audit log: {error}");
        }
    }
}
