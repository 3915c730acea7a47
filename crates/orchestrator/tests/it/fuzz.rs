//! Requests made from the API's own description.

use std::fmt::Write as _;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use reqwest::header;
use serde_json::{Value, json};

use crate::{
    app::App,
    bad_input::{furnished, sends},
    openapi::description,
};

/// Values that fit a schema, or do not.
struct Maker<'a> {
    document: &'a Value,
    rng: StdRng,
}

impl Maker<'_> {
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if self.rng.random_ratio(1, 8) || depth > 6 {
            return self.wrong();
        }
        if let Some(path) = schema["$ref"].as_str() {
            let target = self.document.pointer(path.trim_start_matches('#')).unwrap();
            return self.value(target, depth + 1);
        }
        if let Some(each) = schema["oneOf"].as_array() {
            let one = each.choose(&mut self.rng).unwrap();
            return self.value(one, depth + 1);
        }
        if let Some(words) = schema["enum"].as_array() {
            return words.choose(&mut self.rng).unwrap().clone();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.choose(&mut self.rng).unwrap().clone(),
            kind => kind.clone(),
        };
        match kind.as_str() {
            Some("object") => self.object(schema, depth),
            Some("array") => {
                let length = self.rng.random_range(0..4);
                (0..length).map(|_| self.value(&schema["items"], depth + 1)).collect()
            }
            Some("integer") => {
                let edges = [-1, 0, 1, 7, 59, 60, 86_400, i64::from(i32::MAX), i64::MAX, i64::MIN];
                edges.choose(&mut self.rng).copied().into()
            }
            Some("boolean") => self.rng.random_bool(0.5).into(),
            Some("string") => self.text().into(),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut made = json!({});
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            if self.rng.random_ratio(3, 4) {
                made[name] = self.value(member, depth + 1);
            }
        }
        if schema["additionalProperties"].is_object() {
            let name = self.text();
            made[name] = self.value(&schema["additionalProperties"], depth + 1);
        }
        if self.rng.random_ratio(1, 16) {
            made[self.text()] = self.wrong();
        }
        made
    }

    fn text(&mut self) -> String {
        let long = "x".repeat(5_000);
        let texts = [
            "",
            "shop",
            "disk",
            "local",
            "s3",
            "rclone",
            "path",
            "bucket",
            "daily",
            "* * * * *",
            "@every 4h",
            "Europe/Madrid",
            "30d",
            "http://127.0.0.1:9",
            "admin",
            "1",
            "-1",
            "\0",
            "\u{feff}",
            "--help",
            "../..",
            "{app}{run}",
            "{",
            "2026-01-01T00:00:00Z",
            "+999999-01-01T00:00:00Z",
            "ﷺ",
            "🦀",
            "%s%n",
            "' OR 1=1 --",
            "correct horse battery",
            "token-of-sixteen",
            "/dev/null",
            long.as_str(),
        ];
        (*texts.choose(&mut self.rng).unwrap()).to_owned()
    }

    fn wrong(&mut self) -> Value {
        let values = [
            Value::Null,
            json!(1.5),
            json!(u64::MAX),
            json!(-1e300),
            json!([]),
            json!([[{}]]),
            json!({}),
            json!({ "": null }),
            json!("\u{0}"),
            json!(true),
        ];
        values.choose(&mut self.rng).unwrap().clone()
    }

    /// The path with its braces filled, and some of what may be asked.
    fn path(&mut self, path: &str, one: &Value) -> String {
        let known =
            ["shop", "disk", "admin", "01jd5k3m9x0000000000000000", "%00", "-", "%F0%9F%A6"];
        let mut filled: Vec<_> = path
            .trim_start_matches("/api/v1/")
            .split('/')
            .map(|part| {
                let known = known.choose(&mut self.rng).unwrap();
                if part.starts_with('{') { (*known).to_owned() } else { part.to_owned() }
            })
            .collect();
        let last = filled.last_mut().unwrap();
        let mut before = '?';
        for parameter in one["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "query" && self.rng.random_bool(0.5) {
                let values = ["0", "1", "500", "1000000000", "-1", "x", "", "shop", "%00", "%ff"];
                let name = parameter["name"].as_str().unwrap();
                let _ = write!(last, "{before}{name}={}", values.choose(&mut self.rng).unwrap());
                before = '&';
            }
        }
        filled.join("/")
    }
}

/// In the spirit of schemathesis: each operation of the description with bodies made from its
/// schema, right and wrong, always the same ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_made_from_the_description_breaks_the_server() {
    let app = App::serve(1_000).await;
    let server = furnished(&app).await;
    let document = description(&server).await;
    let mut maker = Maker { document: &document, rng: StdRng::seed_from_u64(20_261_121) };
    let (mut sent, mut accepted, mut wrong) = (0, 0, Vec::new());
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for (verb, one) in verbs.as_object().unwrap() {
            let schema = &one["requestBody"]["content"]["application/json"]["schema"];
            for _ in 0..if schema.is_null() { 4 } else { 24 } {
                let filled = maker.path(path, one);
                let body = if schema.is_null() {
                    String::new()
                } else {
                    maker.value(schema, 0).to_string()
                };
                let reply = sends(&server, &verb.to_uppercase(), &filled, body.clone()).await;
                let status = reply.status().as_u16();
                sent += 1;
                accepted += usize::from(status < 300);
                let told = &one["responses"][status.to_string()];
                let problem = reply.headers().get(header::CONTENT_TYPE);
                let is_problem = problem.is_some_and(|it| it == "application/problem+json");
                if told.is_null() || (status >= 400 && !is_problem) || status >= 500 {
                    let said = reply.text().await.unwrap();
                    wrong.push(format!("{verb} {filled} {body:.300}: {status} {said:.300}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(sent > 300 && accepted > 20, "{sent} sent, {accepted} accepted");
    assert!(!server.place.log().contains("panicked"), "{}", server.place.log());
    assert_eq!(server.get("apps", &server.local()).await, 200);
}
