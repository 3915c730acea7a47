//! What answers in the place of Docker, so that pages have something to show: a few volumes and
//! containers, which nobody can touch.

use axum::{Json, Router, extract::Request};
use serde_json::{Value, json};

/// The value of `DOCKER_HOST`.
pub(crate) async fn start() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    format!("tcp://{address}")
}

async fn answer(request: Request) -> Json<Value> {
    let path = request.uri().path();
    Json(match path.rsplit('/').next().unwrap_or_default() {
        "version" => json!({ "Version": "29.0.0", "ApiVersion": "1.44", "MinAPIVersion": "1.24" }),
        "volumes" => json!({ "Volumes": [
            volume("shop_media", "shop"),
            volume("shop_db", "shop"),
            volume(&"a-volume-with-quite-a-long-name-".repeat(6), "wiki"),
            volume("scratch", "tools"),
        ], "Warnings": [] }),
        "json" if path.ends_with("/containers/json") => json!([
            container("shop-db-1", "postgres:17", "shop", &["shop_db"]),
            container("shop-web-1", "ghcr.io/acme/shop:4.2", "shop", &["shop_media"]),
            container("wiki-cache-1", "redis:7", "wiki", &[]),
            container("proxy-1", "traefik:v3", "proxy", &[]),
        ]),
        _ => json!({}),
    })
}

fn volume(name: &str, project: &str) -> Value {
    json!({ "Name": name, "Driver": "local", "Mountpoint": format!("/var/lib/docker/{name}"),
        "Scope": "local", "Options": {}, "Labels": { "com.docker.compose.project": project } })
}

fn container(name: &str, image: &str, project: &str, volumes: &[&str]) -> Value {
    let mounts = volumes.iter().map(|volume| {
        json!({ "Type": "volume", "Name": volume, "Source": "", "Destination": "/data",
            "Driver": "local", "Mode": "z", "RW": true, "Propagation": "" })
    });
    json!({ "Id": "0123456789ab".repeat(5), "Names": [format!("/{name}")], "Image": image,
        "ImageID": "sha256:0", "Command": "run", "Created": 1_700_000_000, "State": "running",
        "Status": "Up 3 days", "Ports": [], "Mounts": mounts.collect::<Vec<_>>(),
        "Labels": { "com.docker.compose.project": project } })
}
