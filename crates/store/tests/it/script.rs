//! Faults between an S3 client and an S3 server, by a script.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, Uri, body::Incoming};
use s3s::{Body, service::S3Service};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Put,
    Begin,
    Part,
    Complete,
    Abort,
    Head,
    Get,
    Delete,
    List,
    Uploads,
}

/// How it goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Wrong {
    /// This status, with an error code in the body.
    Status(u16, &'static str),
    /// The connection is closed, and nothing was done.
    Closed,
    /// Everything is done, and the reply is lost.
    LostReply,
    /// No answer for this long.
    Silent(Duration),
    /// Nothing is done; 200 and this body.
    Answer(String),
    /// It is done, and the answer ends half-way.
    HalfAnswer,
}

#[derive(Debug, Default)]
struct Played {
    waiting: VecDeque<(Ask, Wrong)>,
    asked: Vec<(Ask, Instant)>,
    begun: Vec<(String, String)>,
    /// Largest part that came, in bytes.
    largest: u64,
}

/// What goes wrong next, and what was asked so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Arc<Mutex<Played>>);

#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the script breaks this connection")
    }
}

impl std::error::Error for Broken {}

fn ask(method: &Method, uri: &Uri) -> Ask {
    let has = |name: &str| {
        let query = uri.query().unwrap_or_default();
        query.split('&').any(|pair| pair.split('=').next() == Some(name))
    };
    match method.as_str() {
        "POST" if has("uploads") => Ask::Begin,
        "POST" if has("uploadId") => Ask::Complete,
        "PUT" if has("partNumber") => Ask::Part,
        "PUT" => Ask::Put,
        "HEAD" => Ask::Head,
        "DELETE" if has("uploadId") => Ask::Abort,
        "DELETE" | "POST" => Ask::Delete,
        _ if has("uploads") => Ask::Uploads,
        _ if has("list-type") => Ask::List,
        _ => Ask::Get,
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn parameter(uri: &Uri, name: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(one, _)| *one == name).map(|(_, value)| decoded(value)).unwrap_or_default()
}

pub(crate) fn xml_error(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code>\
         <Message>by the script</Message></Error>"
    )
}

impl Script {
    /// The next `ask` goes wrong.
    pub(crate) fn then(&self, ask: Ask, wrong: Wrong) -> &Self {
        self.0.lock().unwrap().waiting.push_back((ask, wrong));
        self
    }

    /// The next `times` `ask`s go wrong.
    pub(crate) fn repeat(&self, times: usize, ask: Ask, wrong: &Wrong) {
        for _ in 0..times {
            self.then(ask, wrong.clone());
        }
    }

    /// When `of` was asked so far.
    pub(crate) fn asked(&self, of: Ask) -> Vec<Instant> {
        let played = self.0.lock().unwrap();
        played.asked.iter().filter(|(ask, _)| *ask == of).map(|(_, at)| *at).collect()
    }

    /// Whether everything that was to go wrong did.
    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().unwrap().waiting.is_empty()
    }

    /// Keys and ids of the uploads that were begun and did not end.
    pub(crate) fn begun(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().begun.clone()
    }

    /// Size of the largest part so far, in bytes.
    pub(crate) fn largest_part(&self) -> u64 {
        self.0.lock().unwrap().largest
    }

    fn note(&self, ask: Ask, uri: &Uri, body: &[u8]) {
        let mut played = self.0.lock().unwrap();
        match ask {
            Ask::Begin => {
                let text = String::from_utf8_lossy(body);
                let id = text.split("<UploadId>").nth(1).and_then(|rest| rest.split('<').next());
                let key = decoded(uri.path().trim_start_matches("/bucket/"));
                played.begun.push((key, id.unwrap().to_owned()));
                played.begun.sort();
            }
            Ask::Complete | Ask::Abort => {
                let ended = parameter(uri, "uploadId");
                played.begun.retain(|(_, id)| *id != ended);
            }
            _ => {}
        }
    }

    /// A page of unfinished uploads, with one entry. The server itself knows no such list.
    fn uploads(&self, uri: &Uri) -> String {
        let prefix = parameter(uri, "prefix");
        let after = (parameter(uri, "key-marker"), parameter(uri, "upload-id-marker"));
        let rest: Vec<_> = self
            .begun()
            .into_iter()
            .filter(|one| one.0.starts_with(&prefix) && *one > after)
            .collect();
        let Some((key, id)) = rest.first() else {
            return "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>\
                    </ListMultipartUploadsResult>"
                .to_owned();
        };
        let key = key.replace('&', "&amp;");
        format!(
            "<?xml version=\"1.0\"?><ListMultipartUploadsResult><Bucket>bucket</Bucket>\
             <NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>\
             <MaxUploads>1</MaxUploads><IsTruncated>{}</IsTruncated><Upload><Key>{key}</Key>\
             <UploadId>{id}</UploadId><StorageClass>STANDARD</StorageClass>\
             <Initiated>{}</Initiated></Upload></ListMultipartUploadsResult>",
            rest.len() > 1,
            jiff::Timestamp::now()
        )
    }

    /// Nothing more goes wrong.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().waiting.clear();
    }

    /// Takes note of `ask`, and gives how it goes wrong.
    pub(crate) fn next(&self, ask: Ask) -> Option<Wrong> {
        let mut played = self.0.lock().unwrap();
        played.asked.push((ask, Instant::now()));
        let at = played.waiting.iter().position(|(one, _)| *one == ask)?;
        played.waiting.remove(at).map(|(_, wrong)| wrong)
    }

    pub(crate) async fn play(
        self,
        service: S3Service,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Broken> {
        let ask = ask(request.method(), request.uri());
        let (parts, body) = request.into_parts();
        // A server that answers early may still take the whole body; so does this one.
        let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
        if ask == Ask::Part {
            let mut played = self.0.lock().unwrap();
            played.largest = played.largest.max(body.len() as u64);
        }
        let wrong = self.next(ask);
        match &wrong {
            Some(Wrong::Closed) => return Err(Broken),
            Some(Wrong::Status(status, code)) => {
                let answer = Response::builder().status(*status).header("retry-after", "1");
                let body = Body::from(Bytes::from(xml_error(code)));
                return answer.body(body).map_err(|_| Broken);
            }
            Some(Wrong::Answer(body)) => {
                return Ok(Response::new(Body::from(Bytes::from(body.clone()))));
            }
            Some(Wrong::Silent(time)) => tokio::time::sleep(*time).await,
            _ => {}
        }
        let uri = parts.uri.clone();
        let request = Request::from_parts(parts, Body::from(body));
        let answer = service.call(request).await.map_err(|_| Broken)?;
        let (mut head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
        if ask == Ask::Uploads && head.status == 501 {
            return Ok(Response::new(Body::from(Bytes::from(self.uploads(&uri)))));
        }
        if head.status.is_success() {
            self.note(ask, &uri, &body);
        }
        match wrong {
            Some(Wrong::LostReply) => Err(Broken),
            Some(Wrong::HalfAnswer) => {
                head.headers.remove(hyper::header::CONTENT_LENGTH);
                let half = body.slice(..body.len() / 2);
                Ok(Response::from_parts(head, Body::from(half)))
            }
            _ => Ok(Response::from_parts(head, Body::from(body))),
        }
    }
}
