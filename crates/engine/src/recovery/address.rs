//! Destinations as addresses: what the recovery kit prints and `bootstrap` is given. Secrets are
//! never part of one.

use std::{borrow::Cow, collections::BTreeMap};

use model::{DestinationKind, Fact};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use strum::IntoEnumIterator as _;
use url::Url;

use crate::{EngineError, fields_of};

/// What is in every destination's settings and in no address.
const OF_ALL: &[&str] = &["encryption", "age_recipients", super::copies::UNWANTED];

type Settings = BTreeMap<String, String>;

/// Which parts of an address are which settings: what stands before the first slash, and after it.
fn shape(kind: DestinationKind) -> (&'static str, Option<&'static str>, Option<&'static str>) {
    match kind {
        DestinationKind::Local => ("file", None, Some("path")),
        DestinationKind::S3 => ("s3", Some("bucket"), Some("prefix")),
        DestinationKind::B2 => ("b2", Some("bucket"), Some("prefix")),
        DestinationKind::Gcs => ("gcs", Some("bucket"), Some("prefix")),
        DestinationKind::Azblob => ("azblob", Some("account"), Some("container")),
        DestinationKind::Sftp => ("sftp", Some("host"), Some("path")),
        DestinationKind::Webdav => ("webdav", None, None),
        DestinationKind::Gdrive => ("gdrive", None, Some("path")),
        DestinationKind::Rclone => ("rclone", None, None),
        DestinationKind::Tree => ("tree", Some("host"), Some("path")),
        DestinationKind::Rest => ("rest", None, None),
    }
}

/// The address of a destination with `settings`.
pub fn print(kind: DestinationKind, settings: &Settings) -> String {
    let get = |key: &str| settings.get(key).map(String::as_str).unwrap_or_default();
    let (scheme, host, path) = shape(kind);
    let mut used: Vec<&str> = OF_ALL.to_vec();
    used.extend(host.into_iter().chain(path));
    let base = match kind {
        DestinationKind::Rclone => {
            used.extend(["remote", "path"]);
            format!("rclone:{}:{}", get("remote"), quoted(get("path")))
        }
        DestinationKind::Webdav => {
            used.push("url");
            let url = get("url");
            url.strip_prefix("https://").map_or_else(
                || format!("webdav://{}", url.trim_start_matches("http://")),
                |rest| format!("webdavs://{rest}"),
            )
        }
        DestinationKind::Rest => {
            used.push("url");
            format!("rest+{}", get("url"))
        }
        DestinationKind::Sftp => {
            used.extend(["username", "port"]);
            let port = get("port");
            let port = if port.is_empty() { String::new() } else { format!(":{port}") };
            // As with other programs: what does not begin at the root begins at home.
            let path = get("path");
            let path = path.strip_prefix('/').map_or_else(|| format!("~/{path}"), str::to_owned);
            let path = quoted(&path);
            format!("sftp://{}@{}{port}/{path}", quoted(get("username")), get("host"))
        }
        _ => {
            let before = host.map(|key| quoted(get(key))).unwrap_or_default();
            let after = path.map(|key| get(key).trim_start_matches('/')).unwrap_or_default();
            format!("{scheme}://{before}/{}", quoted(after))
        }
    };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let mut any = false;
    for (key, value) in settings.iter().filter(|(key, _)| !used.contains(&key.as_str())) {
        query.append_pair(key, value);
        any = true;
    }
    if any { format!("{base}?{}", query.finish()) } else { base }
}

