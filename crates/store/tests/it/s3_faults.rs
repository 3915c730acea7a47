//! What an S3 service can do wrong, and what must come of it.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use store::{
    CreateOptions, Key, Limits, PartSizes, Prefix, S3, Store, StoreError, StoreErrorKind, Upload,
};

use crate::{
    conformance::{get, list, put},
    script::{Ask, Wrong, xml_error},
    servers::S3Server,
};

const MIB: usize = 1 << 20;

fn limits() -> Limits {
    Limits {
        request: Duration::from_secs(5),
        part: Duration::from_secs(5),
        first_pause: Duration::from_millis(20),
        ..Limits::default()
    }
}

fn open(server: &S3Server) -> S3 {
    S3::with_limits(&server.config("deep"), limits()).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Bytes of which no two parts are alike.
fn bytes(count: usize) -> Vec<u8> {
    static BLOCK: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let mixed = (0_u32..).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
        mixed.take(MIB).collect()
    });
    let blocks = (0_u8..).map(|round| {
        let mut block = BLOCK.clone();
        block[..100].fill(round);
        block
    });
    let mut all: Vec<u8> = blocks.take(count.div_ceil(MIB)).collect::<Vec<_>>().concat();
    all.truncate(count);
    all
}

async fn begin(store: &S3, name: &str, count: usize) -> Result<Box<dyn Upload>, StoreError> {
    let mut upload = store.create(&key(name), &CreateOptions::default()).await?;
    for chunk in bytes(count).chunks(MIB) {
        upload.write(Bytes::copy_from_slice(chunk)).await?;
    }
    Ok(upload)
}

/// Every upload was aborted. A part that was on its way may still arrive at the server after
/// that, as at S3 itself.
async fn all_aborted(server: &S3Server, store: &S3) {
    assert!(list(store, "").await.unwrap().is_empty());
    for _ in 0..200 {
        if server.script.begun().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?} stayed", server.script.begun());
}

