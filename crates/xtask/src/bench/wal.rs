//! An archive of WAL beside pgBackRest's asynchronous `archive-push` and `pg_receivewal`: each on a
//! server of its own that writes as quickly as it can, and then a fixed number of segments a second.

mod tools;

use std::{path::PathBuf, thread, time::Duration};

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::{
    data,
    database::Postgres,
    lag::Watch,
    measure::{folder_bytes, memory_mib, percentile, reset_peak, shell},
    positions::{SEGMENT, newest_commit, position},
    world,
};
use tools::{Kind, Tool};

const MIB: f64 = 1_048_576.0;
/// The size of the database that pgbench changes, in MiB.
const DATABASE_MIB: u64 = 300;
/// Messages of one MiB that a segment holds, roughly.
const MESSAGES: u32 = 16;
/// Other messages than that are not made.
const ROWS: u64 = 64;
/// Seconds that everything may take to be stored once nothing more is written.
const PATIENCE: f64 = 180.0;
/// What is wanted of ours: seconds of lag, MiB of memory, seconds that a loss of power costs.
const LAG_SECS: f64 = 2.0;
const PEAK_MIB: f64 = 64.0;
const LOST_SECS: f64 = 30.0;

#[derive(Args)]
pub(crate) struct WalOptions {
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 60)]
    secs: u32,
    /// Segments a second of the load that is held steady.
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// Only tools whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Only loads whose name contains this: `pgbench`, `steady` or `killed`.
    #[arg(long)]
    load: Option<String>,
    /// Write every figure into this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What a load showed of a tool.
struct Figure {
    tool: &'static str,
    load: &'static str,
    secs: f64,
    written_mib: f64,
    stored_mib: f64,
    /// Of the tool, and of the server's process that serves it.
    cpu_secs: f64,
    server_cpu_secs: f64,
    lag: [f64; 2],
    lag_of_segments: [f64; 2],
    /// From the end of the load until everything was stored.
    behind_secs: f64,
    peak_mib: f64,
}

pub(super) fn run(options: &WalOptions) -> Result<()> {
    ensure!(options.secs > 0 && options.rate > 0, "at least a second and a segment");
    world::need(&["setpriv"])?;
    let binaries = world::build_ours()?;
    let only = options.only.as_deref().unwrap_or_default();
    let mut figures = Vec::new();
    let mut left_out = Vec::new();
    for kind in tools::ALL.into_iter().filter(|kind| kind.name().contains(only)) {
        if let Err(why) = kind.find() {
            left_out.push(format!("{} is left out: {why}", kind.name()));
            continue;
        }
        let scratch = tempfile::tempdir()?;
        let settings = ["max_wal_size=2GB", "shared_buffers=256MB", kind.setting()];
        let server = Postgres::start_with(scratch.path(), DATABASE_MIB, &settings)?;
        messages(&server, scratch.path())?;
        let mut tool = Tool::start(kind, &binaries, scratch.path(), &server)?;
        for load in loads(options) {
            println!("{}: {load}", kind.name());
            figures.push(measured(&mut tool, &server, load, options)?);
        }
    }
    print(&figures);
    let mut lost = None;
    if "ours".contains(only) && wanted(options, "killed") {
        let figure = killed(&binaries, options.secs)?;
        println!(
            "server and orchestrator killed after {} s of commits: {:.1} s of them lost; at most \
             {:.1} s were not stored at any time ({LOST_SECS:.0})",
            options.secs, figure.0, figure.1
        );
        lost = Some(figure);
    }
    for told in &left_out {
        println!("{told}");
    }
    if let Some(file) = &options.json {
        let told: Value = figures.iter().map(Figure::to_json).collect();
        let lost = lost.map(|(secs, most)| json!({ "lost_secs": secs, "oldest_secs": most }));
        let told = json!({ "figures": told, "killed": lost, "left_out": left_out });
        std::fs::write(file, serde_json::to_string_pretty(&told)?)?;
    }
    Ok(())
}

fn wanted(options: &WalOptions, load: &str) -> bool {
    options.load.as_deref().is_none_or(|only| load.contains(only))
}

fn loads(options: &WalOptions) -> Vec<&'static str> {
    ["pgbench", "steady"].into_iter().filter(|load| wanted(options, load)).collect()
}