/// What `restic -r` is given for a repository at a destination; `None` where restic cannot reach
/// it by itself.
pub fn restic(kind: DestinationKind, settings: &Settings) -> Option<String> {
    let get = |key: &str| settings.get(key).map(String::as_str).unwrap_or_default();
    let joined = |first: &str, rest: &str| {
        format!("{first}/{}", rest.trim_matches('/')).trim_end_matches('/').to_owned()
    };
    Some(match kind {
        DestinationKind::Local => get("path").to_owned(),
        DestinationKind::S3 => {
            let endpoint = match get("endpoint") {
                "" => "s3.amazonaws.com",
                endpoint => endpoint.trim_end_matches('/'),
            };
            format!("s3:{endpoint}/{}", joined(get("bucket"), get("prefix")))
        }
        DestinationKind::B2 => {
            let endpoint = format!("s3.{}.backblazeb2.com", get("region"));
            format!("s3:{endpoint}/{}", joined(get("bucket"), get("prefix")))
        }
        DestinationKind::Gcs => {
            format!("s3:storage.googleapis.com/{}", joined(get("bucket"), get("prefix")))
        }
        DestinationKind::Azblob => {
            format!("azure:{}:/{}", get("container"), get("prefix").trim_matches('/'))
        }
        DestinationKind::Sftp => {
            let (user, host, path) = (get("username"), get("host"), get("path"));
            match get("port") {
                "" => format!("sftp:{user}@{host}:{path}"),
                port => format!("sftp://{user}@{host}:{port}/{path}"),
            }
        }
        DestinationKind::Rclone => format!("rclone:{}:{}", get("remote"), get("path")),
        DestinationKind::Rest => format!("rest:{}/", get("url").trim_end_matches('/')),
        DestinationKind::Webdav | DestinationKind::Gdrive | DestinationKind::Tree => return None,
    })
}

/// What would end a path in an address, or look like something else.
const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'+')
    .remove(b'=')
    .remove(b',')
    .remove(b'!');

fn quoted(path: &str) -> String {
    utf8_percent_encode(path, SPECIAL).to_string()
}

/// Reads an address: the kind and its settings.
pub fn parse(text: &str) -> Result<(DestinationKind, Settings), EngineError> {
    let wrong = |why: Fact| EngineError::invalid("address", why);
    if let Some(rest) = text.strip_prefix("rclone:") {
        return rclone(rest);
    }
    let url = Url::parse(text).map_err(|_| wrong(Fact::AddressForms {}))?;
    if url.password().is_some() {
        return Err(wrong(Fact::AddressPassword {}));
    }
    let kind = match url.scheme() {
        "file" => DestinationKind::Local,
        "webdav" | "webdavs" => DestinationKind::Webdav,
        "rest+http" | "rest+https" => DestinationKind::Rest,
        "gs" => DestinationKind::Gcs,
        other => other.parse().map_err(|error| EngineError::invalid("address", error))?,
    };
    let (_, host, path) = shape(kind);
    let mut settings = Settings::new();
    let decoded = |text: &str| percent_decoded(text).ok_or_else(|| wrong(Fact::AddressCoding {}));
    let mut put = |key: &str, value: String| {
        if !value.is_empty() {
            settings.insert(key.to_owned(), value);
        }
    };
    if let Some(key) = host {
        put(key, decoded(url.host_str().unwrap_or_default())?);
    } else if !matches!(kind, DestinationKind::Webdav | DestinationKind::Rest)
        && url.host_str().is_some_and(|host| !host.is_empty())
    {
        return Err(wrong(Fact::AddressSlash {}));
    }
    let inner = decoded(url.path())?;
    match (kind, path) {
        (DestinationKind::Local, _) => put("path", inner),
        (DestinationKind::Sftp, Some(key)) => {
            put(key, inner.strip_prefix("/~/").map_or_else(|| inner.clone(), str::to_owned));
            put("username", decoded(url.username())?);
            put("port", url.port().map(|port| port.to_string()).unwrap_or_default());
        }
        (DestinationKind::Webdav | DestinationKind::Rest, _) => {
            let is_safe = matches!(url.scheme(), "webdavs" | "rest+https");
            let scheme = if is_safe { "https" } else { "http" };
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let host = url.host_str().unwrap_or_default();
            put("url", format!("{scheme}://{host}{port}{}", url.path()));
        }
        (_, Some(key)) => put(key, inner.trim_matches('/').to_owned()),
        (_, None) => {}
    }
    if kind != DestinationKind::Sftp && !url.username().is_empty() {
        return Err(wrong(Fact::AddressUser {}));
    }
    for (key, value) in url.query_pairs() {
        known(kind, &key)?;
        settings.insert(key.into_owned(), value.into_owned());
    }
    Ok((kind, settings))
}

