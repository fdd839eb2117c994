//! The report of a run: its numbers are those of the joblog, it opens from disk, and what jobs wrote is text in it.

use psmith_testkit::browser::{self, Browser};
use psmith_testkit::need::Need;
use psmith_testkit::records::joblog;
use psmith_testkit::{Scene, Signal, need, scene};

const SCRIPT: &str = "n={}; echo \"<script>document.title='owned'</script> $n\" >&2; \
                      case $n in 3) exit 7;; 5) kill -9 $$;; esac";

fn run(scene: &Scene) {
    let mut words = vec!["-j3", "--report", "r.html", "--joblog", "j", "--retries", "2", "-s", SCRIPT, ":::"];
    words.extend(["1", "2", "3", "4", "5", "6", "7"]);
    scene.psmith(words).run().assert_code(2);
}

/// Returns the text of the element with this `data-name`.
fn value<'p>(page: &'p str, name: &str) -> &'p str {
    let at = page.find(&format!("data-name=\"{name}\">")).unwrap_or_else(|| panic!("no {name} in {page}"));
    let text = page[at..].split_once('>').unwrap().1;
    text.trim_start_matches("<b>").split('<').next().unwrap()
}

/// Returns the cells of a job's row in a table.
fn cells(page: &str, table: &str, job: u64) -> Vec<String> {
    let table = page.split_once(&format!("id=\"{table}\"")).unwrap().1.split_once("</table>").unwrap().0;
    let row = table.split_once(&format!("<tr data-job=\"{job}\">")).unwrap().1.split_once("</tr>").unwrap().0;
    let cells = row.split("<td").skip(1).map(|cell| cell.split_once('>').unwrap().1);
    cells.map(|cell| cell.split('<').next().unwrap().to_owned()).collect()
}

#[test]
fn numbers_are_those_of_the_joblog() {
    let scene = scene!();
    run(&scene);
    let (page, text) = (scene.text("r.html"), scene.text("j"));
    let rows = joblog(&text);
    let runtime = |row: &psmith_testkit::records::RecordedRow| -> f64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{}\t", row.seq))).unwrap();
        line.split('\t').nth(3).unwrap().trim().parse().unwrap()
    };
    let failed = rows.iter().filter(|row| row.exitval != 0 || row.signal != 0).count();
    assert_eq!(value(&page, "jobs"), rows.len().to_string());
    assert_eq!(value(&page, "failed"), failed.to_string());
    assert_eq!(value(&page, "ok"), (rows.len() - failed).to_string());
    assert_eq!(value(&page, "attempts"), "9");
    assert_eq!(value(&page, "count"), rows.len().to_string());
    let sum: f64 = rows.iter().map(runtime).sum();
    let reported: f64 = value(&page, "sum").trim_end_matches('s').parse().unwrap();
    assert!(
        (sum - reported).abs() < 0.001 * rows.len() as f64,
        "{sum} in the joblog, {reported} in the report"
    );
    for row in &rows {
        let cells = cells(&page, "slowest", row.seq);
        assert_eq!(cells[1], format!("{:.3}s", runtime(row)));
        assert_eq!((&*cells[3], &*cells[4]), (&*row.exitval.to_string(), &*row.signal.to_string()));
    }
    assert_eq!(cells(&page, "failed", 3)[1], "exit 7, 2 tries");
    assert_eq!(cells(&page, "failed", 5)[1], "signal 9 (KILL), 2 tries");
    assert_eq!(page.matches("class=\"retried\"").count(), 2, "a bar for each failed first try");
}

// proves: SEC-web-output
#[test]
fn it_opens_from_disk_and_what_jobs_wrote_is_text() {
    need!("SEC-web-output", Need::Program(browser::PROGRAM));
    let scene = scene!();
    run(&scene);
    let mut browser = Browser::start();
    browser.go(&format!("file://{}", scene.path("r.html").display()));
    assert_eq!(browser.text("document.title").split(':').nth(1), Some(" 2 of 7 jobs failed"));
    let shown = browser.text("document.querySelector('tr[data-job=\"3\"] pre').textContent");
    assert_eq!(shown, "<script>document.title='owned'</script> 3");
    assert_eq!(browser.eval("document.scripts.length"), 0);
    assert_eq!(browser.eval("document.querySelectorAll('svg.timeline rect[data-job]').length"), 9);
    let drawn =
        "[...document.querySelectorAll('svg.chart')].every(svg => svg.getBoundingClientRect().height > 10)";
    assert_eq!(browser.eval(drawn), true);
    let mut backs = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        backs.push(browser.text("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(backs[0], backs[1]);
    assert_eq!(browser.complaints(), &[] as &[String]);
}

#[test]
fn a_run_that_was_interrupted_has_its_report() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!("echo {{}} > {}; sleep 1000", ready.as_str());
    let running = scene.psmith(["-j2", "--report", "r.html", "-s", &script, ":::", "1", "2", "3"]).start();
    ready.lines(2);
    running.signal(Signal::INT);
    assert_eq!(running.wait().signal(), Some(2));
    let page = scene.text("r.html");
    assert!(page.contains("stopped by INT, 0 of 3 jobs done"), "{page}");
    assert_eq!((value(&page, "cancelled"), value(&page, "left")), ("2", "1"));
    assert_eq!(page.matches("class=\"cut\"").count(), 2);
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_before_the_first_job() {
    let scene = scene!();
    let ended = scene.psmith(["--report", "nodir/r.html", "touch", "{}", ":::", "made"]).run();
    ended.assert_code(125).assert_err_has("nodir/r.html");
    assert!(!scene.path("made").exists());
    scene.write("r.html", "what was there");
    scene.psmith(["--report", "r.html", "true", ":::", "1"]).run().assert_code(0).assert_quiet();
    assert!(scene.text("r.html").starts_with("<!DOCTYPE html>"));
    let left: Vec<_> =
        std::fs::read_dir(scene.cwd()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["r.html"], "nothing else is left");
}
