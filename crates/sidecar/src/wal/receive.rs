//! Receiving WAL from the server beside us, by a slot that keeps what is not stored.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use replication::{
    Connection, Error, Host, Problem, Receiver, ReceiverOptions, Settings, Standing, Tls,
};
use secrecy::SecretString;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use super::{Orchestrator, received};

/// First and longest pause after something failed.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// How often it is looked how much the server keeps for us.
const LOOK: Duration = Duration::from_secs(10);
/// How long a slot that is let go of may still be in use.
const BUSY: Duration = Duration::from_secs(10);
/// Servers before this do not tell where a slot stands.
const OLDEST: u32 = 15;

/// `wal-receive`: hands WAL over as the server writes it, instead of an `archive_command`.
#[derive(Args)]
pub(crate) struct ReceiveArgs {
    #[command(flatten)]
    to: Orchestrator,
    /// The server, or the folder of its socket.
    #[arg(long, env = "PGHOST", default_value = "/var/run/postgresql")]
    host: String,
    /// Its port.
    #[arg(long, env = "PGPORT", default_value_t = 5432)]
    port: u16,
    /// A role with the right REPLICATION.
    #[arg(long, env = "PGUSER", default_value = "postgres")]
    user: String,
    /// File with its password.
    #[arg(long, value_name = "FILE", env = "PGPASSWORD_FILE")]
    password_file: Option<PathBuf>,
    /// Whether the way to the server is encrypted.
    #[arg(long, env = "PGSSLMODE", default_value = "prefer")]
    sslmode: SslMode,
    /// File with root certificates, as PEM.
    #[arg(long, value_name = "FILE", env = "PGSSLROOTCERT")]
    sslrootcert: Option<PathBuf>,
    /// The replication slot; made where it is not there.
    #[arg(long, default_value = "backup_sidecar")]
    slot: String,
    /// Seconds between two beginnings of a segment that is not whole yet.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// WAL in MiB that the server may keep for us; above it the slot is let go of, so that the
    /// server's disk does not fill, and a new base backup is needed.
    #[arg(long, value_name = "MIB", default_value_t = 10_240, value_parser = clap::value_parser!(u64).range(64..))]
    most_kept: u64,
}

/// `sslmode`, as libpq has it.
#[derive(Clone, Copy, ValueEnum)]
enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Receives until it is told to end.
pub(super) async fn receive(given: ReceiveArgs) -> anyhow::Result<()> {
    // Once for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("SIGINT cannot be heard")?;
    // What cannot work is told at once, and not tried for ever.
    tokio::fs::metadata(&given.to.token_file)
        .await
        .with_context(|| format!("{}", given.to.token_file.display()))?;
    settings(&given).await?;
    tokio::select! {
        ended = again(&given) => ended,
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    }
}