fn rclone(rest: &str) -> Result<(DestinationKind, Settings), EngineError> {
    let wrong = |why: Fact| EngineError::invalid("address", why);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (remote, path) = place.split_once(':').unwrap_or((place, ""));
    if remote.is_empty() {
        return Err(wrong(Fact::AddressRclone {}));
    }
    let path = percent_decoded(path).ok_or_else(|| wrong(Fact::AddressCoding {}))?;
    let mut settings = Settings::from([("remote".to_owned(), remote.to_owned())]);
    if !path.is_empty() {
        settings.insert("path".to_owned(), path);
    }
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        known(DestinationKind::Rclone, &key)?;
        settings.insert(key.into_owned(), value.into_owned());
    }
    Ok((DestinationKind::Rclone, settings))
}

/// Errs where `key` is no setting of `kind`, above all where it is a secret.
fn known(kind: DestinationKind, key: &str) -> Result<(), EngineError> {
    let key: String = key.chars().take(64).collect();
    if is_secret(&key) {
        return Err(EngineError::invalid("address", Fact::AddressSecret { key }));
    }
    let fields = fields_of(kind);
    if fields.required.iter().chain(fields.optional).any(|one| *one == key) {
        return Ok(());
    }
    Err(EngineError::invalid("address", Fact::AddressSetting { kind: kind.to_string(), key }))
}

fn percent_decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// Whether `key` is a secret of any kind of destination.
pub fn is_secret(key: &str) -> bool {
    DestinationKind::iter().any(|kind| fields_of(kind).secrets.contains(&key))
}

/// Whether two destinations of one kind are the same place.
pub fn is_same_place(one: &Settings, other: &Settings) -> bool {
    const TELLING: &[&str] =
        &["path", "bucket", "prefix", "account", "container", "host", "url", "remote", "folder_id"];
    let trimmed = |settings: &Settings, key: &str| {
        settings.get(key).map(|value| value.trim_matches('/').to_owned()).unwrap_or_default()
    };
    TELLING.iter().all(|key| trimmed(one, key) == trimmed(other, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn addresses_read_back_as_they_were_printed() {
        use DestinationKind as K;
        for (kind, given, text) in [
            (K::Local, settings(&[("path", "/mnt/my disk")]), "file:///mnt/my%20disk"),
            (
                K::S3,
                settings(&[("bucket", "b"), ("prefix", "a/b"), ("endpoint", "http://h:9000")]),
                "s3://b/a/b?endpoint=http%3A%2F%2Fh%3A9000",
            ),
            (
                K::Sftp,
                settings(&[
                    ("host", "h"),
                    ("username", "ana"),
                    ("port", "2222"),
                    ("path", "/srv/x"),
                    ("host_key", "ssh-ed25519 AAA"),
                ]),
                "sftp://ana@h:2222/srv/x?host_key=ssh-ed25519+AAA",
            ),
            (
                K::Webdav,
                settings(&[("url", "https://h:8443/dav/me"), ("username", "a")]),
                "webdavs://h:8443/dav/me?username=a",
            ),
            (
                K::Rest,
                settings(&[("url", "https://h:8000/me"), ("layout", "repository")]),
                "rest+https://h:8000/me?layout=repository",
            ),
            (K::Rclone, settings(&[("remote", "r"), ("path", "a?b:c")]), "rclone:r:a%3Fb%3Ac"),
            (
                K::Azblob,
                settings(&[("account", "acc"), ("container", "box"), ("prefix", "p")]),
                "azblob://acc/box?prefix=p",
            ),
            (
                K::B2,
                settings(&[("bucket", "b"), ("region", "us-west-004")]),
                "b2://b/?region=us-west-004",
            ),
            (
                K::Gdrive,
                settings(&[("path", "My/x"), ("folder_id", "1a")]),
                "gdrive:///My/x?folder_id=1a",
            ),
        ] {
            assert_eq!(print(kind, &given), text);
            assert_eq!(parse(text).unwrap(), (kind, given), "{text}");
        }
    }

    #[test]
    fn secrets_and_what_is_no_setting_are_refused() {
        for bad in [
            "sftp://ana:secret@h/x",
            "s3://b/x?secret_access_key=k",
            "s3://b/x?age_identity=k",
            "s3://b/x?colour=red",
            "s3://key@b/x",
            "file://folder",
            "/srv/x",
            "rclone::x",
            "rclone:r:x?token=1",
            "ftp://h/x",
            "nothing",
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(!error.contains("=k") && !error.contains("ana:secret"), "{error}");
        }
    }
}
