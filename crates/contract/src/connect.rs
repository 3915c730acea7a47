//! One connection for one request: resolved, judged, connected, and gone with its answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::{ContractError, NetPolicy};

/// Largest head of an answer, in bytes.
const MAX_HEAD: usize = 32 << 10;

/// An answer, and the connection it comes over: dropping it closes the connection.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Connection,
}

pub(crate) struct Connection(tokio::task::JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends `request` to the host of `url`. `connect_timeout` bounds the connection,
/// `answer_timeout` the wait for the head of the answer.
pub(crate) async fn send<B>(
    url: &Url,
    policy: &NetPolicy,
    request: Request<B>,
    connect_timeout: Duration,
    answer_timeout: Duration,
) -> Result<Answer, ContractError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream =
        within(connect_timeout, || format!("connecting to {url}"), dial(url, policy)).await?;
    let sent = async {
        if url.scheme() == "https" {
            exchange(url, TokioIo::new(encrypt(url, stream).await?), request).await
        } else {
            exchange(url, TokioIo::new(stream), request).await
        }
    };
    within(answer_timeout, || format!("waiting for {url} to answer"), sent).await
}

pub(crate) async fn within<T>(
    limit: Duration,
    what: impl FnOnce() -> String,
    work: impl Future<Output = Result<T, ContractError>>,
) -> Result<T, ContractError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(ContractError::Timeout { what: what(), limit_secs: limit.as_secs() }),
    }
}

fn unreachable(url: &Url, reason: impl std::fmt::Display) -> ContractError {
    ContractError::Unreachable { url: url.to_string(), reason: reason.to_string() }
}

async fn dial(url: &Url, policy: &NetPolicy) -> Result<TcpStream, ContractError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let found: Vec<_> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| unreachable(url, format!("the name `{host}` is not known: {error}")))?
        .collect();
    let mut failure = unreachable(url, format!("the name `{host}` has no address"));
    for address in found {
        if let Err(source) = policy.check_address(address.ip()) {
            failure = ContractError::Refused { url: url.to_string(), source };
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failure = unreachable(url, error),
        }
    }
    Err(failure)
}

async fn encrypt(
    url: &Url,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ContractError> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // A certificate of the system that cannot be read is not one we need.
        let _ = roots.add(certificate);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unreachable(url, error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|error| unreachable(url, error))?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| unreachable(url, error))
}

async fn exchange<S, B>(
    url: &Url,
    io: TokioIo<S>,
    request: Request<B>,
) -> Result<Answer, ContractError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(128 << 10)
        .max_headers(64)
        .handshake(io)
        .await
        .map_err(|error| unreachable(url, error))?;
    let connection = Connection(tokio::spawn(async move {
        // How the connection ends is told by the body, to whoever reads it.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await.map_err(|error| {
        if error.is_parse() {
            // It is there, and speaks something else; asking again changes nothing.
            ContractError::Protocol { url: url.to_string(), reason: chain(&error) }
        } else {
            unreachable(url, chain(&error))
        }
    })?;
    let head: usize =
        response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head > MAX_HEAD {
        return Err(ContractError::Protocol {
            url: url.to_string(),
            reason: format!("its headers take {head} bytes"),
        });
    }
    Ok(Answer { response, connection })
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error.to_string())
        .chain(causes.map(ToString::to_string))
        .collect::<Vec<_>>()
        .join(": ")
}
