//! What is declared by what is written, and what is told where it is wrong.

use std::path::Path;

use secrecy::ExposeSecret as _;

use super::*;
use crate::settings::Environment;

const VARIABLES: &str = "\
DB_USER=admin
DB_PASSWORD=very-secret
SHOP_TOKEN=a-token-of-the-shop
AWS_ACCESS_KEY_ID=key-id
AWS_SECRET_ACCESS_KEY=key-secret
AWS_DEFAULT_REGION=us-east-1
S3_BUCKET=copies
TZ=America/Sao_Paulo
";

fn variables(text: &str) -> Variables {
    Variables::new(&Environment::new(), text)
}

fn parsed(text: &str) -> Declaration {
    let told = |findings: Vec<Finding>| -> Vec<_> {
        findings.iter().map(|one| one.told("backups.yml")).collect()
    };
    Declaration::parse(text, &variables(VARIABLES), Path::new("."))
        .map_err(told)
        .unwrap_or_else(|told| panic!("{told:#?}"))
}

fn wrong(text: &str) -> Vec<String> {
    match Declaration::parse(text, &variables(VARIABLES), Path::new(".")) {
        Ok(_) => panic!("it was taken: {text}"),
        Err(findings) => findings.iter().map(|one| one.told("backups.yml")).collect(),
    }
}

const APP: &str = "\
destinations:
  - name: disk
    kind: local
    settings:
      path: /copies
apps:
  - name: shop
    sources:
      - kind: contract
        settings:
          url: http://shop:8080
        secrets:
          token: ${SHOP_TOKEN}
    destinations: [disk]
    schedule: 30 2 * * *
    time_zone: Europe/Madrid
    retention: { keep_last: 3, keep_within: 30d }
    compression: zstd:3
";

#[test]
fn an_app_with_everything() {
    let declared = parsed(APP).declared;
    let [app] = declared.apps.as_slice() else { panic!("one app") };
    assert_eq!(app.name, "shop");
    assert_eq!(app.sources[0].kind, "contract");
    assert_eq!(app.sources[0].settings["url"], "http://shop:8080");
    assert_eq!(app.sources[0].secrets["token"].expose_secret(), "a-token-of-the-shop");
    let schedule = app.schedule.as_ref().unwrap();
    assert_eq!(
        (schedule.spec.as_str(), schedule.time_zone.as_str()),
        ("30 2 * * *", "Europe/Madrid")
    );
    assert_eq!(app.retention.keep_last, Some(3));
    assert!(app.retention.keep_within.is_some());
    assert_eq!(app.compression.as_deref(), Some("zstd:3"));
    assert_eq!(app.destinations[0].destination, "disk");
    assert!(app.destinations[0].template.is_none() && !app.destinations[0].logs);
    assert_eq!(declared.destinations[0].settings["path"], "/copies");
}

#[test]
fn backup_config_holds_for_apps_that_say_nothing() {
    let text = "\
backup_config:
  backup_dir: /backups
  s3_bucket: ${S3_BUCKET}
  s3_region: ${AWS_DEFAULT_REGION}
  retention_count: ${COUNT:-4}
  schedule: 0 4 * * *
apps:
  - name: shop
    sources: [{ kind: contract, settings: { url: 'http://shop:8080' }, secrets: { token: '${SHOP_TOKEN}' } }]
";
    let declared = parsed(text).declared;
    let [local, bucket] = declared.destinations.as_slice() else { panic!("two destinations") };
    assert_eq!((local.name.as_str(), local.settings["path"].as_str()), ("backup_dir", "/backups"));
    assert_eq!(bucket.settings["bucket"], "copies");
    assert_eq!(bucket.settings["region"], "us-east-1");
    assert_eq!(bucket.secrets["secret_access_key"].expose_secret(), "key-secret");
    let app = &declared.apps[0];
    assert_eq!(app.retention.keep_last, Some(4));
    let schedule = app.schedule.as_ref().unwrap();
    assert_eq!(schedule.time_zone, "America/Sao_Paulo");
    assert_eq!(schedule.spec, "0 4 * * *");
    for binding in &app.destinations {
        assert_eq!(binding.template.as_deref(), Some("{YYYYMMDD_HHMMSS}/{app}_{YYYYMMDD_HHMMSS}"));
        assert!(binding.logs);
    }
    // Without a bucket there is one destination, and nothing is asked of Amazon.
    let text = text.replace("${S3_BUCKET}", "");
    let bare = Declaration::parse(
        &text,
        &variables("SHOP_TOKEN=a-token-of-it\nAWS_DEFAULT_REGION=\n"),
        Path::new("."),
    );
    assert_eq!(bare.ok().unwrap().declared.destinations.len(), 1);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (from, to, line, words) in [
        ("    schedule:", "    shcedule:", 15, "did you mean `schedule`?"),
        ("30 2 * * *", "61 2 * * *", 15, "apps[0].schedule"),
        ("Europe/Madrid", "Mars/Olympus", 16, "apps[0].time_zone"),
        ("keep_last: 3", "keep_last: many", 17, "a whole number"),
        ("keep_last: 3", "keep_last: 0", 17, "takes a number from 1"),
        ("keep_within: 30d", "keep_within: soon", 17, "keep_within"),
        ("${SHOP_TOKEN}", "${SHOP_TOKN}", 13, "`SHOP_TOKN` is not set"),
        ("  - name: shop", "  - nmae: shop", 7, "did you mean `name`?"),
        ("    destinations: [disk]\n", "", 7, "nowhere to put it"),
        ("[disk]", "{ disk: yes }", 14, "expected"),
    ] {
        let text = APP.replace(from, to);
        assert_ne!(text, APP, "{from}");
        let told = wrong(&text).join("\n");
        assert!(told.contains(&format!("backups.yml:{line}: ")), "{to}: {told}");
        assert!(told.contains(words), "{to}: {told}");
        assert!(!told.contains("a-token-of"), "{told}");
    }
    // All of what is wrong is told, not the first alone.
    let text = APP.replace("30 2 * * *", "never").replace("${SHOP_TOKEN}", "${NO}");
    assert_eq!(wrong(&text).len(), 2, "{:?}", wrong(&text));
}

