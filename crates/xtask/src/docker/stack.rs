//! Databases and a volume declared in one `backups.yml`, and a database behind a sidecar: backed up
//! by the containers as a user starts them, and restored with stock tools.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    client::Docker,
    database::{self, Database},
    orchestrator::{self, Orchestrator},
    stage::Stage,
};

/// The volume of the first database, as compose would name it.
pub(super) const VOLUME: &str = "financer-services_postgres_data";
pub(super) const OTHER_VOLUME: &str = "financer-services_transactions_data";
const MAIN: (&str, &str) = ("admin", "canary-mordor-4f1d");
const SECOND: (&str, &str) = ("ledger", "canary-transactions-77ab");
const TOKEN: &str = "canary-token-of-the-database-51c0";
const FILL: &str = "CREATE TABLE orders (id int PRIMARY KEY, note text NOT NULL);\n\
     INSERT INTO orders SELECT n, 'order ' || n FROM generate_series(1, 20000) n;";
const COUNT: &str = "SELECT count(*) || '/' || md5(string_agg(note, ',' ORDER BY id)) FROM orders";

/// Two databases and a volume, as the orchestrator's own test of the file has them.
const BACKUPS: &str = include_str!("../../../orchestrator/tests/it/backups.yml");

/// The two servers that the file names, filled.
pub(super) struct Servers<'a> {
    main: Database<'a>,
    second: Database<'a>,
}

impl<'a> Servers<'a> {
    pub(super) fn start(docker: &'a Docker) -> Result<Self> {
        database::build(docker)?;
        let network = orchestrator::NETWORK;
        let main = Database::start(docker, (network, "postgres", VOLUME), 5432, MAIN)?;
        let second =
            Database::start(docker, (network, "transactions", OTHER_VOLUME), 5433, SECOND)?;
        for (server, name) in [(&main, "mordor"), (&second, "transactions")] {
            server.sql("postgres", &format!("CREATE DATABASE {name}"))?;
            server.sql(name, FILL)?;
        }
        Ok(Self { main, second })
    }
}

/// Writes `backups.yml` and `stack.env` where the compose file looks for them.
pub(super) fn write(stage: &Stage) -> Result<()> {
    stage.write("backups.yml", BACKUPS)?;
    let text = format!(
        "POSTGRES_USER={}\nPOSTGRES_PASSWORD={}\nTRANSACTIONS_USER={}\nTRANSACTIONS_PASSWORD={}\n\
         S3_BUCKET=\nAWS_DEFAULT_REGION=us-east-1\n",
        MAIN.0, MAIN.1, SECOND.0, SECOND.1
    );
    stage.write("stack.env", &text).map(drop)
}

/// Secrets of this flow, looked for wherever they must not be.
pub(super) const SECRETS: &[&str] = &[MAIN.1, SECOND.1, TOKEN];

/// Runs everything by hand, and restores each object as the file's own documentation says.
pub(super) fn try_out(
    docker: &Docker,
    orchestrator: &Orchestrator,
    servers: &Servers,
) -> Result<()> {
    let all = || docker.ask(&["ps", "--all", "--format", "{{.Names}} {{.State}}"]);
    // What another test's killed program left is not of this flow.
    let before = all()?;
    println!("$ docker exec {} /backup.sh", orchestrator::CONTAINER);
    orchestrator.exec(&["/backup.sh"])?;
    let listed =
        orchestrator.exec(&["find", "/backups", "-type", "f", "-not", "-name", "*.json"])?;
    let files: Vec<_> = listed.lines().collect();
    let moment = files
        .iter()
        .find_map(|file| file.strip_prefix("/backups/")?.split_once("/mordor_"))
        .with_context(|| format!("there is no dump of mordor: {listed}"))?
        .0;
    let scratch = tempfile::tempdir()?;
    let fetch = |name: &str| -> Result<Vec<u8>> {
        let path = format!("/backups/{moment}/{name}");
        ensure!(files.contains(&path.as_str()), "{path} is not there: {listed}");
        let here = scratch.path().join(name);
        let there = format!("{}:{path}", orchestrator::CONTAINER);
        docker.ask(&["cp", &there, &here.display().to_string()])?;
        let opened = Command::new("gunzip").arg("-c").arg(&here).output()?;
        ensure!(opened.status.success(), "{name} is no whole gzip file");
        Ok(opened.stdout)
    };
    for (server, name) in [(&servers.main, "mordor"), (&servers.second, "transactions")] {
        let dump = fetch(&format!("{name}_{moment}.sql.gz"))?;
        server.sql("postgres", "CREATE DATABASE again")?;
        server.psql("again", &dump)?;
        let (was, is) = (server.sql(name, COUNT)?, server.sql("again", COUNT)?);
        ensure!(was == is && was.starts_with("20000/"), "{name}: {was} became {is}");
    }
    let archive = fetch(&format!("postgres-data_volume_{moment}.tar.gz"))?;
    let tar = scratch.path().join("volume.tar");
    fs::write(&tar, archive)?;
    let told = Command::new("tar").arg("-tf").arg(&tar).output()?;
    let names = String::from_utf8(told.stdout)?;
    ensure!(names.lines().any(|name| name.ends_with("PG_VERSION")), "no PG_VERSION in {names}");
    let logs = listed.lines().filter(|file| file.starts_with("/backups/logs/backup_")).count();
    ensure!(logs == 3, "{logs} logs, not 3: {listed}");
    let told = orchestrator.exec(&["sh", "-c", "cat /backups/logs/backup_*.log"])?;
    for secret in SECRETS {
        ensure!(!told.contains(secret), "a log shows a secret");
    }
    let now = all()?;
    let left: Vec<_> = now
        .lines()
        .filter(|line| line.contains("created") && !before.lines().any(|was| was == *line))
        .collect();
    ensure!(left.is_empty(), "a container was left behind: {left:?}");
    prove(orchestrator, "mordor")?;
    println!("backups.yml works: two databases and a volume, backed up and restored");
    Ok(())
}

