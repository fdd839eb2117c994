//! The trace of a run: every attempt a slice in the lane of its slot, whole JSON at any moment.

use psmith_testkit::records::joblog;
use psmith_testkit::{Signal, scene};
use serde_json::Value;

fn slices(trace: &Value) -> Vec<&Value> {
    trace.as_array().unwrap().iter().filter(|event| event["ph"] == "X").collect()
}

#[test]
fn every_attempt_is_a_slice_and_times_are_those_of_the_joblog() {
    let scene = scene!();
    let script = "n={}; [ $n != 2 ] || exit 4";
    scene
        .psmith([
            "-j2",
            "--trace",
            "t",
            "--joblog",
            "j",
            "--retries",
            "3",
            "-s",
            script,
            ":::",
            "1",
            "2",
            "3",
        ])
        .run()
        .assert_code(1);
    let trace: Value = serde_json::from_slice(&scene.read("t")).unwrap();
    let slices = slices(&trace);
    let of = |job: u64| slices.iter().filter(|slice| slice["args"]["job"] == job).count();
    assert_eq!((of(1), of(2), of(3)), (1, 3, 1));
    let text = scene.text("j");
    for row in joblog(&text) {
        let last = slices.iter().rfind(|slice| slice["args"]["job"] == row.seq).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{}\t", row.seq))).unwrap();
        assert_eq!(format!("{:10.3}", last["dur"].as_f64().unwrap() / 1e6), line.split('\t').nth(3).unwrap());
        assert_eq!(last["args"]["exitval"], row.exitval);
        assert_eq!(last["cat"], if row.exitval == 0 { "ok" } else { "failed" });
    }
    // No two attempts share a slot at a time.
    for slot in 1..=2 {
        let mut spans: Vec<(f64, f64)> = slices
            .iter()
            .filter(|slice| slice["tid"] == slot)
            .map(|slice| (slice["ts"].as_f64().unwrap(), slice["dur"].as_f64().unwrap()))
            .collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Microseconds with three decimals: sums are off by less than half of the last one.
        assert!(spans.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0 + 0.000_5), "{spans:?}");
    }
}

#[test]
fn a_killed_psmith_leaves_whole_json() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!("[ {{}} != 9 ] || {{ echo there > {}; sleep 1000; }}", ready.as_str());
    let words = ["-j1", "--trace", "t", "-s", &script, ":::", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let running = scene.psmith(words).start();
    ready.wait();
    while slices(&serde_json::from_slice(&scene.read("t")).expect("whole JSON")).len() < 8 {
        assert!(!running.has_ended());
        // sleep: the thread that writes sends no event; it writes four times a second.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    running.signal(Signal::KILL);
    assert_eq!(running.wait().signal(), Some(9));
    let trace: Value = serde_json::from_slice(&scene.read("t")).expect("whole JSON");
    assert_eq!(slices(&trace).len(), 8);
}

#[test]
fn a_pipe_takes_a_trace_too() {
    let scene = scene!();
    let ended = scene.shell("\"$PSMITH\" --trace /dev/fd/3 true ::: 1 2 3>&1 >/dev/null | cat").run();
    ended.assert_code(0);
    let trace: Value = serde_json::from_slice(&ended.stdout).expect("whole JSON");
    assert_eq!(slices(&trace).len(), 2);
}

#[test]
fn a_full_disk_is_an_error_of_psmith() {
    psmith_testkit::need!("F-33", psmith_testkit::need::Need::DevFull);
    let scene = scene!();
    scene
        .psmith(["--trace", "/dev/full", "true", ":::", "1"])
        .run()
        .assert_code(125)
        .assert_err_has("/dev/full");
}
