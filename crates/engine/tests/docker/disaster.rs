//! A database in a container, files of the machine and a volume, and their orchestrator: all of it is
//! destroyed, and comes back from one destination and the recovery kit, by the real program on a
//! clean start.

use std::sync::Arc;

use crate::{
    host::{Host, Made},
    images::Image,
    place::Place,
    postgres::{SUM, fill, server, sql},
    restore_volume::list,
    volume::TREE,
};

/// Every row, in an order of its own.
const ROWS: &str = "SELECT id || ' ' || what FROM orders ORDER BY id";

pub(crate) async fn an_app_comes_back_with_its_orchestrator(host: Arc<Host>) {
    tokio::task::spawn_blocking(move || comes_back(&host)).await.unwrap();
}

fn comes_back(host: &Host) {
    let (machine, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    host.image(Image::Base);
    let db: Made<'_> = server(host, "disaster", Image::Postgres15, "trust", &[]);
    fill(host, &db);
    let (sum, rows) = (sql(host, &db, "shop", SUM), sql(host, &db, "shop", ROWS));
    assert_eq!(rows.lines().count(), 3_000);
    let files = machine.path().join("files");
    std::fs::create_dir_all(files.join("sub")).unwrap();
    std::fs::write(files.join("sub/one"), "first").unwrap();
    std::os::unix::fs::symlink("sub/one", files.join("link")).unwrap();
    let volume = host.volume("disaster");
    let mount = format!("{}:/v", volume.name);
    host.run(&["-v", &mount], Image::Postgres15, &["bash", "-c", TREE]);
    let kept = list(host, &volume.name);

    let place = Place::empty(host, machine.path());
    let serving = place.serve(&["overview"]);
    let path = format!("path={}", disk.path().display());
    place.ask(&["destination", "add", "vault", "--kind", "local", "--set", &path]);
    let database = format!("db:kind=postgres,container={},database=shop", db.name);
    let folder = format!("files:kind=files,path={}", files.display());
    let data = format!("data:kind=volume,volume={}", volume.name);
    let sources = ["--source", &database, "--source", &folder, "--source", &data];
    let add = ["app", "add", "shop", "--destination", "vault"];
    place.ask(&[&add[..], &sources].concat());
    place.ask(&["run", "shop", "--wait"]);
    place.ask(&["recovery", "copy"]);
    let kit = place.ask(&["recovery-kit"]);

    // The disaster.
    let name = db.name.clone();
    drop(serving);
    drop(place);
    drop(db);
    host.docker(&["volume", "rm", &volume.name]);
    std::fs::remove_dir_all(&files).unwrap();

    // A clean start: a new database server without data, and an orchestrator that knows nothing.
    let mut again = server(host, "reborn", Image::Postgres15, "trust", &[]);
    host.docker(&["rename", &again.name, &name]);
    again.name = name;
    let place = Place::empty(host, machine.path());
    let key = place.folder.path().join("recovery-key.txt");
    std::fs::write(&key, kit["identity"].as_str().unwrap()).unwrap();
    let address = kit["destinations"][0]["address"].as_str().unwrap();
    let told = place.ask(&["bootstrap", address, "--key-file", key.to_str().unwrap()]);
    assert_eq!(told["destination"], "vault", "{told}");
    let _serving = place.serve(&["overview"]);
    let snapshots = place.ask(&["snapshots", "shop"]);
    let snapshot = snapshots[0]["id"].as_str().unwrap_or_else(|| panic!("{snapshots}"));
    place.ask(&["restore", snapshot, "--into-app", "--preflight"]);
    place.ask(&["restore", snapshot, "--into-app", "--wait"]);
    assert!(sql(host, &again, "shop", ROWS) == rows, "its rows are others");
    assert_eq!(sql(host, &again, "shop", SUM), sum);
    assert_eq!(std::fs::read_to_string(files.join("link")).unwrap(), "first");
    assert_eq!(list(host, &volume.name), kept);
    place.ask(&["drill", "shop", "--wait"]);
}