/// Connection after connection.
async fn again(given: &ReceiveArgs) -> anyhow::Result<()> {
    let mut pause = PAUSE;
    loop {
        let began = tokio::time::Instant::now();
        // Read anew each time: passwords change.
        let settings = settings(given).await?;
        let ended = once(given, &settings).await?;
        if began.elapsed() > LONGEST {
            pause = PAUSE;
        }
        match ended {
            Ended::Lost(Error::Settings(why)) => bail!(why),
            Ended::Lost(error) => {
                tracing::warn!(%error, "WAL does not come; trying again");
                if error.server().is_some_and(|told| told.problem == Problem::SlotLost) {
                    // It is of no more use; the next connection makes another.
                    release(&settings, &given.slot).await;
                }
            }
            Ended::TooMuch(kept) => {
                tracing::error!(
                    kept,
                    slot = given.slot,
                    "the slot is let go of, since the server keeps too much for it: moments that \
                     need it cannot be restored, and a new base backup is needed"
                );
                release(&settings, &given.slot).await;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Why a connection ended.
enum Ended {
    Lost(Error),
    /// The server keeps so many bytes.
    TooMuch(u64),
}

/// One connection, from where the slot begins; an error is one that trying again does not mend.
async fn once(given: &ReceiveArgs, settings: &Settings) -> anyhow::Result<Ended> {
    match ensure(settings, &given.slot).await {
        Ok(major) if major < OLDEST => bail!(
            "PostgreSQL {major} does not tell where a slot stands: use `archive_command` with \
             `wal-push`"
        ),
        Ok(_) => {}
        Err(error) => return Ok(Ended::Lost(error)),
    }
    let (events, taken) = mpsc::channel(received::AT_ONCE);
    let options = ReceiverOptions {
        slot: Some(given.slot.clone()),
        prefix_every: Some(Duration::from_secs(given.every)),
        spool: Some(std::env::temp_dir()),
        ..ReceiverOptions::default()
    };
    let mut receiver = Receiver::new(options, events);
    let standing = receiver.standing();
    Ok(tokio::select! {
        error = receiver.run(settings) => Ended::Lost(error),
        () = received::hand_over(&given.to, taken) => Ended::Lost(Error::Gone),
        kept = too_much(settings, standing, given.most_kept << 20) => Ended::TooMuch(kept),
    })
}

/// Makes the slot where it is not there; the server's major version.
async fn ensure(settings: &Settings, slot: &str) -> Result<u32, Error> {
    let mut connection = Connection::open(settings).await?;
    let made = connection.create_slot(slot).await;
    let major = connection.major();
    connection.close().await;
    made.map(|_| major)
}

/// Returns once the server keeps more than `most` for us, with how much that is.
async fn too_much(settings: &Settings, standing: watch::Receiver<Standing>, most: u64) -> u64 {
    loop {
        tokio::time::sleep(LOOK).await;
        let durable = standing.borrow().durable;
        if durable.0 == 0 {
            continue;
        }
        // What is not read tells nothing of where the server is.
        let Ok(mut connection) = Connection::open(settings).await else { continue };
        let identified = connection.identify().await;
        connection.close().await;
        let kept = identified.map_or(0, |info| info.flushed.0.saturating_sub(durable.0));
        if kept > most {
            return kept;
        }
    }
}

/// Drops the slot, once nobody uses it any more.
async fn release(settings: &Settings, slot: &str) {
    let dropping = async {
        loop {
            let mut connection = Connection::open(settings).await?;
            let dropped = connection.drop_slot(slot).await;
            connection.close().await;
            match dropped {
                Err(error)
                    if error.server().is_some_and(|told| told.problem == Problem::SlotBusy) =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                dropped => return dropped.map(drop),
            }
        }
    };
    match tokio::time::timeout(BUSY, dropping).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, slot, "the slot stays: drop it on the server"),
        Err(_) => tracing::error!(slot, "the slot stays, since it is in use"),
    }
}

async fn settings(given: &ReceiveArgs) -> anyhow::Result<Settings> {
    let host = if given.host.starts_with('/') {
        Host::Unix(given.host.clone().into(), given.port)
    } else {
        Host::Tcp(given.host.clone(), given.port)
    };
    let mut settings = Settings::new(host, given.user.clone());
    "backup-sidecar".clone_into(&mut settings.application_name);
    if let Some(file) = &given.password_file {
        let text = tokio::fs::read_to_string(file).await;
        let text = text.with_context(|| format!("{}", file.display()))?;
        settings.password = Some(SecretString::from(text.trim_end_matches(['\r', '\n'])));
    }
    if let Some(file) = &given.sslrootcert {
        let roots = tokio::fs::read(file).await;
        settings.roots = Some(roots.with_context(|| format!("{}", file.display()))?);
    }
    settings.tls = match given.sslmode {
        SslMode::Disable => Tls::Disable,
        SslMode::Prefer => Tls::Prefer,
        SslMode::Require => Tls::Require,
        SslMode::VerifyCa => Tls::VerifyCa,
        SslMode::VerifyFull => Tls::VerifyFull,
    };
    Ok(settings)
}
