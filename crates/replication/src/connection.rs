//! A connection in replication mode.

use std::{io, net::SocketAddr};

use postgres_protocol::message::{backend::Message, frontend};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::{
    Error, Host, Settings, Tls, auth,
    auth::Way,
    server_error::{Asked, ServerError},
    tls,
    wire::{Frame, Socket, Wire, within},
};

/// A connection with `replication=true`.
pub struct Connection {
    pub(crate) wire: Wire,
    pub(crate) role: String,
    pub(crate) server: String,
    /// As the server tells it: `15.14 (Debian 15.14-0+deb12u1)`.
    version: String,
    encrypted: bool,
}

impl Connection {
    /// Connects and logs in.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let doing = format!("connecting to {}", settings.host);
        within(&doing, settings.connect_timeout, Self::open_now(settings)).await
    }

    async fn open_now(settings: &Settings) -> Result<Self, Error> {
        let (socket, way) = reach(settings).await?;
        let server = settings.host.to_string();
        let encrypted = way.encrypted;
        let mut wire = Wire::new(socket, server.clone(), settings.answer_timeout);
        auth::authenticate(&mut wire, settings, way).await?;
        let version = String::new();
        let mut open = Self { wire, role: settings.role.clone(), server, version, encrypted };
        loop {
            match open.wire.next().await? {
                Frame::Message(Message::ReadyForQuery(_)) => return Ok(open),
                Frame::Message(Message::ParameterStatus(told)) => {
                    let (name, value) = (told.name(), told.value());
                    if let (Ok("server_version"), Ok(value)) = (name, value) {
                        value.clone_into(&mut open.version);
                    }
                }
                Frame::Message(Message::ErrorResponse(body)) => {
                    return Err(open.refused(Asked::Connect, "logging in", None, &body));
                }
                _ => {}
            }
        }
    }

    /// What the server says it is: `15.14 (Debian 15.14-0+deb12u1)`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The major version; 0 where the server does not tell.
    pub fn major(&self) -> u32 {
        let digits = self.version.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// Whether TLS is used.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Says good-bye, so that the server logs no broken connection.
    pub async fn close(mut self) {
        frontend::terminate(&mut self.wire.output);
        // It is left either way.
        let _ = self.wire.flush().await;
    }

    pub(crate) fn refused(
        &self,
        asked: Asked,
        doing: &str,
        slot: Option<&str>,
        body: &postgres_protocol::message::backend::ErrorResponseBody,
    ) -> Error {
        let doing = format!("{doing} at {}", self.server);
        Box::new(ServerError::read(asked, doing, &self.role, slot, body.fields())).into()
    }
}

/// Opens the socket, encrypted as the settings want it.
async fn reach(settings: &Settings) -> Result<(Box<dyn Socket>, Way), Error> {
    let failed =
        |error: io::Error| Error::network(format!("connecting to {}", settings.host), error);
    let plain = Way { encrypted: false, end_point: None };
    let (host, port) = match &settings.host {
        Host::Unix(folder, port) => {
            let path = folder.join(format!(".s.PGSQL.{port}"));
            let socket = UnixStream::connect(path).await.map_err(failed)?;
            return Ok((Box::new(socket), plain));
        }
        Host::Tcp(host, port) => (host.as_str(), *port),
    };
    let name = host.trim_matches(['[', ']']);
    let judged: Vec<SocketAddr> =
        settings.addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
    let connected = if judged.is_empty() {
        TcpStream::connect((name, port)).await
    } else {
        TcpStream::connect(judged.as_slice()).await
    };
    let mut socket = connected.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    if settings.tls == Tls::Disable {
        return Ok((Box::new(socket), plain));
    }
    let mut request = bytes::BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(failed)?;
    // One byte and no more: what comes after it belongs to TLS.
    match socket.read_u8().await.map_err(failed)? {
        b'S' => {
            let stream = tls::encrypt(socket, host, settings).await?;
            let way = Way { encrypted: true, end_point: tls::end_point(&stream) };
            Ok((Box::new(stream), way))
        }
        b'N' if settings.tls == Tls::Prefer => Ok((Box::new(socket), plain)),
        b'N' => Err(Error::Tls {
            server: settings.host.to_string(),
            how: "the server does not offer it; set ssl = on with a certificate there, or choose \
                  the mode prefer"
                .into(),
        }),
        other => Err(Error::protocol(format!("{other:#04x} is no answer to a request for TLS"))),
    }
}
