//! Azure Blob Storage: the suite, and what the service can do wrong.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use store::{
    Azblob, AzblobConfig, CreateOptions, Key, Limits, PartSizes, Store, StoreConfig, StoreError,
    StoreErrorKind, Upload, open,
};

use crate::{
    azurite::Azurite,
    conformance::{self, get, list, put},
    script::{Ask, Wrong, xml_error},
};

const MIB: usize = 1 << 20;

fn limits() -> Limits {
    Limits {
        request: Duration::from_secs(5),
        part: Duration::from_secs(5),
        first_pause: Duration::from_millis(20),
        parts: PartSizes { first_bytes: MIB as u64, largest_bytes: 4 * MIB as u64, most: 100 },
        ..Limits::default()
    }
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn bytes(count: usize) -> Vec<u8> {
    (0_u32..).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).take(count).collect()
}

async fn begin(store: &dyn Store, name: &str, count: usize) -> Result<Box<dyn Upload>, StoreError> {
    let mut upload = store.create(&key(name), &CreateOptions::default()).await?;
    for chunk in bytes(count).chunks(MIB / 2 + 7) {
        upload.write(Bytes::copy_from_slice(chunk)).await?;
    }
    Ok(upload)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite() {
    let Some(azurite) = Azurite::start().await else { return };
    for config in [azurite.config(""), azurite.config("deep/own folder")] {
        let store = open(StoreConfig::Azblob(config)).await.unwrap();
        conformance::all(store).await;
    }
    let (_, all) = azurite.asked("GET", "copies?restype=container&comp=list", "").await;
    assert!(all.contains("<Name>deep/own folder/"), "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_access_signature_is_enough_and_is_not_told() {
    let Some(azurite) = Azurite::start().await else { return };
    let store = Azblob::with_limits(&azurite.config_with_sas("rwdlc"), limits()).unwrap();
    conformance::all(Arc::new(store)).await;

    let reader = Azblob::with_limits(&azurite.config_with_sas("rl"), limits()).unwrap();
    let error = begin(&reader, "x", 3 * MIB).await.err().unwrap_or_else(|| panic!("written"));
    assert_eq!(error.kind(), StoreErrorKind::PermissionDenied, "{error}");
    let gone = AzblobConfig {
        endpoint: Some("http://127.0.0.1:1/tester".to_owned()),
        ..azurite.config_with_sas("rl")
    };
    let silent = Azblob::with_limits(&gone, limits()).unwrap();
    let lost = silent.stat(&key("x")).await.unwrap_err();
    for said in [error.to_string(), lost.to_string(), format!("{reader:?}")] {
        assert!(!said.contains("sig="), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_leave_one_whole_object() {
    let Some(azurite) = Azurite::start().await else { return };
    let expected = bytes(5 * MIB + 7);
    let wrongs = [
        (Ask::Head, Wrong::Status(503, "ServerBusy")),
        (Ask::Part, Wrong::Status(503, "ServerBusy")),
        (Ask::Part, Wrong::Status(500, "InternalError")),
        (Ask::Part, Wrong::Closed),
        (Ask::Part, Wrong::LostReply),
        (Ask::Complete, Wrong::Status(503, "ServerBusy")),
        (Ask::Complete, Wrong::Closed),
        (Ask::Complete, Wrong::LostReply),
        (Ask::Get, Wrong::Status(503, "ServerBusy")),
        (Ask::Get, Wrong::HalfAnswer),
        (Ask::Get, Wrong::Closed),
    ];
    for (round, (ask, wrong)) in wrongs.into_iter().enumerate() {
        let store = Azblob::with_limits(&azurite.config(&format!("r{round}")), limits()).unwrap();
        azurite.script.then(ask, wrong.clone()).then(ask, wrong.clone());
        let upload = begin(&store, "app/x", expected.len()).await.unwrap();
        let done = upload.finish().await;
        let meta = done.unwrap_or_else(|error| panic!("{ask:?} {wrong:?}: {error}"));
        assert_eq!(meta.size_bytes, expected.len() as u64);
        assert!(get(&store, "app/x").await.unwrap() == expected, "{ask:?} {wrong:?}");
        assert_eq!(list(&store, "").await.unwrap().len(), 1, "{ask:?} {wrong:?}");
        assert!(azurite.script.is_over(), "{ask:?} {wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lasting_faults_are_told_and_leave_nothing() {
    use StoreErrorKind as K;
    let Some(azurite) = Azurite::start().await else { return };
    let wrongs = [
        (Ask::Part, Wrong::Status(503, "ServerBusy"), K::Throttled),
        (Ask::Part, Wrong::Closed, K::Unavailable),
        (Ask::Part, Wrong::Status(507, "InsufficientStorage"), K::Full),
        (Ask::Part, Wrong::Status(403, "AuthorizationFailure"), K::PermissionDenied),
        (Ask::Complete, Wrong::Status(400, "InvalidBlockList"), K::Unavailable),
        (Ask::Complete, Wrong::Closed, K::Unavailable),
        (Ask::Complete, Wrong::Answer(String::new()), K::Unavailable),
    ];
    for (ask, wrong, kind) in wrongs {
        let store = Azblob::with_limits(&azurite.config(""), limits()).unwrap();
        azurite.script.repeat(30, ask, &wrong);
        let failed = match begin(&store, "app/x", 5 * MIB).await {
            Ok(upload) => upload.finish().await.map(drop),
            Err(error) => Err(error),
        };
        let error = failed.unwrap_err();
        assert_eq!(error.kind(), kind, "{ask:?} {wrong:?}: {error}");
        azurite.script.clear();
        assert!(list(&store, "").await.unwrap().is_empty(), "{ask:?} {wrong:?}");
        // What was left does not stand in the way of the next one.
        begin(&store, "app/x", 2 * MIB).await.unwrap().finish().await.unwrap();
        store.delete(&key("app/x")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ones_object_is_not_replaced() {
    let Some(azurite) = Azurite::start().await else { return };
    let open = || Azblob::with_limits(&azurite.config(""), limits()).unwrap();
    let (ours, theirs) = (open(), open());
    let upload = begin(&ours, "x", 3 * MIB).await.unwrap();
    put(&theirs, "x", &vec![7; 3 * MIB]).await.unwrap();
    let error = upload.finish().await.unwrap_err();
    assert!(error.is_already_exists(), "{error}");
    assert!(get(&ours, "x").await.unwrap() == vec![7; 3 * MIB]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_nobody_waits_for_leaves_nothing() {
    let Some(azurite) = Azurite::start().await else { return };
    let store = Azblob::with_limits(&azurite.config(""), limits()).unwrap();
    let upload = begin(&store, "x", 3 * MIB).await.unwrap();
    azurite.script.then(Ask::Complete, Wrong::Silent(Duration::from_millis(500)));
    tokio::time::timeout(Duration::from_millis(200), upload.finish()).await.unwrap_err();
    for _ in 0..100 {
        if !azurite.script.asked(Ask::Delete).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(azurite.script.asked(Ask::Complete).len(), 1);
    assert!(list(&store, "").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_the_most_blocks_is_refused() {
    let Some(azurite) = Azurite::start().await else { return };
    let parts = PartSizes { most: 3, largest_bytes: MIB as u64, ..limits().parts };
    let store = Azblob::with_limits(&azurite.config(""), Limits { parts, ..limits() }).unwrap();
    begin(&store, "fits", 3 * MIB).await.unwrap().finish().await.unwrap();
    let failed = match begin(&store, "x", 3 * MIB + 1).await {
        Ok(upload) => upload.finish().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(!failed.is_retryable(), "{failed}");
    assert_eq!(list(&store, "").await.unwrap().len(), 1);
}

fn page(names: &[&str], marker: &str) -> Wrong {
    let mut blobs = String::new();
    for name in names {
        blobs.push_str("<Blob><Name>");
        blobs.push_str(name);
        blobs.push_str("</Name><Properties><Content-Length>1</Content-Length></Properties></Blob>");
    }
    Wrong::Answer(format!(
        "<?xml version=\"1.0\"?><EnumerationResults><Blobs>{blobs}</Blobs>\
         <NextMarker>{marker}</NextMarker></EnumerationResults>"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_is_whole_or_an_error() {
    let Some(azurite) = Azurite::start().await else { return };
    let store = Azblob::with_limits(&azurite.config(""), limits()).unwrap();
    for wrong in [
        Wrong::Status(503, "ServerBusy"),
        Wrong::Status(403, "AuthorizationFailure"),
        Wrong::Status(404, "ContainerNotFound"),
        Wrong::Closed,
        Wrong::HalfAnswer,
        Wrong::Answer("<html>not Azure</html>".to_owned()),
        Wrong::Answer(xml_error("InternalError")),
        Wrong::Answer(String::new()),
        // The same page again and again.
        page(&["a", "b"], "more"),
    ] {
        azurite.script.then(Ask::List, page(&["a", "b"], "more"));
        azurite.script.repeat(30, Ask::List, &wrong);
        assert!(list(&store, "").await.is_err(), "{wrong:?} was taken for the end");
        azurite.script.clear();
    }
    azurite.script.then(Ask::List, page(&["a", "b"], "more"));
    azurite.script.then(Ask::List, Wrong::Status(503, "ServerBusy"));
    azurite.script.then(Ask::List, page(&["c"], ""));
    assert_eq!(list(&store, "").await.unwrap().len(), 3);

    let nowhere = AzblobConfig { container: "nowhere".to_owned(), ..azurite.config("") };
    let nowhere = Azblob::with_limits(&nowhere, limits()).unwrap();
    for error in [
        list(&nowhere, "").await.map(drop).unwrap_err(),
        nowhere.stat(&key("x")).await.unwrap_err(),
        nowhere.delete(&key("x")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Config, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_pages_are_joined() {
    let Some(azurite) = Azurite::with_pages("&maxresults=2").await else { return };
    // The key would sign the query that is changed on its way.
    let store = Azblob::with_limits(&azurite.config_with_sas("rwdlc"), limits()).unwrap();
    for at in 0..7 {
        put(&store, &format!("many/{at}"), b"x").await.unwrap();
    }
    assert_eq!(list(&store, "many").await.unwrap().len(), 7);
    assert_eq!(azurite.script.asked(Ask::List).len(), 4);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = AzblobConfig {
        account: "account1".to_owned(),
        container: "copies".to_owned(),
        account_key: Some("a2V5".into()),
        ..AzblobConfig::default()
    };
    assert!(Azblob::open(&good).is_ok());
    for bad in [
        AzblobConfig { account: "evil.example/".to_owned(), ..good.clone() },
        AzblobConfig { container: "../x".to_owned(), ..good.clone() },
        AzblobConfig { endpoint: Some("ftp://x".to_owned()), ..good.clone() },
        AzblobConfig { endpoint: Some("https://x/?sig=1".to_owned()), ..good.clone() },
        AzblobConfig { endpoint: Some("https://user:word@x".to_owned()), ..good.clone() },
        AzblobConfig { prefix: Some("a/../b".to_owned()), ..good.clone() },
        AzblobConfig { account_key: None, ..good.clone() },
        AzblobConfig { account_key: Some("no base64".into()), ..good.clone() },
        AzblobConfig { sas_token: Some("sig=x".into()), ..good.clone() },
    ] {
        assert!(Azblob::open(&bad).is_err(), "{bad:?}");
    }
}
