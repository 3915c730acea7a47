//! A run's log: searched, a page at a time, and as text to download.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use catalog::LogQuery;
use model::{LogLevel, LogLine, Run};
use serde::Deserialize;

use super::{Web, fault::Fault, pager::Pager, runs::id, visitor::Visitor};
use crate::api::runs::level;

/// Lines of the log on a page.
const LINES: u64 = 1_000;
/// A number that no line has: whoever has seen it is sent no line.
const BEYOND: i64 = i64::MAX;

/// What is looked for, as the form sends it.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    level: String,
    page: Option<usize>,
}

impl Asked {
    /// Of all that is looked for; a level that nobody knows is none.
    fn query(&self) -> LogQuery {
        LogQuery {
            level: level(&self.level).filter(|level| *level > LogLevel::Debug),
            search: self.q.trim().to_owned(),
            ..LogQuery::default()
        }
    }
}

/// A line as the page shows it.
pub(super) struct Line {
    pub(super) seq: i64,
    pub(super) time: String,
    pub(super) level: &'static str,
    pub(super) message: String,
}

impl Line {
    pub(super) fn new(line: &LogLine, visitor: &Visitor) -> Self {
        let time = line.at.to_zoned(visitor.zone.clone()).strftime("%H:%M:%S").to_string();
        Self { seq: line.seq, time, level: line.level.into(), message: line.message.clone() }
    }
}

#[derive(Template)]
#[template(path = "run_lines.html")]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
}

/// The part of the log that a page shows.
pub(super) struct LogView {
    pub(super) lines: Vec<Line>,
    pub(super) q: String,
    /// Levels to choose from: value, word, whether it is chosen.
    pub(super) levels: Vec<(&'static str, String, bool)>,
    pub(super) pager: Pager,
    pub(super) filtered: bool,
    /// New lines belong at its end.
    pub(super) tail: bool,
    /// The line after which new ones are sent.
    pub(super) last: i64,
    pub(super) download: String,
    pub(super) command: String,
}

impl LogView {
    pub(super) async fn of(
        web: &Web,
        visitor: &Visitor,
        run: &Run,
        asked: &Asked,
    ) -> Result<Self, Fault> {
        let catalog = web.engine.catalog();
        let query = asked.query();
        let filtered = query.is_filtered();
        let total = usize::try_from(catalog.log_count(run.id, &query).await?).unwrap_or(usize::MAX);
        let live = !run.state.is_terminal();
        // Whoever looks while it goes on wants its end.
        let page = asked.page.unwrap_or(if live && !filtered { usize::MAX } else { 0 });
        let level = query.level.map_or("", Into::into);
        let size = usize::try_from(LINES).unwrap_or(usize::MAX);
        let pager = Pager::new(page, size, total).keep("q", &query.search).keep("level", level);
        let start = pager.range().start as u64;
        let part = LogQuery { limit: LINES, ..query.clone() };
        let part = if filtered {
            LogQuery { offset: start, ..part }
        } else {
            // Numbered without gaps: no line before has to be passed over.
            LogQuery { after: i64::try_from(start).unwrap_or(BEYOND), ..part }
        };
        let lines = catalog.log_lines(run.id, &part).await?;
        let tail = live && !filtered && pager.after().is_none();
        let last = lines.last().map_or(0, |line| line.seq);
        let word = |value: &'static str| {
            let key = if value.is_empty() { "all" } else { value };
            (value, visitor.t(&format!("log-level-{key}")), value == level)
        };
        Ok(Self {
            lines: lines.iter().map(|line| Line::new(line, visitor)).collect(),
            levels: ["", "info", "warn", "error"].map(word).into(),
            pager,
            filtered,
            tail,
            last: if tail { last } else { BEYOND },
            download: download(run, &query.search, level),
            command: command(run, &query.search, level, live),
            q: query.search,
        })
    }
}

fn download(run: &Run, search: &str, level: &str) -> String {
    let mut kept = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("q", search), ("level", level)] {
        if !value.is_empty() {
            kept.append_pair(name, value);
        }
    }
    match kept.finish().as_str() {
        "" => format!("/runs/{}/log", run.id),
        kept => format!("/runs/{}/log?{kept}", run.id),
    }
}

/// The same on the command line.
fn command(run: &Run, search: &str, level: &str, live: bool) -> String {
    let mut command = format!("backup-orchestrator logs {}", run.id);
    if let Ok(quoted) = shlex::try_quote(search)
        && !search.is_empty()
    {
        command = format!("{command} --search {quoted}");
    }
    if !level.is_empty() {
        command = format!("{command} --level {level}");
    }
    if live { command + " --follow" } else { command }
}

/// The whole log as text, or what of it is looked for.
pub(super) async fn log(
    State(web): State<Web>,
    Path(text): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let run = web.engine.catalog().run(id(&text)?).await?.id;
    let engine = web.engine.clone();
    let query = LogQuery { limit: LINES, ..asked.query() };
    let lines = futures::stream::try_unfold(0, move |after| {
        let (engine, query) = (engine.clone(), LogQuery { after, ..query.clone() });
        async move {
            let lines = engine.catalog().log_lines(run, &query).await?;
            let Some(last) = lines.last().map(|line| line.seq) else { return Ok(None) };
            let text: Vec<_> = lines
                .iter()
                .map(|l| format!("{} {:5} {:7} {}\n", l.at, l.level, l.stage, l.message))
                .collect();
            Ok::<_, catalog::CatalogError>(Some((text.concat(), last)))
        }
    });
    let mut response = axum::body::Body::from_stream(lines).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let name = format!("attachment; filename=\"run-{run}.log\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}
