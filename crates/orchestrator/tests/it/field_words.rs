//! What is wrong with a form is told in the reader's language: every form, with hostile and with
//! empty values, in Spanish, shows no English sentence of ours.

use std::collections::BTreeSet;

use regex::Regex;
use reqwest::header;
use serde_json::Value;

use crate::{
    forms::{UNSEEN, World, hostile, is_of, plain, read_forms},
    page_roles,
    server::Server,
};

/// A sentence of the locale files.
struct Known {
    code: String,
    /// The whole of it.
    whole: Regex,
    /// What is in it whatever it names; empty where that is too little to tell it by.
    part: String,
}

/// The sentences of a language, as pages show them: what stands between backticks is code there.
fn known(lang: &str) -> Vec<Known> {
    let place = Regex::new(r"\{ \$[a-z]+ \}").unwrap();
    let folder = format!("{}/locales/{lang}", env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines() {
            let Some((code, text)) = line.split_once(" = ") else { continue };
            let Some(code) = code.strip_prefix("fact-") else { continue };
            let text = text.replace('`', "").replace("{\"{\"}", "{").replace("{\"}\"}", "}");
            let parts: Vec<_> = place.split(&text).collect();
            let pattern: Vec<_> = parts.iter().map(|part| regex::escape(part)).collect();
            let longest = parts.iter().max_by_key(|part| part.len()).unwrap();
            // Places alone are no sentence.
            if parts.iter().map(|part| part.trim().len()).sum::<usize>() < 5 {
                continue;
            }
            let part = if longest.len() < 14 { "" } else { longest }.to_owned();
            let whole = Regex::new(&format!("(?s)^{}$", pattern.join(".*"))).unwrap();
            all.push(Known { code: code.to_owned(), whole, part });
        }
    }
    all
}

/// What a page tells to be wrong, without its tags.
fn told(page: &str) -> Vec<String> {
    let marked = r#"<(?:p|div) class="(?:error|sentence small failed)"[^>]*>(.*?)</(?:p|div)>"#;
    let listed = "<li><strong>[^<]*</strong>:(.*?)</li>";
    // The page of an error.
    let whole = r#"</h1></div>\s*<div class="panel"><p>(.*?)</p>"#;
    let told = Regex::new(&format!("(?s){marked}|{listed}|{whole}")).unwrap();
    let tag = Regex::new("<[^>]*>").unwrap();
    let text = |found: regex::Captures<'_>| {
        let found = found.get(1).or(found.get(2)).or(found.get(3)).unwrap();
        plain(&tag.replace_all(found.as_str(), "")).trim().to_owned()
    };
    told.captures_iter(page).map(text).filter(|text| !text.is_empty()).collect()
}

struct Judge {
    english: Vec<Known>,
    spanish: Vec<Known>,
    seen: BTreeSet<String>,
    wrong: BTreeSet<String>,
}

impl Judge {
    fn new() -> Self {
        let (mut english, spanish) = (known("en"), known("es"));
        let same: BTreeSet<_> = spanish.iter().map(|one| one.whole.as_str()).collect();
        english.retain(|one| !same.contains(one.whole.as_str()));
        Self { english, spanish, seen: BTreeSet::new(), wrong: BTreeSet::new() }
    }

