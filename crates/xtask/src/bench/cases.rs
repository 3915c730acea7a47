//! What is measured: our runs, the pipelines they stand against, and each stage alone.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    measure::{cpu_secs, median, memory_mib, reset_peak, shell},
    world::{Data, World},
};

/// One way through: which data, stored how, where.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) data: &'static str,
    /// `none` or `zstd`.
    pub(super) recipe: &'static str,
    /// `local` or `s3`.
    pub(super) to: &'static str,
}

impl Case {
    pub(super) fn name(&self) -> String {
        format!("{}/{}/{}", self.data, self.recipe, self.to)
    }

    /// Each stage on its own.
    pub(super) fn stages(&self) -> Vec<String> {
        let mut stages = vec![self.item("source"), self.item("sha256")];
        if self.recipe == "zstd" {
            stages.push(self.item("zstd"));
        }
        stages.push(self.item(&format!("{}-write-{}", self.to, self.recipe)));
        stages
    }

    /// The pipeline of public tools that does the same.
    pub(super) fn pipeline(&self) -> String {
        self.item(&format!("rclone-{}-{}", self.recipe, self.to))
    }

    /// Other ways to move the same bytes, for orientation.
    fn others(&self) -> [String; 2] {
        [self.item("curl-sha256"), self.item("cp")]
    }

    fn item(&self, what: &str) -> String {
        format!("{}:{what}", self.data)
    }
}

/// Every case.
pub(super) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    for data in ["text", "noise", "folder"] {
        for to in ["local", "s3"] {
            for recipe in ["none", "zstd"] {
                // What a folder costs shows at the local disk.
                if data != "folder" || to == "local" {
                    all.push(Case { data, recipe, to });
                }
            }
        }
    }
    all
}

/// One measurement.
#[derive(Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) wall_secs: f64,
    /// Of everything that worked: orchestrator or peers, sidecar, S3 server.
    pub(super) cpu_secs: f64,
    pub(super) orchestrator_cpu_secs: f64,
    pub(super) sidecar_cpu_secs: f64,
    pub(super) orchestrator_peak_mib: f64,
}

/// All measurements, by name of what was measured.
pub(super) struct Results {
    pub(super) size_mib: u64,
    samples: BTreeMap<String, Vec<Sample>>,
}

