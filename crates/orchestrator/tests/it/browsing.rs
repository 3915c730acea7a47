//! What is in a snapshot: listed, searched and taken home, by the API, the pages and the program.

use model::Permission;
use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::{
    app::{App, TOKEN},
    openapi::{description, faults, schema},
    road::ran,
    server::{As, PASSWORD, Place, Server},
};

/// A name that breaks a line, turns what follows around and would be a tag.
const ODD: &str = "<b>\u{202e}gpj.\nx";

/// An app that sends a tar with a few folders.
pub(crate) async fn archive() -> App {
    let long = format!("srv/media/{}.pdf", "a-name-that-goes-on-".repeat(8));
    let odd = format!("srv/media/{ODD}");
    let names = ["srv/media/2026/report.pdf", "srv/media/2025/old.txt", &odd, &long];
    App::serve_file("media.tar", tar_of(&names)).await
}

/// A tar of files that hold their names, and a link.
fn tar_of(names: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o640);
    header.set_uid(1000);
    header.set_gid(33);
    header.set_mtime(1_700_000_000);
    for name in names {
        header.set_size(name.len() as u64);
        tar.append_data(&mut header, name, name.as_bytes()).unwrap();
    }
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "srv/media/newest", "2026/report.pdf").unwrap();
    tar.into_inner().unwrap()
}

/// An app that sends a dump as a script.
pub(crate) async fn dump() -> App {
    let dump = script(&[("orders", "1\n2\n3\n"), ("customers", "1\n")]);
    App::serve_file("shop.sql", dump).await
}

/// A dump of these tables and their rows.
fn script(tables: &[(&str, &str)]) -> Vec<u8> {
    let table = |(name, rows): &(&str, &str)| {
        format!(
            "--\n-- Data for Name: {name}; Type: TABLE DATA; Schema: public; Owner: shop\n--\n\n\
             COPY public.{name} (id) FROM stdin;\n{rows}\\.\n\n"
        )
    };
    let tables: String = tables.iter().map(table).collect();
    let end = "--\n-- PostgreSQL database dump complete\n--\n";
    format!("--\n-- PostgreSQL database dump\n--\n\n{tables}{end}").into_bytes()
}

/// Takes a snapshot of an app called `name`.
pub(crate) async fn snapshot(server: &Server, name: &str, app: &App) -> String {
    let draft = json!({
        "name": name, "url": app.url(), "token": TOKEN,
        "destinations": [{ "destination": "disk", "folder": name }],
    });
    server.done("POST", "apps", draft).await;
    again(server, name).await
}

/// Takes another snapshot of that app.
async fn again(server: &Server, name: &str) -> String {
    let run = ran(server, name).await;
    run["snapshot_id"].as_str().unwrap().to_owned()
}

async fn serve() -> Server {
    let server = Place::new(&[]).serve().await;
    let disk = server.place.folder.path().join("disk");
    let disk = json!({ "name": "disk", "kind": "local", "settings": { "path": disk } });
    server.done("POST", "destinations", disk).await;
    server
}

