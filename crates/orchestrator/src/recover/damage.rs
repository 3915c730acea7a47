//! A catalog whose file is damaged or gone at start: kept aside, and rebuilt from the newest copy
//! on this machine. Without one nothing is touched, and it is told what to do.

use std::path::Path;

use anyhow::{Context as _, bail};
use catalog::{Catalog, CatalogError};
use engine::recovery::rebuild;
use jiff::Timestamp;
use model::Fact;
use secrecy::SecretString;

use super::files::{keep_aside, put_in_place, remove_all, sqlite_url};

/// What SQLite also says of a file whose pages are not what they were.
const SIGNS: &[&str] = &["disk I/O error", "no such table", "no such column", "already exists"];

/// Opens the catalog in `file`; gives with it what it was rebuilt from, if it was.
pub(crate) async fn open_catalog(
    file: &Path,
    copies: &Path,
    secret_key: &SecretString,
    now: Timestamp,
) -> anyhow::Result<(Catalog, Option<Fact>)> {
    let has_copies = rebuild::has_local(copies);
    let is_there = std::fs::metadata(file).is_ok_and(|found| found.len() > 0);
    if !is_there && has_copies {
        return rebuilt(file, copies, secret_key, now, "its file is gone or empty").await;
    }
    let looked = match Catalog::open(&sqlite_url(file), 8).await {
        Ok(catalog) => match catalog.check().await {
            Ok(()) => return Ok((catalog, None)),
            Err(error) => {
                let _ = catalog.close().await;
                error
            }
        },
        Err(error) => error,
    };
    if is_damage(&looked) {
        rebuilt(file, copies, secret_key, now, &looked.to_string()).await
    } else {
        Err(looked.into())
    }
}

fn is_damage(error: &CatalogError) -> bool {
    match error {
        CatalogError::Corrupt(_) => true,
        CatalogError::Unavailable(said) => SIGNS.iter().any(|sign| said.contains(sign)),
        _ => false,
    }
}

async fn rebuilt(
    file: &Path,
    copies: &Path,
    secret_key: &SecretString,
    now: Timestamp,
    why: &str,
) -> anyhow::Result<(Catalog, Option<Fact>)> {
    let found = rebuild::newest_local(copies, secret_key).await;
    let identity = rebuild::local_identity(copies, secret_key);
    let (found, identity) = match (found, identity) {
        (Ok((Some(found), _)), Ok(Some(identity))) => (found, identity),
        (found, _) => {
            let wrong = match found {
                Ok((_, wrong)) => wrong.join("; "),
                Err(error) => error.to_string(),
            };
            bail!(told(file, why, &wrong));
        }
    };
    let new = file.with_added_extension("restoring");
    remove_all(&new).with_context(|| format!("{} cannot be removed", new.display()))?;
    let (catalog, _) =
        rebuild::restore_copy(&found.file, &identity, &sqlite_url(&new), true, now).await?;
    catalog.close().await?;
    let aside = keep_aside(file, "damaged", now)
        .with_context(|| format!("{} cannot be moved aside", file.display()))?;
    put_in_place(&new, file)
        .with_context(|| format!("{} cannot be put in place", new.display()))?;
    let aside = aside.map_or_else(String::new, |aside| format!(" ({})", aside.display()));
    tracing::warn!(
        "the catalog was damaged{aside}: {why}; it is rebuilt from {}",
        found.name.file()
    );
    for newer in &found.passed_over {
        tracing::warn!("a newer copy could not be used: {newer}");
    }
    let catalog = Catalog::open(&sqlite_url(file), 8).await?;
    Ok((catalog, Some(Fact::CopyAlone { at: found.name.at })))
}

/// What a person has to do.
fn told(file: &Path, why: &str, wrong: &str) -> String {
    let none = if wrong.is_empty() { "there is none" } else { wrong };
    format!(
        "the catalog {} is damaged: {why}\n\
         It was left as it is. No copy on this machine can be used: {none}.\n\
         Rebuild it from a destination, with the address and the key of the recovery kit:\n\
         \n  backup-orchestrator bootstrap ADDRESS --key-file recovery-key.txt --force\n\n\
         Without the key the snapshots alone come back:\n\
         \n  backup-orchestrator bootstrap ADDRESS --manifests-only --force\n\n\
         ADDRESS is as in file:///mnt/copies or 's3://bucket/prefix?endpoint=https://host'. The \
         damaged file is kept aside.",
        file.display()
    )
}
