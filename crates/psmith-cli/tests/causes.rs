//! Causes that a command can have, each provoked by a small wicked program: the exit code, the line on stderr, the
//! event, and the joblog row.

use psmith_testkit::cmd::{Cmd, EndedCommand};
use psmith_testkit::need::Need;
use psmith_testkit::records::{RecordedEvents, RecordedRow, joblog};
use psmith_testkit::{Scene, need, proc, scene, wicked};

/// Runs a failing job, with all records.
struct Provoked {
    ended: EndedCommand,
    events: RecordedEvents,
    rows: Vec<RecordedRow>,
}

fn provoke(scene: &Scene, options: &[&str], job: &[&str]) -> Provoked {
    provoke_by(scene, prepared(scene, options).arg(wicked()).args(job))
}

/// Prepares a run with all records, without its command.
fn prepared<'s>(scene: &'s Scene, options: &[&str]) -> Cmd<'s> {
    scene.psmith(["--joblog", "j", "--events", "e"]).args(options).env("W", wicked())
}

fn provoke_by(scene: &Scene, command: Cmd<'_>) -> Provoked {
    let ended = command.args([":::", "x"]).run();
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    Provoked { ended, events, rows: joblog(&scene.text("j")) }
}

impl Provoked {
    /// Asserts what holds for every failed job: exit 1, one line that names the cause by its word, the event.
    #[track_caller]
    fn assert_failed(&self, cause: &str) -> &Provoked {
        self.ended.assert_code(1);
        let lines = self.ended.failure_lines();
        assert_eq!(lines.len(), 1, "one failure line: {}", self.ended.err());
        assert!(lines[0].starts_with(&format!("psmith: job 1 failed: {cause}")), "{lines:?}");
        let end = self.events.end_of(1);
        assert_eq!((&end["status"], &end["cause"]), (&"failed".into(), &cause.into()), "{end}");
        let run = self.events.run_end();
        assert_eq!((&run["jobs"], &run["failed"], &run["exit"]), (&1.into(), &1.into(), &1.into()), "{run}");
        self
    }

    #[track_caller]
    fn assert_event(&self, field: &str, value: impl Into<serde_json::Value>) -> &Provoked {
        let end = self.events.end_of(1);
        assert_eq!(end[field], value.into(), "{field} of {end}");
        self
    }

    #[track_caller]
    fn assert_row(&self, exitval: i32, signal: i32) -> &Provoked {
        assert_eq!(self.rows.len(), 1, "{:?}", self.rows);
        assert_eq!((self.rows[0].exitval, self.rows[0].signal), (exitval, signal), "{:?}", self.rows);
        self
    }

    #[track_caller]
    fn assert_exitval(&self, exitval: i32) -> &Provoked {
        assert_eq!(self.rows.len(), 1, "{:?}", self.rows);
        assert_eq!(self.rows[0].exitval, exitval, "{:?}", self.rows);
        self
    }
}

// proves: P-1
#[test]
fn exit() {
    let scene = scene!();
    let provoked = provoke(&scene, &[], &["exit", "7"]);
    provoked.assert_failed("exit").assert_event("code", 7).assert_event("signal", serde_json::Value::Null);
    provoked.assert_row(7, 0);
    provoked.ended.assert_err_has("failed: exit 7");
}

// proves: F-31: a job that really exits 127 or 126 is no spawn failure
#[test]
fn exit_127_of_the_job_itself_is_its_exit() {
    for code in ["126", "127"] {
        let scene = scene!();
        let provoked = provoke(&scene, &[], &["exit", code]);
        provoked.assert_failed("exit").assert_event("code", code.parse::<i32>().expect("a code"));
        provoked.assert_row(code.parse().expect("a code"), 0);
    }
    let scene = scene!();
    provoke(&scene, &[], &["exec-fail"]).assert_failed("exit").assert_event("code", 127).assert_row(127, 0);
}

// proves: F-1, F-2, F-3, P-1
#[test]
fn signal() {
    for (job, signal) in [
        (&["kill-self", "KILL"][..], 9),
        (&["kill-self", "TERM"], 15),
        (&["kill-self", "HUP"], 1),
        (&["kill-self", "USR1"], 10),
        (&["kill-self", "BUS"], 7),
        (&["segv"], 11),
        (&["ill"], 4),
        (&["fpe"], 8),
        (&["abort"], 6),
        (&["stack-overflow"], 6),
    ] {
        let scene = scene!();
        let provoked = provoke(&scene, &[], job);
        provoked
            .assert_failed("signal")
            .assert_event("signal", signal)
            .assert_event("code", serde_json::Value::Null);
        // No core unless it was asked for: `--core` defaults to 0.
        provoked.assert_event("core", false).assert_row(0, signal);
        provoked.ended.assert_err_has(&format!("failed: signal {signal} ("));
    }
}

