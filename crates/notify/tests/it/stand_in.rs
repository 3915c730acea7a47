//! A server that keeps what it is asked and answers what it is told to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Response},
};
use serde_json::Value;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Default)]
struct Books {
    asked: Vec<Asked>,
    answers: VecDeque<(u16, &'static str, String)>,
}

#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) url: String,
    books: Arc<Mutex<Books>>,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let one = Self { url, books: Arc::default() };
        let app = Router::new().fallback(answer).with_state(one.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        one
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request is answered so; `header` is `Name: value` or nothing.
    pub(crate) fn will_answer(&self, status: u16, header: &'static str, body: impl ToString) {
        self.books().answers.push_back((status, header, body.to_string()));
    }

    /// Everything asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.books().asked.clone()
    }

    /// The only thing asked so far.
    pub(crate) fn once(&self) -> Asked {
        let [asked] = <[Asked; 1]>::try_from(self.asked()).expect("asked once");
        asked
    }
}

async fn answer(State(one): State<StandIn>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().unwrap().to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let mut books = one.books();
    books.asked.push(asked);
    let (status, header, body) = books.answers.pop_front().unwrap_or((200, "", String::new()));
    let mut response = Response::builder().status(status);
    if let Some((name, value)) = header.split_once(": ") {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}
