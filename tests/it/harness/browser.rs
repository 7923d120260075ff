//! A browser to try pages in: Debian's Chromium without a window, driven through its WebDriver.
//!
//! WebDriver is a handful of JSON requests, so they are made by hand: client libraries bring dozens of crates for it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{free_port, until};

/// The key under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const PATIENCE: Duration = Duration::from_secs(60);

/// How wide the window is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Width {
    Desk = 1_440,
    Phone = 390,
}

/// What the system's colours are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colours {
    Light,
    Dark,
}

/// Every window that pages are tried in.
pub(crate) const SCREENS: [(Width, Colours); 4] = [
    (Width::Desk, Colours::Light),
    (Width::Desk, Colours::Dark),
    (Width::Phone, Colours::Light),
    (Width::Phone, Colours::Dark),
];

/// One story, a test for every window.
macro_rules! every_screen {
    ($name:ident: $story:ident) => {
        mod $name {
            use super::{Colours, Width, $story};

            #[tokio::test(flavor = "multi_thread")]
            async fn at_a_desk_by_day() {
                $story(Width::Desk, Colours::Light).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn at_a_desk_at_night() {
                $story(Width::Desk, Colours::Dark).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn by_phone_by_day() {
                $story(Width::Phone, Colours::Light).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn by_phone_at_night() {
                $story(Width::Phone, Colours::Dark).await;
            }
        }
    };
}
pub(crate) use every_screen;

/// A browser of a test's own, with a fresh profile. It ends when dropped.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    client: reqwest::Client,
    width: Width,
    colours: Colours,
    _profile: TempDir,
}

impl Browser {
    /// # Panics
    /// When Chromium or its driver is missing or does not start.
    pub(crate) async fn start(width: Width, colours: Colours) -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("no chromedriver: install the Debian packages chromium and chromium-driver");
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        until("the driver listens", async || {
            client.get(format!("{base}/status")).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        let profile = tempfile::tempdir().unwrap();
        let mut flags = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--mute-audio".to_owned(),
            // A test plays by script, where a person would press the button.
            "--autoplay-policy=no-user-gesture-required".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if matches!(colours, Colours::Dark) {
            flags.push("--force-dark-mode".to_owned());
        }
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": flags } } } });
        let answer = client.post(format!("{base}/session")).json(&wanted).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| {
            panic!("no browser: {answer}\ninstall the Debian packages chromium and chromium-driver")
        });
        let session = format!("{base}/session/{id}");
        let browser = Self { driver, session, client, width, colours, _profile: profile };
        // A window cannot be made narrower than 500 pixels; what a page sees of it can.
        let size = json!({ "width": width as u32, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": size });
        browser.ask("goog/cdp/execute", &command).await;
        browser
    }

    pub(crate) async fn go(&self, url: &str) {
        self.ask("url", &json!({ "url": url })).await;
    }

    /// Logs in with a key, and goes to a page by the menu.
    pub(crate) async fn enter(&self, site: &str, key: &str, page: &str) {
        self.go(&format!("{site}/login")).await;
        self.type_into("#key", key).await;
        self.click("button").await;
        self.on("/").await;
        self.click(&format!("nav a[href='{page}']")).await;
        self.on(page).await;
    }

    /// The address of the page.
    pub(crate) async fn address(&self) -> String {
        self.run("return location.href").await.as_str().unwrap().to_owned()
    }

    /// What is to be read on the page.
    pub(crate) async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        self.act(selector, "value", &json!({ "text": text })).await;
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.act(selector, "click", &json!({})).await;
    }

    /// Presses keys where the page has its focus.
    pub(crate) async fn press(&self, keys: &str) {
        let press = |key: char| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.ask("actions", &keyboard).await;
    }

    /// Runs a script in the page and answers what it returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.ask("execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Waits until a script's answer is true.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        until(what, async || self.run(script).await == json!(true)).await;
    }

    /// Waits until this page is there.
    pub(crate) async fn on(&self, path: &str) {
        let there = format!("return location.pathname === '{path}' && document.readyState === 'complete'");
        self.until(path, &there).await;
    }

    /// The page fits the window. With `SCREENSHOTS`, a folder, a picture of it is kept; with `AXE`, the file of axe's
    /// script, axe finds nothing serious.
    pub(crate) async fn look(&self, name: &str) {
        let (width, colours) = (self.width, self.colours);
        let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(self.run(fits).await, json!(true), "{name} at {width:?}");
        if let Some(folder) = std::env::var_os("SCREENSHOTS") {
            std::fs::create_dir_all(&folder).unwrap();
            let file = format!("{name}-{width:?}-{colours:?}.png");
            self.screenshot(&Path::new(&folder).join(file)).await;
        }
        if let Some(axe) = std::env::var_os("AXE") {
            self.run(&std::fs::read_to_string(axe).unwrap()).await;
            self.run("window.found = null; axe.run().then(told => window.found = told.violations)").await;
            self.until("axe has looked", "return window.found !== null").await;
            let serious = "return window.found.filter(one => ['serious', 'critical'].includes(one.impact))
                .map(one => one.id + ' ' + one.nodes.map(node => node.html).join(' '))";
            assert_eq!(self.run(serious).await, json!([]), "{name} at {width:?} {colours:?}");
        }
    }

    /// A picture of the page, for people.
    pub(crate) async fn screenshot(&self, file: &Path) {
        let answer = self.client.get(format!("{}/screenshot", self.session)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        std::fs::write(file, STANDARD.decode(answer["value"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// Ends the browser itself; the driver goes when this is dropped.
    pub(crate) async fn close(self) {
        let _ = self.client.delete(&self.session).send().await;
    }

    async fn find(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.ask("element", &wanted).await;
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector}: {found}")).to_owned()
    }

    /// Does something with an element; with the one in its place, when a live page put another there while it was done.
    async fn act(&self, selector: &str, act: &str, body: &Value) {
        const REPLACED: [&str; 3] =
            ["stale element reference", "element not interactable", "element click intercepted"];
        until(&format!("{act} {selector}"), async || {
            let element = self.find(selector).await;
            match self.attempt(&format!("element/{element}/{act}"), body).await {
                Ok(_) => true,
                Err(error) if REPLACED.iter().any(|name| error["error"] == *name) => false,
                Err(error) => panic!("{act} {selector}: {}", error["message"]),
            }
        })
        .await;
    }

    async fn ask(&self, command: &str, body: &Value) -> Value {
        let answer = self.attempt(command, body).await;
        answer.unwrap_or_else(|error| panic!("{command}: {}", error["message"]))
    }

    async fn attempt(&self, command: &str, body: &Value) -> Result<Value, Value> {
        let url = format!("{}/{command}", self.session);
        let answer = self.client.post(url).json(body).send().await.unwrap();
        let status = answer.status();
        let value = answer.json::<Value>().await.unwrap()["value"].take();
        if status.is_success() { Ok(value) } else { Err(value) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