#[test]
fn what_is_no_file_of_ours_changes_nothing() {
    for text in ["", "\n# words\n", "~", "[]", "just words", "apps: 3", "a: [", "{", "\u{0}"] {
        assert!(!wrong(text).is_empty(), "{text:?}");
    }
    let emptied = parsed("apps: []\n").declared;
    assert!(emptied.apps.is_empty() && emptied.destinations.is_empty());
    let nothing_in_it =
        parsed("apps:\nbackup_targets:\n  # - name: x\nbackup_config:\n  backup_dir: /b\n");
    assert!(nothing_in_it.declared.apps.is_empty());
    let twice = APP.replace("    compression:", "    name: other\n    compression:");
    assert!(wrong(&twice).join("").contains("twice"), "{:?}", wrong(&twice));
}

#[test]
fn a_secret_in_the_file_is_warned_about_and_one_in_another_is_read() {
    let text = APP.replace("${SHOP_TOKEN}", "in-plain-sight");
    let warnings = parsed(&text).warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].line, Some(13));
    assert!(!warnings[0].message.contains("in-plain-sight"));
    assert!(parsed(APP).warnings.is_empty());
    // What looks like a number is the text it is.
    let text = APP.replace("${SHOP_TOKEN}", "00123456");
    assert_eq!(
        parsed(&text).declared.apps[0].sources[0].secrets["token"].expose_secret(),
        "00123456"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "of-the-file\n").unwrap();
    let text = APP.replace("token: ${SHOP_TOKEN}", "token_file: token");
    let read = Declaration::parse(&text, &variables(""), folder.path()).ok().unwrap();
    assert_eq!(read.declared.apps[0].sources[0].secrets["token"].expose_secret(), "of-the-file");
    assert_eq!(read.files, [folder.path().join("token")]);
    let gone = text.replace("token_file: token", "token_file: other");
    let findings = Declaration::parse(&gone, &variables(""), folder.path()).err().unwrap();
    assert_eq!(findings[0].line, Some(13));
}

