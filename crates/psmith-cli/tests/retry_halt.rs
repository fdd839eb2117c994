//! Tries, their pauses, and the policies that stop a run early.

use psmith_testkit::cmd::EndedCommand;
use psmith_testkit::records::{RecordedEvents, joblog};
use psmith_testkit::{Scene, scene};

fn run(scene: &Scene, options: &[&str], script: &str, inputs: &[&str]) -> EndedCommand {
    scene
        .psmith(["-k", "--joblog", "j", "--events", "e"])
        .args(options)
        .args(["-s", script, ":::"])
        .args(inputs)
        .run()
}

#[test]
fn tries_are_total_tries() {
    for (tries, runs) in [("1", 1), ("2", 2), ("4", 4)] {
        let scene = scene!();
        let ended = run(&scene, &["--retries", tries], "echo {} >> ran; exit 9", &["a"]);
        ended.assert_code(1);
        assert_eq!(scene.text("ran").lines().count(), runs, "--retries {tries}");
        let rows = joblog(&scene.text("j"));
        assert_eq!((rows.len(), rows[0].exitval), (1, 9), "the joblog has the last try only");
        let events = RecordedEvents::parse(&scene.text("e"));
        assert_eq!(events.end_of(1)["attempts"], runs);
        assert_eq!(events.named("job_retry").len(), runs - 1);
        assert_eq!(events.named("job_start").len(), runs);
    }
}

#[test]
fn zero_tries_for_ever() {
    let scene = scene!();
    let script = "echo x >> ran; [ $(wc -l < ran) -ge 7 ] && echo {}";
    let ended = run(&scene, &["--retries", "0", "--summary", "text"], script, &["a"]);
    ended.assert_code(0).assert_out("a\n").assert_err_has("flaky");
    assert_eq!(RecordedEvents::parse(&scene.text("e")).run_end()["flaky"], 1);
}

#[test]
fn only_the_last_try_s_output_is_passed_on() {
    let scene = scene!();
    let ended =
        run(&scene, &["--retries", "3"], "echo {} $PSMITH_ATTEMPT; [ $PSMITH_ATTEMPT = 3 ]", &["a", "b"]);
    ended.assert_code(0).assert_out("a 3\nb 3\n");
}

#[test]
fn flaky_counts_as_ok_or_as_failed() {
    let script = "[ {} = good ] || [ $PSMITH_ATTEMPT = 2 ]";
    let scene = scene!();
    let reporting = ["--retries", "2", "--summary", "text"];
    run(&scene, &reporting, script, &["good", "flaky"]).assert_code(0).assert_err_has("flaky: #2");
    let scene = scene!();
    run(&scene, &["--retries", "2", "--flaky", "fail"], script, &["good", "flaky"]).assert_code(1);
}

#[test]
fn only_the_named_causes_are_tried_again() {
    for (on, script, attempts) in [
        ("exit", "exit 3", 3),
        ("exit=1+75", "exit 75", 3),
        ("exit=1+75", "exit 2", 1),
        ("signal", "exit 3", 1),
        ("signal", "kill -9 $$", 3),
        ("exit", "kill -9 $$", 1),
        ("timeout", "sleep 300", 3),
        ("signal,exit=4", "exit 4", 3),
        ("leak", "exit 4", 1),
    ] {
        let scene = scene!();
        run(
            &scene,
            &["--retries", "3", "--timeout", "500ms", "--retry-on", on],
            &format!("{script} # {{}}"),
            &["a"],
        )
        .assert_code(1);
        let events = RecordedEvents::parse(&scene.text("e"));
        assert_eq!(events.end_of(1)["attempts"], attempts, "--retry-on {on} with {script}");
    }
}

#[test]
fn the_slot_is_free_during_the_pause() {
    let scene = scene!();
    // The first job's retry waits until the others, behind it in the one slot, have run.
    let script = "echo {} >> order; [ {} != a ] || [ $PSMITH_ATTEMPT = 2 ]";
    let ended = run(&scene, &["-j1", "--retries", "2", "--retry-delay", "1500ms"], script, &["a", "b", "c"]);
    ended.assert_code(0);
    assert_eq!(scene.text("order"), "a\nb\nc\na\n");
}

