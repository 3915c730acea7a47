//! Services that are spoken to through their S3 interface, which has everything that is needed of
//! the native one.

use std::collections::BTreeMap;

use model::Fact;
use secrecy::SecretString;
use store::{S3Config, StoreConfig};

use crate::EngineError;

type Settings = BTreeMap<String, String>;

/// Backblaze B2.
pub(super) fn b2(
    settings: &Settings,
    key_id: Option<SecretString>,
    key: Option<SecretString>,
) -> Result<StoreConfig, EngineError> {
    let setting = |key: &str| settings.get(key).cloned();
    let region = setting("region").unwrap_or_default();
    if !region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(EngineError::invalid("settings.region", Fact::RegionLike {}));
    }
    Ok(StoreConfig::S3(S3Config {
        bucket: bucket(settings)?,
        endpoint: Some(format!("https://s3.{region}.backblazeb2.com")),
        region: Some(region),
        prefix: setting("prefix"),
        path_style: true,
        access_key_id: key_id,
        secret_access_key: key,
        ..S3Config::default()
    }))
}

/// Google Cloud Storage, with HMAC keys.
pub(super) fn gcs(
    settings: &Settings,
    key_id: Option<SecretString>,
    key: Option<SecretString>,
) -> Result<StoreConfig, EngineError> {
    let setting = |key: &str| settings.get(key).cloned();
    for (name, secret) in [("hmac_key_id", &key_id), ("hmac_secret", &key)] {
        if secret.is_none() {
            return Err(EngineError::invalid(format!("secrets.{name}"), Fact::MakeHmac {}));
        }
    }
    Ok(StoreConfig::S3(S3Config {
        bucket: bucket(settings)?,
        endpoint: Some("https://storage.googleapis.com".to_owned()),
        // What the service takes for any of its own.
        region: Some("auto".to_owned()),
        prefix: setting("prefix"),
        path_style: true,
        storage_class: setting("storage_class"),
        access_key_id: key_id,
        secret_access_key: key,
        ..S3Config::default()
    }))
}

/// The bucket: part of an address, so nothing that would change it.
fn bucket(settings: &Settings) -> Result<String, EngineError> {
    let name = settings.get("bucket").cloned().unwrap_or_default();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(EngineError::invalid("settings.bucket", Fact::BucketAlone {}));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn s3(config: StoreConfig) -> S3Config {
        match config {
            StoreConfig::S3(s3) => s3,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn services_are_told_apart_by_their_addresses() {
        let given = settings(&[
            ("bucket", "my-copies"),
            ("region", "us-west-004"),
            ("prefix", "a/b"),
            ("storage_class", "NEARLINE"),
        ]);
        let keys = || (Some("id".into()), Some("secret".into()));
        let b2 = b2(&given, keys().0, keys().1).unwrap();
        let gcs = gcs(&given, keys().0, keys().1).unwrap();
        for (config, endpoint, region, class) in [
            (b2, "https://s3.us-west-004.backblazeb2.com", "us-west-004", None),
            (gcs, "https://storage.googleapis.com", "auto", Some("NEARLINE")),
        ] {
            let store = store::open(config.clone()).await.unwrap();
            assert_eq!(store.capability().location, "s3://my-copies/a/b");
            let s3 = s3(config);
            assert_eq!(s3.endpoint.as_deref(), Some(endpoint));
            assert_eq!(s3.region.as_deref(), Some(region));
            assert_eq!(s3.storage_class.as_deref(), class);
            assert!(s3.path_style && s3.access_key_id.is_some() && s3.secret_access_key.is_some());
        }
    }

    #[test]
    fn what_would_change_the_address_is_refused() {
        let keys = || (Some("id".into()), Some("secret".into()));
        for region in ["evil.example/", "a@b", "x.y"] {
            let given = settings(&[("bucket", "b"), ("region", region)]);
            assert!(b2(&given, keys().0, keys().1).is_err(), "{region}");
        }
        for name in ["", "a/b", "a?b", "a@b", "a b"] {
            let given = settings(&[("bucket", name), ("region", "r")]);
            assert!(b2(&given, keys().0, keys().1).is_err(), "{name}");
            assert!(gcs(&given, keys().0, keys().1).is_err(), "{name}");
        }
        assert!(gcs(&settings(&[("bucket", "b")]), None, Some("x".into())).is_err());
    }
}