// proves: F-3: the job's last output is in its record
#[test]
fn the_last_words_of_a_crashed_job_are_kept() {
    let scene = scene!();
    let provoked = provoke(&scene, &[], &["stack-overflow"]);
    let end = provoked.events.end_of(1);
    assert!(end["stderr_tail"].as_str().is_some_and(|tail| tail.contains("overflowed its stack")), "{end}");
}

// proves: F-2
#[test]
fn signal_with_a_core_file() {
    need!("F-2", Need::CoreFiles);
    let scene = scene!();
    let provoked = provoke(&scene, &["--core", "100M"], &["abort"]);
    provoked.assert_failed("signal").assert_event("core", true);
}

// proves: F-8, P-1
#[test]
fn timeout() {
    let scene = scene!();
    let provoked = provoke(&scene, &["--timeout", "300ms"], &["wait"]);
    provoked.assert_failed("timeout").assert_event("signal", 15).assert_exitval(-1);
    provoked.ended.assert_err_has("failed: timeout after 300ms");
}

// proves: F-8
#[test]
fn timeout_of_a_job_that_ignores_signals() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let options = ["--timeout", "1500ms", "--term-seq", "TERM,200,KILL,25"];
    let provoked = provoke(&scene, &options, &["ignore-term", ready.as_str()]);
    ready.wait();
    provoked.assert_failed("timeout").assert_event("signal", 9).assert_exitval(-1);
}

// proves: F-8, F-12, P-4, deadline-bounds-tree
#[test]
fn timeout_takes_the_whole_tree() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let pids = scene.path("pids");
    scene.guard(|guard| guard.track(&pids));
    let script = format!(
        "for depth in 1 2 3; do \"$W\" fork-twice $depth pids redirect ignore; done; echo > {}; \"$W\" wait",
        ready.as_str()
    );
    let command = prepared(&scene, &["--timeout", "3", "--term-seq", "TERM,100,KILL,25", "-s", &script]);
    let provoked = provoke_by(&scene, command);
    ready.wait();
    provoked.assert_failed("timeout").assert_exitval(-1);
}

// proves: F-9
#[test]
fn timeout_of_a_stopped_job() {
    let scene = scene!();
    provoke(&scene, &["--timeout", "300ms"], &["stop-self"]).assert_failed("timeout").assert_exitval(-1);
}

// proves: P-1, limits-by-job: limit by SIGXCPU
#[test]
fn limit_of_cpu_time() {
    let scene = scene!();
    let provoked = provoke(&scene, &["--cpu-time", "1"], &["burn-cpu"]);
    provoked.assert_failed("limit").assert_event("signal", 24).assert_exitval(-1);
}

// proves: F-21, limits-by-job: limit by SIGXFSZ
#[test]
fn limit_of_file_size() {
    let scene = scene!();
    let provoked = provoke(&scene, &["--fsize", "4K"], &["write-file", "100000", "big"]);
    provoked.assert_failed("limit").assert_event("signal", 25).assert_exitval(-1);
    assert_eq!(scene.read("big").len(), 4096);
}

// proves: F-13
#[test]
fn limit_of_processes() {
    need!("F-13", Need::PidsGroup);
    let scene = scene!();
    let provoked = provoke(&scene, &["--pids", "10"], &["fork-many", "50"]);
    provoked.assert_failed("limit");
}

// proves: F-13: a bomb leaves nothing, limited or not
#[test]
fn a_fork_bomb_is_swept() {
    let scene = scene!();
    let ended =
        scene.psmith(["--summary", "json"]).arg(wicked()).args(["fork-many", "500", ":::", "x"]).run();
    ended.assert_code(0);
    scene.assert_no_survivors();
}

// proves: F-18, P-8
#[test]
fn oom() {
    need!("F-18, P-8", Need::MemoryGroup);
    let scene = scene!();
    let provoked = provoke(&scene, &["--mem", "50M"], &["eat-memory", "400000000"]);
    provoked.assert_failed("oom").assert_exitval(-1);
    provoked.ended.assert_err_has("failed: oom at 50M");
}

// proves: F-19: without a group, memory is address space, and its end the job's own
#[test]
fn address_space_instead_of_memory() {
    let scene = scene!();
    let command =
        prepared(&scene, &["--mem", "300M"]).forbid("cgroup").arg(wicked()).args(["eat-memory", "900000000"]);
    let provoked = provoke_by(&scene, command);
    let end = provoked.events.end_of(1);
    assert!(end["cause"] == "signal" || end["cause"] == "exit", "{end}");
    provoked.ended.assert_code(1).assert_err_has("address space");
}