/// Rows of a MiB of text each, which go into WAL as they are.
fn messages(server: &Postgres, root: &std::path::Path) -> Result<()> {
    let (text, rows) = (root.join("text"), root.join("rows"));
    data::fresh_text(&text, ROWS, 7)?;
    let mut bytes = std::fs::read(&text)?;
    for byte in bytes.iter_mut().filter(|byte| **byte == b'\n') {
        *byte = b' ';
    }
    let lines: Vec<&[u8]> = bytes.chunks(1 << 20).collect();
    std::fs::write(&rows, lines.join(&b'\n'))?;
    server.sql("bench", "CREATE TABLE messages (id serial PRIMARY KEY, body text)")?;
    server.sql("bench", "ALTER TABLE messages ALTER COLUMN body SET STORAGE EXTERNAL")?;
    server.sql("bench", &format!("\\copy messages (body) FROM '{}'", rows.display()))?;
    for file in [text, rows] {
        std::fs::remove_file(file)?;
    }
    Ok(())
}

/// The line of the shell that writes WAL.
fn line(server: &Postgres, load: &str, options: &WalOptions) -> Result<String> {
    let there = format!("-h 127.0.0.1 -p {} -U postgres", server.port);
    let pgbench = server.program("pgbench").display().to_string();
    let secs = options.secs;
    if load == "pgbench" {
        return Ok(format!("{pgbench} {there} -n -M prepared -c 4 -j 1 -T {secs} bench"));
    }
    let script = server.data.with_file_name("message.sql");
    std::fs::write(
        &script,
        format!(
            "\\set id random(1, {ROWS})\nSELECT pg_logical_emit_message(false, 'bench', body) \
             FROM messages WHERE id = :id;\n"
        ),
    )?;
    let rate = options.rate * MESSAGES;
    let script = script.display();
    Ok(format!("{pgbench} {there} -n -M prepared -c 2 -j 1 -R {rate} -T {secs} -f {script} bench"))
}

/// The end of the segment in hand, which is ended by it.
fn switch(server: &Postgres) -> Result<u64> {
    let at = server.sql("bench", "SELECT pg_switch_wal()")?;
    let at = position(&at).ok_or_else(|| anyhow::anyhow!("`{at}` is no position"))?;
    Ok(at.div_ceil(SEGMENT) * SEGMENT)
}

/// Waits until `folder` holds what was written before.
fn settled(tool: &Tool, server: &Postgres) -> Result<u64> {
    let from = switch(server)?;
    let watch = Watch::start(server, tool.folder(), from - SEGMENT, None)?;
    // Something behind it, for what hands out a segment with the next one.
    server.sql("bench", "SELECT txid_current()")?;
    let mut reach = super::positions::Reach::from(from - SEGMENT);
    while reach.look(&tool.folder()) < from {
        ensure!(watch.now() < PATIENCE, "{} does not store anything", tool.kind.name());
        thread::sleep(Duration::from_millis(100));
    }
    watch.stop()?;
    Ok(from)
}

fn measured(
    tool: &mut Tool,
    server: &Postgres,
    load: &'static str,
    options: &WalOptions,
) -> Result<Figure> {
    let line = line(server, load, options)?;
    let from = settled(tool, server)?;
    // What follows a checkpoint writes whole pages: for each tool the same.
    server.sql("bench", "CHECKPOINT")?;
    nix::unistd::sync();
    let folder = tool.folder();
    let before = (tool.cpu_secs()?, tool.server_cpu_secs(server)?, folder_bytes(&folder));
    if let Some(id) = tool.id() {
        reset_peak(id);
    }
    let watch = Watch::start(server, folder.clone(), from, tool.kind.program())?;
    shell(&line)?;
    let secs = watch.now();
    let end = switch(server)?;
    let mut reach = super::positions::Reach::from(from);
    while reach.look(&folder) < end && watch.now() < secs + PATIENCE {
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_millis(200));
    let seen = watch.stop()?;
    let cpu_secs = tool.cpu_secs()? - before.0;
    let server_cpu_secs = tool.server_cpu_secs(server)? - before.1;
    let peak_mib = match tool.id() {
        Some(id) => memory_mib(id, "VmHWM")?,
        None => seen.peak_mib,
    };
    let ends = |lags: Vec<f64>| [percentile(&lags, 95), percentile(&lags, 100)];
    Ok(Figure {
        tool: tool.kind.name(),
        load,
        secs,
        written_mib: (end - from) as f64 / MIB,
        stored_mib: (folder_bytes(&folder) - before.2) as f64 / MIB,
        cpu_secs,
        server_cpu_secs,
        lag: ends(seen.lags(end)),
        lag_of_segments: ends(seen.lags_of_segments(end)),
        behind_secs: seen.stored_by(end).map_or(f64::INFINITY, |at| at - secs),
        peak_mib,
    })
}