#[test]
fn targets_and_volumes_say_what_differs() {
    let text = "\
backup_targets:
  - name: one
    type: database
    config: { host: db, port: 5432, user: '${DB_USER}', password: '${DB_PASSWORD}', database: one }
  - name: two
    type: mariadb
    config: { host: db, username: root, password: '${DB_PASSWORD}', databases: [a, b] }
    schedule: '@every 4h'
    retention: { keep_daily: 7 }
    compression: zstd:3
    container: its-container
  - name: three
    type: sqlite
    config: { path: /data/x.db }
    destinations: [{ destination: backup_dir, folder: three }]
volume_backups:
  - name: files
    volume_name: shop_files
    containers: stop
    retention_count: 2
backup_config:
  backup_dir: /backups
  compression_level: 9
";
    let apps = parsed(text).declared.apps;
    let [one, two, three, files] = apps.as_slice() else { panic!("four apps") };
    let source = |app: &engine::AppDraft| app.sources[0].clone();
    assert_eq!(source(one).settings["user"], "admin");
    assert_eq!(source(one).settings["format"], "plain");
    assert_eq!(source(one).secrets["password"].expose_secret(), "very-secret");
    assert_eq!(one.compression.as_deref(), Some("gzip:9"));
    assert_eq!(one.retention.keep_last, Some(5));
    assert_eq!(one.schedule.as_ref().unwrap().spec, "0 3 * * *");
    assert_eq!(source(two).kind, "mysql");
    assert_eq!(source(two).settings["container"], "its-container");
    assert_eq!((two.retention.keep_last, two.retention.keep_daily), (None, Some(7)));
    assert_eq!(two.compression.as_deref(), Some("zstd:3"));
    assert_eq!(two.schedule.as_ref().unwrap().spec, "@every 4h");
    assert_eq!(source(three).settings["path"], "/data/x.db");
    assert_eq!(three.destinations[0].folder, "three");
    assert!(three.destinations[0].template.is_some() && three.destinations[0].logs);
    assert_eq!(source(files).settings["volume"], "shop_files");
    assert_eq!(source(files).settings["containers"], "stop");
    assert_eq!(files.retention.keep_last, Some(2));
    let template = files.destinations[0].template.as_deref();
    assert_eq!(template, Some("{YYYYMMDD_HHMMSS}/{app}_volume_{YYYYMMDD_HHMMSS}"));
    for (from, to, line, words) in [
        ("port: 5432", "prot: 5432", 4, "did you mean `port`?"),
        ("type: mariadb", "type: mariadbb", 6, "did you mean `mariadb`?"),
        ("compression_level: 9", "compression_level: 12", 23, "1 to 9"),
        ("retention_count: 2", "retention_count: ten", 20, "a whole number"),
        ("volume_name: shop_files", "volume: shop_files", 18, "volume_name"),
    ] {
        let told = wrong(&text.replace(from, to));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("backups.yml:{line}: ")), "{told:?}");
        assert!(told[0].contains(words), "{told:?}");
    }
}

#[test]
fn a_bomb_is_no_file() {
    let levels = (1..12).map(|level| {
        let inside = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("  - &a{level} [{inside}]\n")
    });
    let bomb = format!("apps:\n  - &a0 [x, x, x, x]\n{}", levels.collect::<String>());
    let begun = std::time::Instant::now();
    assert!(!wrong(&bomb).is_empty());
    // Where it is valid up to there: in what nobody looks at.
    let deep = format!("apps: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!wrong(&deep).is_empty());
    assert!(begun.elapsed() < std::time::Duration::from_secs(3));
}

#[test]
fn the_schema_is_as_published() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/backups.schema.json");
    let schema = File::schema();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, schema, "docs/backups.schema.json: UPDATE_GOLDEN=1 writes it anew");
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let json = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    assert!(validator.is_valid(&json(APP)));
    assert!(!validator.is_valid(&json(&APP.replace("    schedule:", "    shcedule:"))));
}

