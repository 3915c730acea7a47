//! How the server itself is: its queue, its schedules, its process.

use catalog::Queue;
use engine::Engine;
use jiff::Timestamp;
use nix::sys::resource::{UsageWho, getrusage};

use super::{
    apps::seconds,
    text::{Kind, Text},
};

pub(super) fn server(text: &mut Text, engine: &Engine, queue: &Queue) {
    let mut family = text.family("backup_build_info", Kind::Gauge, "The program: always 1.");
    family.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let help = "Runs that have not ended, in all processes on the catalog.";
    let mut family = text.family("backup_queue_runs", Kind::Gauge, help);
    family.sample(&[("state", "queued")], queue.queued as f64);
    family.sample(&[("state", "running")], queue.running as f64);
    let wait = queue
        .due_since
        .map_or(0.0, |since| engine.now().duration_since(since).as_secs_f64().max(0.0));
    text.gauge(
        "backup_queue_wait_seconds",
        "How long the run waits that could have begun first.",
        wait,
    );
    let help = "Runs that this process works on at once, at most.";
    text.gauge("backup_workers", help, engine.config().workers as f64);
    let pace = engine.pace();
    let help = "How late fires of schedules were served by this process.";
    let mut family = text.family("backup_scheduler_lateness_seconds", Kind::Summary, help);
    family.suffixed("_sum", &[], pace.lateness.as_secs_f64());
    family.suffixed("_count", &[], pace.fires as f64);
    let help = "How late the last fire was served.";
    let last = (pace.fires > 0).then_some(pace.last_lateness.as_secs_f64());
    text.gauge("backup_scheduler_last_lateness_seconds", help, last);
    let help = "How long ago this process last looked at schedules.";
    let ago = pace.looked_ago.map(|ago| ago.as_secs_f64());
    text.gauge("backup_scheduler_looked_ago_seconds", help, ago);
}

/// What every process tells, by the names that every process has.
pub(super) async fn process(text: &mut Text, started_at: Timestamp) {
    let help = "When the process began.";
    text.gauge("process_start_time_seconds", help, seconds(started_at));
    let used = getrusage(UsageWho::RUSAGE_SELF).ok().map(|usage| {
        [usage.user_time(), usage.system_time()]
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum::<f64>()
    });
    let help = "Processor time that the process has used.";
    let mut family = text.family("process_cpu_seconds_total", Kind::Counter, help);
    if let Some(used) = used {
        family.sample(&[], used);
    }
    let help = "Memory that the process holds.";
    text.gauge("process_resident_memory_bytes", help, resident().await);
    let help = "Files and connections that the process has open.";
    text.gauge("process_open_fds", help, open_files().await);
}

async fn resident() -> Option<f64> {
    let status = tokio::fs::read_to_string("/proc/self/status").await.ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kibibytes << 10) as f64)
}

async fn open_files() -> Option<f64> {
    let mut folder = tokio::fs::read_dir("/proc/self/fd").await.ok()?;
    let mut count = 0_u32;
    while let Ok(Some(_)) = folder.next_entry().await {
        count += 1;
    }
    // One of them is this look itself.
    Some(f64::from(count.saturating_sub(1)))
}
