//! Receiving WAL from the server beside us, by a slot that keeps what is not stored.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use replication::{
    Connection, Error, Host, Position, Problem, Receiver, ReceiverOptions, Settings, Tls,
};
use secrecy::SecretString;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{Orchestrator, received};

/// First and longest pause after something failed.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// How often it is looked how much the server keeps for us: at least, and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// The first time it is: a new slot has to be moved on from the last checkpoint by then.
const FIRST_LOOK: Duration = Duration::from_secs(1);
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
    /// WAL in MiB that the server may keep for us; before it is more the slot is let go of, so that
    /// the server's disk does not fill, and a new base backup is needed.
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
        let attempt = async {
            let error = once(given, &settings).await?;
            if !matches!(error, Error::Settings(_)) {
                tracing::warn!(%error, "WAL does not come; trying again");
                if began.elapsed() > LONGEST {
                    pause = PAUSE;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST);
            }
            anyhow::Ok(Ended::Lost(error))
        };
        // Looked at all the while: what fails at once, again and again, lets a disk fill, too.
        let mut room = Room::default();
        let ended = tokio::select! {
            ended = attempt => ended?,
            kept = room.end(&settings, &given.slot, given.most_kept << 20) => Ended::TooMuch(kept),
        };
        match ended {
            Ended::Lost(Error::Settings(why)) => bail!(why),
            Ended::Lost(error) => {
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
    }
}

/// Why a connection ended.
enum Ended {
    Lost(Error),
    /// The server keeps so many bytes.
    TooMuch(u64),
}

/// One connection, from where the slot begins; an error is one that trying again does not mend.
async fn once(given: &ReceiveArgs, settings: &Settings) -> anyhow::Result<Error> {
    let start = match ensure(settings, &given.slot, given.most_kept << 20).await {
        Ok((major, _)) if major < OLDEST => bail!(
            "PostgreSQL {major} does not tell where a slot stands: use `archive_command` with \
             `wal-push`"
        ),
        Ok((_, start)) => start,
        Err(error) => return Ok(error),
    };
    let (events, taken) = mpsc::channel(received::AT_ONCE);
    let options = ReceiverOptions {
        slot: Some(given.slot.clone()),
        start,
        prefix_every: Some(Duration::from_secs(given.every)),
        spool: Some(std::env::temp_dir()),
        ..ReceiverOptions::default()
    };
    let mut receiver = Receiver::new(options, events);
    Ok(tokio::select! {
        error = receiver.run(settings) => error,
        () = received::hand_over(&given.to, taken) => Error::Gone,
    })
}

/// Makes the slot where it is not there. Gives the server's major version and, where a new slot would
/// be half as full as it may be at once, where to begin instead: it stands at the last checkpoint.
async fn ensure(
    settings: &Settings,
    slot: &str,
    most: u64,
) -> Result<(u32, Option<Position>), Error> {
    let mut connection = Connection::open(settings).await?;
    let major = connection.major();
    let made = async {
        // One that nobody would use must not be left there.
        if major < OLDEST || !connection.create_slot(slot).await? {
            return Ok::<_, Error>(None);
        }
        let held = connection.read_slot(slot).await?.and_then(|slot| slot.restart);
        let now = connection.identify().await?;
        let kept = held.map_or(0, |held| now.flushed.0.saturating_sub(held.0));
        let end = Position { system: now.system, timeline: now.timeline, at: now.flushed };
        Ok((kept > most / 2).then_some(end))
    };
    let made = made.await;
    connection.close().await;
    Ok((major, made?))
}

/// How much the server keeps for us, and how fast that grows.
#[derive(Debug, Default)]
struct Room {
    last: Option<(u64, Instant)>,
    /// Bytes a second.
    rate: f64,
    /// How long the last look took: on a busy machine what is let go of is let go of later, too.
    took: Duration,
}

impl Room {
    /// Looks until so much is kept that it could be more than `most` bytes by the next look; gives
    /// how much.
    async fn end(&mut self, settings: &Settings, slot: &str, most: u64) -> u64 {
        loop {
            tokio::time::sleep(self.pause(most)).await;
            let began = Instant::now();
            // What is not read tells nothing: the server may be away.
            let Ok(kept) = kept(settings, slot).await else { continue };
            self.note(kept, Instant::now());
            self.took = began.elapsed();
            if self.is_full(most) {
                return kept;
            }
        }
    }

    fn note(&mut self, kept: u64, at: Instant) {
        if let Some((before, since)) = self.last {
            let secs = at.duration_since(since).as_secs_f64();
            self.rate = kept.saturating_sub(before) as f64 / secs.max(f64::EPSILON);
        }
        self.last = Some((kept, at));
    }

    fn is_full(&self, most: u64) -> bool {
        let kept = self.last.map_or(0, |(kept, _)| kept);
        // Until the next look, for that look, and for letting go.
        let secs = (LOOK.0 + 2 * self.took).as_secs_f64();
        kept as f64 + self.rate * secs > most as f64
    }

    /// Until half of what is left could be used.
    fn pause(&self, most: u64) -> Duration {
        let Some((kept, _)) = self.last else { return FIRST_LOOK };
        let left = most.saturating_sub(kept) as f64;
        let secs = left / 2.0 / self.rate.max(1.0);
        let longest = if kept > most / 2 { LOOK.1 / 10 } else { LOOK.1 };
        Duration::from_secs_f64(secs.min(longest.as_secs_f64())).max(LOOK.0)
    }
}

/// How much WAL the server keeps by the slot, in bytes.
async fn kept(settings: &Settings, slot: &str) -> Result<u64, Error> {
    let mut connection = Connection::open(settings).await?;
    let asked = async {
        let restart = connection.read_slot(slot).await?.and_then(|slot| slot.restart);
        Ok::<_, Error>(match restart {
            Some(restart) => connection.identify().await?.flushed.0.saturating_sub(restart.0),
            None => 0,
        })
    };
    let kept = asked.await;
    connection.close().await;
    kept
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn room(secs: u64, mib: u64) -> Room {
        let (mut room, began) = (Room::default(), Instant::now());
        room.note(0, began);
        room.note(mib * MIB, began + Duration::from_secs(secs));
        room
    }

    #[test]
    fn the_faster_it_fills_the_sooner_it_is_looked_again() {
        let pause = |secs, mib| room(secs, mib).pause(1_024 * MIB);
        assert_eq!(Room::default().pause(MIB), FIRST_LOOK);
        assert_eq!(pause(10, 1), LOOK.1);
        // 100 MiB a second: half of the rest is full in 4.62 s.
        assert_eq!(pause(1, 100).as_millis(), 4_620);
        assert_eq!(pause(100, 600), LOOK.1 / 10);
        assert_eq!(pause(1, 1_000), LOOK.0);
    }

    #[test]
    fn it_is_full_before_it_is_too_full() {
        assert!(!room(1, 800).is_full(1_024 * MIB));
        assert!(room(1, 900).is_full(1_024 * MIB), "180 MiB come until the next look");
        assert!(!room(1_000, 900).is_full(1_024 * MIB));
        assert!(room(1_000, 1_025).is_full(1_024 * MIB));
    }
}
