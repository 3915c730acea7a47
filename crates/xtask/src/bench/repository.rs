//! The repository layout beside restic 0.18, borg and rustic: the same data, the same machine, in
//! turn. What is measured of ours is `crates/repository/examples/keep.rs`, a process of its own as
//! the others are, so that opening the repository counts for all of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::{
    data,
    measure::{children_secs, median, memory_mib},
    peers::Peers,
};

const PASSWORD: &str = "bench-password-of-this-run-only";
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// In hundredths: how much of the mix is changed before the second snapshot.
const CHANGED: usize = 100;

#[derive(Args)]
pub(crate) struct RepositoryOptions {
    /// Size of the mix, in MiB: half noise, a quarter text, a quarter small files.
    #[arg(long, default_value_t = 2048)]
    size_mib: u64,
    /// How often each thing is measured; medians are told.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// This `borg` instead of the 1.4 on the path or in the cache folder.
    #[arg(long)]
    borg: Option<PathBuf>,
    /// The same for `rustic`.
    #[arg(long)]
    rustic: Option<PathBuf>,
    /// Install borg (with pip) and rustic (with cargo, which takes long) into the cache folder where
    /// they are missing.
    #[arg(long)]
    install_peers: bool,
    /// Write every figure into this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What is done, in this order.
const STEPS: [&str; 7] = ["first", "unchanged", "changed", "restore", "check", "prune", "stream"];

/// One way to keep a repository.
struct Tool {
    name: &'static str,
    program: PathBuf,
    /// Commands of the shell; `$T` is the program, `$R` the repository, `$S` the source, `$O` where
    /// to restore, `$D` a dump.
    init: &'static str,
    steps: [&'static str; STEPS.len()],
}

const KEEP: [&str; STEPS.len()] = [
    "exec $T folder $R $S",
    "exec $T folder $R $S",
    "exec $T folder $R $S",
    "exec $T restore $R $S $O",
    "exec $T check $R",
    "exec $T prune $R",
    "exec $T stream $R dump.sql < $D",
];
const RESTIC: [&str; STEPS.len()] = [
    "exec $T -q --no-cache -r $R backup $S",
    "exec $T -q --no-cache -r $R backup $S",
    "exec $T -q --no-cache -r $R backup $S",
    "exec $T -q --no-cache -r $R restore latest --target $O",
    "exec $T -q --no-cache -r $R check --read-data",
    "exec $T -q --no-cache -r $R forget --keep-last 1 --prune",
    "exec $T -q --no-cache -r $R backup --stdin --stdin-filename dump.sql < $D",
];
const BORG: [&str; STEPS.len()] = [
    "exec $T create --compression zstd,3 $R::first $S",
    "exec $T create --compression zstd,3 $R::unchanged $S",
    "exec $T create --compression zstd,3 $R::changed $S",
    "mkdir -p $O && cd $O && exec $T extract $R::changed",
    "exec $T check --verify-data $R",
    "$T prune --keep-last 1 $R && exec $T compact $R",
    "exec $T create --compression zstd,3 --stdin-name dump.sql $R::stream - < $D",
];
const RUSTIC: [&str; STEPS.len()] = [
    "exec $T --log-level error --no-progress --no-cache -r $R backup $S",
    "exec $T --log-level error --no-progress --no-cache -r $R backup $S",
    "exec $T --log-level error --no-progress --no-cache -r $R backup $S",
    "exec $T --log-level error --no-progress --no-cache -r $R restore latest $O",
    "exec $T --log-level error --no-progress --no-cache -r $R check --read-data",
    "exec $T --log-level error --no-progress --no-cache -r $R forget --keep-last 1 --prune \
     --instant-delete --keep-delete 0s",
    "exec $T --log-level error --no-progress --no-cache -r $R backup --stdin-filename dump.sql - < $D",
];

/// One measurement.
#[derive(Clone, Copy)]
struct Sample {
    wall_secs: f64,
    cpu_secs: f64,
    peak_mib: f64,
    stored_mib: f64,
}

/// Those of one tool at one step.
struct Figures {
    tool: &'static str,
    step: &'static str,
    samples: Vec<Sample>,
}

pub(super) fn run(options: &RepositoryOptions) -> Result<()> {
    ensure!(options.repeat > 0 && options.size_mib >= 64, "at least one repetition and 64 MiB");
    let (tools, left_out) = tools(options)?;
    let scratch = tempfile::tempdir()?;
    let root = scratch.path();
    let dump = root.join("dump.sql");
    data::fresh_text(&dump, options.size_mib / 4, 5)?;
    let mut all: Vec<Figures> = Vec::new();
    for round in 1..=options.repeat {
        for tool in &tools {
            let source = root.join("source");
            mix(&source, options.size_mib)?;
            for (step, sample) in one(tool, root, &source, &dump)? {
                println!(
                    "{round}/{}  {:8} {step:10} {:7.2} s",
                    options.repeat, tool.name, sample.wall_secs
                );
                match all.iter_mut().find(|f| f.tool == tool.name && f.step == step) {
                    Some(figures) => figures.samples.push(sample),
                    None => all.push(Figures { tool: tool.name, step, samples: vec![sample] }),
                }
            }
            fs::remove_dir_all(&source)?;
        }
    }
    print(&tools, &all);
    for told in &left_out {
        println!("{told}");
    }
    if let Some(file) = &options.json {
        let figures: Value = all.iter().map(Figures::to_json).collect();
        let told =
            json!({ "size_mib": options.size_mib, "figures": figures, "left_out": left_out });
        fs::write(file, serde_json::to_string_pretty(&told)?)?;
    }
    Ok(())
}

/// What is measured, and what is not and why.
fn tools(options: &RepositoryOptions) -> Result<(Vec<Tool>, Vec<String>)> {
    let built = crate::cargo::cargo()
        .args(["build", "--release", "--package", "repository", "--example", "keep"])
        .status()?;
    ensure!(built.success(), "the build failed");
    let ours = std::env::current_exe()?;
    let target = ours.parent().and_then(Path::parent).context("no folder")?;
    let mut tools = vec![Tool {
        name: "ours",
        program: target.join("release/examples/keep"),
        init: "$T init $R",
        steps: KEEP,
    }];
    let peers = Peers::new(options.install_peers)?;
    let others = [
        ("restic", peers.restic(), "$T -q -r $R init", RESTIC),
        ("borg", peers.borg(options.borg.as_deref()), "$T init -e repokey-blake2 $R", BORG),
        (
            "rustic",
            peers.rustic(options.rustic.as_deref()),
            "$T --log-level error -r $R init",
            RUSTIC,
        ),
    ];
    let mut left_out = Vec::new();
    for (name, found, init, steps) in others {
        match found {
            Ok(program) => tools.push(Tool { name, program, init, steps }),
            Err(why) => left_out.push(format!("{name} is left out: {why}")),
        }
    }
    for told in &left_out {
        println!("{told}");
    }
    Ok((tools, left_out))
}

/// Half noise, a quarter text, a quarter small files.
fn mix(source: &Path, size_mib: u64) -> Result<()> {
    let (large, small) = (source.join("large"), source.join("small"));
    fs::create_dir_all(&large)?;
    fs::create_dir_all(&small)?;
    data::fresh_noise(&large.join("noise"), size_mib / 2)?;
    data::fresh_text(&large.join("text"), size_mib / 4, 6)?;
    data::small_files(&small, size_mib / 4)
}

/// Every hundredth small file becomes another, and as much of each large one.
fn change(source: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    for name in ["noise", "text"] {
        let file = fs::File::options().write(true).open(source.join("large").join(name))?;
        let size = file.metadata()?.len();
        let piece = vec![b'#'; usize::try_from(size)? / CHANGED / 4];
        for quarter in 0..4 {
            file.write_all_at(&piece, size / 4 * quarter + size / 16)?;
        }
    }
    for folder in fs::read_dir(source.join("small"))? {
        let mut files = fs::read_dir(folder?.path())?.collect::<std::io::Result<Vec<_>>>()?;
        files.sort_unstable_by_key(fs::DirEntry::file_name);
        for file in files.iter().step_by(CHANGED) {
            fs::write(file.path(), format!("changed {}", file.file_name().display()))?;
        }
    }
    Ok(())
}

/// All steps of one tool in one repository.
fn one(
    tool: &Tool,
    root: &Path,
    source: &Path,
    dump: &Path,
) -> Result<Vec<(&'static str, Sample)>> {
    let (repository, out) = (root.join("repository"), root.join("out"));
    let shell = |line: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-e", "-c", line]);
        bash.env("T", &tool.program).env("R", &repository).env("S", source);
        bash.env("O", &out).env("D", dump).env("HOME", root);
        bash.env("RESTIC_PASSWORD", PASSWORD).env("RUSTIC_PASSWORD", PASSWORD);
        bash.env("BORG_PASSPHRASE", PASSWORD).env("BORG_BASE_DIR", root.join("borg"));
        bash
    };
    ensure!(shell(tool.init).output()?.status.success(), "{} init", tool.name);
    let mut samples = Vec::new();
    for (step, line) in STEPS.into_iter().zip(tool.steps) {
        if step == "changed" {
            change(source)?;
        }
        nix::unistd::sync();
        let mut sample = measured(shell(line)).with_context(|| format!("{} {step}", tool.name))?;
        sample.stored_mib = size(&repository)? as f64 / f64::from(1 << 20);
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        samples.push((step, sample));
    }
    for folder in [repository, root.join("borg"), root.join(".cache")] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    Ok(samples)
}

/// Runs it to its end, and looks at its memory meanwhile.
fn measured(mut command: Command) -> Result<Sample> {
    let before = children_secs()?;
    let begun = Instant::now();
    let errors = tempfile::tempfile()?;
    let mut child = command.stdout(Stdio::null()).stderr(errors.try_clone()?).spawn()?;
    let mut peak_mib = 0_f64;
    let status = loop {
        peak_mib = peak_mib.max(memory_mib(child.id(), "VmHWM").unwrap_or_default());
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK),
        }
    };
    let wall_secs = begun.elapsed().as_secs_f64();
    if !status.success() {
        use std::io::{Read as _, Seek as _};
        let (mut errors, mut told) = (errors, String::new());
        errors.rewind()?;
        errors.read_to_string(&mut told)?;
        anyhow::bail!("it ended with {status}: {told}");
    }
    Ok(Sample { wall_secs, cpu_secs: children_secs()? - before, peak_mib, stored_mib: 0.0 })
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { size(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

impl Figures {
    fn median(&self) -> Sample {
        let of = |field: fn(&Sample) -> f64| median(self.samples.iter().map(field));
        Sample {
            wall_secs: of(|s| s.wall_secs),
            cpu_secs: of(|s| s.cpu_secs),
            peak_mib: of(|s| s.peak_mib),
            stored_mib: of(|s| s.stored_mib),
        }
    }

    fn to_json(&self) -> Value {
        let samples: Vec<_> = self
            .samples
            .iter()
            .map(|s| {
                json!({
                    "wall_secs": s.wall_secs, "cpu_secs": s.cpu_secs, "peak_mib": s.peak_mib,
                    "stored_mib": s.stored_mib,
                })
            })
            .collect();
        json!({ "tool": self.tool, "step": self.step, "samples": samples })
    }
}

/// Medians; `x` is how many times the seconds of ours another one takes.
fn print(tools: &[Tool], all: &[Figures]) {
    println!(
        "\n{:10} {:8} {:>8} {:>6} {:>8} {:>6} {:>9} {:>10}",
        "step", "tool", "wall s", "x", "cpu s", "x", "peak MiB", "stored MiB"
    );
    for step in STEPS {
        let find = |tool: &str| all.iter().find(|f| f.step == step && f.tool == tool);
        let Some(ours) = find("ours").map(Figures::median) else { continue };
        for tool in tools {
            let Some(other) = find(tool.name).map(Figures::median) else { continue };
            println!(
                "{step:10} {:8} {:8.2} {:6.2} {:8.2} {:6.2} {:9.1} {:10.1}",
                tool.name,
                other.wall_secs,
                other.wall_secs / ours.wall_secs,
                other.cpu_secs,
                other.cpu_secs / ours.cpu_secs,
                other.peak_mib,
                other.stored_mib,
            );
        }
    }
}