/// A server with a commit every 50 ms and its orchestrator lose their power: seconds of commits
/// that are not at the destination, and the longest that any was not while they ran.
fn killed(binaries: &std::path::Path, secs: u32) -> Result<(f64, f64)> {
    let scratch = tempfile::tempdir()?;
    let server = Postgres::start_with(scratch.path(), 16, &[Kind::Ours.setting()])?;
    server.sql("bench", "CREATE TABLE ticks (id serial)")?;
    let tool = Tool::start(Kind::Ours, binaries, scratch.path(), &server)?;
    let from = settled(&tool, &server)?;
    let watch = Watch::start(&server, tool.folder(), from, None)?;
    let mut session = server.session("bench")?;
    let (mut first, mut last): (Option<f64>, f64) = (None, 0.0);
    println!("ours: killed");
    while watch.now() < f64::from(secs) {
        let told =
            session.ask("INSERT INTO ticks DEFAULT VALUES RETURNING extract(epoch FROM now())")?;
        last = told.parse()?;
        first.get_or_insert(last);
        thread::sleep(Duration::from_millis(50));
    }
    let folder = tool.folder();
    server.kill();
    tool.kill();
    let written = watch.now();
    let seen = watch.stop()?;
    // What was still on its way when they were killed is as old as it then was.
    let lags = seen.lags(u64::MAX).into_iter().filter(|lag| lag.is_finite());
    let oldest = lags.fold(0.0_f64, f64::max).max(seen.since(written));
    // No more can be lost than there was.
    let newest = newest_of(&folder).max(first.unwrap_or(last));
    Ok((last - newest, oldest))
}

/// The newest commit of all timelines in an archive of ours.
fn newest_of(folder: &std::path::Path) -> f64 {
    let mut newest = newest_commit(folder);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            newest = newest.max(newest_of(&entry.path()));
        }
    }
    newest
}

impl Figure {
    fn to_json(&self) -> Value {
        json!({
            "tool": self.tool, "load": self.load, "secs": self.secs,
            "written_mib": self.written_mib, "stored_mib": self.stored_mib,
            "cpu_secs": self.cpu_secs, "server_cpu_secs": self.server_cpu_secs,
            "lag_p95_secs": self.lag[0], "lag_worst_secs": self.lag[1],
            "segment_lag_p95_secs": self.lag_of_segments[0],
            "segment_lag_worst_secs": self.lag_of_segments[1],
            "behind_secs": self.behind_secs, "peak_mib": self.peak_mib,
        })
    }
}

fn print(figures: &[Figure]) {
    println!("\nlag: p95 and worst of every byte, of whole segments; CPU s: the tool's, and of");
    println!("the server's process that serves it; both also for each GiB of WAL\n");
    println!(
        "| load | tool | WAL MiB | MiB/s | stored | CPU s | server's | per GiB | lag | worst | \
         segments' lag | worst | behind at the end, s | peak MiB | |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for one in figures {
        let both = one.cpu_secs + one.server_cpu_secs;
        let mut over = Vec::new();
        if one.tool == Kind::Ours.name() {
            if one.lag[0] > LAG_SECS {
                over.push("lag over");
            }
            if one.peak_mib > PEAK_MIB {
                over.push("memory over");
            }
        }
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | \
             {:.2} | {:.2} | {:.1} | {} |",
            one.load,
            one.tool,
            one.written_mib,
            one.written_mib / one.secs,
            one.stored_mib,
            one.cpu_secs,
            one.server_cpu_secs,
            both / one.written_mib * 1024.0,
            one.lag[0],
            one.lag[1],
            one.lag_of_segments[0],
            one.lag_of_segments[1],
            one.behind_secs,
            one.peak_mib,
            over.join(", "),
        );
    }
}
