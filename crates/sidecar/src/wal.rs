//! `wal-push` and `wal-fetch`: what PostgreSQL's `archive_command` and `restore_command` call; and
//! `wal-receive`, which hands WAL over as the server writes it. They need no configuration file.

mod fetch;
mod push;
mod receive;
mod received;

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response, header};
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use receive::ReceiveArgs;

/// Exit code of `wal-push`: PostgreSQL keeps the file and offers it again. Above 125 it would end its
/// archiver.
pub(crate) const NOT_STORED: u8 = 1;
/// Exit code of `wal-receive`: what it was given cannot work.
const NOT_RECEIVED: u8 = 1;
/// Exit code of `wal-fetch`: the file is proven not to be there; replay takes it for the end of WAL.
pub(crate) const ABSENT: u8 = 1;
/// Exit code of `wal-fetch`: nobody knows. Above 125 PostgreSQL stops the recovery; with anything
/// less it would end early and call that a success.
pub(crate) const UNKNOWN: u8 = 200;

/// Longest way to the orchestrator.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence: it answers when what was pushed is durable at the destination.
const SILENCE: Duration = Duration::from_secs(300);
/// Longest refusal that is repeated, in characters.
const MAX_TOLD: usize = 400;

/// Where WAL goes to, and comes from.
#[derive(Args, Clone)]
pub(crate) struct Orchestrator {
    /// Address of the orchestrator.
    #[arg(long, value_name = "URL", env = "BACKUP_ORCHESTRATOR_URL", hide_env_values = true)]
    url: String,
    /// File with an API token: of the scope `append` to push, of `restore` to fetch.
    #[arg(long, value_name = "FILE", env = "BACKUP_ORCHESTRATOR_TOKEN_FILE")]
    token_file: PathBuf,
    /// The app whose server it is, as the orchestrator calls it.
    #[arg(long, value_name = "APP", env = "BACKUP_WAL_APP")]
    app: String,
}

/// `wal-push`: 0 only when the file is durable at the destination.
#[derive(Args)]
pub(crate) struct PushArgs {
    /// The file, PostgreSQL's `%p`.
    path: PathBuf,
    #[command(flatten)]
    to: Orchestrator,
}

/// `wal-fetch`: 1 only where the file is proven not to be there.
#[derive(Args)]
pub(crate) struct FetchArgs {
    /// The file that is wanted, PostgreSQL's `%f`.
    name: String,
    /// Where to put it, PostgreSQL's `%p`.
    path: PathBuf,
    #[command(flatten)]
    from: Orchestrator,
}

/// Receives without an end; gives the exit code.
pub(crate) async fn receive(given: ReceiveArgs) -> u8 {
    match receive::receive(given).await {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error:#}");
            NOT_RECEIVED
        }
    }
}

/// Hands a file over; gives the exit code.
pub(crate) async fn push(given: PushArgs) -> u8 {
    match tokio::spawn(async move { push::push(&given.to, &given.path).await }).await {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            eprintln!("{error:#}; PostgreSQL keeps the file and tries again");
            NOT_STORED
        }
        Err(_) => NOT_STORED,
    }
}

/// Gets a file; gives the exit code.
pub(crate) async fn fetch(given: FetchArgs) -> u8 {
    // In a task of its own: what went wrong inside must not end as the code for `absent`.
    let fetching = async move { fetch::fetch(&given.from, &given.name, &given.path).await };
    match tokio::spawn(fetching).await {
        Ok(Ok(true)) => 0,
        Ok(Ok(false)) => ABSENT,
        Ok(Err(error)) => {
            eprintln!("{error:#}; the recovery stops here rather than end too early");
            UNKNOWN
        }
        Err(_) => UNKNOWN,
    }
}

/// The name of a file of WAL: a segment, one that was never filled, a history, or what
/// `pg_backup_stop` leaves.
fn is_wal(name: &str) -> bool {
    let is_hex = |text: &str, length: usize| {
        text.len() == length
            && text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    };
    match name.split_once('.') {
        None => is_hex(name, 24),
        Some((timeline, "history")) => is_hex(timeline, 8),
        Some((segment, "partial")) => is_hex(segment, 24),
        Some((segment, rest)) => {
            let offset = rest.strip_suffix(".backup");
            is_hex(segment, 24) && offset.is_some_and(|offset| is_hex(offset, 8))
        }
    }
}

/// A connection to the orchestrator, for one file.
struct Client {
    http: reqwest::Client,
    url: String,
    token: SecretString,
}

impl Client {
    async fn new(to: &Orchestrator, name: &str) -> anyhow::Result<Self> {
        if !is_wal(name) {
            bail!(
                "`{name}` is no file of WAL: call this by `archive_command` or `restore_command`"
            );
        }
        let token = tokio::fs::read_to_string(&to.token_file).await;
        let token = token.with_context(|| format!("{}", to.token_file.display()))?;
        // Once for the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .context("no client for HTTP")?;
        let app = utf8_percent_encode(&to.app, NON_ALPHANUMERIC);
        let base = to.url.trim_end_matches('/');
        let token = SecretString::from(token.trim());
        Ok(Self { http, url: format!("{base}/api/v1/wal/{app}/{name}"), token })
    }

    fn request(&self, method: Method) -> RequestBuilder {
        let secret = format!("Bearer {}", self.token.expose_secret());
        self.http.request(method, &self.url).header(header::AUTHORIZATION, secret)
    }
}

/// What the orchestrator says of a request that it refused.
async fn refused(response: Response) -> anyhow::Error {
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    let problem: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it does not say why");
    let detail: String = detail.chars().filter(|c| !c.is_control()).take(MAX_TOLD).collect();
    anyhow::anyhow!("the orchestrator answers {status}: {detail}")
}

/// Runs `one` again where it says that this can help: `None` is such an answer.
async fn again<T, F>(pauses: &[Duration], mut one: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, Attempt>>,
{
    let mut pauses = pauses.iter();
    loop {
        match one().await {
            Ok(done) => return Ok(done),
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Passing(error)) => match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(error),
            },
        }
    }
}

/// Why an attempt failed.
enum Attempt {
    /// Trying again can help.
    Passing(anyhow::Error),
    /// It cannot.
    Final(anyhow::Error),
}

/// The name of the file at `path`.
fn name_of(path: &Path) -> anyhow::Result<&str> {
    path.file_name().and_then(|name| name.to_str()).context("the path ends in no name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_wal_are_sent() {
        for name in [
            "000000010000000A000000FF",
            "00000002.history",
            "000000010000000A000000FF.partial",
            "000000010000000A000000FF.00000028.backup",
        ] {
            assert!(is_wal(name), "{name}");
        }
        for name in [
            "",
            "..",
            "000000010000000A000000F",
            "000000010000000a000000ff",
            "000000010000000A000000FF.",
            "000000010000000A000000FF.backup",
            "1.history",
            "000000010000000A000000FF.history",
            "../000000010000000A000000FF",
            "pg_hba.conf",
        ] {
            assert!(!is_wal(name), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_passes_is_tried_again() {
        let tries = std::cell::Cell::new(0);
        let pauses = [Duration::from_secs(1); 2];
        let failing = |last: bool| {
            tries.set(tries.get() + 1);
            async move {
                let error = anyhow::anyhow!("no");
                Err::<(), _>(if last { Attempt::Final(error) } else { Attempt::Passing(error) })
            }
        };
        assert!(again(&pauses, || failing(false)).await.is_err());
        assert_eq!(tries.get(), 3);
        assert!(again(&pauses, || failing(true)).await.is_err());
        assert_eq!(tries.get(), 4);
    }
}