    fn judge(&mut self, path: &str, page: &str) {
        for text in told(page) {
            let spanish = self.spanish.iter().find(|one| one.whole.is_match(&text));
            self.seen.extend(spanish.map(|one| one.code.clone()));
            let is_it = |one: &&Known| {
                one.whole.is_match(&text) || !one.part.is_empty() && text.contains(&one.part)
            };
            if let Some(one) = self.english.iter().find(is_it) {
                self.wrong.insert(format!("{path}: {}: {text:.200}", one.code));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_tells_in_spanish_what_is_wrong() {
    let mut world = World::new().await;
    world.lang = "es";
    let found = read_forms(&world).await;
    let mut judge = Judge::new();
    let pages = page_roles::table();
    let routes = pages.iter().filter(|page| page.method == "POST");
    // Guesses of passwords would end the test's own logins.
    let routes = routes.map(|page| page.path).filter(|route| !route.starts_with("/account"));
    for route in routes {
        let here: Vec<_> = found.iter().filter(|form| is_of(route, &form.action)).collect();
        let unseen = UNSEEN.iter().find(|(path, _)| *path == route).map(|(_, fields)| *fields);
        let mut names: BTreeSet<String> =
            unseen.unwrap_or_default().iter().map(|name| (*name).to_owned()).collect();
        names.extend(here.iter().flat_map(|form| &form.fields).map(|(name, _)| name.clone()));
        let path = here.first().map_or_else(|| world.path(route), |form| form.action.clone());
        let hostile = hostile();
        let mut attempts: Vec<Vec<(String, String)>> = Vec::new();
        for value in hostile.iter().take(5).chain(hostile.last()) {
            attempts.push(names.iter().map(|name| (name.clone(), value.clone())).collect());
        }
        for (number, name) in names.iter().enumerate() {
            // What is wrong of each form that has the field: kinds have fields of the same name.
            for form in here.iter().filter(|form| form.fields.iter().any(|(own, _)| own == name)) {
                for value in ["", &hostile[1 + number % (hostile.len() - 1)]] {
                    let mut fields = form.fields.clone();
                    fields.retain(|(own, _)| own != name);
                    fields.push((name.clone(), value.to_owned()));
                    fields.push(("action".to_owned(), "save".to_owned()));
                    attempts.push(fields);
                }
            }
        }
        for fields in attempts {
            let reply = world.send(&path, &fields).await;
            judge.judge(&path, &reply.page);
            let went = reply.headers.get(header::LOCATION).is_some_and(|to| to == "/login");
            if went || reply.status == 403 {
                world.log_in().await;
            }
        }
    }
    slips(&world, &mut judge).await;
    let wrong: Vec<_> = judge.wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    for code in
        ["name_empty", "name_sign", "whole_number", "no_schedule", "is_needed", "no_time_zone"]
    {
        assert!(judge.seen.contains(code), "{code} was never told: {:?}", judge.seen);
    }
    // It tells English where there is some.
    world.lang = "en";
    let reply = world.send("/new/alert-route", &[("time_zone".into(), "x".into())]).await;
    let mut other = Judge::new();
    other.judge("", &reply.page);
    let told: Vec<_> = other.wrong.iter().map(|one| one.split(' ').nth(1).unwrap()).collect();
    assert_eq!(
        told,
        ["digest_words:", "least_severity:", "name_empty:", "no_time_zone:", "one_channel:"]
    );
    assert!(judge.seen.len() > 40, "{}: {:?}", judge.seen.len(), judge.seen);
}

/// What somebody types who is not hostile at all: the address of a form, and its fields. Those of
/// apps have a name and a source besides.
const SLIPS: &[(&str, &str)] = &[
    ("/new/app", "s0-kind=contract&s0-url=ftp://x&s0-secret-token=x+y"),
    ("/new/app", "s0-kind=contract&s0-url=http://169.254.169.254/"),
    ("/new/app", "s0-kind=contract&s0-url=shop"),
    ("/new/app", "s0-kind=postgres&s0-database=a,a&s0-port=0"),
    ("/new/app", "s0-kind=postgres&s0-database=*,b&s0-host=-x"),
    ("/new/app", "s0-kind=mysql"),
    ("/new/app", "s0-kind=mysql&s0-host=x&s0-socket=y&s0-database=*,a"),
    ("/new/app", "s0-kind=redis&s0-socket=y"),
    ("/new/app", "s0-kind=redis"),
    ("/new/app", "s0-kind=sqlite&s0-path=shop.db"),
    ("/new/app", "s0-kind=volume&s0-volume=../x&s0-image=../x&s0-exclude=a***b"),
    ("/new/app", "s0-kind=files&s0-path=x&s0-snapshot_percent=7"),
    ("/new/app", "when=cron&cron=*+*+*+*"),
    ("/new/app", "when=cron&cron=99+*+*+*+*"),
    ("/new/app", "when=cron&cron=0+0+30+2+*"),
    ("/new/app", "when=every&every=7"),
    ("/new/app", "when=daily&time=25:00"),
    ("/new/app", "keep_within=7&keep_daily=0&compression=rar&retries=11&timeout=99999999"),
    ("/new/destination", "kind=s3&name=a..b&set-object_lock=x&set-object_lock_days=0"),
    ("/new/destination", "kind=local&name=x&set-path=here&verify_every_days=0"),
    ("/new/destination", "kind=local&name=x&set-path=/x&set-encryption=rot13&set-layout=tape"),
    (
        "/new/destination",
        "kind=local&name=x&set-path=/x&set-encryption=age&set-age_recipients=age1x&\
         set-age_identity=x",
    ),
    ("/new/destination", "kind=tree&name=x&set-path=/x&set-host=h&set-port=x"),
    ("/new/destination", "kind=tree&name=x&set-path=/x&set-username=u"),
    (
        "/new/alert-channel",
        "kind=email&name=x&set-host=a:1&set-port=0&set-from=x&set-to=x&set-username=u",
    ),
    ("/new/alert-channel", "kind=telegram&name=x&set-token=x&set-chat_id=x+y&set-thread_id=x"),
    ("/new/alert-channel", "kind=ntfy&name=x&set-topic=a+b&set-url=http://x/?a&set-password=p"),
    (
        "/new/alert-channel",
        "kind=webhook&name=x&set-url=http://169.254.169.254/&set-secret=short&\
         set-headers=x",
    ),
    ("/new/alert-channel", "kind=healthchecks&name=x&set-url=http://x/fail"),
    (
        "/new/alert-route",
        "name=x&quiet_from=22:00&quiet_to=22:00&digest_hour=24&remind_every_hours=0&\
         position=99999&time_zone=Mars/Olympus&kind=x&app=nobody&channel=nobody&least=x&\
         digest=x",
    ),
    (
        "/apps/shop/drills",
        "boot-container=a+b&boot-path=x&boot-port=0&boot-status=7&boot-timeout=0",
    ),
    (
        "/apps/shop/drills",
        "boot-container=a&boot-needs=a..b&q-sql=SELECT+1&q-artifact=-x&q-expect=",
    ),
    ("/settings/users", "name=x&password=short&role=viewer"),
    ("/settings/users", "name=x&password=password1&role=viewer"),
    ("/settings/tokens", "name=x&days=0&scope=read"),
    ("/settings/tokens", "name=x&app=shop&scope=admin"),
];

async fn slips(world: &World, judge: &mut Judge) {
    for (path, fields) in SLIPS {
        let besides = match *path {
            "/new/app" => "action=save&name=other&source=0&s0-name=one&",
            _ => "",
        };
        let body = format!("{besides}{fields}");
        let pairs: Vec<_> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let reply = world.send(path, &pairs).await;
        // What cannot even be read is told by the form as it is, which is no refusal.
        if !matches!(reply.status, 200 | 422) || told(&reply.page).is_empty() {
            judge.wrong.insert(format!("{path} {fields}: {} tells nothing", reply.status));
        }
        judge.judge(&format!("{path} {fields}"), &reply.page);
    }
    in_the_api(&world.server).await;
}

/// What is asked for as it should be and not to be done: the form's address, its fields, and what
/// the page says.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("/destinations/disk/remove", "confirm=disk", "is_used"),
    ("/alerts/channels/ops/remove", "confirm=ops", "is_used"),
    ("/settings/users/ana", "action=remove", "last_admin"),
    ("/settings/users", "name=bo&password=a-long-pass-phrase-of-bo&role=viewer", ""),
    ("/apps/nobody/run", "", ""),
    ("/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/cancel", "", ""),
    ("/snapshots/01ARZ3NDEKTSV4RRFFQ69G5FAV/verify", "", ""),
    ("/destinations/disk/repository/check", "", "not_repository"),
    ("/apps/shop/recovery", "when=latest&action=look", ""),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_told_in_spanish() {
    let mut world = World::new().await;
    world.lang = "es";
    for user in world.server.done_get("users").await.as_array().unwrap() {
        let name = user["name"].as_str().unwrap();
        if name != "ana" && user["role"] == "admin" {
            world.server.done("DELETE", &format!("users/{name}"), Value::Null).await;
        }
    }
    let mut judge = Judge::new();
    for (path, fields, code) in REFUSALS {
        let pairs: Vec<_> = url::form_urlencoded::parse(fields.as_bytes()).into_owned().collect();
        let reply = world.send(path, &pairs).await;
        judge.seen.remove(*code);
        judge.judge(path, &reply.page);
        if !code.is_empty() && !judge.seen.contains(*code) {
            let told = told(&reply.page);
            judge.wrong.insert(format!("{path}: {} without {code}: {told:?}", reply.status));
        }
    }
    assert!(judge.wrong.is_empty(), "{:?}", judge.wrong);
    // What came of a message is kept, and told where its channel stands.
    let reply = world.send("/alerts/channels/ops/test", &[]).await;
    assert_eq!(reply.status, 303, "{}", reply.page);
    let (_, page, _) = world.see("/alerts").await;
    assert!(page.contains("No se llega a http://127.0.0.1:9: "), "{page}");
}

/// The API and the command line keep their English, with the code beside it.
async fn in_the_api(server: &Server) {
    let draft = serde_json::json!({ "name": "a b", "schedule": { "spec": "* * * *" } });
    let reply = server.send("POST", "apps", &server.local(), Some(draft)).await;
    let problem: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    let at = |field: &str| {
        let errors = problem["errors"].as_array().unwrap();
        errors.iter().find(|one| one["field"] == field).unwrap_or_else(|| panic!("{problem}"))
    };
    assert_eq!(at("name")["fact"]["code"], "name_sign");
    assert_eq!(at("name")["fact"]["facts"]["sign"], " ");
    assert_eq!(
        at("name")["message"],
        "` ` cannot be in a name: use letters, digits, `-`, `_` and `.`, and begin with a letter \
         or digit"
    );
    let spec = at("schedule.spec");
    assert_eq!(spec["fact"]["facts"]["why"]["code"], "not_five_fields");
    assert!(spec["message"].as_str().unwrap().ends_with("(it has not five fields)"), "{spec}");
}
