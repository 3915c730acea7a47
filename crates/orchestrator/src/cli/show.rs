//! Answers for people and for programs.

use std::{
    io::{ErrorKind, IsTerminal as _, Write as _},
    sync::Mutex,
};

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use crate::{legible, settings::Environment, web::Lang};

pub(super) const LANG: Lang = Lang::En;
/// The exit code that a shell gives for a command which SIGPIPE ended: 128 + 13.
const UNREAD: i32 = 141;

/// How a command tells what it found.
pub(super) struct Out {
    pub(super) json: bool,
    colour: bool,
    zone: TimeZone,
    goes_on: Mutex<Option<String>>,
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of a list.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// One JSON document.
pub(super) fn one(value: &Value) {
    line(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// One line on standard output.
pub(super) fn line(text: &str) {
    raw(format!("{text}\n").as_bytes());
}

/// Bytes on standard output. Where nobody reads any more (`| head`) the program ends without a word,
/// as one does that has no say in it.
pub(super) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(UNREAD);
    }
    aside(&format!("standard output takes no more: {error}"));
    std::process::exit(1);
}

/// One line on standard error; where nobody reads that either, there is nobody to tell.
pub(super) fn aside(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Text from elsewhere, without what would steer a terminal or turn what is read.
pub(super) fn safe(text: &str) -> String {
    text.replace(|c: char| c.is_control() || legible::turns(c), "\u{fffd}")
}

impl Out {
    pub(super) fn new(json: bool, environment: &Environment) -> Self {
        let plain = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            colour: std::io::stdout().is_terminal() && !plain,
            zone: TimeZone::system(),
            goes_on: Mutex::default(),
        }
    }

    /// What to say about work that outlives this command when it is interrupted.
    pub(super) fn goes_on(&self, note: Option<String>) {
        if let Ok(mut kept) = self.goes_on.lock() {
            *kept = note;
        }
    }

    pub(super) fn note(&self) -> Option<String> {
        self.goes_on.lock().ok()?.take()
    }

    /// The document for programs, or `tell` for people.
    pub(super) fn answer(&self, value: &Value, tell: impl FnOnce()) {
        if self.json { one(value) } else { tell() }
    }

    /// The answer of a command that has nothing to show.
    pub(super) fn done(&self, told: &str) {
        self.answer(&json!({ "done": true }), || line(told));
    }

    /// A table, or the words that say why there is none.
    pub(super) fn table<const N: usize>(
        &self,
        header: [&str; N],
        rows: Vec<[Cell; N]>,
        empty: &str,
    ) {
        if rows.is_empty() {
            return line(empty);
        }
        let mut table = self.blank();
        table.set_header(header.map(|word| Cell::new(word.to_uppercase())));
        for row in rows {
            table.add_row(row);
        }
        line(&table.trim_fmt());
    }

    /// Names and values, one pair a line.
    pub(super) fn fields(&self, fields: Vec<(&str, Cell)>) {
        let mut table = self.blank();
        for (name, value) in fields {
            table.add_row([Cell::new(name), value]);
        }
        line(&table.trim_fmt());
    }

    fn blank(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if !self.colour && !std::io::stdout().is_terminal() {
            table.force_no_tty();
        }
        table
    }

    /// A state by symbol, word and colour.
    pub(super) fn state(&self, state: &str) -> Cell {
        let (symbol, colour) = mark(state);
        let cell = Cell::new(format!("{symbol} {}", state.replace('_', " ")));
        match colour {
            Some(colour) if self.colour => cell.fg(colour),
            _ => cell,
        }
    }

    /// A moment on the local clock, and how long ago or ahead it is.
    pub(super) fn when(&self, value: &Value) -> Cell {
        match text(value).parse::<Timestamp>() {
            Ok(at) => Cell::new(self.moment(at, &self.zone)),
            Err(_) => plain("–"),
        }
    }

    pub(super) fn moment(&self, at: Timestamp, zone: &TimeZone) -> String {
        let when = LANG.when(at, Timestamp::now(), zone);
        format!("{} ({})", when.absolute, when.relative)
    }

    /// The time of day of a log line.
    pub(super) fn clock(&self, value: &Value) -> String {
        match text(value).parse::<Timestamp>() {
            Ok(at) => at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string(),
            Err(_) => safe(text(value)),
        }
    }
}

/// The symbol that stands for a state.
pub(super) fn mark(state: &str) -> (&'static str, Option<Color>) {
    match state {
        "good" | "succeeded" | "ok" | "keep" => ("✓", Some(Color::Green)),
        "running" => ("▸", Some(Color::Blue)),
        "queued" => ("…", Some(Color::Blue)),
        "late" | "partial" | "partially_failed" | "warning" => ("!", Some(Color::Yellow)),
        "never_run" => ("○", Some(Color::Yellow)),
        "failed" | "damaged" | "missing" | "interrupted" => ("✕", Some(Color::Red)),
        _ => ("–", None),
    }
}

pub(super) fn plain(text: impl AsRef<str>) -> Cell {
    Cell::new(safe(text.as_ref()))
}

/// A value of any type in few words; nothing is a dash.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "–".to_owned(),
        Value::String(text) => safe(text),
        Value::Array(all) if all.is_empty() => "–".to_owned(),
        Value::Array(all) => all.iter().map(word).collect::<Vec<_>>().join(", "),
        Value::Object(all) if all.is_empty() => "–".to_owned(),
        Value::Object(all) => {
            let pairs: Vec<_> = all.iter().map(|(key, value)| (key, word(value))).collect();
            pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        }
        Value::Number(number) => number.to_string(),
    }
}

pub(super) fn cell(value: &Value) -> Cell {
    Cell::new(word(value))
}

pub(super) fn size(value: &Value) -> Cell {
    Cell::new(value.as_u64().map_or("–".to_owned(), |bytes| LANG.size(bytes)))
}

/// The time between two moments.
pub(super) fn length(from: &Value, to: &Value) -> Cell {
    let moment = |value: &Value| text(value).parse::<Timestamp>().ok();
    match (moment(from), moment(to)) {
        (Some(from), Some(to)) => Cell::new(LANG.measured(to.duration_since(from))),
        _ => plain("–"),
    }
}

/// A sentence of a report; older ones are text alone.
pub(super) fn sentence(value: &Value) -> &str {
    value.as_str().or_else(|| value["message"].as_str()).unwrap_or_default()
}

/// The code of a sentence, in brackets after it.
pub(super) fn code(value: &Value) -> String {
    value["code"].as_str().map(|code| format!(" [{code}]")).unwrap_or_default()
}
