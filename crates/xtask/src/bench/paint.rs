//! How long pages take until something is painted, in Chromium: what people wait for.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::measure::percentile;
use crate::quickstart::{Running, free_port, wait_for};

/// What a page may take until it is painted, in milliseconds.
const LIMIT_MS: f64 = 300.0;
/// How long a page may take to be painted at all.
const PATIENCE: Duration = Duration::from_secs(20);
const ARGUMENTS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

/// Milliseconds since the navigation began to the first paint of content, and to the end of loading;
/// bytes that came over the network.
const TIMES: &str = "const page = performance.getEntriesByType('navigation')[0];\
    const paint = performance.getEntriesByName('first-contentful-paint')[0];\
    const all = [page, ...performance.getEntriesByType('resource')];\
    return paint && page.loadEventEnd ? [paint.startTime, page.loadEventEnd,\
    all.reduce((sum, one) => sum + one.transferSize, 0)] : null";

/// Opens each of `pages` of `base` `times` times with an empty cache, and as often again, as who has
/// the session of `cookies`, curl's file.
pub(super) fn run(
    base: &str,
    cookies: &Path,
    pages: &[(String, String)],
    times: u32,
) -> Result<Vec<Value>> {
    let browser = Browser::open()?;
    browser.go(&format!("{base}/login"))?;
    browser.log_in(&fs::read_to_string(cookies)?)?;
    println!(
        "\nmilliseconds from the beginning of the navigation until painted in Chromium, limit of \
         the median {LIMIT_MS}\n\
         | page | median, empty cache | p95 | median, again | p95 | loaded | KB, empty cache | |\n\
         |---|---|---|---|---|---|---|---|"
    );
    let mut figures = Vec::new();
    for (name, path) in pages {
        let url = format!("{base}{path}");
        let (mut empty, mut again) = (Seen::default(), Seen::default());
        for _ in 0..times {
            browser.tell("Network.clearBrowserCache", json!({}))?;
            empty.add(browser.times(&url)?);
            again.add(browser.times(&url)?);
        }
        empty.painted.sort_by(f64::total_cmp);
        again.painted.sort_by(f64::total_cmp);
        again.loaded.sort_by(f64::total_cmp);
        let at = |seen: &Seen, percent| percentile(&seen.painted, percent);
        let kb = empty.bytes / 1e3;
        let word = if at(&empty, 50) <= LIMIT_MS { "" } else { "over" };
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {kb:.1} | {word} |",
            at(&empty, 50),
            at(&empty, 95),
            at(&again, 50),
            at(&again, 95),
            percentile(&again.loaded, 50),
        );
        figures.push(json!({
            "page": name, "empty_cache_ms": empty.painted, "again_ms": again.painted,
            "transferred_kb": kb,
        }));
    }
    Ok(figures)
}

#[derive(Default)]
struct Seen {
    painted: Vec<f64>,
    loaded: Vec<f64>,
    bytes: f64,
}

impl Seen {
    fn add(&mut self, [painted, loaded, bytes]: [f64; 3]) {
        self.painted.push(painted);
        self.loaded.push(loaded);
        self.bytes = self.bytes.max(bytes);
    }
}

/// A browser without a window, told what to do over the `WebDriver` protocol.
struct Browser {
    session: String,
    _driver: Running,
}

impl Browser {
    fn open() -> Result<Self> {
        let port = free_port()?;
        let driver = Running(
            Command::new("chromedriver")
                .arg(format!("--port={port}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("chromedriver")?,
        );
        wait_for("chromedriver", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": ARGUMENTS },
        } } });
        let url = format!("http://127.0.0.1:{port}/session");
        let made = post(&url, &wanted)?;
        let id = made["sessionId"].as_str().context("no session")?;
        Ok(Self { session: format!("{url}/{id}"), _driver: driver })
    }

    fn ask(&self, what: &str, body: &Value) -> Result<Value> {
        post(&format!("{}/{what}", self.session), body)
    }

    fn go(&self, url: &str) -> Result<()> {
        self.ask("url", &json!({ "url": url })).map(drop)
    }

    fn tell(&self, command: &str, parameters: Value) -> Result<()> {
        self.ask("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).map(drop)
    }

    /// Takes over the cookies of curl's file.
    fn log_in(&self, cookies: &str) -> Result<()> {
        for (name, value) in parsed(cookies) {
            let cookie = json!({ "name": name, "value": value, "path": "/", "httpOnly": true });
            self.ask("cookie", &json!({ "cookie": cookie }))?;
        }
        Ok(())
    }

    fn times(&self, url: &str) -> Result<[f64; 3]> {
        self.go(url)?;
        let begun = Instant::now();
        loop {
            let told = self.ask("execute/sync", &json!({ "script": TIMES, "args": [] }))?;
            if let [Some(painted), Some(loaded), Some(bytes)] =
                [0, 1, 2].map(|at| told[at].as_f64())
            {
                return Ok([painted, loaded, bytes]);
            }
            ensure!(begun.elapsed() < PATIENCE, "{url} is not painted");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-X", "DELETE", &self.session])
            .status();
    }
}

/// Names and values of curl's file of cookies; what begins with `#HttpOnly_` is no comment.
fn parsed(cookies: &str) -> Vec<(&str, &str)> {
    let fields = |line: &'_ str| !line.starts_with('#') || line.starts_with("#HttpOnly_");
    cookies
        .lines()
        .filter(|line| fields(line))
        .filter_map(|line| {
            let mut words = line.split('\t').skip(5);
            Some((words.next()?, words.next()?))
        })
        .collect()
}

/// The value that is answered.
fn post(url: &str, body: &Value) -> Result<Value> {
    let output = Command::new("curl")
        .args(["-sS", "-H", "content-type: application/json", "-d", &body.to_string(), url])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "curl ended with {}", output.status);
    let told: Value = serde_json::from_slice(&output.stdout)?;
    if let Some(error) = told["value"]["error"].as_str() {
        bail!("{url}: {error}: {}", told["value"]["message"]);
    }
    Ok(told["value"].clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_curl_are_read() {
        let file = "# Netscape HTTP Cookie File\n\n\
                    #HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tabc\n\
                    127.0.0.1\tFALSE\t/\tFALSE\t0\tlang\ten\n";
        assert_eq!(parsed(file), [("session", "abc"), ("lang", "en")]);
    }
}
