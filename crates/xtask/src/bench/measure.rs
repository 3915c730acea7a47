//! What the kernel tells of time and memory.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// Clock ticks in a second, as `/proc` counts them on every Linux.
const TICKS: f64 = 100.0;

/// Processor seconds that a process and its ended children have used.
pub(super) fn cpu_secs(id: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name may hold anything, also blanks; what follows it is numbers (proc(5)).
    let numbers = stat.rsplit_once(')').context("no such stat")?.1;
    let ticks: f64 =
        numbers.split_whitespace().skip(11).take(4).filter_map(|n| n.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}

/// A field of `/proc/ID/status` such as `VmHWM`, in MiB.
pub(super) fn memory_mib(id: u32, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("/proc/{id}/status has no {field}"))?;
    Ok(kib / 1024.0)
}

/// Forgets the peak so far; where the kernel refuses, peaks are those since the start.
pub(super) fn reset_peak(id: u32) {
    let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
}

/// Runs a line of bash; wall and processor seconds of everything in it.
pub(super) fn shell(line: &str) -> Result<(f64, f64)> {
    let before = children_secs()?;
    let begun = Instant::now();
    let done = Command::new("bash").args(["-o", "pipefail", "-c", line]).output()?;
    let wall = begun.elapsed();
    ensure!(
        done.status.success(),
        "`{line}` ended with {}: {}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    Ok((wall.as_secs_f64(), children_secs()? - before))
}

/// Processor seconds of all children that have ended.
pub(super) fn children_secs() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let secs = |time: nix::sys::time::TimeVal| {
        Duration::new(
            u64::try_from(time.tv_sec()).unwrap_or_default(),
            u32::try_from(time.tv_usec() * 1_000).unwrap_or_default(),
        )
        .as_secs_f64()
    };
    Ok(secs(usage.user_time()) + secs(usage.system_time()))
}

/// The middle one.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one_is_found() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn this_process_has_memory_and_a_name_with_blanks_is_read() {
        let id = std::process::id();
        assert!(memory_mib(id, "VmHWM").unwrap() > 0.5);
        assert!(memory_mib(id, "VmNothing").is_err());
        assert!(cpu_secs(id).unwrap() >= 0.0);
    }
}
