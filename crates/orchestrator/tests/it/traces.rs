//! Spans as a collector receives them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{ResourceSpans, Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use reqwest::Method;
use serde_json::json;

use crate::{
    app::{App, TOKEN},
    road::{ended, ran},
    server::{As, PASSWORD, Place, Server},
};

/// Something that only the collector may know.
const KEY: &str = "key of the collector";

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    sent: Arc<Mutex<Vec<ResourceSpans>>>,
    raw: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    async fn serve() -> (Self, String) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, address)
    }

    fn spans(&self) -> Vec<Span> {
        let sent = self.sent.lock().unwrap();
        let scopes = sent.iter().flat_map(|one| &one.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    async fn until(&self, fits: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let spans = self.spans();
            if fits(&spans) {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            assert!(Instant::now() < end, "{names:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["x-key"], KEY);
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    collector.raw.lock().unwrap().extend_from_slice(&body);
    collector.sent.lock().unwrap().extend(request.resource_spans);
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

async fn furnished(collector: &str) -> (Server, App) {
    let app = App::serve(50_000).await;
    let server = Place::new(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=key%20of%20the%20collector"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("APP_ADMIN_PASS", PASSWORD),
    ])
    .serve()
    .await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    for (name, url) in [("shop", app.url()), ("broken", "http://127.0.0.1:1".to_owned())] {
        let draft = json!({
            "name": name, "url": url, "token": TOKEN, "limits": { "retries": 0 },
            "destinations": [{ "destination": "disk" }],
        });
        server.done("POST", "apps", draft).await;
    }
    (server, app)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_stages_sources_and_requests_are_traced() {
    let (collector, address) = Collector::serve().await;
    let (server, _app) = furnished(&address).await;
    let run = ran(&server, "shop").await;
    let failed = server.done("POST", "apps/broken/run", json!({})).await;
    ended(&server, failed["id"].as_str().unwrap()).await;
    let by = |span: &Span, run: &serde_json::Value| {
        span.name == "run" && attribute(span, "run").as_deref() == run["id"].as_str()
    };
    let spans = collector
        .until(|spans| [&run, &failed].iter().all(|run| spans.iter().any(|span| by(span, run))))
        .await;

    let whole = spans.iter().find(|span| by(span, &run)).unwrap();
    for (name, value) in [("app", "shop"), ("kind", "backup"), ("outcome", "succeeded")] {
        assert_eq!(attribute(whole, name).as_deref(), Some(value), "{whole:?}");
    }
    assert!(whole.end_time_unix_nano > whole.start_time_unix_nano);
    assert!(whole.parent_span_id.is_empty(), "a run is the root of its trace");
    let own: Vec<Span> =
        spans.iter().filter(|span| span.trace_id == whole.trace_id).cloned().collect();
    let source = named(&own, "source");
    assert_eq!(source.len(), 1, "{own:?}");
    assert_eq!(attribute(source[0], "source").as_deref(), Some("shop"));
    assert_eq!(source[0].parent_span_id, whole.span_id);
    let stages = named(&own, "stage");
    let words: Vec<_> = stages.iter().filter_map(|span| attribute(span, "stage")).collect();
    for word in ["export", "store", "check", "commit"] {
        assert!(words.iter().any(|one| one == word), "{words:?}");
    }
    for stage in stages {
        let inside = attribute(stage, "stage").as_deref() != Some("commit");
        let parent = if inside { &source[0].span_id } else { &whole.span_id };
        assert_eq!(&stage.parent_span_id, parent, "{stage:?}");
    }
    let broken = spans.iter().find(|span| by(span, &failed)).unwrap();
    assert_eq!(attribute(broken, "outcome").as_deref(), Some("failed"));
    assert!(attribute(broken, "failure").is_some(), "{broken:?}");
    assert_eq!(broken.status.as_ref().unwrap().code, StatusCode::Error as i32);

    // Who is known may say where a request belongs; a stranger may not.
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let asked = async |path: &str, by: &As| {
        let request = server.request(Method::GET, path, by);
        let told = format!("00-{trace}-{parent}-01");
        request.header("traceparent", told).send().await.unwrap().status()
    };
    assert_eq!(asked("/api/v1/apps/shop", &server.local()).await, 200);
    assert_eq!(asked("/api/v1/apps/nobody", &server.local()).await, 404);
    assert_eq!(asked("/api/v1/runs", &As::Nobody).await, 401);
    let spans = collector.until(|spans| !named(spans, "GET /api/v1/runs").is_empty()).await;
    let shown = named(&spans, "GET /api/v1/apps/{app}");
    let ours: Vec<_> = shown.iter().filter(|span| hex::encode(&span.trace_id) == trace).collect();
    assert_eq!(ours.len(), 2, "{shown:?}");
    for (span, status) in ours.iter().zip(["200", "404"]) {
        assert_eq!(hex::encode(&span.parent_span_id), parent);
        assert_eq!(span.kind, SpanKind::Server as i32);
        assert_eq!(attribute(span, "http.request.method").as_deref(), Some("GET"));
        assert_eq!(attribute(span, "http.route").as_deref(), Some("/api/v1/apps/{app}"));
        assert_eq!(attribute(span, "http.response.status_code").as_deref(), Some(status));
    }
    let stranger = named(&spans, "GET /api/v1/runs");
    assert!(stranger.iter().all(|span| hex::encode(&span.trace_id) != trace));

    server.login("admin", PASSWORD).await;
    let place = server.stop();
    // What was not sent yet is sent at the end.
    assert!(!named(&collector.spans(), "POST /api/v1/session").is_empty());
    let sent = collector.sent.lock().unwrap();
    let resource = &sent[0].resource.as_ref().unwrap().attributes;
    let told = |name: &str| {
        let found = resource.iter().find(|one| one.key == name).unwrap();
        match found.value.as_ref().unwrap().value.as_ref().unwrap() {
            Value::StringValue(text) => text.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told("service.name"), "backup-orchestrator");
    assert_eq!(told("deployment.environment.name"), "test");
    let raw = String::from_utf8_lossy(&collector.raw.lock().unwrap()).into_owned();
    let local = place.read("cli.token");
    for secret in [TOKEN, PASSWORD, local.trim(), KEY] {
        assert!(!raw.contains(secret), "a secret is in a span");
    }
    assert!(!place.log().contains(KEY));
}

#[tokio::test]
async fn a_collector_that_is_not_there_disturbs_nobody() {
    let (server, _app) = furnished("http://127.0.0.1:1").await;
    ran(&server, "shop").await;
    let end = Instant::now() + Duration::from_secs(20);
    while !server.place.log().contains("traces do not reach their collector") {
        assert!(Instant::now() < end, "{}", server.place.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let place = server.stop();
    let told = place.log().matches("traces do not reach").count();
    assert_eq!(told, 1, "{}", place.log());
    assert!(!place.log().contains(KEY));

    for (name, value) in
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
    {
        let place = Place::new(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]);
        let done = place.with(name, value).run(&["serve"]);
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        assert!(String::from_utf8_lossy(&done.stderr).contains(name), "{done:?}");
    }
}
