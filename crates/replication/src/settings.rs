//! Where a server is, and how we make ourselves known.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name or an address, and a port.
    Tcp(String, u16),
    /// The folder of a socket, and the port in the socket's name.
    Unix(PathBuf, u16),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(folder, port) => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

/// Whether the way is encrypted, in libpq's words. Sockets of this machine never are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    Disable,
    /// Where the server offers it; whose certificate it is stays unknown.
    #[default]
    Prefer,
    /// Always. The certificate is judged only where a root certificate is given.
    Require,
    /// Always, by a certificate that the root signed, for whatever name.
    VerifyCa,
    /// Always, by a certificate for this very host.
    VerifyFull,
}

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub host: Host,
    /// Addresses to connect to, in this order, instead of asking for the host's.
    pub addresses: Vec<IpAddr>,
    /// The role; it needs the right `REPLICATION`.
    pub role: String,
    /// Its password.
    pub password: Option<SecretString>,
    /// Whether the way is encrypted.
    pub tls: Tls,
    /// Root certificates as PEM. Without them `VerifyFull` uses the system's.
    pub roots: Option<Vec<u8>>,
    /// What the server shows in `pg_stat_replication`.
    pub application_name: String,
    /// How long connecting may take, with TLS and the password.
    pub connect_timeout: Duration,
    /// How long an answer may take, and the next bytes of a stream that should not rest.
    pub answer_timeout: Duration,
}

impl Settings {
    /// Settings with what is usual.
    pub fn new(host: Host, role: impl Into<String>) -> Self {
        Self {
            host,
            addresses: Vec::new(),
            role: role.into(),
            password: None,
            tls: Tls::default(),
            roots: None,
            application_name: "backup-orchestrator".into(),
            connect_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(60),
        }
    }
}