#[test]
fn an_export_declares_what_was_there() {
    let apps = serde_json::json!([{
        "name": "shop", "enabled": false, "managed_by": null,
        "sources": [
            { "name": "shop", "kind": "contract", "secrets": ["token"],
              "settings": { "url": "http://shop:8080/$x" } },
            { "name": "other", "kind": "contract", "secrets": ["token"],
              "settings": { "url": "http://other:8080" } },
        ],
        "destinations": [{ "destination_id": "d1", "folder": "apps/shop", "logs": true,
            "template": "{app}_{run}", "retention": { "keep_last": 2 } }],
        "schedule": { "spec": "@every 4h", "time_zone": "UTC", "jitter_secs": 5,
            "catch_up": false },
        "retention": { "keep_daily": 7, "keep_within": "30d" },
        "limits": { "timeout_secs": 60, "retries": null }, "compression": "gzip:9",
    }, { "name": "filed", "managed_by": "file" }]);
    let places = serde_json::json!([{
        "id": "d1", "name": "disk", "kind": "local", "settings": { "path": "/copies" },
        "secrets": [], "append_only": true, "managed_by": null,
    }]);
    let registered = Registered { apps, destinations: places, ..Registered::default() };
    let exported = export(&registered, false);
    let filled = exported.stack_env.replace('=', "=a-token-of-it");
    assert!(filled.contains("SHOP_TOKEN=") && filled.contains("SHOP_OTHER_TOKEN="), "{filled}");
    let read = Declaration::parse(&exported.backups_yml, &variables(&filled), Path::new("."));
    let read = match read {
        Ok(read) => read,
        Err(findings) => panic!("{findings:#?}\n{}", exported.backups_yml),
    };
    assert!(read.warnings.is_empty());
    let [app] = read.declared.apps.as_slice() else { panic!("{}", exported.backups_yml) };
    assert!(!app.enabled);
    assert_eq!(app.sources[0].settings["url"], "http://shop:8080/$x");
    assert_eq!(app.sources[1].name, "other");
    assert_eq!(app.sources[1].secrets["token"].expose_secret(), "a-token-of-it");
    let binding = &app.destinations[0];
    assert_eq!((binding.destination.as_str(), binding.folder.as_str()), ("disk", "apps/shop"));
    assert!(binding.logs && binding.template.as_deref() == Some("{app}_{run}"));
    assert_eq!(binding.retention.as_ref().unwrap().keep_last, Some(2));
    let schedule = app.schedule.as_ref().unwrap();
    assert_eq!((schedule.spec.as_str(), schedule.jitter_secs), ("@every 4h", 5));
    assert!(!schedule.catch_up);
    assert_eq!(app.retention.keep_daily, Some(7));
    assert_eq!((app.limits.timeout_secs, app.limits.retries), (Some(60), None));
    assert_eq!(app.compression.as_deref(), Some("gzip:9"));
    assert!(read.declared.destinations[0].append_only);
    let all = export(&registered, true);
    assert!(all.backups_yml.contains("filed"));
}

const ALERTS: &str = "\
alert_channels:
  - name: ops
    kind: ntfy
    language: es
    settings: { topic: our-backups }
    secrets: { token: '${SHOP_TOKEN}' }
  - { name: mail, kind: email, enabled: false, settings: { host: mail, port: 25, from: a@b.c, to: d@e.f } }
alert_routes:
  - name: nights
    channels: [ops]
    apps: [shop]
    kinds: [overdue, drill_failed]
    least: error
    recoveries: false
    remind_every_hours: 12
    quiet_from: 22:00
    quiet_to: 07:00
    urgent_breaks_quiet: false
    time_zone: Europe/Madrid
  - { name: week, channels: [mail, ops], digest: weekly, digest_hour: 6 }
";

#[test]
fn channels_and_routes_are_declared_and_told_back() {
    let declared = parsed(ALERTS).declared;
    let [ops, mail] = declared.channels.as_slice() else { panic!("two channels") };
    assert_eq!((ops.kind.as_str(), ops.language.as_str(), ops.enabled), ("ntfy", "es", true));
    assert_eq!(ops.settings["topic"], "our-backups");
    assert_eq!(ops.secrets["token"].expose_secret(), "a-token-of-the-shop");
    assert_eq!((mail.settings["port"].as_str(), mail.enabled), ("25", false));
    let [nights, week] = declared.routes.as_slice() else { panic!("two routes") };
    assert_eq!((nights.quiet_from.as_str(), nights.quiet_to.as_str()), ("22:00", "07:00"));
    assert_eq!(
        (nights.apps.as_slice(), nights.least.as_str()),
        (&["shop".to_owned()][..], "error")
    );
    assert_eq!((nights.remind_every_hours, nights.recoveries), (Some(12), false));
    assert!(!nights.urgent_breaks_quiet && week.urgent_breaks_quiet && week.recoveries);
    assert_eq!((week.position, week.digest.as_str(), week.digest_hour), (1, "weekly", 6));
    assert_eq!(
        (nights.time_zone.as_str(), week.time_zone.as_str()),
        ("Europe/Madrid", "America/Sao_Paulo")
    );

    // As the API shows them, and back.
    let shown = |one: &engine::RouteDraft| {
        serde_json::json!({
            "name": one.name, "channels": one.channels, "apps": one.apps, "kinds": one.kinds,
            "least": one.least, "recoveries": one.recoveries, "position": one.position,
            "remind_every_hours": one.remind_every_hours, "quiet_from": one.quiet_from,
            "quiet_to": one.quiet_to, "urgent_breaks_quiet": one.urgent_breaks_quiet,
            "digest": one.digest, "digest_hour": one.digest_hour, "time_zone": one.time_zone,
            "enabled": one.enabled,
        })
    };
    let channel = serde_json::json!({
        "name": "ops", "kind": "ntfy", "language": "es", "enabled": true, "managed_by": null,
        "settings": ops.settings, "secrets": ["token"],
    });
    let mut gone = shown(nights);
    gone["apps"] = serde_json::json!(["01arz3ndektsv4rrffq69g5fav"]);
    let registered = Registered {
        apps: serde_json::json!([{ "name": "shop", "managed_by": "file" }]),
        channels: serde_json::json!([channel, { "name": "filed", "managed_by": "file" }]),
        routes: serde_json::json!([shown(nights), shown(week), gone]),
        ..Registered::default()
    };
    let told = export(&registered, false);
    assert!(!told.backups_yml.contains("filed"), "{}", told.backups_yml);
    let filled = told.stack_env.replace("OPS_TOKEN=", "OPS_TOKEN=a-token-of-it");
    let read = Declaration::parse(&told.backups_yml, &variables(&filled), Path::new("."));
    let Ok(again) = read else { panic!("{}", told.backups_yml) };
    let [back] = again.declared.channels.as_slice() else { panic!("{}", told.backups_yml) };
    assert_eq!((&back.settings, back.language.as_str()), (&ops.settings, "es"));
    assert_eq!(back.secrets["token"].expose_secret(), "a-token-of-it");
    let routes = &again.declared.routes;
    assert_eq!(routes.len(), 2, "one that was for a removed app alone is not for all");
    for (back, was) in routes.iter().zip([nights, week]) {
        assert_eq!(shown(back), shown(was), "{}", told.backups_yml);
    }
    for (from, to, words) in [
        ("kind: ntfy", "kind: ntfy\n    knid: x", "knid"),
        ("digest_hour: 6", "digest_hour: six", "alert_routes[1].digest_hour"),
        ("recoveries: false", "recoveries: perhaps", "alert_routes[0].recoveries"),
        ("'${SHOP_TOKEN}'", "'${NO_TOKEN}'", "alert_channels[0].secrets.token"),
        ("channels: [ops]", "chanels: [ops]", "did you mean `channels`?"),
    ] {
        let told = wrong(&ALERTS.replace(from, to));
        assert!(told.iter().any(|one| one.contains(words)), "{told:?}");
    }
}

