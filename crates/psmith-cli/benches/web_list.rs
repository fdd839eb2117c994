//! The time that a browser waits for a scroll and for a search in the web board's list when it is full.
//!
//! Prints one line of JSON for `cargo xtask compare`. `PSMITH_BENCH_JOBS` sets the number of jobs.

#[cfg(feature = "web")]
fn main() {
    use psmith_testkit::browser::{self, Browser};
    use psmith_testkit::need::find_program;

    if find_program(browser::PROGRAM).is_none() {
        println!("{{\"missing\":\"{}\"}}", browser::PROGRAM);
        return;
    }
    let jobs =
        std::env::var("PSMITH_BENCH_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(100_000_u64);
    let scene = psmith_testkit::scene!();
    // Its input stays open, so that the run, and its board, stays when all jobs have ended.
    let words = ["--web", "-j2", "/bin/true"];
    let mut running = scene.psmith(words).stdin_held().limit(std::time::Duration::from_secs(3600)).start();
    running.wait_for_err("\n");
    let err = running.err_so_far();
    let url = err.trim().rsplit(' ').next().expect("the board's address").to_owned();
    let lines: String = (0..jobs).map(|job| format!("scene-{:03}/frame-{job}.tif\n", job % 500)).collect();
    running.write_stdin(lines);
    let mut browser = Browser::start();
    browser.go(&url);
    browser.wait_for("document.querySelector('#counts [data-name=\"done\"] b')");
    let done = "Number(document.querySelector('#counts [data-name=\"done\"] b').textContent)";
    while browser.eval(done) != jobs {
        // sleep: a poll of the page's own count, which changes twice a second.
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let mut measure = |act: &str| {
        let shown = "performance.getEntriesByName('list-shown').length";
        let script = format!(
            "new Promise(done => {{ const before = {shown}, began = performance.now(); {act}; const look = () => \
             {shown} > before ? requestAnimationFrame(() => done(performance.now() - began)) : setTimeout(look, 1); \
             look(); }})"
        );
        browser.eval(&script).as_f64().expect("a time")
    };
    let scrolls: Vec<f64> = (1..=20)
        .map(|step| {
            let row = step * 7919 % 20 * jobs / 20;
            measure(&format!("document.getElementById('list').scrollTop = {}", row * 28))
        })
        .collect();
    let searches: Vec<f64> = ["frame", "scene-07", "nothing such", "#777", "FRAME-99", "1", "tif", "exit 3", "-4", "ok"]
        .map(|text| {
            measure(&format!(
                "const i = document.getElementById('search'); i.value = '{text}'; i.dispatchEvent(new Event('input'))"
            ))
        })
        .to_vec();
    drop(browser);
    running.close_stdin();
    running.wait().assert_code(0);
    println!("{{\"jobs\":{jobs},\"scroll_ms\":{scrolls:?},\"search_ms\":{searches:?}}}");
}

#[cfg(not(feature = "web"))]
fn main() {}
