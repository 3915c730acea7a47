//! An app that keeps to the whole contract, or to all of it but one thing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    good::{self, artifact},
    server::{Asked, Server, Step, TOKEN},
};

const SIZE: usize = 120_000;

/// The one thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    HealthWantsToken,
    OldHttp,
    NoTokenNeeded,
    TalkativeRefusal,
    PrefixOfToken,
    OtherVersion,
    NoEstimates,
    NegativeEstimate,
    CapabilitiesAsText,
    PageForUnknown,
    OkForUnknown,
    GetExports,
    AnythingIsAnExport,
    RefusalWithoutDocument,
    WrongChecksum,
    NoFinalChunk,
    EmptyArtifact,
    NoFileName,
    EvilFileName,
    NoTrailerHeader,
    StreamingUnsaid,
    StrictMembers,
    SpoolCorrupt,
    AsyncUnserved,
    ForeignJob,
    RunIdForgotten,
    ProgressTwo,
    OtherJob,
    JobFails,
    JobNeverEnds,
    DownloadCorrupt,
    DownloadTrailers,
    RangeIgnored,
    RangeWrong,
    CancelIgnored,
    CancelRefused,
    SecondFails,
    NeverFree,
    EchoesToken,
    ImportWithoutToken,
    ImportUnproven,
    ImportOfAnySize,
    ImportUnserved,
    NoRestore,
}

struct App {
    defect: Defect,
    /// Held by the export that is under way.
    turn: Arc<()>,
    /// Exports without wishes that were begun.
    plain: usize,
    /// States of jobs, and the run that each belongs to.
    jobs: BTreeMap<String, (&'static str, Value)>,
}

/// Starts the app.
pub(crate) async fn start(defect: Defect) -> Server {
    let app = Mutex::new(App { defect, turn: Arc::new(()), plain: 0, jobs: BTreeMap::new() });
    Server::start(move |asked| app.lock().unwrap().answer(asked)).await
}

fn send(bytes: Vec<u8>) -> Vec<Step> {
    vec![Step::Send(bytes)]
}

fn not_found() -> Vec<Step> {
    send(good::problem("404 Not Found", "there is nothing here"))
}

impl App {
    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    fn may(&self, asked: &Asked) -> bool {
        let given = asked.header("authorization").unwrap_or_default();
        let whole = format!("Bearer {TOKEN}");
        given == whole
            || self.has(Defect::NoTokenNeeded)
            || (self.has(Defect::PrefixOfToken) && given.starts_with(&whole))
    }

    fn answer(&mut self, asked: &Asked) -> Vec<Step> {
        if asked.path == "/healthz" {
            let known = self.may(asked) || !self.has(Defect::HealthWantsToken);
            let reply = good::empty(if known { "200 OK" } else { "401 Unauthorized" });
            let text = String::from_utf8(reply).unwrap();
            let old = self.has(Defect::OldHttp);
            return send(
                if old { text.replace("HTTP/1.1", "HTTP/1.0") } else { text }.into_bytes(),
            );
        }
        let open = self.has(Defect::ImportWithoutToken) && asked.path == "/backup/import";
        if !self.may(asked) && !open {
            return send(if self.has(Defect::TalkativeRefusal) {
                good::json("401 Unauthorized", &json!({ "version": "v1" }))
            } else {
                good::empty("401 Unauthorized")
            });
        }
        match asked.line().as_str() {
            "GET /backup/capabilities" => send(self.capabilities()),
            "POST /backup/export" => self.export(asked),
            "POST /backup/import" if !self.has(Defect::ImportUnserved) => send(self.import(asked)),
            "GET /backup/export" if self.has(Defect::GetExports) => {
                send(good::spooled(&artifact(SIZE)))
            }
            "GET /backup/export" => send(good::problem("405 Method Not Allowed", "POST it")),
            line if line.contains(" /backup/jobs/") => self.job(asked),
            _ if self.has(Defect::PageForUnknown) => {
                send(good::with_body("404 Not Found", "text/html", "<html>404</html>"))
            }
            _ if self.has(Defect::OkForUnknown) => send(good::empty("200 OK")),
            _ => not_found(),
        }
    }

