//! Figures for people.

use super::{
    cases::{Case, Results},
    memory::{Peak, Started},
};

/// A run takes at most this much longer than its slowest stage alone.
const OF_SLOWEST_STAGE: f64 = 0.9;
/// A run is this many times as quick as the pipeline of public tools.
const OF_PIPELINE: f64 = 1.2;
/// Largest peak of one stream.
pub(super) const ONE_STREAM_MIB: f64 = 64.0;

fn mark(holds: bool) -> &'static str {
    if holds { "yes" } else { "NO" }
}

pub(super) fn print(cases: &[Case], results: &Results) {
    let size = results.size_mib as f64;
    println!("\nOurs, medians; times in s, memory in MiB of the orchestrator");
    println!(
        "{:18} {:>6} {:>7} {:>7} {:>7} {:>6}  {:>20} {:>12}  {:>9} {:>10}",
        "case",
        "wall",
        "MiB/s",
        "cpu",
        "of it",
        "peak",
        "slowest stage alone",
        "ratio >=0.9",
        "pipeline",
        "ratio >=1.2"
    );
    for case in cases {
        let ours = results.median(&case.name());
        let slowest = case
            .stages()
            .into_iter()
            .map(|name| (results.median(&name).wall_secs, name))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or_default();
        let pipeline = results.median(&case.pipeline()).wall_secs;
        let (of_stage, of_pipeline) = (slowest.0 / ours.wall_secs, pipeline / ours.wall_secs);
        let stage = slowest.1.split_once(':').map_or("", |(_, stage)| stage);
        println!(
            "{:18} {:6.2} {:7.0} {:7.2} {:7.2} {:6.1}  {:>14} {:5.2} {:8.2} {:>3}  {:9.2} {:6.2} {:>3}",
            case.name(),
            ours.wall_secs,
            size / ours.wall_secs,
            ours.cpu_secs,
            ours.orchestrator_cpu_secs,
            ours.orchestrator_peak_mib,
            stage,
            slowest.0,
            of_stage,
            mark(of_stage >= OF_SLOWEST_STAGE),
            pipeline,
            of_pipeline,
            mark(of_pipeline >= OF_PIPELINE),
        );
    }
    println!("\nStages and peers, medians");
    for name in results.names().filter(|name| name.contains(':')) {
        let peer = results.median(name);
        println!(
            "{:26} {:6.2} s {:6.0} MiB/s {:7.2} s cpu",
            name,
            peer.wall_secs,
            size / peer.wall_secs,
            peer.cpu_secs
        );
    }
}

pub(super) fn print_memory(started: &Started, peaks: &[Peak]) {
    println!("\nMemory and start");
    for peak in peaks {
        println!(
            "{:36} peak {:6.1} MiB of {:3.0}   {}   ({:.0} s)",
            peak.what,
            peak.mib,
            peak.limit_mib,
            mark(peak.mib <= peak.limit_mib),
            peak.wall_secs
        );
    }
    println!(
        "{:36}      {:6.1} MB  of  40   {}",
        "idle",
        started.idle_mb,
        mark(started.idle_mb <= 40.0)
    );
    println!(
        "{:36}      {:6.2} s   of   1   {}",
        "start",
        started.start_secs,
        mark(started.start_secs <= 1.0)
    );
}