#[test]
fn pauses_double_up_to_their_maximum() {
    let scene = scene!();
    run(&scene, &["--retries", "5", "--retry-delay", "10ms..30ms"], "exit 1 # {}", &["a"]).assert_code(1);
    let events = RecordedEvents::parse(&scene.text("e"));
    let delays: Vec<f64> =
        events.named("job_retry").iter().map(|retry| retry["delay"].as_f64().expect("a delay")).collect();
    assert_eq!(delays.len(), 4);
    for (delay, middle) in delays.iter().zip([0.010, 0.020, 0.030, 0.030]) {
        assert!((middle * 0.75 - 1e-9..=middle * 1.25 + 1e-9).contains(delay), "{delays:?}");
    }
}

#[test]
fn halt_soon_lets_the_running_finish() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!(
        "case {{}} in slow) echo > {0}; while [ ! -e failed ]; do sleep 0.01; done; sleep 0.3; echo slow;; \
         bad) while [ ! -p go ]; do sleep 0.01; done; touch failed; exit 1;; *) echo never;; esac",
        ready.as_str()
    );
    let running = scene
        .psmith([
            "-j2",
            "-k",
            "--events",
            "e",
            "--halt",
            "soon,fail=1",
            "-s",
            &script,
            ":::",
            "slow",
            "bad",
            "x",
            "y",
        ])
        .start();
    ready.wait();
    let _go = scene.ready("go");
    let ended = running.wait();
    ended.assert_code(1).assert_out("slow\n");
    assert_eq!(RecordedEvents::parse(&scene.text("e")).run_end()["left"], 2);
}

#[test]
fn halt_counts_shares() {
    // From three finished on, or of the total, which is known here.
    let scene = scene!();
    let ended = run(&scene, &["-j1", "--halt", "soon,fail=50%"], "echo {}; exit {}", &["1", "1", "0", "0"]);
    ended.assert_code(2).assert_out("1\n1\n");
    let scene = scene!();
    let ended =
        run(&scene, &["-j1", "--halt", "soon,success=50%"], "echo {}; exit {}", &["0", "1", "0", "1"]);
    ended.assert_code(0).assert_out("0\n1\n0\n");
}

#[test]
fn halt_counts_final_outcomes_only() {
    let scene = scene!();
    let ended = run(
        &scene,
        &["-j1", "--retries", "2", "--halt", "now,fail=1"],
        "echo {}; [ $PSMITH_ATTEMPT = 2 ]",
        &["a", "b"],
    );
    ended.assert_code(0).assert_out("a\nb\n");
}

#[test]
fn exit_counts_to_a_hundred_and_one() {
    for (count, exit) in [(100, 100), (101, 101), (150, 101)] {
        let scene = scene!();
        let stdin: String = (0..count).map(|n| format!("{n}\n")).collect();
        let ended = scene.psmith(["-j4", "-s", "exit 1 # {}"]).stdin(stdin).run();
        ended.assert_code(exit).assert_err_has("more failures are counted, not shown");
        assert_eq!(ended.failure_lines().len(), 10);
    }
}

#[test]
fn exit_first_shows_signals_and_timeouts() {
    for (script, exit) in [("exit 77", 77), ("kill -9 $$", 137), ("sleep 300", 124), ("exit 0", 0)] {
        let scene = scene!();
        let script = format!("{script} # {{}}");
        scene
            .psmith(["--exit", "first", "--timeout", "1", "-s", &script, ":::", "a"])
            .run()
            .assert_code(exit);
    }
    let scene = scene!();
    scene.psmith(["--exit", "first", "nosuch-{}", ":::", "a"]).run().assert_code(125);
}

#[test]
fn any_zero_needs_one() {
    let scene = scene!();
    scene.psmith(["--exit", "any-zero", "-s", "exit {}", ":::", "1", "2"]).run().assert_code(1);
    scene.psmith(["--exit", "any-zero", "true"]).run().assert_code(0);
}

#[test]
fn a_timeout_can_be_a_share_of_the_median() {
    let scene = scene!();
    let script = "if [ {} = d ]; then sleep 300; else sleep 0.1; fi; echo {}";
    let ended = run(&scene, &["-j1", "--timeout", "1000%"], script, &["a", "b", "c", "d"]);
    ended.assert_code(1).assert_out("a\nb\nc\n").assert_err_has("job 4 failed: timeout");
}

#[test]
fn a_slow_job_is_named_and_not_killed() {
    let scene = scene!();
    let ended = run(&scene, &["--slow", "200ms"], "sleep 0.6; echo {}", &["a"]);
    ended.assert_code(0).assert_out("a\n");
    let events = RecordedEvents::parse(&scene.text("e"));
    assert_eq!(events.named("job_slow").len(), 1);
}
