//! The audit log: read, filtered, downloaded as a table.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use catalog::{AuditQuery, Catalog};
use engine::EngineError;
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use model::{AuditEntry, Fact};
use serde::Deserialize;

use super::{
    Api, Problem,
    extract::{Json, Query},
};

/// Entries read from the catalog at once.
const AT_ONCE: u64 = 500;
/// What begins a formula in a spreadsheet.
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    who: String,
    action: String,
    from: String,
    to: String,
    offset: u64,
    limit: Option<u64>,
}

impl Which {
    fn query(&self, zone: &TimeZone) -> Result<AuditQuery, EngineError> {
        let query = query([&self.who, &self.action, &self.from, &self.to], zone)?;
        let (offset, limit) = (self.offset.min(1 << 40), self.limit.unwrap_or(50));
        Ok(AuditQuery { offset, limit, ..query })
    }
}

/// The entries of `who`, that did `action`, from one moment or day to another; each may be empty.
pub(crate) fn query(
    [who, action, from, to]: [&str; 4],
    zone: &TimeZone,
) -> Result<AuditQuery, EngineError> {
    let word = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    let moment = |field: &str, text: &str, ends: bool| -> Result<Option<Timestamp>, EngineError> {
        let Some(text) = word(text) else { return Ok(None) };
        let found = at(&text, ends, zone);
        let wrong = || EngineError::invalid(field, Fact::WriteDay {});
        found.map(Some).ok_or_else(wrong)
    };
    Ok(AuditQuery {
        who: word(who),
        action: word(action),
        from: moment("from", from, false)?,
        to: moment("to", to, true)?,
        ..AuditQuery::default()
    })
}

/// A moment; of a day its beginning, or its end.
fn at(text: &str, ends: bool, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    // A day and nothing behind it.
    let day: Date = text.parse().ok().filter(|_| text.len() == 10)?;
    let day = if ends { day.checked_add(1.day()).ok()? } else { day };
    Some(day.to_zoned(zone.clone()).ok()?.timestamp())
}

pub(super) async fn list(
    State(api): Api,
    Query(which): Query<Which>,
) -> Result<Json<Vec<AuditEntry>>, Problem> {
    let query = which.query(&api.settings.zone)?;
    Ok(Json(api.engine.catalog().audit(&query).await?))
}

pub(super) async fn csv(State(api): Api, Query(which): Query<Which>) -> Result<Response, Problem> {
    let query = which.query(&api.settings.zone)?;
    Ok(as_csv(api.engine.catalog().clone(), query))
}

/// All entries that `query` finds, its offset and limit aside, as a table for spreadsheets.
pub(crate) fn as_csv(catalog: Catalog, query: AuditQuery) -> Response {
    let catalog = Arc::new(catalog);
    let first = AuditQuery { offset: 0, limit: AT_ONCE, after: None, ..query };
    let rows = futures::stream::try_unfold((Some(first), true), move |(query, is_first)| {
        let catalog = Arc::clone(&catalog);
        async move {
            let Some(query) = query else { return Ok(None) };
            let entries = catalog.audit(&query).await?;
            let mut text = String::new();
            if is_first {
                text.push_str("at,who,from,action,target,detail\r\n");
            }
            text.extend(entries.iter().map(row));
            let full = entries.len() as u64 == AT_ONCE;
            let last = entries.last().filter(|_| full).map(|last| (last.at, last.id));
            let next = last.map(|after| AuditQuery { after: Some(after), ..query });
            Ok::<_, catalog::CatalogError>(Some((text, (next, false))))
        }
    });
    let mut response = Body::from_stream(rows).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"audit.csv\""),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn row(entry: &AuditEntry) -> String {
    let at = entry.at.to_string();
    let cells = [&at, &entry.who, &entry.from, &entry.action, &entry.target, &entry.detail];
    cells.map(|text| cell(text)).join(",") + "\r\n"
}

/// A cell as RFC 4180 quotes it. An apostrophe before what would be a formula makes it text:
/// names are made up by others, and whoever opens the table is an administrator.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(FORMULAS) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_no_quote_ends_one() {
        for (text, written) in [
            ("ana", "\"ana\""),
            ("", "\"\""),
            ("a\"b,c\r\nd", "\"a\"\"b,c\r\nd\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("+2", "\"'+2\""),
            ("\t=1", "\"'\t=1\""),
        ] {
            assert_eq!(cell(text), written);
        }
    }

    #[test]
    fn a_day_is_whole() {
        let zone = TimeZone::get("Europe/Madrid").unwrap();
        let moment = |text: &str| text.parse::<Timestamp>().unwrap();
        let day = "2026-10-25";
        let query = query(["", " app ", day, day], &zone).unwrap();
        assert_eq!((query.who, query.action.as_deref()), (None, Some("app")));
        assert_eq!(query.from, Some(moment("2026-10-24T22:00:00Z")));
        // The clocks go back on that day.
        assert_eq!(query.to, Some(moment("2026-10-25T23:00:00Z")));
        assert_eq!(at("2026-10-25T01:00:00Z", true, &zone), Some(moment("2026-10-25T01:00:00Z")));
        assert!(super::query(["", "", "yesterday", ""], &zone).is_err());
    }
}
