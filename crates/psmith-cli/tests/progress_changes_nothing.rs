//! The display only reads events: with it, without it, or with its terminal gone, a run has the same outcomes, the same
//! records and the same end.

use std::collections::BTreeSet;

use psmith_testkit::pty::{OnTerminal, ShellReport};
use psmith_testkit::records::{RecordedEvents, RecordedRow, joblog};
use psmith_testkit::{Scene, scene};

const SCRIPT: &str =
    "echo out {}; echo err {} >&2; sleep 0.0{}; [ {} != 5 ] || exit 9; [ {} != 7 ] || kill -9 $$";

/// The part of a run that does not depend on its observers.
#[derive(Debug, PartialEq)]
struct Record {
    rows: BTreeSet<String>,
    ends: BTreeSet<String>,
    results: Vec<String>,
}

fn record(scene: &Scene) -> Record {
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    let row = |row: &RecordedRow| {
        format!("{} {} {} {} {}", row.seq, row.receive, row.exitval, row.signal, row.command)
    };
    let ends = events.named("job_end").into_iter().map(|end| {
        format!("{} {} {} {} {}", end["job"], end["status"], end["cause"], end["code"], end["attempts"])
    });
    let result =
        |job: u64| scene.text(format!("r/0/{job}/stdout")) + &scene.text(format!("r/0/{job}/stderr"));
    Record {
        rows: joblog(&scene.text("j")).iter().map(row).collect(),
        ends: ends.collect(),
        results: (1..=9).map(result).collect(),
    }
}

fn arguments(progress: &str) -> Vec<&str> {
    let mut words =
        vec!["-j3", "-k", "--joblog", "j", "--events", "e", "--results", "r", "--progress", progress];
    words.extend(["-s", SCRIPT, ":::", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    words
}

// proves: F-49, live-board
#[test]
fn looked_on_or_not_a_run_is_the_same() {
    let alone = scene!();
    alone.psmith(arguments("none")).run().assert_code(2);
    let expected = record(&alone);
    let scene = scene!();
    let mut words = vec!["--report", "page.html", "--trace", "trace.json"];
    if cfg!(feature = "web") {
        words.push("--web");
    }
    words.extend(arguments("none"));
    scene.psmith(words).run().assert_code(2);
    assert_eq!(record(&scene), expected);
}

// proves: F-49
#[test]
fn shown_or_not_a_run_is_the_same() {
    let quiet = scene!();
    quiet.psmith(arguments("none")).run().assert_code(2);
    let expected = record(&quiet);
    for progress in ["plain", "auto", "board"] {
        let scene = scene!();
        scene.psmith(arguments(progress)).run().assert_code(2);
        assert_eq!(record(&scene), expected, "--progress {progress}");
    }
    for progress in ["none", "plain", "auto", "board"] {
        for term in ["xterm", "dumb", ""] {
            let scene = scene!();
            let mut terminal = OnTerminal::start(&scene, &arguments(progress), &[("TERM", term)]);
            assert_eq!(terminal.next_report(), ShellReport::Exited(2), "--progress {progress} on {term:?}");
            assert_eq!(record(&scene), expected, "--progress {progress} on {term:?}");
        }
    }
}

// proves: F-49, F-47: the terminal dies under the display; the run drains, and running jobs have their outcome
#[test]
fn a_display_whose_terminal_is_gone_ends_no_job() {
    for progress in ["plain", "auto", "board"] {
        let scene = scene!();
        let mut ready = scene.ready("ready");
        let script = format!(
            "echo up > {}; while [ ! -e go ]; do sleep 0.02; done; echo {{}} >> done",
            ready.as_str()
        );
        let words = ["-j2", "--joblog", "j", "--events", "e", "--progress", progress, "-s", &script];
        let words: Vec<&str> = words.into_iter().chain([":::", "a", "b"]).collect();
        let mut terminal = OnTerminal::start(&scene, &words, &[]);
        ready.lines(2);
        terminal.hang_up();
        scene.write("go", "");
        terminal.wait_gone();
        assert_eq!(scene.text("done").lines().count(), 2, "--progress {progress}");
        let events = RecordedEvents::parse(&scene.text("e"));
        events.assert_whole();
        assert_eq!(events.run_end()["ok"], 2, "--progress {progress}");
        assert_eq!(joblog(&scene.text("j")).len(), 2);
    }
}