/// Restores the app's newest snapshot into a server of the image's own, and looks at it there.
fn prove(orchestrator: &Orchestrator, app: &str) -> Result<()> {
    let drill = orchestrator.cli(&["drill", app, "--wait"], "")?;
    ensure!(drill["state"] == "succeeded", "the drill of {app}: {drill}");
    Ok(())
}

/// The database recipe of the sidecar's documentation, on the second server.
pub(super) fn try_sidecar(
    docker: &Docker,
    stage: &Stage,
    orchestrator: &Orchestrator,
    servers: &Servers,
) -> Result<()> {
    const NAME: &str = "backup-test-database-sidecar";
    let folder = stage.path().join("database-sidecar");
    fs::create_dir_all(&folder)?;
    let config = r#"
app:
  port: 8080
capabilities:
  version: v1
  types: [db]
strategy:
  type: database_dump
  artifact:
    filename: backup.dump
    format: postgres-custom
    content_type: application/octet-stream
  config:
    command: |
      pg_dump --dbname="${DATABASE_URL}" --format=custom
    capture_stdout: true
    env:
      PGPASSWORD: ${DATABASE_PASSWORD}
paths:
  workdir: /spool
  artifacts: /spool/artifacts
  temp_dump: /spool/dump/dump
secrets:
  api_token: ${BACKUP_API_TOKEN}
"#;
    fs::write(folder.join("config.yaml"), config)?;
    let secrets = format!(
        "BACKUP_API_TOKEN={TOKEN}\nDATABASE_URL=postgresql://{}@transactions:5433/transactions\n\
         DATABASE_PASSWORD={}\n",
        SECOND.0, SECOND.1
    );
    fs::write(folder.join("sidecar.env"), secrets)?;
    let mount = format!("{}:/config:ro", folder.display());
    let env = folder.join("sidecar.env").display().to_string();
    let run = ["run", "--detach", "--name", NAME, "--network", orchestrator::NETWORK];
    let rest = ["--env-file", &env, "--volume", &mount, "backup-sidecar"];
    docker.ask(&[&run[..], &rest[..]].concat())?;
    let tried = by_contract(docker, orchestrator, servers, NAME);
    let _ = docker.try_ask(&["rm", "--force", "--volumes", NAME]);
    tried
}

fn by_contract(
    docker: &Docker,
    orchestrator: &Orchestrator,
    servers: &Servers,
    name: &str,
) -> Result<()> {
    let url = format!("http://{name}:8080");
    let add = ["app", "add", "ledger", "--url", &url, "--token-file", "/dev/stdin"];
    let to = ["--destination", "disk:ledger", "--compression", "none"];
    orchestrator.cli(&[&add[..], &to[..]].concat(), TOKEN)?;
    let run = orchestrator.cli(&["run", "ledger", "--wait"], "")?;
    ensure!(run["state"] == "succeeded", "the run did not succeed: {run}");
    let found = orchestrator.exec(&["find", "/app/data/disk/ledger", "-name", "*.dump"])?;
    let [path] = found.lines().collect::<Vec<_>>()[..] else {
        bail!("not one dump but {found:?}");
    };
    let scratch = tempfile::tempdir()?;
    let here = scratch.path().join("dump");
    let there = format!("{}:{path}", orchestrator::CONTAINER);
    docker.ask(&["cp", &there, &here.display().to_string()])?;
    servers.second.sql("postgres", "CREATE DATABASE by_sidecar")?;
    servers.second.restore("by_sidecar", &fs::read(&here)?)?;
    let was = servers.second.sql("transactions", COUNT)?;
    let is = servers.second.sql("by_sidecar", COUNT)?;
    ensure!(was == is, "the sidecar's dump: {was} became {is}");
    prove(orchestrator, "ledger")?;
    println!("the sidecar's database recipe works: dumped, stored, restored");
    Ok(())
}
