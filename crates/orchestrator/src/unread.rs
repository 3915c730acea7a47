//! What a refused caller still sends.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header,
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use tokio::time::timeout;

/// How long is read on behind a refusal.
const LONGEST: Duration = Duration::from_secs(10);

/// Reads what was left of a refused request before it is answered.
///
/// Closing on somebody who still sends has him see a broken pipe instead of the answer (RFC 9112,
/// 9.6), so that `archive_command` could not tell a missing right from a broken network.
pub(crate) async fn read(request: Request, next: Next) -> Response {
    // Who asks first sends nothing before he is told to.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Shared(Arc::new(Mutex::new(body)));
    let rest = body.clone();
    let response = next.run(Request::from_parts(parts, Body::new(body))).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        // Whoever sends for longer sees the connection end: that, too, is no success.
        let _ended = timeout(LONGEST, rest.to_its_end()).await;
    }
    response
}

/// A body that stays when the one who was to read it lets go of it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn with<T>(&self, does: impl FnOnce(Pin<&mut Body>) -> T) -> T {
        does(Pin::new(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn to_its_end(&self) {
        let next = || poll_fn(|context| self.with(|body| body.poll_frame(context)));
        while let Some(Ok(_frame)) = next().await {}
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Poll::Ready(ready!(self.with(|body| body.poll_frame(context))))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}
