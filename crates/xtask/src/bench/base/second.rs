//! What a second base backup after scattered updates adds to a repository, beside what restic adds
//! to one of its own for the same tree: with the rows of pgbench, which are nearly all blanks, and
//! with such as hold text.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::super::{database::Postgres, measure::folder_bytes, measure::shell, peers::Peers};

const PASSWORD: &str = "bench-password-of-this-run-only";
/// Ours adds at most so much of what restic adds.
const SHARE: f64 = 0.55;

/// Bytes in `folder` but those of WAL, which has objects of its own.
fn but_wal(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        bytes += match entry.metadata() {
            Ok(meta) if meta.is_dir() && entry.file_name() == "wal" => 0,
            Ok(meta) if meta.is_dir() => but_wal(&path),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        };
    }
    bytes
}

/// What the rows hold.
#[derive(Debug, Clone, Copy)]
enum Rows {
    Blank,
    Text,
}

pub(super) fn measured(
    binaries: &Path,
    root: &Path,
    server: &Postgres,
    transactions: u32,
) -> Result<Value> {
    let blank = of_rows(binaries, root, server, transactions, Rows::Blank)?;
    // In the order of their keys, as at first; the table and its index are written anew.
    server.sql("bench", "CREATE TABLE kept AS SELECT aid, bid FROM pgbench_accounts")?;
    server.sql("bench", "TRUNCATE pgbench_accounts")?;
    server.sql(
        "bench",
        "INSERT INTO pgbench_accounts SELECT aid, bid, 0, md5(random()::text) || \
         substr(md5(random()::text), 1, 20) FROM kept ORDER BY aid",
    )?;
    server.sql("bench", "DROP TABLE kept")?;
    server.sql("bench", "VACUUM (FREEZE, ANALYZE) pgbench_accounts")?;
    let text = of_rows(binaries, root, server, transactions, Rows::Text)?;
    Ok(json!({ "blank": blank, "text": text }))
}

fn of_rows(
    binaries: &Path,
    root: &Path,
    server: &Postgres,
    transactions: u32,
    rows: Rows,
) -> Result<Value> {
    let (name, words) = match rows {
        Rows::Blank => ("blank", "rows of pgbench"),
        Rows::Text => ("text", "rows with text"),
    };
    let own = root.join(format!("growth-{name}"));
    fs::create_dir(&own)?;
    let orchestrator = super::orchestrator(binaries, &own)?;
    let (vault, password) = (own.join("vault"), own.join("password"));
    fs::write(&password, PASSWORD)?;
    orchestrator.ask(&[
        "destination",
        "add",
        "vault",
        "--kind",
        "local",
        "--layout",
        "repository",
        "--set",
        &format!("path={}", vault.display()),
        "--set-file",
        &format!("repository_password={}", password.display()),
    ])?;
    let restic = Peers::new(false)?.restic();
    let (tree, repository) = (server.data.display(), own.join("restic"));
    let program = restic.as_ref().map(|program| program.display().to_string());
    let there = |rest: &str| -> Result<()> {
        let Ok(program) = &program else { return Ok(()) };
        let at = repository.display();
        shell(&format!("RESTIC_PASSWORD={PASSWORD} {program} -q --no-cache -r {at} {rest}"))?;
        Ok(())
    };
    there("init")?;
    let backup = format!("backup --exclude pg_wal {tree}");
    server.sql("bench", "CHECKPOINT")?;
    super::follow(&orchestrator, server, name, &format!("vault:{name}"))?;
    there(&backup)?;
    let first = (but_wal(&vault), folder_bytes(&repository));
    let pgbench = server.program("pgbench");
    shell(&format!(
        "{} -h 127.0.0.1 -p {} -U postgres -n -M prepared -c 2 -t {} bench",
        pgbench.display(),
        server.port,
        transactions / 2
    ))?;
    server.sql("bench", "CHECKPOINT")?;
    let run = orchestrator.ask(&["recovery", "base", name, "--wait"])?;
    ensure!(run["state"] == "succeeded", "the base backup ended as {run}");
    server.sql("bench", "CHECKPOINT")?;
    there(&backup)?;
    let second = (but_wal(&vault), folder_bytes(&repository));
    let (added, by_restic) = (second.0 - first.0, second.1 - first.1);
    ensure!(added > 0, "the second base backup stored nothing");
    let mib = super::mib;
    println!(
        "\n{words}, second base backup after {transactions} transactions: first {:.0} MiB, {:.1} MiB \
         more",
        mib(first.0),
        mib(added)
    );
    match restic {
        Ok(_) => {
            let share = added as f64 / by_restic as f64;
            let mark = if share <= SHARE { "yes" } else { "NO" };
            println!(
                "restic: first {:.0} MiB, {:.1} MiB more; ours adds {share:.2} of it ({SHARE})  {mark}",
                mib(first.1),
                mib(by_restic)
            );
        }
        Err(why) => println!("restic is left out: {why}"),
    }
    Ok(json!({
        "transactions": transactions, "first_mib": mib(first.0), "added_mib": mib(added),
        "restic_first_mib": mib(first.1), "restic_added_mib": mib(by_restic),
    }))
}