#[test]
fn drills_are_declared_and_told_back() {
    let drill = "    drill:
      schedule: { spec: '@every 30d', time_zone: Europe/Madrid }
      questions:
        - { sql: SELECT count(*) FROM orders, expect: 42 }
        - { artifact: other, sql: 'SELECT $${x}' }
      commands:
        - { argv: [/usr/bin/check, '{}'] }
      boot: { container: web, path: /health, port: 8080, status: 204, timeout_secs: 30, needs: [db] }
";
    let declaration = parsed(&format!("{APP}{drill}"));
    let plan = declaration.declared.apps[0].drill.clone().unwrap();
    assert_eq!(plan.schedule.as_ref().unwrap().spec.to_string(), "@every 30d");
    assert_eq!(plan.questions[0].artifact.as_str(), "shop");
    assert_eq!(plan.questions[0].expect.as_deref(), Some("42"));
    assert_eq!(plan.questions[1].sql, "SELECT ${x}");
    assert_eq!(plan.commands[0].argv, ["/usr/bin/check", "{}"]);
    let boot = plan.boot.as_ref().unwrap();
    assert_eq!((boot.container.as_str(), boot.path.as_deref()), ("web", Some("/health")));
    assert_eq!((boot.port, boot.status, boot.timeout_secs), (Some(8080), Some(204), Some(30)));
    assert_eq!(boot.needs[0].as_str(), "db");

    let source = serde_json::json!({ "kind": "sqlite", "settings": { "path": "/x" } });
    let shown = serde_json::json!([{
        "name": "shop", "sources": [source], "destinations": [], "drill": plan,
    }]);
    let told = export(&Registered { apps: shown, ..Registered::default() }, true).backups_yml;
    let again = parsed(&told);
    assert_eq!(again.declared.apps[0].drill.as_ref(), Some(&plan), "{told}");

    for (entry, words) in [
        ("{ schedule: never }", "drill.schedule"),
        ("{ questions: [{ artifact: 'a b', sql: x }] }", "questions[0].artifact"),
        ("{ question: [] }", "question"),
        ("{ boot: { container: web, port: 70000 } }", "drill.boot.port"),
        ("{ boot: { container: web, needs: ['a b'] } }", "drill.boot.needs[0]"),
        ("{ boot: { path: /health } }", "container"),
    ] {
        let told = wrong(&format!("{APP}    drill: {entry}\n"));
        assert!(told.iter().any(|one| one.contains(words)), "{told:?}");
    }
}
