//! Ready while the catalog answers; alive in any case.

use std::time::{Duration, Instant};

use crate::{
    postgres::{PASSWORD, Postgres, USER},
    proxy::Proxy,
    server::{As, Place, Server},
};

async fn status(server: &Server, path: &str) -> u16 {
    let request = server.request(reqwest::Method::GET, path, &As::Nobody);
    request.timeout(Duration::from_secs(60)).send().await.unwrap().status().as_u16()
}

async fn becomes(server: &Server, path: &str, expected: u16) {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let found = status(server, path).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < until, "{path}: {found}\n{}", server.place.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_catalog_a_server_is_alive_and_not_ready() {
    let Some(database) = Postgres::start() else { return };
    database.sql("postgres", "CREATE DATABASE catalog");
    let proxy = Proxy::to(([127, 0, 0, 1], database.port).into()).await;
    let url = format!("postgres://{USER}:{PASSWORD}@{}/catalog", proxy.address);
    let server = Place::new(&[("DATABASE_URL", &url)]).serve().await;
    becomes(&server, "/readyz", 200).await;
    assert_eq!(server.get("apps", &server.local()).await, 200);

    proxy.go_down();
    becomes(&server, "/readyz", 503).await;
    assert_eq!((status(&server, "/healthz").await, status(&server, "/ready").await), (200, 503));
    let refused = server.send("GET", "apps", &server.local(), None).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let told = refused.text().await.unwrap();
    assert!(!told.contains(PASSWORD), "{told}");

    proxy.come_up();
    becomes(&server, "/readyz", 200).await;
    assert_eq!(server.get("apps", &server.local()).await, 200);
    assert!(!server.place.log().contains(PASSWORD));
}