// proves: F-35
#[test]
fn cancelled_by_halt_now() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!(
        "if [ {{}} = wait ]; then echo > {0}; sleep 300; else while [ ! -p go ]; do sleep 0.01; done; exit 1; fi",
        ready.as_str()
    );
    let running = scene
        .psmith([
            "-j2",
            "--joblog",
            "j",
            "--events",
            "e",
            "--halt",
            "now,fail=1",
            "-s",
            &script,
            ":::",
            "wait",
            "fail",
            "never",
        ])
        .start();
    ready.wait();
    let _go = scene.ready("go");
    let ended = running.wait();
    ended.assert_code(1);
    let events = RecordedEvents::parse(&scene.text("e"));
    let end = events.end_of(1);
    assert_eq!((&end["status"], &end["cause"]), (&"cancelled".into(), &"cancelled".into()), "{end}");
    assert_eq!(events.run_end()["left"], 1, "the third job was never started");
    let rows = joblog(&scene.text("j"));
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [2], "a job cut short has no row");
}

// proves: F-37b, F-58b, P-6, P-9
#[test]
fn lost_three_times_in_a_row() {
    let scene = scene!();
    let provoked = provoke(&scene, &[], &["kill-parent"]);
    provoked.assert_failed("lost").assert_event("attempts", 3);
    let retries = provoked.events.named("job_retry");
    assert_eq!(retries.len(), 2);
    for retry in retries {
        assert_eq!((&retry["cause"], &retry["charged"]), (&"lost".into(), &false.into()), "{retry}");
    }
}

// proves: F-1, P-2: killed from outside, alone
#[test]
fn a_job_that_kills_its_neighbours_fails_only_them() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!(
        "if [ {{}} = killer ]; then while [ ! -p go ]; do sleep 0.01; done; exec \"$W\" kill-neighbours; \
         else echo > {}; exec sleep 300; fi",
        ready.as_str()
    );
    let running = scene
        .psmith(["-j3", "-k", "--events", "e", "-s", &script, ":::", "killer", "a", "b"])
        // With keepers a job has no siblings to kill.
        .at_any_level()
        .env("W", wicked())
        .start();
    ready.lines(2);
    let _go = scene.ready("go");
    let ended = running.wait();
    ended.assert_code(2);
    let events = RecordedEvents::parse(&scene.text("e"));
    assert_eq!(events.end_of(1)["status"], "ok");
    for job in [2, 3] {
        let end = events.end_of(job);
        assert_eq!((&end["cause"], &end["signal"]), (&"signal".into(), &9.into()), "{end}");
    }
}

fn spawn_failure(scene: &Scene, options: &[&str], command: &[&str], exitval: Option<i32>, says: &str) {
    let provoked = provoke_by(scene, prepared(scene, options).args(command));
    provoked.ended.assert_code(1).assert_err_has(says);
    let end = provoked.events.end_of(1);
    assert_eq!((&end["status"], &end["cause"]), (&"failed".into(), &"spawn".into()), "{end}");
    if let Some(exitval) = exitval {
        provoked.assert_exitval(exitval);
    }
}

// proves: F-31
#[test]
fn spawn_program_not_found() {
    // A name with a placeholder is known only for each job: a failed job, not an error before the first.
    spawn_failure(&scene!(), &[], &["nosuch-{}"], Some(127), "nosuch-x");
    spawn_failure(&scene!(), &[], &["./nosuch-{}"], Some(127), "nosuch-x");
}

// proves: F-31
#[test]
fn spawn_program_not_executable() {
    let scene = scene!();
    scene.write("data-x", "no program");
    spawn_failure(&scene, &[], &["./data-{}"], Some(126), "data-x");
}

// proves: F-31
#[test]
fn spawn_in_a_directory_that_is_not_there() {
    spawn_failure(&scene!(), &["--workdir", "no-{}"], &["echo", "{}"], None, "no-x");
}

// proves: F-31, security: NUL refused
#[test]
fn spawn_with_a_nul_byte() {
    let scene = scene!();
    let ended = scene.psmith(["-k", "--events", "e", "--retries", "5", "echo"]).stdin("a\nb\nc\0d\n").run();
    ended
        .assert_code(1)
        .assert_out("a\nb\n")
        .assert_err_has("job 3")
        .assert_err_has("input holds a NUL byte");
    ended.assert_err_has("-0 reads NUL-separated input");
    let end = RecordedEvents::parse(&scene.text("e")).end_of(3).clone();
    assert_eq!(
        (&end["cause"], &end["attempts"]),
        (&"spawn".into(), &1.into()),
        "what cannot change is not retried: {end}"
    );
}

