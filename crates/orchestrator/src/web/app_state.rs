//! What was noted of an app when it was read.

use model::AppState;

use super::visitor::Visitor;

/// As a page shows it.
pub(super) struct StateShown {
    /// The grade and what it rests on.
    pub(super) grade: String,
    /// Names of what was noted, and it.
    pub(super) facts: Vec<(String, Vec<String>)>,
}

impl StateShown {
    pub(super) fn of(state: &AppState, visitor: &Visitor) -> Self {
        let lang = visitor.lang;
        let mut grade = vec![
            lang.t(&format!("grade-{}", state.grade)),
            lang.with("grade-skew", "ms", state.skew_ms.to_string()),
        ];
        if state.paused_ms > 0 {
            grade.push(lang.with("grade-waited", "ms", state.paused_ms.to_string()));
        }
        if state.cut_short {
            grade.push(lang.t("grade-cut-short"));
        }
        let mut facts = Vec::new();
        let mut put = |key: &str, all: Vec<String>| {
            if !all.is_empty() {
                facts.push((lang.t(key), all));
            }
        };
        put("state-deploy", state.deploy.iter().cloned().collect());
        let code = state.code.iter().map(|code| {
            let changed = if code.dirty { lang.t("state-code-dirty") } else { String::new() };
            format!("{} · {} {changed}", code.git_commit, code.path).trim_end().to_owned()
        });
        put("state-code", code.collect());
        let positions = state.database_wal_position.iter().map(|(source, one)| {
            lang.fill(
                "state-wal-at",
                [
                    ("source", source.as_str().into()),
                    ("lsn", one.lsn.as_str().into()),
                    ("timeline", one.timeline.into()),
                ],
            )
        });
        put("state-wal", positions.collect());
        let disks = state
            .volume_snapshots
            .iter()
            .map(|(source, one)| format!("{source} · {} · {}", one.kind, one.id));
        put("state-disks", disks.collect());
        let containers = state.containers.iter().map(|one| {
            let digest = one.digest.as_ref().unwrap_or(&one.image_id);
            format!("{} · {} · {digest}", one.name, one.image)
        });
        put("state-containers", containers.collect());
        Self { grade: grade.join(" · "), facts }
    }
}
