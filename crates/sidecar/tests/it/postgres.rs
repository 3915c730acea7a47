//! `pg_dump` against a real PostgreSQL, configured as the sidecar's guide shows it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

use crate::sidecar::Sidecar;

/// A server on the loopback interface, stopped with its owner.
pub(crate) struct Postgres {
    bin: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Postgres {
    /// `None` where PostgreSQL is not installed, which CI does not allow.
    pub(crate) fn start() -> Option<Self> {
        let homes = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let bin = homes.map(|home| home.path().join("bin")).find(|bin| bin.join("initdb").exists());
        assert!(bin.is_some() || std::env::var_os("CI").is_none(), "PostgreSQL is needed in CI");
        let folder = tempfile::tempdir().unwrap();
        Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { bin: bin?, folder, port };
        let data = server.data();
        assert!(server.run("initdb", &["-D", &data, "-A", "trust", "-U", "admin", "--no-sync"]));
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        );
        assert!(server.run("pg_ctl", &["-D", &data, "-o", &options, "-w", "start"]));
        Some(server)
    }

    pub(crate) fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://admin:unused@127.0.0.1:{}/{database}", self.port)
    }

    /// From now on `role` needs its password.
    pub(crate) fn ask_for_passwords(&self, role: &str) {
        let file = self.folder.path().join("data/pg_hba.conf");
        let rules = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{rules}"))
            .unwrap();
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// PostgreSQL's own programs refuse to run as root.
    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let path = self.bin.join(program);
        let proc = std::fs::metadata("/proc/self").unwrap();
        let mut command = if std::os::unix::fs::MetadataExt::uid(&proc) == 0 {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.args(arguments).stdout(Stdio::null()).status().unwrap().success()
    }

    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let done = Command::new("psql").args(["-qAt", &self.url(database), "-c", sql]).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }
}

#[tokio::test]
async fn a_dump_restores_to_the_same_rows() {
    let Some(server) = Postgres::start() else { return };
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("postgres", "CREATE DATABASE restored");
    server.sql(
        "shop",
        "CREATE TABLE item AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 5000) n",
    );
    let strategy = json!({
        "type": "database_dump",
        "artifact": {
            "filename": "backup.sql.gz",
            "format": "postgres-custom",
            "content_type": "application/gzip",
        },
        "config": {
            "command": "pg_dump --dbname=\"${DATABASE_URL}\" --format=custom\n",
            "capture_stdout": true,
            "env": { "PGPASSWORD": "${DATABASE_PASSWORD}" },
        },
    });
    let url = server.url("shop");
    let environment = [("DATABASE_URL", url.as_str()), ("DATABASE_PASSWORD", "super-secret")];
    let sidecar = Sidecar::start(&strategy, &environment).await;
    let dump = sidecar.export(None).await.unwrap();
    assert!(dump.starts_with(b"PGDMP"));
    let file: &Path = &sidecar.path().join("out.dump");
    std::fs::write(file, dump).unwrap();
    let restore =
        Command::new("pg_restore").args(["-d", &server.url("restored")]).arg(file).status();
    assert!(restore.unwrap().success());
    let rows = "SELECT count(*), md5(string_agg(id || name, ',' ORDER BY id)) FROM item";
    assert_eq!(server.sql("restored", rows), server.sql("shop", rows));

    // A database that is not there is a failure, and never a short dump.
    let nowhere = server.url("nowhere");
    let environment = [("DATABASE_URL", nowhere.as_str()), ("DATABASE_PASSWORD", "super-secret")];
    let sidecar = Sidecar::start(&strategy, &environment).await;
    assert!(sidecar.export(None).await.is_err());
    assert!(!sidecar.stop().contains("super-secret"));
}

#[tokio::test]
async fn a_database_is_taken_back_by_its_preset() {
    let Some(server) = Postgres::start() else { return };
    let name = "it's a \"shop\"";
    server.sql("postgres", "CREATE ROLE app LOGIN");
    server.sql("postgres", "CREATE DATABASE \"it's a \"\"shop\"\"\" OWNER app");
    server.sql("postgres", "ALTER DATABASE \"it's a \"\"shop\"\"\" SET search_path TO public, app");
    server.sql("postgres", "GRANT CONNECT ON DATABASE \"it's a \"\"shop\"\"\" TO app");
    let shop = "it's%20a%20%22shop%22";
    server.sql(
        shop,
        "CREATE TABLE item AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 5000) n",
    );
    let strategy = json!({
        "type": "database_dump",
        "config": {
            "preset": "postgres", "host": "127.0.0.1", "port": server.port, "user": "admin",
            "database": name,
        },
    });
    let sidecar = crate::imports::taking(&strategy, &[]).await;
    let artifact = sidecar.export(None).await.unwrap();
    let rows = "SELECT count(*), md5(string_agg(id || name, ',' ORDER BY id)) FROM item";
    let before = server.sql(shop, rows);
    server.sql(shop, "DELETE FROM item WHERE id > 9; CREATE TABLE later(x int)");
    let databases = || server.sql("postgres", "SELECT count(*) FROM pg_database");
    let count = databases();

    // Right by its checksum, and cut all the same.
    let error = crate::imports::import(&sidecar, &artifact[..artifact.len() / 2]).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("nothing that was there was changed"), "{error}");
    let error = crate::imports::import(&sidecar, b"DROP TABLE item").await.unwrap_err();
    assert!(error.to_string().contains("custom format"), "{error}");
    assert_eq!((databases(), server.sql(shop, "SELECT count(*) FROM item")), (count, "9\n".into()));

    let report = crate::imports::import(&sidecar, &artifact).await.unwrap();
    assert_eq!(server.sql(shop, rows), before);
    assert_eq!(server.sql(shop, "SELECT to_regclass('later') IS NULL"), "t\n");
    assert_eq!(server.sql(shop, "SHOW search_path"), "public, app\n");
    let owner = "SELECT pg_get_userbyid(datdba), array_to_string(datacl, ' ') LIKE '%app=%c%' \
                 FROM pg_database WHERE datname = current_database()";
    assert_eq!(server.sql(shop, owner), "app|t\n");
    let kept = report.kept.unwrap();
    let kept = kept.strip_prefix("the database ").unwrap();
    let kept = kept.replace(' ', "%20").replace('"', "%22");
    assert_eq!(server.sql(&kept, "SELECT count(*) FROM item"), "9\n");

    // Where it is gone altogether, it is made.
    server.sql("postgres", "DROP DATABASE \"it's a \"\"shop\"\"\"");
    crate::imports::import(&sidecar, &artifact).await.unwrap();
    assert_eq!(server.sql(shop, rows), before);
}
