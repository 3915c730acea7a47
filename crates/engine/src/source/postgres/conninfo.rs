//! Connection strings in which a name is only ever a name.

use std::{fmt::Write as _, net::IpAddr};

/// How a server is reached, without its password.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// A host's name, an address, or a socket's folder; `None` is the tools' own socket.
    pub(crate) host: Option<String>,
    /// Addresses to connect to instead of asking for the host's; empty where the tools ask.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) sslmode: Option<String>,
    pub(crate) sslrootcert: Option<String>,
    pub(crate) connect_timeout_secs: u64,
}

impl Server {
    /// For `--dbname=`. The tools take an argument with `=` in it for a whole connection string,
    /// and what stands inside quotes for a value.
    pub(crate) fn conninfo(&self, database: &str) -> String {
        let mut text = String::new();
        let mut add = |key: &str, value: &str| {
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            let _ = write!(text, "{key}='{value}' ");
        };
        add("dbname", database);
        if let Some(host) = &self.host {
            // One name for each address: certificates are held against it.
            let times = self.addresses.len().max(1);
            add("host", &vec![host.as_str(); times].join(","));
        }
        if !self.addresses.is_empty() {
            let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
            add("hostaddr", &addresses.join(","));
        }
        add("port", &self.port.to_string());
        add("user", &self.user);
        if let Some(mode) = &self.sslmode {
            add("sslmode", mode);
        }
        if let Some(file) = &self.sslrootcert {
            add("sslrootcert", file);
        }
        add("connect_timeout", &self.connect_timeout_secs.to_string());
        add("application_name", "backup-orchestrator");
        text.truncate(text.trim_end().len());
        text
    }

    /// For people.
    pub(crate) fn address(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}:{}", self.port),
            None => format!("socket:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        let mut server = Server {
            host: Some("db".to_owned()),
            addresses: Vec::new(),
            port: 5432,
            user: r"o'neil\".to_owned(),
            sslmode: None,
            sslrootcert: None,
            connect_timeout_secs: 10,
        };
        assert_eq!(
            server.conninfo("x' host='evil"),
            r"dbname='x\' host=\'evil' host='db' port='5432' user='o\'neil\\' connect_timeout='10' application_name='backup-orchestrator'"
        );
        server.addresses = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let text = server.conninfo("x");
        assert!(text.contains("host='db,db' hostaddr='10.0.0.1,fd00::1' port='5432'"), "{text}");
    }
}
