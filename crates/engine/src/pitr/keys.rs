//! Keys for the WAL beside a repository, whose own contents it encrypts by itself.
//!
//! A pair of age keys is made once for each destination. Its identity lies beside the WAL,
//! encrypted to the repository's password: whoever has that, has everything. Another password makes
//! another such file.

use artifact::{Identities, Recipients};
use bytes::Bytes;
use futures::TryStreamExt as _;
use model::Destination;
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use store::{Key, Prefix, Store, StoreError};

use super::{names::FOLDER, seal::Sealing};
use crate::{
    Engine, EngineError,
    repositories::PASSWORD,
    run::commit::{put, read_small},
    vault::Purpose,
};

/// Longest file with a key.
const MAX_FILE: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Kept {
    identity: model::SealedSecret,
    /// Where it lies, encrypted to the password of that time.
    file: String,
    /// Tells one password from another.
    mark: String,
}

/// To whom WAL at the repository `destination` is encrypted, and what opens it.
pub(super) async fn of_repository(
    engine: &Engine,
    destination: &Destination,
    store: &dyn Store,
    folder: &str,
) -> Result<(Recipients, Identities), EngineError> {
    let setting = format!("wal_key/{}/{folder}", destination.id);
    let password = engine.0.secret(destination, PASSWORD)?.unwrap_or_default();
    // Held against the sealed text, which tells nothing of the password to who reads the catalog.
    let mark = destination.secrets.get(PASSWORD).map(mark_of).unwrap_or_default();
    let kept = engine.0.catalog.setting(&setting).await?;
    let kept: Option<Kept> = kept.and_then(|text| serde_json::from_str(&text).ok());
    let root = if folder.is_empty() { FOLDER.to_owned() } else { format!("{folder}/{FOLDER}") };
    let identity = match &kept {
        Some(kept) => engine.0.vault.open(Purpose::DestinationSecret, &kept.identity)?,
        None => match found(store, &root, &password).await? {
            Some(identity) => identity,
            None => Identities::generate().0,
        },
    };
    if kept.as_ref().is_none_or(|kept| kept.mark != mark) {
        let file = write(store, &root, &identity, &password).await?;
        let sealed =
            engine.with_rng(|rng| engine.0.vault.seal(Purpose::DestinationSecret, &identity, rng));
        let kept = Kept { identity: sealed, file, mark };
        let text = serde_json::to_string(&kept).unwrap_or_default();
        engine.0.catalog.set_setting(&setting, &text).await?;
    }
    let mut identities = Identities::default();
    identities.add(&identity).map_err(|error| EngineError::locked(error.to_string()))?;
    let recipients = identities
        .recipients()
        .ok_or_else(|| EngineError::locked(format!("`{}` has no key for WAL", destination.name)))?;
    Ok((recipients, identities))
}

fn mark_of(sealed: &model::SealedSecret) -> String {
    let text = serde_json::to_string(sealed).unwrap_or_default();
    hex::encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8])
}

/// The identity that lies at the destination, opened by the password.
async fn found(
    store: &dyn Store,
    root: &str,
    password: &SecretString,
) -> Result<Option<SecretString>, EngineError> {
    let prefix = Prefix::new(root).map_err(|error| StoreError::config(error.to_string()))?;
    let listed: Vec<_> = store.list(&prefix).await?.try_collect().await?;
    let begin = format!("{root}/key-");
    let mut is_there = false;
    for meta in listed.into_iter().filter(|meta| meta.key.as_str().starts_with(&begin)) {
        is_there = true;
        let bytes = read_small(store, &meta.key, MAX_FILE).await?;
        if let Some(identity) = opened(bytes, password.clone()).await {
            return Ok(Some(identity));
        }
    }
    if is_there {
        return Err(EngineError::locked(format!(
            "the key of the WAL in `{root}` does not open with the repository's password: enter \
             the password that it was last written with"
        )));
    }
    Ok(None)
}

async fn opened(bytes: Bytes, password: SecretString) -> Option<SecretString> {
    let work = move || {
        let mut identities = Identities::default();
        identities.add_passphrase(password);
        let mut text = String::new();
        let mut plain = artifact::unseal(std::io::Cursor::new(bytes), &identities).ok()?;
        std::io::Read::read_to_string(&mut plain, &mut text).ok()?;
        Some(SecretString::from(text))
    };
    tokio::task::spawn_blocking(work).await.ok()?
}

/// Writes the identity, encrypted to the password, beside the WAL.
async fn write(
    store: &dyn Store,
    root: &str,
    identity: &SecretString,
    password: &SecretString,
) -> Result<String, EngineError> {
    let to = Recipients::passphrase(password.clone())
        .map_err(|error| EngineError::locked(error.to_string()))?;
    let sealing = tokio::task::spawn_blocking(move || Sealing::new(Some(to)))
        .await
        .map_err(|error| StoreError::internal(error.to_string()))??;
    let (sealing, mut sealed) =
        sealing.push(Bytes::copy_from_slice(identity.expose_secret().as_bytes())).await?;
    sealed.extend(sealing.finish().await?.0);
    let sealed: Bytes = sealed.concat().into();
    let mark = hex::encode(&digest(&SHA256, &sealed).as_ref()[..4]);
    let text = format!("{root}/key-{mark}.zst.age");
    let key = Key::new(&text).map_err(|error| StoreError::config(error.to_string()))?;
    put(store, &key, sealed).await?;
    Ok(text)
}
