//! Traces over OTLP/HTTP, where `OTEL_EXPORTER_OTLP_ENDPOINT` says where to: a span for each run,
//! its stages and sources, and for each request. Names and outcomes are in them, nothing of what
//! is backed up and no secret.

use std::{
    collections::HashMap,
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use jiff::Timestamp;
use opentelemetry::{KeyValue, propagation::TextMapPropagator as _, trace::TracerProvider as _};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing::{Instrument as _, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    accounts::Caller,
    settings::{Environment, SettingError},
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const SERVICE: &str = "backup-orchestrator";
/// How long a collector has to take a batch, where nothing else is said.
const PATIENCE_MS: u64 = 10_000;
/// How often a collector that does not answer is told of, in seconds.
const TELL_EVERY: i64 = 300;

/// Where spans go.
#[derive(Debug, Clone)]
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// What the standard variables say; `None` where they name no collector. The rest of them
    /// (`OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`, `OTEL_RESOURCE_ATTRIBUTES`) is read by the library.
    pub(crate) fn read(environment: &Environment) -> Result<Option<Self>, SettingError> {
        let value = |name: &str| {
            environment.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
        };
        let is_off = value("OTEL_SDK_DISABLED")
            .is_some_and(|word| word.eq_ignore_ascii_case("true"))
            || value("OTEL_TRACES_EXPORTER") == Some("none");
        let endpoint = value(TRACES_ENDPOINT).map(str::to_owned).or_else(|| {
            value(ENDPOINT).map(|base| format!("{}/v1/traces", base.trim_end_matches('/')))
        });
        let Some(endpoint) = endpoint.filter(|_| !is_off) else { return Ok(None) };
        if value(PROTOCOL).is_some_and(|word| word != "http/protobuf") {
            let problem = "only http/protobuf is spoken here".to_owned();
            return Err(SettingError::new(PROTOCOL, problem));
        }
        // What is wrong with an address is told without it: it may hold a password.
        let wrong =
            || SettingError::new(ENDPOINT, "it is no address such as http://host:4318".into());
        let address: url::Url = endpoint.parse().map_err(|_| wrong())?;
        if !matches!(address.scheme(), "http" | "https") || !address.has_host() {
            return Err(wrong());
        }
        let patience = value("OTEL_EXPORTER_OTLP_TIMEOUT").and_then(|text| text.parse().ok());
        let patience = Duration::from_millis(patience.unwrap_or(PATIENCE_MS));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(patience).map_err(|_| wrong())?)
            .with_headers(value(HEADERS).map(headers).unwrap_or_default())
            .with_endpoint(endpoint)
            .build()
            .map_err(|_| wrong())?;
        let name = value("OTEL_SERVICE_NAME").unwrap_or(SERVICE).to_owned();
        let resource = Resource::builder()
            .with_service_name(name)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Some(Self(provider)))
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.0.tracer(SERVICE)
    }

    /// Sends what is still here.
    pub(crate) async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last spans did not reach the collector of traces");
        }
    }
}

/// `name=value` between commas, percent-encoded.
fn headers(text: &str) -> HashMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| {
            let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8_lossy();
            (name.trim().to_owned(), value.into_owned())
        })
        .collect()
}

/// Sends batches on the server's own threads: the library asks from one that has no runtime.
struct Sender {
    http: reqwest::Client,
    runtime: Handle,
    told_at: AtomicI64,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl Sender {
    fn new(patience: Duration) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(patience).build()?;
        Ok(Self { http, runtime: Handle::current(), told_at: AtomicI64::new(i64::MIN) })
    }

    /// Tells that spans are lost, now and then.
    fn tell(&self, why: &str) {
        let now = Timestamp::now().as_second();
        let before = self.told_at.load(Ordering::Relaxed);
        if now.saturating_sub(before) >= TELL_EVERY {
            self.told_at.store(now, Ordering::Relaxed);
            tracing::warn!("traces do not reach their collector: {why}; see {ENDPOINT}");
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(
        &self,
        request: axum::http::Request<Bytes>,
    ) -> Result<axum::http::Response<Bytes>, HttpError> {
        let request: reqwest::Request = request.try_into()?;
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let mut answer = http.execute(request).await?.error_for_status()?;
            let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        });
        match sent.await? {
            Ok((status, headers, body)) => {
                let mut response = axum::http::Response::builder().status(status).body(body)?;
                *response.headers_mut() = headers;
                Ok(response)
            }
            Err(error) => {
                let why = error.without_url().to_string();
                self.tell(&why);
                Err(why.into())
            }
        }
    }
}

/// A span around a request. Who is known may say which trace it belongs to (`traceparent`); of
/// strangers nobody takes orders.
pub(crate) async fn around(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let Some(route) = route.filter(|route| !route.starts_with("/static/")) else {
        return next.run(request).await;
    };
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = field::Empty,
        otel.status_code = field::Empty,
    );
    if request.extensions().get::<Caller>().is_some() {
        let told = HeaderExtractor(request.headers());
        // Where nothing is traced there is nothing to belong to.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&told));
    }
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Option<Traces>, SettingError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Traces::read(&pairs.collect())
    }

    #[tokio::test]
    async fn traces_are_off_unless_a_collector_is_named() {
        let to = (ENDPOINT, "http://127.0.0.1:4318");
        assert!(with(&[]).unwrap().is_none());
        assert!(with(&[(ENDPOINT, " ")]).unwrap().is_none());
        assert!(with(&[to, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap().is_none());
        assert!(with(&[to, ("OTEL_TRACES_EXPORTER", "none")]).unwrap().is_none());
        for wrong in [
            &[(ENDPOINT, "collector")][..],
            &[(ENDPOINT, "ftp://collector")],
            &[to, (PROTOCOL, "grpc")],
        ] {
            assert!(with(wrong).is_err(), "{wrong:?}");
        }
        let secret = with(&[(ENDPOINT, "ftp://me:hunter2@collector")]).unwrap_err();
        assert!(!secret.to_string().contains("hunter2"), "{secret}");
    }

    #[test]
    fn headers_are_read_as_the_standard_writes_them() {
        let all = headers("authorization=Bearer%20x, other = y ,rubbish");
        assert_eq!(all["authorization"], "Bearer x");
        assert_eq!((all["other"].as_str(), all.len()), ("y", 2));
    }
}