impl Results {
    /// Medians of one thing; NaN where it was not measured.
    pub(super) fn median(&self, name: &str) -> Sample {
        let of = |field: fn(&Sample) -> f64| {
            median(self.samples.get(name).into_iter().flatten().map(field))
        };
        Sample {
            wall_secs: of(|s| s.wall_secs),
            cpu_secs: of(|s| s.cpu_secs),
            orchestrator_cpu_secs: of(|s| s.orchestrator_cpu_secs),
            sidecar_cpu_secs: of(|s| s.sidecar_cpu_secs),
            orchestrator_peak_mib: of(|s| s.orchestrator_peak_mib),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.samples.keys()
    }

    pub(super) fn to_json(&self) -> Value {
        self.samples
            .iter()
            .map(|(name, samples)| {
                let samples: Vec<_> = samples
                    .iter()
                    .map(|s| {
                        json!({
                            "wall_secs": s.wall_secs,
                            "cpu_secs": s.cpu_secs,
                            "orchestrator_cpu_secs": s.orchestrator_cpu_secs,
                            "sidecar_cpu_secs": s.sidecar_cpu_secs,
                            "orchestrator_peak_mib": s.orchestrator_peak_mib,
                        })
                    })
                    .collect();
                (name.clone(), Value::from(samples))
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// Measures everything that `cases` need, in turn, `repeat` times.
pub(super) fn measure(world: &World, cases: &[Case], repeat: usize) -> Result<Results> {
    let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for round in 1..=repeat {
        for case in cases {
            let mut names = case.stages();
            names.push(case.pipeline());
            names.extend(case.others());
            names.push(case.name());
            for name in names {
                let have = samples.entry(name.clone()).or_default();
                if have.len() >= round {
                    continue; // Another case of this round has needed it.
                }
                world.clear()?;
                let sample = one(world, case, &name).with_context(|| name.clone())?;
                println!("{round}/{repeat}  {:7.2} s  {name}", sample.wall_secs);
                have.push(sample);
            }
        }
    }
    world.clear()?;
    Ok(Results { size_mib: world.size_mib, samples })
}

fn one(world: &World, case: &Case, name: &str) -> Result<Sample> {
    let data = world.data.iter().find(|data| data.name == case.data).context("no such data")?;
    let (orchestrator, sidecar) = (world.orchestrator.id(), data.sidecar.id());
    reset_peak(orchestrator);
    let ids = [orchestrator, sidecar, world.s3_id];
    let before = [cpu_secs(ids[0])?, cpu_secs(ids[1])?, cpu_secs(ids[2])?];
    let (wall_secs, peers) = match name.split_once(':') {
        Some((_, what)) => shell(&peer(world, data, what)?)?,
        None => (run(world, case)?, 0.0),
    };
    let used = |at: usize| Ok::<_, anyhow::Error>(cpu_secs(ids[at])? - before[at]);
    Ok(Sample {
        wall_secs,
        cpu_secs: peers + used(0)? + used(1)? + used(2)?,
        orchestrator_cpu_secs: used(0)?,
        sidecar_cpu_secs: used(1)?,
        orchestrator_peak_mib: memory_mib(orchestrator, "VmHWM")?,
    })
}

/// A run of ours; how long it took by its own account.
fn run(world: &World, case: &Case) -> Result<f64> {
    let app = format!("{}-{}-{}", case.data, case.recipe, case.to);
    let run = world.orchestrator.ask(&["run", &app, "--wait"])?;
    ensure!(run["state"] == "succeeded", "the run ended as {run}");
    let bytes = run["bytes_read"].as_u64().unwrap_or_default();
    ensure!(bytes >= world.size_mib << 20, "the run read {bytes} bytes only");
    lasted(&run)
}

/// Seconds from a run's start to its end.
pub(super) fn lasted(run: &Value) -> Result<f64> {
    let at = |field: &str| {
        let text = run[field].as_str().with_context(|| format!("the run has no {field}"))?;
        seconds(text).with_context(|| format!("{text} is no time"))
    };
    Ok(at("finished_at")? - at("started_at")?)
}

/// Seconds of an RFC 3339 time in UTC since some midnight; enough for differences within a day.
fn seconds(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let day: f64 = date.rsplit('-').next()?.parse().ok()?;
    let mut parts = time.split(':').map(str::parse::<f64>);
    let mut part = || parts.next()?.ok();
    Some(day * 86_400.0 + part()? * 3_600.0 + part()? * 60.0 + part()?)
}

/// The line of bash that does `what`.
fn peer(world: &World, data: &Data, what: &str) -> Result<String> {
    let curl = data.sidecar.curl();
    let file = data.file.display();
    let packed = data.packed.display();
    let out = world.out.join("out");
    let out = out.display();
    // A certificate bundle in the environment makes its S3 client give up.
    let rclone = format!("env -u AWS_CA_BUNDLE rclone --config {}", world.rclone_config.display());
    // In parts, as a stream of unknown length must go; without rclone's own hashing of the file.
    let put = |file: &dyn std::fmt::Display| {
        format!(
            "{rclone} copyto --s3-disable-checksum --s3-no-check-bucket --s3-upload-cutoff 0 --s3-chunk-size 8M {file} s3:bucket/out"
        )
    };
    let write = |file: &dyn std::fmt::Display| {
        format!("dd if={file} of={out} bs=1M conv=fsync status=none")
    };
    Ok(match what {
        "source" => format!("{curl} >/dev/null"),
        // The quicker of the two: coreutils' may come without the processor's own instructions.
        "sha256" => format!("openssl dgst -sha256 {file} >/dev/null"),
        "zstd" => format!("zstd -q -T0 -c {file} >/dev/null"),
        "local-write-none" => write(&file),
        "local-write-zstd" => write(&packed),
        "s3-write-none" => put(&file),
        "s3-write-zstd" => put(&packed),
        "curl-sha256" => format!("{curl} | sha256sum >/dev/null"),
        "cp" => format!("cp {file} {out}"),
        "rclone-none-local" => format!("{curl} | {rclone} rcat {out}"),
        "rclone-zstd-local" => format!("{curl} | zstd -q -T0 -c | {rclone} rcat {out}"),
        "rclone-none-s3" => format!("{curl} | {rclone} rcat s3:bucket/out"),
        "rclone-zstd-s3" => format!("{curl} | zstd -q -T0 -c | {rclone} rcat s3:bucket/out"),
        other => anyhow::bail!("nothing is called {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_apart() {
        let run = json!({
            "started_at": "2026-01-31T23:59:59.5Z", "finished_at": "2026-01-31T23:59:59.75Z",
        });
        assert!((lasted(&run).unwrap() - 0.25).abs() < 1e-6);
        assert!(lasted(&json!({ "started_at": "now" })).is_err());
    }

    #[test]
    fn a_case_needs_what_it_is_compared_with() {
        let case = Case { data: "text", recipe: "zstd", to: "s3" };
        assert_eq!(case.name(), "text/zstd/s3");
        assert_eq!(
            case.stages(),
            ["text:source", "text:sha256", "text:zstd", "text:s3-write-zstd"]
        );
        assert_eq!(case.pipeline(), "text:rclone-zstd-s3");
        assert_eq!(all().len(), 10);
    }
}
