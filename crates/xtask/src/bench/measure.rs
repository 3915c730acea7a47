//! What the kernel tells of time and memory.

use std::{
    fs,
    path::Path,
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

/// All processes: each one's id, its parent's and its name.
fn processes() -> Vec<(u32, u32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let one = |id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        let parent = after.split_whitespace().nth(1)?.parse().ok()?;
        Some((id, parent, name))
    };
    ids.filter_map(one).collect()
}

/// The children of a process that live.
pub(super) fn children(id: u32) -> Vec<u32> {
    processes().into_iter().filter(|(_, parent, _)| *parent == id).map(|(own, ..)| own).collect()
}

/// What all processes called `name` hold in memory now, in MiB.
pub(super) fn memory_of_all(name: &str) -> f64 {
    let all = processes().into_iter().filter(|(.., own)| own == name);
    all.filter_map(|(id, ..)| memory_mib(id, "VmRSS").ok()).sum()
}

/// Ends a process at once.
pub(super) fn kill(id: u32) {
    let id = nix::unistd::Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX));
    let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL);
}

/// Counts the time of programs that go on by themselves, away from who started them: they become
/// children of this process.
pub(super) struct Orphans {
    name: &'static str,
    ended_secs: f64,
}

impl Orphans {
    /// Of programs called `name`.
    pub(super) fn new(name: &'static str) -> Result<Self> {
        nix::sys::prctl::set_child_subreaper(true)?;
        Ok(Self { name, ended_secs: 0.0 })
    }

    /// Processor seconds of all of them so far, also of those that have ended.
    pub(super) fn cpu_secs(&mut self) -> f64 {
        use nix::{
            sys::wait::{WaitPidFlag, WaitStatus, waitpid},
            unistd::Pid,
        };
        let own = std::process::id();
        let mut living = 0.0;
        for (id, parent, name) in processes() {
            if parent != own || name != self.name {
                continue;
            }
            // Asked before it is waited for, which is what makes it go.
            let secs = cpu_secs(id).unwrap_or_default();
            let pid = Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX));
            match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => living += secs,
                Ok(_) => self.ended_secs += secs,
                Err(_) => {}
            }
        }
        self.ended_secs + living
    }
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

/// What is no more than exceeded by so many of a hundred, of values in order.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        count => sorted[(count - 1) * percent / 100],
    }
}

/// The size of everything in a folder, in bytes; nothing where it is not there yet.
pub(super) fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
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
    fn children_are_found_and_those_that_went_on_by_themselves_are_counted() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        assert!(memory_of_all("sleep") > 0.0);
        kill(child.id());
        assert!(!child.wait().unwrap().success());

        let mut orphans = Orphans::new("dd").unwrap();
        let work = "dd if=/dev/zero of=/dev/null bs=1M count=40000 2>/dev/null &";
        Command::new("bash").args(["-c", work]).status().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while orphans.cpu_secs() < 0.05 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(orphans.cpu_secs() >= 0.05, "{}", orphans.cpu_secs());
    }

    #[test]
    fn this_process_has_memory_and_a_name_with_blanks_is_read() {
        let id = std::process::id();
        assert!(memory_mib(id, "VmHWM").unwrap() > 0.5);
        assert!(memory_mib(id, "VmNothing").is_err());
        assert!(cpu_secs(id).unwrap() >= 0.0);
    }
}
