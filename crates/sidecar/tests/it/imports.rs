//! Artifacts on their way back: what is refused changes nothing, and what was exported comes back.

use std::{io, path::Path, process::Command};

use bytes::Bytes;
use contract::{ContractError, Declared, ImportReport, ImportRequest, ImportTarget};
use futures::stream;
use http::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    daemon::{installed, output},
    raw,
    sidecar::{Sidecar, TOKEN, lives, until},
};

fn digest(bytes: &[u8]) -> [u8; 32] {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().try_into().unwrap()
}

pub(crate) fn request(artifact: &[u8], format: Option<&str>) -> ImportRequest {
    ImportRequest {
        declared: Declared { size_bytes: artifact.len() as u64, sha256: digest(artifact) },
        format: format.map(str::to_owned),
        target: ImportTarget::Replace,
        run_id: None,
    }
}

/// Imports it by the contract's own client.
pub(crate) async fn import(
    sidecar: &Sidecar,
    artifact: &[u8],
) -> Result<ImportReport, ContractError> {
    send(sidecar, &request(artifact, None), artifact).await
}

async fn send(
    sidecar: &Sidecar,
    request: &ImportRequest,
    artifact: &[u8],
) -> Result<ImportReport, ContractError> {
    let chunks: Vec<io::Result<Bytes>> =
        artifact.chunks(50_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let client = sidecar.client(TOKEN);
    client.import(request, stream::iter(chunks), CancellationToken::new()).await
}

/// A sidecar that takes artifacts back.
pub(crate) async fn taking(strategy: &Value, environment: &[(&str, &str)]) -> Sidecar {
    let on = [("SIDECAR_RESTORE", "true")];
    Sidecar::start(strategy, &[environment, &on].concat()).await
}

/// One whose command writes what it is given to the file `live`.
async fn by_command(restore: Value) -> Sidecar {
    let strategy = json!({
        "type": "custom",
        "artifact": { "filename": "app.bin", "format": "app" },
        "config": { "command": "cat live", "capture_stdout": true },
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("live"), "as it is").unwrap();
    Sidecar::start_in(folder, &strategy, &[], &json!({ "restore": restore })).await
}

fn live(sidecar: &Sidecar) -> String {
    std::fs::read_to_string(sidecar.path().join("live")).unwrap()
}

#[tokio::test]
async fn a_command_takes_back_what_another_gave() {
    let restore = json!({
        "enabled": true,
        "pre": "echo pre >> order",
        "command": ["cmp - \"$SIDE_CAR_RESTORE_FILE\"", "cat > live; echo \"$SIDE_CAR_RESTORE_FORMAT\" >> order"],
        "post": "echo post >> order",
    });
    let sidecar = by_command(restore).await;
    let artifact = sidecar.export(None).await.unwrap();
    std::fs::write(sidecar.path().join("live"), "changed").unwrap();
    let mut wanted = request(&artifact, Some("app"));
    wanted.run_id = Some("restore-1".to_owned());
    send(&sidecar, &wanted, &artifact).await.unwrap();
    assert_eq!(live(&sidecar), "as it is");
    let order = || std::fs::read_to_string(sidecar.path().join("order")).unwrap();
    assert_eq!(order(), "pre\napp\npost\n");
    // The same import again has happened already; another has not.
    std::fs::write(sidecar.path().join("live"), "written since").unwrap();
    send(&sidecar, &wanted, &artifact).await.unwrap();
    assert_eq!(live(&sidecar), "written since");
    wanted.run_id = Some("restore-2".to_owned());
    send(&sidecar, &wanted, &artifact).await.unwrap();
    assert_eq!(live(&sidecar), "as it is");
    until("the spool is empty", || sidecar.spooled().is_empty()).await;
}

#[tokio::test]
async fn what_is_not_whole_changes_nothing() {
    let sidecar = by_command(json!({ "enabled": true, "command": "cat > live" })).await;
    let right = hex::encode(digest(b"artifact"));
    let other = hex::encode(digest(b"something else"));
    for (headers, why) in [
        (vec![("x-size", "8"), ("x-checksum-sha256", other.as_str())], "SHA-256"),
        (vec![("x-size", "7"), ("x-checksum-sha256", right.as_str())], "Content-Length and X-Size"),
        (vec![("x-size", "9"), ("x-checksum-sha256", right.as_str())], "Content-Length and X-Size"),
        (vec![("x-size", "8")], "are needed"),
        (vec![("x-checksum-sha256", right.as_str())], "are needed"),
        (vec![("x-size", "eight"), ("x-checksum-sha256", right.as_str())], "decimal"),
        (
            vec![("x-size", "8"), ("x-checksum-sha256", &right), ("x-format", "pg_dump_Fc")],
            "restores `app`",
        ),
    ] {
        let headers: Vec<_> = headers.into_iter().chain([("x-target", "replace")]).collect();
        let answer = raw::import(&sidecar, &headers, b"artifact").await;
        assert_eq!(answer.status, 422, "{headers:?}");
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(why) && told.contains("nothing was changed"), "{told}");
    }
    let whole = [("x-size", "8"), ("x-checksum-sha256", right.as_str())];
    for target in ["beside:other", "nowhere"] {
        let headers = [&whole[..], &[("x-target", target)]].concat();
        assert_eq!(raw::import(&sidecar, &headers, b"artifact").await.status, 422, "{target}");
    }
    // Cut in the midst of it.
    raw::cut(&sidecar, &[&whole[..], &[("x-target", "replace")]].concat(), b"arti").await;
    assert_eq!(live(&sidecar), "as it is");
    let headers = [&whole[..], &[("x-target", "replace")]].concat();
    let mut answer = raw::import(&sidecar, &headers, b"artifact").await;
    // What was cut may still be on its way out.
    for _ in 0..100 {
        if answer.status != 409 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        answer = raw::import(&sidecar, &headers, b"artifact").await;
    }
    assert_eq!(answer.status, 200);
    assert_eq!(live(&sidecar), "artifact");
}

#[tokio::test]
async fn it_is_off_until_it_is_switched_on() {
    let sidecar = by_command(json!({ "command": "cat > live" })).await;
    let client = sidecar.client(TOKEN);
    assert!(!client.capabilities().await.unwrap().restore);
    let error = import(&sidecar, b"x").await.unwrap_err();
    assert!(matches!(error, ContractError::NotOffered { .. }), "{error}");
    let sha256 = hex::encode(digest(b"x"));
    let headers = [("x-size", "1"), ("x-checksum-sha256", &sha256), ("x-target", "replace")];
    let answer = raw::import(&sidecar, &headers, b"x").await;
    assert_eq!(answer.status, 403);
    assert_eq!(live(&sidecar), "as it is");
    let stranger = raw::send(&sidecar, Method::GET, "/backup/import", &[], &Value::Null).await;
    assert_eq!(stranger.status(), 405);
}

#[tokio::test]
async fn a_failing_command_fails_the_import_and_its_group_ends_with_the_client() {
    let sidecar = by_command(json!({
        "enabled": true,
        "command": "if grep -q slow; then sleep 300 & echo $! > id; wait; fi; echo no >&2; exit 3",
        "post": "touch ended",
    }))
    .await;
    let error = import(&sidecar, b"fast").await.unwrap_err().to_string();
    assert!(error.contains("exit code 3") && error.contains("no"), "{error}");
    assert!(sidecar.path().join("ended").exists());

    let cancel = CancellationToken::new();
    let client = sidecar.client(TOKEN);
    let wanted = request(b"slow", None);
    let chunks = stream::iter([Ok(Bytes::from_static(b"slow"))]);
    let importing = tokio::spawn({
        let cancel = cancel.clone();
        async move { client.import(&wanted, chunks, cancel).await }
    });
    let id = sidecar.path().join("id");
    until("the command begins", || std::fs::read_to_string(&id).is_ok_and(|id| !id.is_empty()))
        .await;
    let busy = import(&sidecar, b"fast").await.unwrap_err();
    assert!(matches!(busy, ContractError::Busy { status: 409, .. }), "{busy}");
    cancel.cancel();
    assert!(importing.await.unwrap().is_err());
    until("the command is killed", || !lives(&id)).await;
    until("the turn is free", || sidecar.spooled().is_empty()).await;
    let error = import(&sidecar, b"fast").await.unwrap_err().to_string();
    assert!(error.contains("exit code 3"), "{error}");
}

fn tree(folder: &Path) -> String {
    output(
        Command::new("sh")
            .args(["-c", "cd \"$0\" && find . -path ./.backup-sidecar-restore -prune -o -printf '%p %y %m %l\\n' -type f -exec md5sum {} + | sort"])
            .arg(folder),
    )
}

#[tokio::test]
async fn files_come_back_as_they_were() {
    for (format, compression) in [("tar", "store"), ("tar", "gz"), ("tar", "zst"), ("zip", "gz")] {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let fill = "mkdir -p \"$0/a/b\" && cd \"$0\" && seq 50000 > a/numbers && ln -s numbers a/link \
             && echo x > 'a/b/it is ñ' && chmod 640 a/numbers && echo alone > ../alone";
        output(Command::new("sh").args(["-c", fill]).arg(&data));
        let alone = home.path().join("alone");
        let strategy = json!({
            "type": "file_archive",
            "artifact": { "filename": "data", "format": "files" },
            "config": { "paths": [data, alone], "format": format, "compression": compression },
        });
        let sidecar = taking(&strategy, &[]).await;
        let (artifact, before) = (sidecar.export(None).await.unwrap(), tree(&data));
        for time in 0..2 {
            let destroy =
                "cd \"$0\" && rm a/numbers && echo y > a/b/new && echo changed > ../alone";
            output(Command::new("sh").args(["-c", destroy]).arg(&data));

            // Right by its checksum, and no archive all the same.
            let error = import(&sidecar, &artifact[..artifact.len() / 2]).await.unwrap_err();
            assert!(error.to_string().contains("nothing that was there was changed"), "{error}");
            assert!(data.join("a/b/new").exists());

            let report = import(&sidecar, &artifact).await.unwrap();
            assert_eq!(tree(&data), before, "{format} {compression} {time}");
            assert_eq!(std::fs::read_to_string(&alone).unwrap(), "alone\n");
            let kept = data.join(".backup-sidecar-restore/before");
            assert!(report.kept.unwrap().contains(&kept.display().to_string()));
            assert!(kept.join("a/b/new").exists());
        }
        // What is kept is not exported.
        let again = sidecar.export(None).await.unwrap();
        import(&sidecar, &again).await.unwrap();
        assert_eq!(tree(&data), before, "{format} {compression}");
        assert!(!data.join("a/b/new").exists());
    }
}

#[tokio::test]
async fn sqlite_is_taken_into_the_open_file() {
    if installed("sqlite3").is_none() {
        return;
    }
    let sql = |file: &Path, text: &str| {
        output(Command::new("sqlite3").arg("-bail").arg(file).arg(text)).trim().to_owned()
    };
    for mode in ["wal", "delete"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's \"100%\" ñ.db");
        sql(
            &file,
            &format!(
                "PRAGMA journal_mode={mode}; CREATE TABLE t(x); WITH RECURSIVE n(i) AS \
                 (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO t SELECT i FROM n"
            ),
        );
        let strategy = json!({
            "type": "database_dump", "config": { "preset": "sqlite", "database": file },
        });
        let sidecar = taking(&strategy, &[]).await;
        let artifact = sidecar.export(None).await.unwrap();
        sql(&file, "DELETE FROM t WHERE x > 7; CREATE TABLE later(x)");
        let inode = || std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
        let (count, same) = ("SELECT count(*) FROM t", inode());

        // Right by its checksum, and damaged all the same.
        let mut damaged = artifact.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 9_000].fill(0x5a);
        let error = import(&sidecar, &damaged).await.unwrap_err();
        assert!(error.to_string().contains("nothing that was there was changed"), "{error}");
        assert_eq!(sql(&file, count), "7");

        let report = import(&sidecar, &artifact).await.unwrap();
        assert_eq!((sql(&file, count), inode()), ("20000".to_owned(), same), "{mode}");
        assert_eq!(sql(&file, "SELECT count(*) FROM sqlite_master"), "1");
        assert_eq!(sql(Path::new(&report.kept.unwrap()), count), "7");

        std::fs::remove_file(&file).unwrap();
        import(&sidecar, &artifact).await.unwrap();
        assert_eq!(sql(&file, count), "20000");
    }
}
