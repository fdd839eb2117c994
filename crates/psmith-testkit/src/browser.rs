//! A headless browser, driven by the DevTools protocol: JSON messages over a pair of pipes, each ended by a NUL.
//!
//! The protocol is a line each way, so there is no driver between; assertions read the page's own document. The
//! browser is no process of the test's scene and has its files in a directory of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode};
use serde_json::{Value, json};

use crate::scene::OUTER_LIMIT;

/// The program; ask for it by [`need!`](crate::need!) first.
pub const PROGRAM: &str = "chromium";

/// The time that the browser may take to end when it was asked to.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: File,
    messages: Receiver<Value>,
    session: String,
    next_id: u64,
    /// The complaints of pages: errors on the console, uncaught exceptions, refused loads.
    complaints: Vec<String>,
    _home: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser with a blank page.
    ///
    /// # Panics
    /// If it does not start within the outer limit.
    #[must_use]
    pub fn start() -> Browser {
        let home =
            tempfile::Builder::new().prefix("psmith-browser-").tempdir().expect("a temporary directory");
        let [to_it, from_it] = ["to", "from"].map(|name| {
            let path = home.path().join(name);
            rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("a FIFO in a fresh directory");
            path
        });
        // The protocol needs descriptors 3 and 4. The shell opens each for both directions, which does not block, and
        // holds them until the browser has them.
        let script = r#"exec "$0" "$@" 3<>"$TO" 4<>"$FROM" 5<&- 6<&- >/dev/null 2>&1"#;
        let profile = format!("--user-data-dir={}", home.path().join("profile").display());
        let child = Command::new("/bin/sh")
            .args(["-c", script, PROGRAM])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--disable-extensions", "--disable-background-networking", "--hide-scrollbars"])
            .args(["--remote-debugging-pipe", &profile, "about:blank"])
            .env("TO", &to_it)
            .env("FROM", &from_it)
            .env("HOME", home.path())
            .env_remove("PSMITH_TEST_NONCE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        let open = |path: &Path| File::options().read(true).write(true).open(path).expect("our FIFO opens");
        let commands = open(&to_it);
        let reader = BufReader::new(open(&from_it));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in reader.split(0) {
                let Ok(message) = message else { return };
                let Ok(message) = serde_json::from_slice(&message) else { return };
                // The end was requested here: this end holds the pipe open, so no end of file comes.
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            child,
            commands,
            messages,
            session: String::new(),
            next_id: 0,
            complaints: Vec::new(),
            _home: home,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}));
        }
        browser
    }

    /// Navigates to an address. Returns when the document is parsed, not when all that it loads is there.
    ///
    /// # Panics
    /// If it cannot go there.
    pub fn go(&mut self, url: &str) {
        let gone = self.call("Page.navigate", json!({ "url": url }));
        assert!(gone["errorText"].is_null(), "{url}: {}", gone["errorText"]);
        self.wait_for("document.readyState === 'complete'");
    }

    /// Returns the value of an expression in the page. A promise is awaited.
    ///
    /// # Panics
    /// If it throws.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        let reply = self.call(
            "Runtime.evaluate",
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }),
        );
        assert!(reply["exceptionDetails"].is_null(), "{expression}: {}", reply["exceptionDetails"]);
        reply["result"]["value"].clone()
    }

    /// Returns the value of an expression as text.
    ///
    /// # Panics
    /// If it throws, or is no text.
    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.eval(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// Waits until an expression is true, checked once a frame by the page itself.
    ///
    /// # Panics
    /// If that does not come within the outer limit.
    #[track_caller]
    pub fn wait_for(&mut self, expression: &str) {
        let deadline = Instant::now() + OUTER_LIMIT;
        let look = format!(
            "new Promise(done => {{ const until = Date.now() + 1000; const look = () => {{ if ({expression}) \
             done(true); else if (Date.now() > until) done(false); else setTimeout(look, 16); }}; look(); }})"
        );
        loop {
            // A page that was left meanwhile drops its promises: called again, the next page replies.
            let parameters = json!({ "expression": look, "awaitPromise": true, "returnByValue": true });
            let reply = self.call("Runtime.evaluate", parameters);
            if reply["result"]["value"] == true {
                return;
            }
            if Instant::now() > deadline {
                let seen = self.eval("document.body ? document.body.innerText : ''");
                panic!("{expression} did not come true; {reply}; the page says: {seen}");
            }
        }
    }

    /// Makes pages see that the user prefers `light` or `dark`.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Sets the size of the window.
    pub fn resize(&mut self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Writes a screenshot of the page to a PNG file.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn screenshot(&mut self, path: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let encoded = shot["data"].as_str().expect("a picture");
        std::fs::write(path, from_base64(encoded)).expect("the picture is written");
    }

    /// Returns the complaints of pages so far.
    pub fn complaints(&mut self) -> &[String] {
        // Complaints that were reported before this reply have been received when it comes.
        self.call("Runtime.evaluate", json!({ "expression": "0" }));
        &self.complaints
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("the browser takes a command");
        let deadline = Instant::now() + OUTER_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(reply) if reply["id"] == id => {
                    let error = &reply["error"];
                    // A page that was left during an evaluation: the waiting caller evaluates again.
                    assert!(error.is_null() || method == "Runtime.evaluate", "{method}: {error}");
                    return reply["result"].clone();
                }
                Ok(event) => self.on_event(&event),
                Err(RecvTimeoutError::Timeout) => panic!("{method}: the browser did not reply"),
                Err(RecvTimeoutError::Disconnected) => panic!("{method}: the browser is gone"),
            }
        }
    }

    fn on_event(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(params["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if params["type"] == "error" => {
                self.complaints.push(params["args"].to_string());
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"].to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = Instant::now() + CLOSE_MAX;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            // sleep: the end of a child wakes no thread here; the browser ends soon after it was asked to.
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
    digits
        .chunks(4)
        .flat_map(|four| {
            let bits = four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit));
            let bytes = (bits << (6 * (4 - four.len()))).to_be_bytes();
            bytes[1..four.len().max(1)].to_vec()
        })
        .collect()
}