async fn nothing_left(server: &S3Server, store: &S3) {
    assert!(list(store, "").await.unwrap().is_empty());
    for _ in 0..100 {
        if server.parts_kept() == 0 && server.script.begun().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} parts of {:?} stayed", server.parts_kept(), server.script.begun());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_leave_one_whole_object() {
    let wrongs = [
        (Ask::Head, Wrong::Status(503, "SlowDown")),
        (Ask::Begin, Wrong::Status(503, "ServiceUnavailable")),
        (Ask::Begin, Wrong::Closed),
        (Ask::Part, Wrong::Status(503, "SlowDown")),
        (Ask::Part, Wrong::Status(429, "TooManyRequests")),
        (Ask::Part, Wrong::Status(500, "InternalError")),
        (Ask::Part, Wrong::Closed),
        (Ask::Part, Wrong::LostReply),
        (Ask::Complete, Wrong::Status(503, "SlowDown")),
        (Ask::Complete, Wrong::Closed),
        (Ask::Complete, Wrong::Answer(xml_error("InternalError"))),
        (Ask::Complete, Wrong::LostReply),
        (Ask::Complete, Wrong::HalfAnswer),
    ];
    let expected = bytes(20 * MIB + 7);
    for (ask, wrong) in wrongs {
        let server = S3Server::start().await;
        let store = open(&server);
        server.script.then(ask, wrong.clone()).then(ask, wrong.clone());
        let upload = begin(&store, "app/x", expected.len()).await;
        let upload = upload.unwrap_or_else(|error| panic!("{ask:?} {wrong:?}: {error}"));
        let done = upload.finish().await;
        let meta = done.unwrap_or_else(|error| panic!("{ask:?} {wrong:?}: {error}"));
        assert_eq!(meta.size_bytes, expected.len() as u64);
        assert!(get(&store, "app/x").await.unwrap() == expected, "{ask:?} {wrong:?}");
        assert_eq!(list(&store, "").await.unwrap().len(), 1, "{ask:?} {wrong:?}");
        assert_eq!(server.script.asked(Ask::Put).len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_not_answered_is_sent_again() {
    let server = S3Server::start().await;
    let store =
        S3::with_limits(&server.config(""), Limits { part: Duration::from_secs(1), ..limits() })
            .unwrap();
    server.script.then(Ask::Part, Wrong::Silent(Duration::from_secs(30)));
    let expected = bytes(20 * MIB);
    begin(&store, "x", expected.len()).await.unwrap().finish().await.unwrap();
    assert!(get(&store, "x").await.unwrap() == expected);
    assert!(server.script.asked(Ask::Part).len() > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_object_survives_passing_faults() {
    for wrong in [
        Wrong::Status(503, "SlowDown"),
        Wrong::Status(429, "TooManyRequests"),
        Wrong::Closed,
        Wrong::LostReply,
    ] {
        let server = S3Server::start().await;
        let store = open(&server);
        server.script.then(Ask::Put, wrong.clone()).then(Ask::Get, wrong.clone());
        put(&store, "x", b"small").await.unwrap_or_else(|error| panic!("{wrong:?}: {error}"));
        assert_eq!(get(&store, "x").await.unwrap(), b"small");
        server.script.then(Ask::Delete, wrong.clone());
        store.delete(&key("x")).await.unwrap();
        assert!(list(&store, "").await.unwrap().is_empty());
        assert!(server.script.is_over());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lasting_faults_are_retryable_errors_and_leave_nothing() {
    let wrongs = [
        (Ask::Begin, Wrong::Status(503, "ServiceUnavailable"), StoreErrorKind::Unavailable),
        (Ask::Part, Wrong::Status(503, "SlowDown"), StoreErrorKind::Throttled),
        (Ask::Part, Wrong::Closed, StoreErrorKind::Unavailable),
        (Ask::Part, Wrong::Status(404, "NoSuchUpload"), StoreErrorKind::Unavailable),
        (Ask::Complete, Wrong::Closed, StoreErrorKind::Unavailable),
        (Ask::Complete, Wrong::Status(404, "NoSuchUpload"), StoreErrorKind::Unavailable),
        (Ask::Complete, Wrong::Status(429, "TooManyRequests"), StoreErrorKind::Throttled),
        (Ask::Complete, Wrong::Answer(xml_error("InternalError")), StoreErrorKind::Unavailable),
        (Ask::Complete, Wrong::Answer(String::new()), StoreErrorKind::Unavailable),
    ];
    for (ask, wrong, kind) in wrongs {
        let server = S3Server::start().await;
        let store = open(&server);
        server.script.repeat(100, ask, &wrong);
        let failed = match begin(&store, "app/x", 20 * MIB).await {
            Ok(upload) => upload.finish().await.map(drop),
            Err(error) => Err(error),
        };
        let error = failed.unwrap_err();
        assert_eq!(error.kind(), kind, "{ask:?} {wrong:?}: {error}");
        assert!(error.is_retryable());
        nothing_left(&server, &store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_wait_longer_and_longer() {
    let server = S3Server::start().await;
    let pause = Duration::from_millis(100);
    let store =
        S3::with_limits(&server.config(""), Limits { first_pause: pause, ..limits() }).unwrap();
    server.script.repeat(3, Ask::Put, &Wrong::Status(429, "TooManyRequests"));
    put(&store, "x", b"small").await.unwrap();
    let asked = server.script.asked(Ask::Put);
    let waited: Vec<Duration> = asked.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(waited.len(), 3);
    for (round, waited) in (0..).zip(waited) {
        assert!(waited >= pause * 2_u32.pow(round), "after {waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ones_object_of_the_same_size_is_not_ours() {
    let server = S3Server::start().await;
    let (ours, theirs) = (open(&server), open(&server));
    let upload = begin(&ours, "x", 9 * MIB).await.unwrap();
    put(&theirs, "x", &vec![7; 9 * MIB]).await.unwrap();
    server.script.repeat(100, Ask::Complete, &Wrong::Closed);
    let error = upload.finish().await.unwrap_err();
    assert!(error.is_already_exists(), "{error}");
    assert!(get(&ours, "x").await.unwrap() == vec![7; 9 * MIB]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_in_the_middle_of_a_part_leaves_no_upload() {
    let server = S3Server::start().await;
    let store = open(&server);
    // Dropped while a part is on its way, as by a cancelled run.
    let mut upload = begin(&store, "x", 16 * MIB).await.unwrap();
    server.script.repeat(3, Ask::Part, &Wrong::Silent(Duration::from_millis(300)));
    let writing = async {
        loop {
            upload.write(Bytes::from(vec![1; 8 * MIB])).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_millis(200), writing).await.unwrap_err();
    drop(upload);
    all_aborted(&server, &store).await;
    assert_eq!(server.script.asked(Ask::Abort).len(), 1);

    // Given up after a write that was dropped.
    let mut upload = begin(&store, "y", 16 * MIB).await.unwrap();
    server.script.repeat(3, Ask::Part, &Wrong::Silent(Duration::from_millis(300)));
    let writing = async {
        loop {
            upload.write(Bytes::from(vec![1; 8 * MIB])).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_millis(200), writing).await.unwrap_err();
    upload.abort().await.unwrap();
    all_aborted(&server, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_nobody_waits_for_leaves_nothing() {
    let server = S3Server::start().await;
    let store = open(&server);
    let upload = begin(&store, "x", 16 * MIB).await.unwrap();
    server.script.then(Ask::Complete, Wrong::Silent(Duration::from_millis(500)));
    tokio::time::timeout(Duration::from_millis(300), upload.finish()).await.unwrap_err();
    let until = Instant::now() + Duration::from_secs(10);
    while server.script.asked(Ask::Delete).is_empty() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    nothing_left(&server, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_grow_so_that_the_stream_fits() {
    let server = S3Server::start().await;
    let parts = PartSizes { first_bytes: 5 * MIB as u64, largest_bytes: 20 * MIB as u64, most: 10 };
    // Putting 70 MiB together takes a busy machine longer than other tests wait.
    let patient = Limits { parts, ..Limits::default() };
    let store = S3::with_limits(&server.config(""), patient).unwrap();
    // 5, 5, 10, 20, 20, …
    let expected = bytes(70 * MIB + 1);
    begin(&store, "x", expected.len()).await.unwrap().finish().await.unwrap();
    assert!(get(&store, "x").await.unwrap() == expected);
    assert_eq!(server.script.asked(Ask::Part).len(), 6);
    assert_eq!(server.script.largest_part(), 20 * MIB as u64);

    let few = Limits { parts: PartSizes { most: 3, ..parts }, ..limits() };
    let store = S3::with_limits(&server.config("few"), few).unwrap();
    let error = begin(&store, "x", 41 * MIB).await.err().unwrap();
    assert!(!error.is_retryable(), "{error}");
    nothing_left(&server, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_service_is_told_as_full() {
    for (status, code) in [
        (507, "InsufficientStorage"),
        (507, "XMinioStorageFull"),
        (507, ""),
        (403, "QuotaExceeded"),
        (400, "InsufficientStorageSpace"),
    ] {
        let server = S3Server::start().await;
        let store = open(&server);
        server.script.repeat(100, Ask::Put, &Wrong::Status(status, code));
        server.script.repeat(100, Ask::Part, &Wrong::Status(status, code));
        let small = put(&store, "small", b"x").await.unwrap_err();
        assert_eq!(small.kind(), StoreErrorKind::Full, "{status} {code}: {small}");
        let large = match begin(&store, "large", 20 * MIB).await {
            Ok(upload) => upload.finish().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(large.kind(), StoreErrorKind::Full, "{status} {code}: {large}");
        nothing_left(&server, &store).await;
    }
}

fn page(keys: &[&str], next: Option<&str>) -> Wrong {
    use std::fmt::Write as _;
    let mut xml = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    for key in keys {
        let _ = write!(
            xml,
            "<Contents><Key>deep/{key}</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified>\
             <ETag>\"e\"</ETag><Size>1</Size></Contents>"
        );
    }
    let _ = write!(xml, "<IsTruncated>{}</IsTruncated>", next.is_some());
    if let Some(next) = next {
        let _ = write!(xml, "<NextContinuationToken>{next}</NextContinuationToken>");
    }
    xml.push_str("</ListBucketResult>");
    Wrong::Answer(xml)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_fails_on_its_second_page_is_an_error() {
    let server = S3Server::start().await;
    let store = open(&server);
    for wrong in [
        Wrong::Status(503, "SlowDown"),
        Wrong::Status(403, "AccessDenied"),
        Wrong::Closed,
        Wrong::HalfAnswer,
        Wrong::Answer("<html>not S3</html>".to_owned()),
        Wrong::Answer(xml_error("InternalError")),
        Wrong::Answer(String::new()),
    ] {
        server.script.then(Ask::List, page(&["a", "b"], Some("more")));
        server.script.repeat(8, Ask::List, &wrong);
        assert!(list(&store, "").await.is_err(), "{wrong:?} was taken for the end");
        // What is left of the script.
        while !server.script.is_over() {
            let _ = list(&store, "").await;
        }
    }
    server.script.then(Ask::List, page(&["a", "b"], Some("more")));
    server.script.then(Ask::List, Wrong::Status(503, "SlowDown"));
    server.script.then(Ask::List, page(&["c"], None));
    assert_eq!(list(&store, "").await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_whose_pages_do_not_go_on_is_an_error() {
    let server = S3Server::start().await;
    let store = open(&server);
    // More is promised, and how to get it is not told.
    let mut endless = page(&["a", "b"], Some("more"));
    if let Wrong::Answer(xml) = &mut endless {
        *xml = xml.replace("<NextContinuationToken>more</NextContinuationToken>", "");
    }
    server.script.repeat(50, Ask::List, &endless);
    let listed = tokio::time::timeout(Duration::from_secs(20), list(&store, "")).await.unwrap();
    assert!(listed.is_err());
}

/// The server of these tests keeps unfinished uploads and cannot list them; so what it was asked
/// to begin is listed for it. The signature is checked by the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_a_killed_process_are_swept_by_age_and_folder() {
    let server = S3Server::start().await;
    let store = open(&server);
    for name in ["app/one two+&", "app/two", "app_archive/three"] {
        // As a kill would leave it.
        std::mem::forget(begin(&store, name, 17 * MIB).await.unwrap());
    }
    for _ in 0..100 {
        if server.script.asked(Ask::Part).len() >= 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = server.parts_kept();
    assert!(before > 0);

    let day = Duration::from_secs(86_400);
    let now = SystemTime::now();
    let app = Prefix::new("app").unwrap();
    // Uploads that are under way here are nobody's orphans, however old.
    assert!(store.sweep(&app, day, now + 2 * day).await.unwrap().is_empty());
    let store = open(&server);
    assert!(store.sweep(&app, day, now).await.unwrap().is_empty());
    let swept = store.sweep(&app, day, now + 2 * day).await.unwrap();
    let mut names: Vec<_> = swept.into_iter().map(|swept| swept.name).collect();
    names.sort();
    assert_eq!(names, ["deep/app/one two+&", "deep/app/two"]);
    assert!(server.parts_kept() < before);
    assert!(store.sweep(&app, day, now + 2 * day).await.unwrap().is_empty());
    let rest = store.sweep(&Prefix::root(), day, now + 2 * day).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(server.parts_kept(), 0);

    // A whole bucket may be shared: nothing of it is touched.
    let asked = server.script.asked(Ask::Uploads).len();
    let whole = S3::with_limits(&server.config(""), limits()).unwrap();
    assert!(whole.sweep(&Prefix::root(), day, now + 2 * day).await.unwrap().is_empty());
    assert_eq!(server.script.asked(Ask::Uploads).len(), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_lists_no_uploads_is_told() {
    let server = S3Server::start().await;
    let store = open(&server);
    for (status, kind) in [
        (403, StoreErrorKind::PermissionDenied),
        (501, StoreErrorKind::Config),
        (503, StoreErrorKind::Unavailable),
    ] {
        // As often as it is tried, where it is.
        let times = if status == 503 { 5 } else { 1 };
        server.script.repeat(times, Ask::Uploads, &Wrong::Status(status, "Whatever"));
        let swept = store.sweep(&Prefix::root(), Duration::ZERO, SystemTime::now()).await;
        assert_eq!(swept.unwrap_err().kind(), kind);
    }
}

#[test]
fn a_call_with_all_its_retries_ends_before_the_last_deadline() {
    // A part may be silent four times, and still the fifth try counts.
    let limits = Limits::default();
    assert!(limits.longest_call() > limits.part * limits.retries);
    assert!(limits.longest_call() < Duration::from_secs(300));
}
