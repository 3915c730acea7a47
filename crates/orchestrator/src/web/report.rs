//! What the doctor found.

use engine::Report;

use super::{mark::Mark, visitor::Visitor};

/// One thing the doctor looked at.
pub(crate) struct CheckRow {
    pub(crate) mark: Mark,
    pub(crate) name: String,
    /// Which source it is about, where there are several.
    pub(crate) source: Option<String>,
    pub(crate) detail: String,
    pub(crate) advice: Option<String>,
}

impl CheckRow {
    pub(crate) fn all(report: &Report, visitor: &Visitor) -> Vec<Self> {
        let lang = visitor.lang;
        let first = report.checks.iter().find_map(|check| check.source.as_ref());
        let several = report.checks.iter().any(|check| check.source.as_ref() != first);
        report
            .checks
            .iter()
            .map(|check| Self {
                source: check.source.as_ref().filter(|_| several).map(ToString::to_string),
                mark: Mark::check(check.state, lang),
                name: lang
                    .find(&format!("check-name-{}", check.id.replace('_', "-")))
                    .unwrap_or_else(|| check.id.to_owned()),
                detail: visitor.sentence(&check.found()),
                advice: check.advised().map(|advice| visitor.sentence(&advice)),
            })
            .collect()
    }
}