// proves: F-31
#[test]
fn spawn_with_an_argument_that_is_too_long() {
    let scene = scene!();
    let stdin = "x".repeat(140 * 1024) + "\nb\n";
    let ended = scene.psmith(["-k", "--events", "e", "--retries", "5", "echo"]).stdin(stdin).run();
    ended.assert_code(1).assert_out("b\n").assert_err_has("argument 1 is 140 KiB, the kernel takes 128 KiB");
    let end = RecordedEvents::parse(&scene.text("e")).end_of(1).clone();
    assert_eq!((&end["cause"], &end["attempts"]), (&"spawn".into(), &1.into()), "{end}");
}

// proves: F-11, P-3
#[test]
fn leak() {
    let scene = scene!();
    let provoked = provoke(&scene, &["--leak", "fail"], &["hold-stdout"]);
    provoked.assert_failed("leak").assert_event("leaked", 1).assert_event("code", 0);
}

// proves: F-11, P-3, whole-tree-dies: by default the outcome is kept, the holder killed, and both are reported
#[test]
fn a_leak_is_killed_and_named_and_the_job_keeps_its_outcome() {
    let scene = scene!();
    let mut command = prepared(&scene, &[]).arg(wicked()).arg("hold-stdout");
    command = command.args([":::", "x"]);
    let ended = command.run();
    ended
        .assert_code(0)
        .assert_out("held\n")
        .assert_err_has("1 leaked")
        .assert_err_has("#1 (1 process killed)");
    let events = RecordedEvents::parse(&scene.text("e"));
    let end = events.end_of(1);
    assert_eq!((&end["status"], &end["leaked"]), (&"ok".into(), &1.into()), "{end}");
}

// proves: F-11: the job ends with the last of its descendants
#[test]
fn a_leak_can_be_waited_for() {
    // At the level `group` no event reports that a group is empty: the run waited for ever.
    for forbidden in ["", "cgroup", "cgroup,subreaper"] {
        let scene = scene!();
        let script = "(sleep 0.7; echo late) & echo {}";
        let ended = scene.psmith(["--leak", "wait", "-s", script, ":::", "early"]).forbid(forbidden).run();
        ended.assert_code(0).assert_quiet().assert_out("early\nlate\n");
    }
}

// The job's descendants had ended, but as zombies of a first process that reaps none, as some containers have; a zombie
// accepts signals, so its group seemed alive, and the run waited for ever.
#[test]
fn a_leak_that_is_a_zombie_of_a_container_is_waited_for_no_longer() {
    need!("F-11", Need::Root);
    need!("F-11", Need::Program("unshare"));
    let scene = scene!();
    let run = ["run", "--leak", "wait", "-s", "(sleep 0.1; echo late) & echo {}", ":::", "early"];
    let container = scene.program("unshare").args(["--pid", "--fork", "--mount-proc"]);
    let ended = container.arg(scene.psmith_path()).args(run).forbid("cgroup,subreaper").run();
    ended.assert_code(0).assert_out("early\nlate\n");
}

// proves: F-11, P-4: released by the job, not by the run
#[test]
fn an_allowed_leak_lives_on_and_dies_with_psmith() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!(
        "if [ {{}} = 1 ]; then sleep 300 > /dev/null 2>&1 & echo $! > holder; else kill -0 $(cat holder) && echo alive; \
         echo > {}; fi",
        ready.as_str()
    );
    let ended = scene.psmith(["-j1", "-k", "--leak", "allow", "-s", &script, ":::", "1", "2"]).run();
    ready.wait();
    ended.assert_code(0).assert_out("alive\n");
    // It said "left alone" of what was about to die.
    assert!(ended.err().contains("#1 (1 process left until the end)"), "{}", ended.err());
    let holder: i32 = scene.text("holder").trim().parse().expect("a pid");
    assert!(
        !proc::is_alive(holder) || !proc::command_line(holder).starts_with("sleep 300"),
        "{}",
        proc::describe(holder)
    );
}

// proves: P-3: output that is an escape sequence or no text is recorded raw
#[test]
fn hostile_output_is_passed_on_raw_and_recorded_as_bytes() {
    let scene = scene!();
    let ended = scene
        .psmith(["--events", "e", "--events-output"])
        .arg(wicked())
        .args(["escape-sequences", ":::", "x"])
        .run();
    ended.assert_code(0);
    assert_eq!(ended.stdout, ended.stderr);
    assert!(ended.stdout.starts_with(b"\x1b]0;owned\x07") && ended.stdout.ends_with(b"\xff\xfe\n"));
    let events = RecordedEvents::parse(&scene.text("e"));
    let outputs = events.named("job_output");
    assert!(outputs.iter().any(|event| event["data"]["b64"].is_string()), "{outputs:?}");
}
