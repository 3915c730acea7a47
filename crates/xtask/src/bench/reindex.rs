//! How long a catalog takes to be rebuilt from the manifests at a local destination.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    measure::memory_mib,
    world::{self, Orchestrator, Sidecar},
};

/// Longest time for 100,000 manifests.
const LIMIT_SECS: f64 = 60.0;
/// Largest memory meanwhile.
const LIMIT_MIB: f64 = 96.0;
/// Manifests of one folder.
const IN_FOLDER: usize = 1_000;
/// What ends a manifest, around its checksum.
const CHECKSUM: &str = "  \"sha256\": \"";

/// Makes `count` snapshots out of one real one, and reads them into an empty catalog.
pub(super) fn run(count: usize) -> Result<Value> {
    let binaries = world::build_ours()?;
    let scratch = tempfile::tempdir()?;
    let root = scratch.path();
    let (manifest, object) = one_snapshot(&binaries, &root.join("first"))?;
    println!("making {count} snapshots");
    let destination = root.join("copies");
    let original = Original::read(&manifest, &object)?;
    for number in 0..count {
        original.again(&destination, number)?;
    }

    let second = root.join("second");
    fs::create_dir(&second)?;
    let orchestrator = Orchestrator::start(&binaries, &second, 4)?;
    orchestrator.add_local(&destination)?;
    let begun = Instant::now();
    let report = orchestrator.ask(&["reindex", "local"])?;
    let wall = begun.elapsed();
    let mib = memory_mib(orchestrator.id(), "VmHWM")?;
    ensure!(report["new_snapshots"] == json!(count), "{report}");
    let begun = Instant::now();
    let again = orchestrator.ask(&["reindex", "local"])?;
    let second_wall = begun.elapsed();
    ensure!(again["new_snapshots"] == 0 && again["problem_count"] == 0, "{again}");
    println!(
        "{count} manifests: {:.1} s (limit {LIMIT_SECS} s for 100,000), again {:.1} s, peak {mib:.0} MiB (limit {LIMIT_MIB})",
        wall.as_secs_f64(),
        second_wall.as_secs_f64(),
    );
    let allowed =
        Duration::from_secs_f64(LIMIT_SECS).mul_f64(count as f64 / 100_000.0).as_secs_f64();
    Ok(json!({
        "manifests": count, "wall_secs": wall.as_secs_f64(), "limit_secs": allowed,
        "again_secs": second_wall.as_secs_f64(), "peak_mib": mib, "limit_mib": LIMIT_MIB,
    }))
}

/// Backs something small up; gives its manifest and its object.
fn one_snapshot(binaries: &Path, root: &Path) -> Result<(PathBuf, PathBuf)> {
    fs::create_dir(root)?;
    let sidecar = Sidecar::of_command(binaries, root, "head -c 200 /dev/urandom")?;
    let orchestrator = Orchestrator::start(binaries, root, 1)?;
    let destination = root.join("destination");
    orchestrator.add_local(&destination)?;
    orchestrator.add_app("shop", &sidecar, "local:shop", "none")?;
    orchestrator.ask(&["run", "shop", "--wait"])?;
    let files: Vec<PathBuf> = fs::read_dir(destination.join("shop"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    let find = |is_manifest: bool| {
        let mut found =
            files.iter().filter(|p| p.to_string_lossy().ends_with(".manifest.json") == is_manifest);
        found.next().cloned().context("the run left no snapshot")
    };
    Ok((find(true)?, find(false)?))
}

struct Original {
    /// All of the manifest but its checksum.
    body: String,
    snapshot_id: String,
    run_id: String,
    object_name: String,
    object: Vec<u8>,
}

impl Original {
    fn read(manifest: &Path, object: &Path) -> Result<Self> {
        let text = fs::read_to_string(manifest)?;
        let value: Value = serde_json::from_str(&text)?;
        let word = |key: &str| value[key].as_str().map(str::to_owned).context("no such member");
        let end = text.rfind(CHECKSUM).context("no checksum")?;
        let name = object.file_name().context("no name")?.to_string_lossy().into_owned();
        Ok(Self {
            body: text[..end].to_owned(),
            snapshot_id: word("snapshot_id")?,
            run_id: word("run_id")?,
            object_name: name,
            object: fs::read(object)?,
        })
    }

    /// The same under other names and identifiers.
    fn again(&self, destination: &Path, number: usize) -> Result<()> {
        let folder = destination.join(format!("shop/{:04}", number / IN_FOLDER));
        if number.is_multiple_of(IN_FOLDER) {
            fs::create_dir_all(&folder)?;
        }
        let name = format!("{number:08}-{}", self.object_name);
        let other = |id: &str| format!("{}{number:08}", &id[..id.len() - 8]);
        let body = self
            .body
            .replace(&self.snapshot_id, &other(&self.snapshot_id))
            .replace(&self.run_id, &other(&self.run_id))
            .replace(&self.object_name, &name);
        let sha256 = hex::encode(ring::digest::digest(&ring::digest::SHA256, body.as_bytes()));
        let manifest = format!("{body}{CHECKSUM}{sha256}\"\n}}\n");
        fs::write(folder.join(format!("{number:08}.manifest.json")), manifest)?;
        fs::write(folder.join(name), &self.object)?;
        Ok(())
    }
}
