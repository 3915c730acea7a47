//! What the presets have in common; PostgreSQL's.

use std::process::Command;

use contract::ExportRequest;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    daemon::{PASSWORD, installed, output},
    postgres::Postgres,
    sidecar::Sidecar,
};

/// A folder that stands before the path: its `program` notes the arguments it is given, and then
/// becomes the real one.
pub(crate) fn noting(program: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let real = installed(program).unwrap();
    let here = folder.path().display();
    let script = format!(
        "#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline >> {here}/seen\nexec {} \"$@\"\n",
        real.display()
    );
    let file = folder.path().join(program);
    std::fs::write(&file, script).unwrap();
    Command::new("chmod").arg("755").arg(&file).status().unwrap();
    folder
}

/// An export by a preset.
pub(crate) struct Dump {
    pub(crate) bytes: Vec<u8>,
    pub(crate) filename: String,
    pub(crate) format: String,
    pub(crate) content_type: String,
}

/// Exports by this preset, and proves that the password was no argument and was not said.
pub(crate) async fn dump(
    program: &str,
    config: &Value,
    environment: &[(&str, &str)],
) -> Result<Dump, String> {
    let noting = noting(program);
    let path = format!("{}:{}", noting.path().display(), std::env::var("PATH").unwrap());
    let strategy = json!({ "type": "database_dump", "config": config });
    let environment: Vec<_> =
        environment.iter().copied().chain([("PATH", path.as_str())]).collect();
    let sidecar = Sidecar::start(&strategy, &environment).await;
    let client = sidecar.client(crate::sidecar::TOKEN);
    let exported = async {
        let mut stream = client.open(&ExportRequest::default(), CancellationToken::new()).await?;
        let info = stream.meta().clone();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok::<_, contract::ContractError>((info, bytes))
    };
    let exported = exported.await;
    assert!(!sidecar.path().join("temp.dump").exists());
    let log = sidecar.stop();
    let seen = std::fs::read_to_string(noting.path().join("seen")).unwrap();
    for text in [&log, &seen] {
        assert!(!text.contains("ca'na") && !text.contains("canary"), "{text}");
    }
    let (info, bytes) = exported.map_err(|error| format!("{error}\n{log}"))?;
    Ok(Dump {
        bytes,
        filename: info.file_name,
        format: info.format.unwrap_or_default(),
        content_type: info.content_type.unwrap_or_default(),
    })
}

/// A URL with this password.
pub(crate) fn url(text: &str) -> String {
    let mut url = url::Url::parse(text).unwrap();
    url.set_password(Some(&PASSWORD.replace('%', "%25"))).unwrap();
    url.to_string()
}

#[tokio::test]
async fn postgres_by_keys_and_by_url() {
    let Some(server) = Postgres::start() else { return };
    server.sql("postgres", "CREATE DATABASE \"it's a shop\"");
    server.sql("postgres", "CREATE DATABASE restored");
    let quoted = PASSWORD.replace('\'', "''");
    server.sql("postgres", &format!("CREATE ROLE dumper SUPERUSER LOGIN PASSWORD '{quoted}'"));
    let shop = "it's%20a%20shop";
    server.sql(
        shop,
        "CREATE TABLE item AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 3000) n",
    );
    server.ask_for_passwords("dumper");

    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), format!("{PASSWORD}\n")).unwrap();
    let port = server.port;
    let keys = |more: Value| {
        let mut config = json!({
            "preset": "postgres", "host": "127.0.0.1", "port": port, "user": "dumper",
            "database": "it's a shop", "options": ["--no-comments"],
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let by_url = url(&format!("postgresql://dumper@127.0.0.1:{port}/{shop}?sslmode=prefer"));
    let ways = [
        keys(json!({ "password_env": "DB_PASSWORD" })),
        keys(json!({ "password_file": secret.path() })),
        json!({ "preset": "postgres", "url": "${DATABASE_URL}" }),
    ];
    let environment = [("DB_PASSWORD", PASSWORD), ("DATABASE_URL", by_url.as_str())];
    for way in ways {
        let dump = dump("pg_dump", &way, &environment).await.unwrap();
        assert_eq!(dump.format, "pg_dump_Fc");
        assert_eq!(dump.filename, "it_s_a_shop.dump");
        assert_eq!(dump.content_type, "application/octet-stream");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), dump.bytes).unwrap();
        let into = server.url("restored");
        let mut restore = Command::new("pg_restore");
        output(restore.args(["--clean", "--if-exists", "-d", &into]).arg(file.path()));
        let rows = "SELECT count(*), md5(string_agg(id || name, ',' ORDER BY id)) FROM item";
        assert_eq!(server.sql("restored", rows), server.sql(shop, rows));
        server.sql("restored", "DROP TABLE item");
    }
    let wrong = keys(json!({ "password_env": "DB_PASSWORD" }));
    let refused = dump("pg_dump", &wrong, &[("DB_PASSWORD", "canary-wrong")]).await;
    assert!(refused.is_err_and(|told| told.contains("password authentication failed")));
}
