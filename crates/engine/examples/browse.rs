//! How long it takes to look into an archive of many files: the index, a folder, a search, a file.
//!
//! `cargo run --release -p engine --example browse [FILES]`; 100,000 files where no number is
//! given, in folders of a thousand.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use catalog::Catalog;
use engine::{
    AppDraft, BindingDraft, DestinationDraft, Engine, EngineConfig, Parts, RunRequest, SourceDraft,
    SystemClock, Vault,
};
use futures::TryStreamExt as _;
use model::{RunState, SnapshotId};
use rand::SeedableRng as _;
use tokio_util::sync::CancellationToken;

const OF_A_FOLDER: usize = 1_000;
const TRIES: u32 = 50;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let files = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("tree");
    for at in 0..files {
        let of = root.join(format!("folder-{:04}", at / OF_A_FOLDER));
        if at % OF_A_FOLDER == 0 {
            std::fs::create_dir_all(&of)?;
        }
        std::fs::write(of.join(format!("file-{at:07}.txt")), format!("content of {at}"))?;
    }
    let mut config = EngineConfig::new("browse");
    config.file_roots = vec![folder.path().to_owned()];
    config.spool = folder.path().join("spool");
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("catalog.sqlite").display());
    let engine = Engine::new(Parts {
        catalog: Catalog::open(&url.into(), 4).await?,
        clock: Arc::new(SystemClock),
        vault: Vault::new(&"a key for an example".into()),
        config,
        wording: std::sync::Arc::new(engine::PlainWording),
        rng: rand::rngs::StdRng::from_rng(&mut rand::rng()),
    });
    let id = stored(&engine, &folder.path().join("disk"), &root).await?;
    let base = root.display().to_string();
    let base = base.trim_start_matches('/');

    let began = Instant::now();
    while engine.index_under_way(id, "files").await?.is_some() {}
    println!("{files} files: the index is there after {:?}", began.elapsed());
    let path = format!("{base}/folder-0000");
    let listed = measured(async || engine.browse(id, "files", &path, None).await.map(drop)).await?;
    let found = measured(async || engine.search(id, "files", "0000777").await.map(drop)).await?;
    let file = format!("{path}/file-0000007.txt");
    let read = measured(async || {
        let stream = engine.read_path(id, "files", &file).await?;
        let _ = stream.try_for_each(async |_| Ok(())).await;
        Ok(())
    })
    .await?;
    println!("a folder {listed:?}, a search {found:?}, a file {read:?}: the median of {TRIES}");
    Ok(())
}

/// A snapshot of `root`.
async fn stored(
    engine: &Engine,
    disk: &std::path::Path,
    root: &std::path::Path,
) -> Result<SnapshotId, Box<dyn Error>> {
    let of = |key: &str, path: &std::path::Path| {
        BTreeMap::from([(key.to_owned(), path.display().to_string())])
    };
    let disk = DestinationDraft {
        name: "disk".to_owned(),
        kind: "local".to_owned(),
        settings: of("path", disk),
        ..DestinationDraft::default()
    };
    engine.add_destination(disk).await?;
    let source = SourceDraft {
        name: "files".to_owned(),
        kind: "files".to_owned(),
        settings: of("path", root),
        ..SourceDraft::default()
    };
    let app = AppDraft {
        name: "many".to_owned(),
        sources: vec![source],
        destinations: vec![BindingDraft {
            destination: "disk".to_owned(),
            ..BindingDraft::default()
        }],
        ..AppDraft::default()
    };
    let app = engine.register_app(app).await?;
    let serving = engine.clone();
    tokio::spawn(async move { serving.serve(CancellationToken::new()).await });
    let run = engine.run_now(&app, &RunRequest::default()).await?;
    loop {
        let run = engine.catalog().run(run.id).await?;
        if let (RunState::Succeeded, Some(id)) = (run.state, run.snapshot_id) {
            return Ok(id);
        }
        if run.state.is_terminal() {
            return Err(format!("{:?}", run.failure).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The median of the time that `ask` takes.
async fn measured(
    ask: impl AsyncFn() -> Result<(), engine::EngineError>,
) -> Result<Duration, engine::EngineError> {
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let began = Instant::now();
        ask().await?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok(took[took.len() / 2])
}
