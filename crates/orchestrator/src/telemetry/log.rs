//! The server's own log, on standard error: as text for people, or as JSON for programs.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::{EnvFilter, FilterExt as _, LevelFilter, filter_fn},
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{JsonFields, Writer},
    },
    layer::SubscriberExt as _,
    registry::{LookupSpan, Scope},
    util::SubscriberInitExt as _,
};

use super::traces::Traces;
use crate::settings::{Environment, SettingError};

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl Format {
    pub(crate) fn read(environment: &Environment) -> Result<Self, SettingError> {
        let name = "LOG_FORMAT";
        match environment.get(name).map(|text| text.trim()).unwrap_or_default() {
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => {
                let problem = format!("`{}` is neither text nor json", other.escape_debug());
                Err(SettingError::new(name, problem))
            }
        }
    }
}

/// What is ours: its spans are traced, and its details may be logged.
const OURS: [&str; 7] =
    ["artifact", "backup_orchestrator", "catalog", "contract", "engine", "model", "store"];

fn is_ours(told: &Metadata<'_>) -> bool {
    OURS.contains(&told.target().split("::").next().unwrap_or_default())
}

/// Begins the log, and the traces where there is somebody to send them to. `RUST_LOG` chooses what
/// is logged, but of libraries only from INFO on: below it some write out credentials.
pub(crate) fn begin(format: Format, traces: Option<&Traces>) {
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Text => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_filter(safe())
            .boxed(),
        Format::Json => tracing_subscriber::fmt::layer()
            .event_format(Lines)
            .fmt_fields(JsonFields::new())
            .with_writer(std::io::stderr)
            .with_filter(safe())
            .boxed(),
    };
    let traced = traces.map(|traces| {
        let spans = filter_fn(|told| {
            told.is_span() && *told.level() <= tracing::Level::INFO && is_ours(told)
        });
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(spans)
    });
    tracing_subscriber::registry().with(layer).with(traced).init();
}

fn safe<S: Subscriber>() -> impl tracing_subscriber::layer::Filter<S> {
    let chosen =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let safe = filter_fn(|told| *told.level() <= tracing::Level::INFO || is_ours(told));
    chosen.and(safe)
}

/// An event as one JSON object: `at`, `level`, `target`, `message`, its own fields, and those of
/// the spans around it (`run`, `app`, `source`, …), all side by side.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>();
            if let Some(Ok(fields)) =
                fields.map(|fields| serde_json::from_str::<Map<String, Value>>(fields))
            {
                line.extend(fields);
            }
        }
        // For traces only.
        line.retain(|name, _| !name.starts_with("otel."));
        event.record(&mut Fields(&mut line));
        let told = event.metadata();
        line.insert("at".to_owned(), jiff::Timestamp::now().to_string().into());
        line.insert("level".to_owned(), told.level().as_str().to_lowercase().into());
        line.insert("target".to_owned(), told.target().into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_has_the_fields_of_its_spans_and_nothing_forges_another() {
        let kept = Kept::default();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Lines)
            .fmt_fields(JsonFields::new())
            .with_writer(kept.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let run = tracing::info_span!(
                "run",
                run = "01x",
                app = "shop",
                outcome = tracing::field::Empty
            );
            let _in_run = run.enter();
            run.record("outcome", "failed");
            let _in_source = tracing::info_span!("source", source = %"db").entered();
            tracing::warn!(bytes = 7, ok = false, level = "forged", "said \"x\"\n{{\"at\":0}}");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        for (name, value) in [
            ("run", Value::from("01x")),
            ("app", "shop".into()),
            ("outcome", "failed".into()),
            ("source", "db".into()),
            ("level", "warn".into()),
            ("bytes", 7.into()),
            ("ok", false.into()),
            ("message", "said \"x\"\n{\"at\":0}".into()),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert!(line["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }
}