    fn capabilities(&self) -> Vec<u8> {
        let mut found = json!({
            "version": "v1", "types": ["db"], "est_seconds": 1, "est_size": SIZE,
            "restore": true, "async": true, "streaming": true, "max_concurrent": 1, "later": { "x": 1 },
        });
        match self.defect {
            Defect::OtherVersion => found["version"] = json!("v2"),
            Defect::NoEstimates => found["est_size"] = Value::Null,
            Defect::NegativeEstimate => found["est_size"] = json!(-1),
            Defect::NoRestore => found["restore"] = json!(false),
            Defect::StreamingUnsaid => found["streaming"] = json!(false),
            _ => {}
        }
        let media =
            if self.has(Defect::CapabilitiesAsText) { "text/plain" } else { "application/json" };
        good::with_body("200 OK", media, &found.to_string())
    }

    fn import(&self, asked: &Asked) -> Vec<u8> {
        let size = asked.body.len().to_string();
        let is_of_size = asked.header("x-size").as_ref() == Some(&size);
        let checksum = Some(good::sha256(&asked.body));
        let is_proven = asked.header("x-checksum-sha256") == checksum
            && (is_of_size || self.has(Defect::ImportOfAnySize));
        if is_proven || self.has(Defect::ImportUnproven) {
            return good::json("200 OK", &json!({ "message": "restored" }));
        }
        good::problem("422 Unprocessable Content", "it is not what its headers tell")
    }

    fn export(&mut self, asked: &Asked) -> Vec<Step> {
        let body = if asked.body.is_empty() { b"{}" } else { asked.body.as_slice() };
        let request: Value = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(_) if self.has(Defect::AnythingIsAnExport) => json!({}),
            Err(_) if self.has(Defect::RefusalWithoutDocument) => {
                return send(good::empty("422 Unprocessable Content"));
            }
            Err(_) => return send(good::problem("422 Unprocessable Content", "it is no JSON")),
        };
        if self.has(Defect::EchoesToken) {
            let detail = format!("{}", String::from_utf8_lossy(&asked.raw));
            return send(good::problem("500 Internal Server Error", &detail));
        }
        if self.has(Defect::StrictMembers) && request.get("x_unknown").is_some() {
            return send(good::problem("422 Unprocessable Content", "what is x_unknown?"));
        }
        if request["prefer"] == "async" && !self.has(Defect::AsyncUnserved) {
            return send(self.begin(&request));
        }
        let busy = Arc::strong_count(&self.turn) > 1;
        if busy {
            return send(if self.has(Defect::SecondFails) {
                good::problem("500 Internal Server Error", "locked")
            } else {
                good::problem("409 Conflict", "another export is under way")
            });
        }
        let turn = Step::Hold(Arc::clone(&self.turn));
        let reply = self.artifact(&request);
        let middle = reply.len() / 2;
        // Long enough that the second comes meanwhile, where that is what is tried.
        let pause = Duration::from_millis(if self.has(Defect::SecondFails) { 1_500 } else { 300 });
        let mut steps = vec![
            Step::Send(reply[..middle].to_vec()),
            Step::Pause(pause),
            Step::Send(reply[middle..].to_vec()),
            turn,
        ];
        if asked_plainly(&request) {
            self.plain += 1;
        }
        // The first plain export is read whole, the second is held open, the third is cut.
        if self.has(Defect::NeverFree) && self.plain == 3 {
            steps = vec![Step::Send(reply[..middle].to_vec()), Step::Hang, steps.pop().unwrap()];
        }
        steps
    }