fn names(entries: &Value) -> Vec<&str> {
    entries.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

async fn text(server: &Server, path: &str) -> String {
    let reply = server.request(Method::GET, path, &server.local()).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{path}");
    reply.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_is_looked_into() {
    let server = serve().await;
    let app = archive().await;
    let id = snapshot(&server, "media", &app).await;
    let document = description(&server).await;
    let base = format!("snapshots/{id}");

    let listing = server.done_get(&format!("{base}/browse?source=media&path=srv/media")).await;
    let entries = &listing["entries"];
    assert_eq!(names(entries)[..2], ["2025", "2026"]);
    assert!(names(entries).contains(&ODD), "{entries}");
    let told = schema(&document, "GET", "/api/v1/snapshots/{snapshot}/browse", "200");
    assert_eq!(faults(&document, told, &listing), Vec::<String>::new());
    let found = server.done_get(&format!("{base}/search?source=media&q=*.pdf")).await;
    assert_eq!(names(&found)[0], "report.pdf");
    assert_eq!(found.as_array().unwrap().len(), 2);
    let told = schema(&document, "GET", "/api/v1/snapshots/{snapshot}/search", "200");
    assert_eq!(faults(&document, told, &found), Vec::<String>::new());

    let file = format!("/api/v1/{base}/file?source=media&path=srv/media/2026/report.pdf");
    let reply = server.request(Method::GET, &file, &server.local()).send().await.unwrap();
    assert_eq!(reply.headers()[header::CONTENT_TYPE], "application/octet-stream");
    let disposition = reply.headers()[header::CONTENT_DISPOSITION].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"report.pdf\""), "{disposition}");
    assert_eq!(reply.text().await.unwrap(), "srv/media/2026/report.pdf");
    let local = server.local();
    for (path, status) in [
        ("browse?source=media&path=none", 404),
        ("browse?source=none", 404),
        ("browse", 400),
        ("file?source=media&path=../../etc/passwd", 404),
        ("file?source=media&path=srv/media/newest", 422),
    ] {
        let answered = server.get(&format!("{base}/{path}"), &local).await.as_u16();
        assert!(answered == status || status == 400 && answered == 422, "{path}: {answered}");
    }

    // Names are content: who may not download sees none.
    server.add_user("ana", "viewer").await;
    let viewer = server.login("ana", PASSWORD).await;
    for path in ["browse?source=media", "search?source=media&q=a", "file?source=media"] {
        let answered = server.get(&format!("{base}/{path}"), &viewer).await;
        assert_eq!(answered, 403, "{path} takes {:?}", Permission::Download);
    }
    assert_eq!(server.get(&format!("{base}/browse?source=media"), &As::Nobody).await, 401);

    let page = text(&server, &format!("/snapshots/{id}")).await;
    assert!(page.contains(&format!("/snapshots/{id}/browse/media")), "no way there");
    let page = text(&server, &format!("/snapshots/{id}/browse/media?path=srv%2Fmedia")).await;
    assert!(page.contains("&#60;b&#62;\\u{202e}gpj.\\u{a}x"), "{page}");
    assert!(!page.contains('\u{202e}'));
    let page = text(&server, &format!("/snapshots/{id}/browse/media?q=report")).await;
    assert!(page.contains("srv/media/2026/report.pdf") && !page.contains("old.txt"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zip_is_looked_into() {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["site/index.html", "site/media/a.txt", "top.txt"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(name.as_bytes()).unwrap();
    }
    let app = App::serve_file("media.zip", zip.finish().unwrap().into_inner()).await;
    let server = serve().await;
    let id = snapshot(&server, "media", &app).await;
    let source =
        server.done_get(&format!("snapshots/{id}")).await["artifacts"][0]["source"].clone();
    let source = source.as_str().unwrap();
    let page = text(&server, &format!("/snapshots/{id}")).await;
    assert!(page.contains(&format!("/snapshots/{id}/browse/{source}")), "no way there");
    let page = text(&server, &format!("/snapshots/{id}/browse/{source}?path=site")).await;
    assert!(page.contains("index.html") && page.contains("media/"), "{page}");
    let file = format!("/snapshots/{id}/file/{source}?path=site%2Fmedia%2Fa.txt");
    assert_eq!(text(&server, &file).await, "site/media/a.txt");
    let folder = format!("/snapshots/{id}/file/{source}?path=site");
    let reply = server.request(Method::GET, &folder, &server.local()).send().await.unwrap();
    let tar = reply.bytes().await.unwrap();
    let mut tar = tar::Archive::new(&*tar);
    assert_eq!(tar.entries().unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_lists_searches_and_downloads() {
    let server = serve().await;
    let app = archive().await;
    let id = snapshot(&server, "media", &app).await;
    let place = &server.place;
    let run = |more: &[&str]| {
        let done = place.run(&[&["snapshot-browse", &id, "media"], more].concat());
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), done.stderr)
    };
    let (code, told, _) = run(&["srv/media"]);
    assert_eq!(code, Some(0));
    assert!(told.contains("2026/") && told.contains("0640") && told.contains("1000:33"), "{told}");
    assert!(told.contains("\\u{202e}") && !told.contains('\u{202e}'), "{told}");
    let (_, told, _) = run(&["--search", "REPORT", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told[0]["path"], "srv/media/2026/report.pdf");

    let to = place.folder.path().join("here");
    let into = to.to_str().unwrap();
    let report = ["srv/media/2026/report.pdf", "--to", into];
    assert_eq!(run(&report).0, Some(0));
    let file = std::fs::read_to_string(to.join("report.pdf")).unwrap();
    assert_eq!(file, "srv/media/2026/report.pdf");
    std::fs::write(to.join("report.pdf"), "mine").unwrap();
    let (code, _, said) = run(&report);
    assert_eq!(code, Some(5), "{}", String::from_utf8_lossy(&said));
    assert_eq!(std::fs::read_to_string(to.join("report.pdf")).unwrap(), "mine");
    assert_eq!(run(&["srv/media/2025", "--to", into]).0, Some(0));
    let tar = std::fs::File::open(to.join("2025.tar")).unwrap();
    let mut tar = tar::Archive::new(tar);
    let inside: Vec<_> =
        tar.entries().unwrap().map(|one| one.unwrap().path().unwrap().into_owned()).collect();
    assert_eq!(inside, [std::path::Path::new("srv/media/2025/old.txt")]);
    let restored = ["restore", &id, "--only", "media", "--path", "srv/media/2025/old.txt", "--to"];
    let done = place.run(&[&restored, [into].as_slice()].concat());
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(std::fs::read_to_string(to.join("old.txt")).unwrap(), "srv/media/2025/old.txt");
    // What did not come leaves nothing.
    assert_ne!(run(&["srv/media/none", "--to", into]).0, Some(0));
    assert_eq!(std::fs::read_dir(&to).unwrap().count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_shown_with_their_rows() {
    let server = serve().await;
    let app = dump().await;
    let id = snapshot(&server, "shop", &app).await;
    let page = text(&server, &format!("/snapshots/{id}")).await;
    assert!(page.contains(&format!("/snapshots/{id}/browse/shop")), "no way there");
    let page = text(&server, &format!("/snapshots/{id}/browse/shop")).await;
    assert!(page.contains("public.orders") && page.contains("public.customers"), "{page}");
    let page = text(&server, &format!("/snapshots/{id}/browse/shop?q=ORD")).await;
    assert!(page.contains("public.orders") && !page.contains("public.customers"), "{page}");
    let told = server.place.run(&["snapshot-browse", &id, "shop", "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let expected = json!([
        { "table": "public.customers", "rows": 1 },
        { "table": "public.orders", "rows": 3 },
    ]);
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_snapshots_are_compared_by_everybody() {
    let server = serve().await;
    let app = App::serve_file("media.tar", tar_of(&["srv/gone", "srv/kept"])).await;
    let first = snapshot(&server, "media", &app).await;
    app.change(tar_of(&["srv/kept", &format!("srv/{ODD}")]));
    let second = again(&server, "media").await;

    let document = description(&server).await;
    let diff = server.done_get(&format!("snapshots/{second}/diff?from={first}")).await;
    let told = schema(&document, "GET", "/api/v1/snapshots/{snapshot}/diff", "200");
    assert_eq!(faults(&document, told, &diff), Vec::<String>::new());
    let source = &diff["sources"][0];
    assert_eq!((&diff["is_same"], &source["compared"]), (&json!(false), &json!("members")));
    assert_eq!((&source["added"], &source["removed"]), (&json!(1), &json!(1)), "{diff}");
    assert_eq!(source["entries"][1]["path"], "srv/gone");
    let local = server.local();
    for (query, status) in
        [("", 400), ("?from=none", 404), ("?from=01jd5k3m9x0000000000000000", 404)]
    {
        let answered = server.get(&format!("snapshots/{second}/diff{query}"), &local).await;
        assert_eq!(answered.as_u16(), status, "{query}");
    }
    let other = App::serve_file("other.tar", tar_of(&["srv/kept"])).await;
    let other = snapshot(&server, "other", &other).await;
    let refused = server.get(&format!("snapshots/{second}/diff?from={other}"), &local).await;
    assert_eq!(refused.as_u16(), 422);

    let page = text(&server, &format!("/snapshots/{second}")).await;
    assert!(page.contains(&format!("<option value=\"{first}\"")), "no way there: {page}");
    let page = text(&server, &format!("/snapshots/{second}/diff?from={first}")).await;
    assert!(page.contains("srv/gone") && page.contains("1 new"), "{page}");
    assert!(!page.contains('\u{202e}') && !page.contains("<b>\\"), "{page}");

    let run = |more: &[&str]| {
        let done = server.place.run(&[&["snapshot-diff", &first, &second], more].concat());
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (code, told) = run(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("srv/gone") && told.contains("1 new, 1 gone, 0 changed"), "{told}");
    assert!(told.contains("\\u{202e}") && !told.contains('\u{202e}'), "{told}");
    assert_eq!(run(&["--exit-code", "--limit", "1"]).0, Some(6));
    let (_, told) = run(&["--json", "--source", "media"]);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), {
        server.done_get(&format!("snapshots/{second}/diff?from={first}&source=media")).await
    });
    let done = server.place.run(&["snapshot-diff", &second, &second, "--exit-code"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains("the same, byte for byte"));
    assert_eq!(run(&["--source", "none"]).0, Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_compared_by_their_rows() {
    let server = serve().await;
    let app = dump().await;
    let first = snapshot(&server, "shop", &app).await;
    app.change(script(&[("orders", "1\n2\n3\n4\n"), ("invoices", "1\n")]));
    let second = again(&server, "shop").await;
    let diff = server.done_get(&format!("snapshots/{second}/diff?from={first}")).await;
    let source = &diff["sources"][0];
    assert_eq!(source["compared"], "tables");
    let told: Vec<_> = source["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["path"], one["change"], one["before"], one["after"]]))
        .collect();
    let expected = [
        json!(["public.customers", "removed", 1, null]),
        json!(["public.invoices", "added", null, 1]),
        json!(["public.orders", "changed", 3, 4]),
    ];
    assert_eq!(told, expected);
}
