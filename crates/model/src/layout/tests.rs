//! Names by example.

use super::*;

fn names(template: &str) -> Names {
    let template =
        if template.is_empty() { Template::default() } else { template.parse().unwrap() };
    template.names(NameFields {
        app: "shop".parse().unwrap(),
        taken_at: "2026-11-21T03:00:09-03:00[America/Sao_Paulo]".parse().unwrap(),
        run_id: "01jd0000000000000000000000".parse().unwrap(),
        kind: SnapshotKind::Automatic,
    })
}

#[test]
fn the_default_is_name_and_minute() {
    let names = names("");
    assert_eq!(names.object(None, "x.bin", Some("pg_dump_Fc"), "", 1), "shop_20261121_0300.dump");
    // What the format says counts more than what the file is called.
    let custom = names.object(None, "backup.sql.gz", Some("pg_dump_Fc"), "", 1);
    assert_eq!(custom, "shop_20261121_0300.dump");
    assert_eq!(names.object(None, "x.tar.gz", None, "", 1), "shop_20261121_0300.tar.gz");
    assert_eq!(names.object(None, "a.b.tar", None, ".zst", 2), "shop_20261121_0300_2.tar.zst");
    assert_eq!(names.object(Some("db"), "x", None, "", 1), "shop_20261121_0300_db.bin");
    assert_eq!(names.manifest(1), "shop_20261121_0300.manifest.json");
    assert_eq!(names.manifest(3), "shop_20261121_0300_3.manifest.json");
}

#[test]
fn timestamped_folders() {
    let names = names("{YYYYMMDD_HHMMSS}/{app}_{YYYYMMDD_HHMMSS}");
    assert_eq!(
        names.object(None, "d.sql.gz", None, "", 1),
        "20261121_030009/shop_20261121_030009.sql.gz"
    );
}

#[test]
fn templates_that_cannot_name_are_refused() {
    for bad in [
        "",
        "fixed",
        "{app}",
        "{nope}_{run}",
        "{run",
        "run}",
        "/{run}",
        "../{run}",
        "{run}/",
        "a//{run}",
        ".{run}",
        "-{run}",
        "{run}\nx",
        "{run}:x",
        "{run}/../x",
        "{}",
    ] {
        assert!(bad.parse::<Template>().is_err(), "{bad:?} was accepted");
    }
}
