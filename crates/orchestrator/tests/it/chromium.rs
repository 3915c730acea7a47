//! A real Chromium without a window, driven over the `WebDriver` protocol.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thirtyfour::{
    By, ChromiumLikeCapabilities as _, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver,
    WebElement,
    error::{WebDriverError, WebDriverErrorInner, WebDriverResult},
};

/// How a visitor looks at the pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) lang: &'static str,
    pub(crate) dark: bool,
    pub(crate) width: u32,
}

pub(crate) struct Chromium {
    driver: WebDriver,
    _process: Driver,
    base: String,
}

struct Driver(Child);

fn is_stale(error: &WebDriverError) -> bool {
    matches!(error.as_inner(), WebDriverErrorInner::StaleElementReference(_))
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether there is a browser. In CI there must be.
pub(crate) fn is_there() -> bool {
    let found = ["chromium", "chromedriver"].iter().all(|program| {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    });
    assert!(found || std::env::var_os("CI").is_none(), "install chromium and chromium-driver");
    if !found {
        eprintln!("left out: chromium and chromium-driver are not installed");
    }
    found
}

impl Chromium {
    pub(crate) async fn open(base: &str, look: Look) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Driver(process);
        let until = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "chromedriver did not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut wanted = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ] {
            wanted.add_arg(argument).unwrap();
        }
        wanted
            .add_experimental_option("prefs", json!({ "intl.accept_languages": look.lang }))
            .unwrap();
        wanted.set_logging_prefs("browser", LoggingPrefsLogLevel::All).unwrap();
        let driver =
            WebDriver::new(format!("http://127.0.0.1:{port}"), wanted).await.expect("a session");
        let browser = Self { driver, _process: process, base: base.to_owned() };
        let metrics = json!({
            "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 500,
        });
        browser.tell("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if look.dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.tell("Emulation.setEmulatedMedia", media).await;
        browser
    }

    pub(crate) async fn tell(&self, command: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(command, parameters).await.unwrap()
    }

    pub(crate) async fn go(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.base)).await.unwrap();
    }

    pub(crate) async fn find(&self, selector: &str) -> WebElement {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match self.driver.find(By::Css(selector)).await {
                Ok(found) => return found,
                Err(_) if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => {
                    eprintln!("{error}");
                    panic!("no `{selector}` on {}:\n{}", self.path().await, self.text().await)
                }
            }
        }
    }

    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        self.on(selector, async |field| {
            field.clear().await?;
            field.send_keys(text).await
        })
        .await;
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.on(selector, async |found| {
            found.scroll_into_view().await?;
            found.click().await
        })
        .await;
    }

    /// Does it to what is found: again when a page that was being left had it, too.
    async fn on(&self, selector: &str, to_do: impl AsyncFn(WebElement) -> WebDriverResult<()>) {
        for _ in 0..5 {
            let found = self.find(selector).await;
            self.is_loaded().await;
            match to_do(found).await {
                Ok(()) => return,
                Err(error) if is_stale(&error) => {}
                Err(error) => panic!("`{selector}` on {}: {error}", self.path().await),
            }
        }
        panic!("`{selector}` on {} does not stay", self.path().await);
    }

    /// Types on the keyboard, wherever the focus is; keys without a sign are those of `WebDriver`.
    pub(crate) async fn press(&self, keys: &str) {
        for _ in 0..5 {
            self.is_loaded().await;
            let focused = self.driver.active_element().await.unwrap();
            match focused.send_keys(keys).await {
                Ok(()) => return,
                Err(error) if is_stale(&error) => {}
                Err(error) => panic!("keys on {}: {error}", self.path().await),
            }
        }
        panic!("the focus on {} does not stay", self.path().await);
    }

    /// Waits until the page's script has run: what is typed before is heard by nobody.
    async fn is_loaded(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.ask("return document.readyState").await != "complete" {
            assert!(Instant::now() < until, "{} does not load", self.path().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Chooses in a select.
    pub(crate) async fn choose(&self, selector: &str, value: &str) {
        self.click(&format!("{selector} option[value='{value}']")).await;
    }

    /// Waits until the page shows `text`.
    pub(crate) async fn sees(&self, text: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = self.text().await;
            if shown.contains(text) {
                return;
            }
            assert!(Instant::now() < until, "no `{text}` on {}:\n{shown}", self.path().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn text(&self) -> String {
        match self.driver.find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    pub(crate) async fn path(&self) -> String {
        self.driver.current_url().await.unwrap().path().to_owned()
    }

    /// What follows `start` in the page's path, once a click has led there.
    pub(crate) async fn after(&self, start: &str) -> String {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let path = self.path().await;
            if let Some(rest) = path.strip_prefix(start) {
                return rest.to_owned();
            }
            assert!(Instant::now() < until, "on {path}, not {start}:\n{}", self.text().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn ask(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// What `script` hands to the function that is its last argument.
    pub(crate) async fn ask_later(&self, script: &str) -> Value {
        self.driver.execute_async(script, Vec::new()).await.unwrap().json().clone()
    }

    /// What was shown and has moved since without anybody's doing: layout shifts of half of what
    /// counts as good (web.dev/cls) and more.
    pub(crate) async fn shifted(&self) -> Vec<String> {
        let moved = "const done = arguments[arguments.length - 1]; const moved = [];\
            const name = node => node && (node.id ? '#' + node.id : node.className || node.nodeName);\
            const seen = entries => entries.forEach(one => one.hadRecentInput || one.value < 0.05 || moved.push(\
                one.value.toFixed(3) + ' ' + one.sources.map(source => name(source.node)).join(' ')));\
            const observer = new PerformanceObserver(list => seen(list.getEntries()));\
            observer.observe({ type: 'layout-shift', buffered: true });\
            setTimeout(() => { seen(observer.takeRecords()); done(moved) }, 50)";
        let moved = self.ask_later(moved).await;
        moved.as_array().unwrap().iter().map(ToString::to_string).collect()
    }

    /// Bytes that came over the network for the page that is shown, and from elsewhere than its
    /// server.
    pub(crate) async fn transferred(&self) -> (u64, u64) {
        let sums = "const all = [...performance.getEntriesByType('navigation'),\
                ...performance.getEntriesByType('resource')];\
            const own = all.filter(one => one.name.startsWith(location.origin + '/'));\
            return [own.reduce((sum, one) => sum + one.transferSize, 0), all.length - own.length]";
        let sums = self.ask(sums).await;
        (sums[0].as_u64().unwrap(), sums[1].as_u64().unwrap())
    }

    pub(crate) async fn log_in(&self, user: &str, password: &str) {
        self.go("/login").await;
        self.fill("#user", user).await;
        self.fill("#password", password).await;
        self.click("form.panel button.primary").await;
        self.find(".top").await;
    }

    /// A picture of the whole page, kept outside the repository.
    pub(crate) async fn picture(&self, name: &str) {
        let size = self.tell("Page.getLayoutMetrics", json!({})).await;
        let size = &size["cssContentSize"];
        let height = size["height"].as_f64().unwrap_or(900.0).min(6_000.0);
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1 });
        let shot = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let shot = self.tell("Page.captureScreenshot", shot).await;
        let bytes = base64(shot["data"].as_str().unwrap());
        let folder = pictures();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// What the browser complained of since the last look: refused scripts, missing files. Its
    /// hints about how it would fill in passwords are none.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.driver.get_log("browser").await.unwrap_or_default();
        log.into_iter()
            .filter(|entry| matches!(entry.level.as_str(), "WARNING" | "SEVERE"))
            .map(|entry| entry.message)
            .collect()
    }

    pub(crate) async fn close(self) {
        let _ = self.driver.quit().await;
    }
}

fn pictures() -> PathBuf {
    std::env::var_os("UI_PICTURES")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pictures"), PathBuf::from)
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
