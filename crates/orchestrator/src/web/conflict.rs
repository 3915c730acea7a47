//! A form that somebody else has saved meanwhile: what is different now, and a save that replaces it.

use axum::{http::StatusCode, response::Response};
use catalog::CatalogError;
use engine::EngineError;
use model::Name;

use super::{
    form::{Errors, Fields},
    lang::Lang,
    visitor::Visitor,
};
use crate::accounts::AuditTarget;

/// Set in a form that has shown what is different.
const OVERTAKEN: &str = "overtaken";

/// What a form says, field by field: what each is called, and what is in it. No secrets.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(String, String)>);

impl Told {
    pub(super) fn say(&mut self, label: impl Into<String>, value: impl ToString) {
        let value = value.to_string();
        let lines: Vec<_> = value.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        self.0.push((label.into(), lines.join(", ")));
    }

    /// A number, or nothing.
    pub(super) fn maybe(&mut self, label: impl Into<String>, value: Option<impl ToString>) {
        self.say(label, value.map(|value| value.to_string()).unwrap_or_default());
    }

    /// A tick box.
    pub(super) fn tick(&mut self, label: impl Into<String>, is_ticked: bool, lang: Lang) {
        self.say(label, lang.t(if is_ticked { "yes" } else { "no" }));
    }

    fn value(&self, label: &str) -> &str {
        self.0.iter().find(|(own, _)| own == label).map_or("", |(_, value)| value)
    }

    fn has(&self, label: &str) -> bool {
        self.0.iter().any(|(own, _)| own == label)
    }
}

/// A field that is not what was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) label: String,
    pub(super) typed: String,
    pub(super) now: String,
}

/// What is different since somebody else saved.
#[derive(Debug)]
pub(super) struct Conflict {
    pub(super) rows: Vec<Difference>,
    /// Secrets were typed, which no page sends back.
    pub(super) secrets: bool,
}

impl Conflict {
    pub(super) fn between(typed: &Told, now: &Told, secrets: bool) -> Self {
        let gone = now.0.iter().filter(|(label, _)| !typed.has(label));
        let labels = typed.0.iter().chain(gone).map(|(label, _)| label);
        let rows = labels.map(|label| Difference {
            label: label.clone(),
            typed: typed.value(label).to_owned(),
            now: now.value(label).to_owned(),
        });
        Self { rows: rows.filter(|row| row.typed != row.now).collect(), secrets }
    }
}

/// Which state of what it edits a form stands on.
#[derive(Debug)]
pub(super) struct Basis {
    /// The version that the next save names.
    pub(super) version: i64,
    /// Which thing it is, whatever it is called when the form is sent; `None` for a new one.
    pub(super) item: Option<String>,
    pub(super) conflict: Option<Conflict>,
}

impl Basis {
    /// Nothing yet.
    pub(super) fn blank() -> Self {
        Self { version: 0, item: None, conflict: None }
    }

    /// As it is stored.
    pub(super) fn stored(version: i64, id: impl ToString) -> Self {
        Self { version, item: Some(id.to_string()), conflict: None }
    }

    /// Of a form that comes back: the state that it was sent from; where that is overtaken, the
    /// present one (its version, and what is different there), so that whoever has seen it can save.
    pub(super) fn back(fields: &Fields, is_overtaken: bool, now: Option<(i64, Conflict)>) -> Self {
        let sent = version(fields);
        let item = made_from(fields).map(str::to_owned);
        match now.filter(|_| is_overtaken || fields.ticked(OVERTAKEN)) {
            Some((present, conflict)) => Self {
                version: if is_overtaken { present } else { sent },
                item,
                conflict: Some(conflict),
            },
            None => Self { version: sent, item, conflict: None },
        }
    }
}

/// The version that a form was made from.
pub(super) fn version(fields: &Fields) -> i64 {
    fields.text("version").parse().unwrap_or(0)
}

/// The id of what a form was made from.
fn made_from(fields: &Fields) -> Option<&str> {
    let id = fields.text("item");
    let is_id = id.len() == 26 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then_some(id)
}

/// What a form is about: what it was made from, by its id, or else what its address `named`. Another
/// may have that name by now. Whoever may send such forms may change everything.
pub(super) fn item<'a>(fields: &'a Fields, named: &'a str) -> &'a str {
    made_from(fields).unwrap_or(named)
}

/// A saved form's answer, told in the audit log by what its thing was called until then, whatever
/// the address named.
pub(super) fn saved(mut response: Response, was: &Name) -> Response {
    if response.status() == StatusCode::SEE_OTHER {
        response.extensions_mut().insert(AuditTarget(was.to_string()));
    }
    response
}

/// What a refused save says about the fields, and whether it was refused because somebody else
/// saved meanwhile.
pub(super) fn refused(
    error: EngineError,
    visitor: &Visitor,
) -> Result<(Errors, bool), EngineError> {
    match error {
        EngineError::Catalog(CatalogError::Stale { .. }) => Ok((Errors::default(), true)),
        other => Ok((visitor.refused(other)?, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fields: &[(&str, &str)]) -> Told {
        let mut told = Told::default();
        for (label, value) in fields {
            told.say(*label, value);
        }
        told
    }

    #[test]
    fn only_what_differs_is_told_whichever_side_has_it() {
        let typed = told(&[("Name", "shop"), ("Daily", "7"), ("Paths", "/a\n/b\n")]);
        let now = told(&[("Name", "shop"), ("Daily", "9"), ("Paths", "/a, /b"), ("Port", "80")]);
        let found = Conflict::between(&typed, &now, false);
        let row = |label: &str, typed: &str, now: &str| Difference {
            label: label.to_owned(),
            typed: typed.to_owned(),
            now: now.to_owned(),
        };
        assert_eq!(found.rows, [row("Daily", "7", "9"), row("Port", "", "80")]);
    }

    #[test]
    fn a_form_goes_on_from_what_it_has_shown() {
        let now = || Some((5, Conflict::between(&told(&[]), &told(&[]), false)));
        let id = "01jd3v5k2m8q9r7t6w4x1y0zab";
        let sent = Fields::read(format!("version=3&item={id}").as_bytes());
        assert_eq!(item(&sent, "shop"), id);
        for other in ["version=3", "item=shop", "item=..%2F..%2F..%2F..%2F..%2F..%2Fetc%2Fpas"] {
            assert_eq!(item(&Fields::read(other.as_bytes()), "shop"), "shop", "{other}");
        }
        let first = Basis::back(&sent, false, now());
        assert!(first.version == 3 && first.conflict.is_none(), "a slip elsewhere shows nothing");
        let overtaken = Basis::back(&sent, true, now());
        assert!(overtaken.version == 5 && overtaken.conflict.is_some());
        assert_eq!(overtaken.item.as_deref(), Some(id));
        // It is saved again with a slip, while somebody saves once more.
        let again = Fields::read(b"version=4&overtaken=1");
        let again = Basis::back(&again, false, now());
        assert!(again.version == 4 && again.conflict.is_some(), "nothing unseen is replaced");
    }
}
