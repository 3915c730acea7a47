//! The examples for Prometheus and Grafana: they are read by the tools they are for, and every
//! metric that they name is one that the server tells.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    metrics::page,
    promtool,
    server::{As, Place},
};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/monitoring")
}

/// Words of a text that are names of metrics of ours.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = |word: &&str| word.starts_with("backup_") || word.starts_with("process_");
    words.filter(ours).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_metric_of_the_examples_is_told() {
    let server = Place::new(&[("METRICS_OPEN", "on")]).serve().await;
    let text = page(&server, &As::Nobody).await;
    let mut told = BTreeSet::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("# TYPE ") else { continue };
        let (name, kind) = rest.split_once(' ').unwrap();
        told.insert(name.to_owned());
        if kind == "summary" {
            told.extend(["_sum", "_count"].map(|end| format!("{name}{end}")));
        }
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    }
    assert!(told.len() > 25, "{told:?}");
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide");
    for file in [
        examples().join("alerts.yml"),
        examples().join("alerts.test.yml"),
        examples().join("grafana/dashboards/backups.json"),
        guide.join("monitoring.md"),
        guide.join("monitoring.es.md"),
    ] {
        let names = named(&std::fs::read_to_string(&file).unwrap());
        assert!(!names.is_empty(), "{}", file.display());
        for name in &names {
            assert!(told.contains(name), "{}: there is no metric {name}", file.display());
        }
    }
    // And every family is in the guide.
    for guide in ["monitoring.md", "monitoring.es.md"].map(|name| guide.join(name)) {
        let names = named(&std::fs::read_to_string(&guide).unwrap());
        let families = told.iter().filter(|name| text.contains(&format!("# TYPE {name} ")));
        for name in families {
            assert!(names.contains(name), "{}: {name} is not told", guide.display());
        }
    }
}

#[test]
fn the_rules_are_read_and_fire_when_they_should() {
    promtool::check(&["check", "config", "--syntax-only"], &examples().join("prometheus.yml"));
    promtool::check(&["check", "rules"], &examples().join("alerts.yml"));
    promtool::check(&["test", "rules"], &examples().join("alerts.test.yml"));
}

#[test]
fn the_dashboard_is_whole() {
    let text = std::fs::read_to_string(examples().join("grafana/dashboards/backups.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let mut ids = BTreeSet::new();
    let panels = board["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{place}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            assert!(!named(target["expr"].as_str().unwrap()).is_empty(), "{target}");
        }
    }
}