    fn artifact(&self, request: &Value) -> Vec<u8> {
        let bytes = artifact(SIZE);
        if request["prefer"] == "spool" {
            let mut reply = good::spooled(&bytes);
            if self.has(Defect::SpoolCorrupt) {
                *reply.last_mut().unwrap() ^= 1;
            }
            return reply;
        }
        let plain = asked_plainly(request);
        let head = String::from_utf8(good::streamed_head()).unwrap();
        let head = match self.defect {
            Defect::NoFileName => head.replace("Content-Disposition", "X-Disposition"),
            Defect::EvilFileName => head.replace("shop.dump", "../../etc/cron.d/shop"),
            Defect::NoTrailerHeader => head.replace("Trailer:", "X-Trailer:"),
            _ => head,
        };
        let mut body = good::chunks(&bytes, 10_000);
        let mut sum = good::sha256(&bytes);
        let mut size = SIZE;
        match self.defect {
            Defect::WrongChecksum if plain => sum = good::sha256(b"other"),
            Defect::EmptyArtifact if plain => {
                (body, sum, size) = (Vec::new(), good::sha256(b""), 0);
            }
            _ => {}
        }
        let end = if self.has(Defect::NoFinalChunk) && plain {
            Vec::new()
        } else {
            good::end(size, &sum)
        };
        [head.into_bytes(), body, end].concat()
    }

    fn begin(&mut self, request: &Value) -> Vec<u8> {
        let run = request["run_id"].clone();
        let known = self.jobs.iter().find(|(_, (_, of))| *of == run && !run.is_null());
        let id = match known {
            Some((id, _)) if !self.has(Defect::RunIdForgotten) => id.clone(),
            _ => (self.jobs.len() + 1).to_string(),
        };
        self.jobs.entry(id.clone()).or_insert(("queued", run));
        let origin = if self.has(Defect::ForeignJob) { "http://169.254.169.254" } else { "" };
        good::json(
            "202 Accepted",
            &json!({
                "job_id": id,
                "status_url": format!("{origin}/backup/jobs/{id}"),
                "download": format!("/backup/jobs/{id}/artifact"),
            }),
        )
    }

    fn job(&mut self, asked: &Asked) -> Vec<Step> {
        let id = asked.path.split('/').nth(3).unwrap_or_default().to_owned();
        let defect = self.defect;
        let Some((state, _)) = self.jobs.get_mut(&id) else { return not_found() };
        if asked.path.ends_with("/artifact") {
            return send(download(defect, asked));
        }
        if asked.method == "DELETE" {
            match defect {
                Defect::CancelRefused => {
                    return send(good::problem("405 Method Not Allowed", "never"));
                }
                Defect::CancelIgnored => {}
                _ => {
                    self.jobs.remove(&id);
                }
            }
            return send(good::empty("204 No Content"));
        }
        let next = match *state {
            "queued" => "running",
            "running" if defect == Defect::JobFails => "failed",
            "running" if defect == Defect::JobNeverEnds => "running",
            // The job of the check that cancels stays at work until it is cancelled.
            "running" if defect == Defect::CancelIgnored && id != "1" => "running",
            _ => "succeeded",
        };
        *state = next;
        let progress = if defect == Defect::ProgressTwo { 2.0 } else { 0.5 };
        let told = if defect == Defect::OtherJob { "other" } else { id.as_str() };
        let status = json!({ "job_id": told, "state": next, "progress": progress, "later": 1 });
        send(good::json("200 OK", &status))
    }
}

fn asked_plainly(request: &Value) -> bool {
    request.as_object().is_none_or(serde_json::Map::is_empty)
}

fn download(defect: Defect, asked: &Asked) -> Vec<u8> {
    let bytes = artifact(SIZE);
    let range = asked.header("range").and_then(|range| {
        range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().ok()
    });
    match (range, defect) {
        (Some(from), Defect::RangeWrong) => {
            let mut reply = good::part(&bytes, from);
            *reply.last_mut().unwrap() ^= 1;
            reply
        }
        (None, _) | (_, Defect::RangeIgnored) => {
            let mut reply = if defect == Defect::DownloadTrailers {
                good::streamed(&bytes, 10_000)
            } else {
                good::spooled(&bytes)
            };
            if defect == Defect::DownloadCorrupt {
                *reply.last_mut().unwrap() ^= 1;
            }
            reply
        }
        (Some(from), _) => good::part(&bytes, from),
    }
}
