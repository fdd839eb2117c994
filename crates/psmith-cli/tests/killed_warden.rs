//! Warden killed at any moment, with hundreds of children, suspended for too long, and both ends killed at once.

use std::collections::BTreeMap;
use std::time::Duration;

use psmith_testkit::need::Need;
use psmith_testkit::records::{RecordedEvents, joblog};
use psmith_testkit::{Signal, need, numbers, proc, scene, wicked};
use rustix::process::{Pid, Resource, Rlimit, kill_process, prlimit};

/// The rounds of kills at a random moment.
const ROUNDS: u64 = 40;

/// The latest moment of the kill, in microseconds after the start.
const MOMENT_MAX_US: u64 = 120_000;

/// The outer limit of tests that wait for the warden's silence to become too long.
const LIMIT: Duration = Duration::from_secs(120);

/// Sends a signal; returns true if there was a process.
fn send(pid: i32, signal: Signal) -> bool {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal).is_ok()
}

/// Returns a moment that can be repeated from the printed seed.
fn moment(seed: u64, round: u64) -> Duration {
    let mut mixed = seed.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Duration::from_micros((mixed ^ (mixed >> 31)) % MOMENT_MAX_US)
}

/// Runs a job that is lost in the midst of a line, and written to its end by the next attempt.
fn lost_while_it_streamed(options: &[&str]) -> psmith_testkit::cmd::EndedCommand {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    // The next attempt does not wait, and writes something else.
    let script = format!(
        "printf 'one\\ntwo'; echo up > {}; [ $PSMITH_ATTEMPT = 1 ] && while :; do sleep 300; done; echo ' three'; : {{}}",
        ready.as_str()
    );
    let running = scene
        .psmith(["-j1"])
        .args(options)
        .args(["--events", "e", "--events-output", "-s", &script, ":::", "a"])
        .start();
    ready.wait();
    running.wait_for_out("one\n");
    // Half a line may wait for its end; the events show that it was read.
    let events = RecordedEvents::wait_for(&scene.path("e"), "job_output", 1);
    assert_eq!(events.named("job_output")[0]["data"], "one\ntwo");
    assert!(send(proc::warden_of(running.pid()).expect("a warden"), Signal::KILL));
    let ended = running.wait();
    ended.assert_code(0);
    ended.assert_err_has(
        "job 1 was lost when part of its output had been passed on; its next attempt's follows whole",
    );
    ended
}

// proves: F-37b: output that was passed on stays, the next attempt is passed on whole, from the left margin, and it is
// reported
#[test]
fn output_passed_on_by_a_lost_attempt_comes_again_whole() {
    lost_while_it_streamed(&["-k"]).assert_out("one\ntwo\none\ntwo three\n");
    lost_while_it_streamed(&["-k", "--tag"]).assert_out("a\tone\na\ttwo\na\tone\na\ttwo three\n");
}

// proves: F-37b: half a line of a lost attempt was glued to the first line of the next one
#[test]
fn half_a_line_of_a_lost_attempt_is_dropped() {
    lost_while_it_streamed(&["--lb"]).assert_out("one\none\ntwo three\n");
    lost_while_it_streamed(&["--lb", "--tag"]).assert_out("a\tone\na\tone\na\ttwo three\n");
}

// It took the groups of the whole run along, so that jobs which had done nothing failed with "no such file or directory".
// proves: F-62, F-37b, P-6: each attempt begins once, and is told
#[test]
fn a_warden_that_fails_by_itself_is_survived_like_a_killed_one() {
    for forbid in ["", "cgroup", "cgroup,subreaper"] {
        let scene = scene!();
        let mut ready = scene.ready("ready");
        let script = format!(
            "echo {{}}.$PSMITH_ATTEMPT >> begun; echo up > {}; [ {{}}.$PSMITH_ATTEMPT != 4.1 ] || exit 0; \
             [ $PSMITH_ATTEMPT = 2 ] || while :; do sleep 300; done; echo {{}}",
            ready.as_str()
        );
        let mut running = scene.psmith(["-j4", "-k", "-s", &script]).forbid(forbid).stdin_held().start();
        running.write_stdin("1\n2\n3\n");
        let _ = ready.lines(3);
        let warden = Pid::from_raw(proc::warden_of(running.pid()).expect("a warden"));
        let few = Rlimit { current: Some(4), maximum: Some(4) };
        prlimit(warden, Resource::Nofile, few).expect("a limit of an own process");
        // It cannot receive the streams of this one.
        running.write_stdin("4\n");
        running.close_stdin();
        let ended = running.wait();
        ended.assert_code(0);
        assert!(ended.out().starts_with("1\n2\n3\n"), "{}", ended.out());
        ended.assert_err_has("the warden was lost: psmith: error: Too many open files");
        let begun = scene.text("begun");
        let mut attempts: Vec<&str> = begun.lines().filter(|attempt| !attempt.starts_with('4')).collect();
        attempts.sort_unstable();
        assert_eq!(attempts, ["1.1", "1.2", "2.1", "2.2", "3.1", "3.2"], "{forbid}");
    }
}

// proves: F-34b: a request to end a job reaches a warden that does not read behind a full socket
#[test]
fn a_terminate_passes_a_socket_full_of_starts() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!(
        "trap 'echo termed > {0}; exit 0' TERM; echo up > {0}; while :; do sleep 300 & wait; done # ",
        ready.as_str()
    );
    let mut running =
        scene.psmith(["-j300", "--events", "e", "sh", "-c", &script, "sh"]).stdin_held().start();
    running.write_stdin("first\n");
    ready.wait();
    // The job runs before its warden reports it, and a job that is not known to run is not ended.
    let _ = RecordedEvents::wait_for(&scene.path("e"), "job_start", 1);
    let warden = proc::warden_of(running.pid()).expect("a warden");
    assert!(send(warden, Signal::STOP));
    // Ten times the size of the socket, and what psmith has not read by then does not fit into the pipe.
    let long = format!("{}\n", "x".repeat(10_000));
    for _ in 0..250 {
        running.write_stdin(&long);
    }
    running.signal(Signal::INT);
    assert_eq!(ready.lines(1), ["termed"]);
    assert_eq!(proc::stat(warden).map(|stat| stat.state), Some('T'), "it was done without the warden");
    assert!(send(warden, Signal::CONT));
    assert_eq!(running.wait().signal(), Some(2));
}

// proves: F-37b, P-6, P-9, orphans-never
#[test]
fn killed_at_any_moment_it_costs_no_job_and_no_try() {
    let seed =
        std::env::var("PSMITH_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            now.as_nanos() as u64
        });
    println!("replay with PSMITH_TEST_SEED={seed}");
    for round in 0..ROUNDS {
        let scene = scene!();
        let pids = scene.path("pids");
        scene.guard(|guard| guard.track(&pids));
        let script = "[ $((PSMITH_JOB % 7)) != 0 ] || \"$W\" fork-twice 1 pids redirect; echo {}; sleep 0.01";
        // With two tries nothing is passed on before a job's end: streamed output cannot be taken back.
        let running = scene
            .psmith(["-j3", "-k", "--retries", "2", "--joblog", "j", "--events", "e", "-s", script])
            .stdin(numbers(40))
            .env("W", wicked())
            .start();
        // sleep: a random moment is the very subject.
        std::thread::sleep(moment(seed, round));
        let killed = proc::warden_of(running.pid()).is_some_and(|warden| send(warden, Signal::KILL));
        let ended = running.wait();
        assert_eq!(ended.code(), 0, "round {round}, killed: {killed}: {}", ended.err());
        ended.assert_out(numbers(40));
        let events = RecordedEvents::parse(&scene.text("e"));
        events.assert_whole();
        for retry in events.named("job_retry") {
            assert_eq!((&retry["cause"], &retry["charged"]), (&"lost".into(), &false.into()), "{retry}");
        }
        assert_eq!(joblog(&scene.text("j")).len(), 40, "round {round}");
        scene.assert_no_survivors();
    }
}

// proves: F-37b, P-4, P-6
#[test]
fn two_hundred_children_and_their_children_die_with_it_and_run_again() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!(
        "sleep 300 & echo $PSMITH_JOB > {}; if [ $PSMITH_ATTEMPT = 2 ]; then kill $!; wait; echo {{}}; else wait; fi",
        ready.as_str()
    );
    let running = scene
        .psmith(["-j200", "-k", "--events", "e", "-s", &script])
        .stdin(numbers(200))
        .limit(LIMIT)
        .start();
    ready.lines(200);
    let before: Vec<i32> = scene.guard(|guard| guard.survivors());
    assert!(before.len() >= 402, "200 jobs, their sleepers, host and warden: {}", before.len());
    assert!(send(proc::warden_of(running.pid()).expect("it is alive"), Signal::KILL));
    let ended = running.wait();
    ended.assert_code(0).assert_out(numbers(200));
    let mut starts: BTreeMap<u64, u32> = BTreeMap::new();
    for start in RecordedEvents::parse(&scene.text("e")).named("job_start") {
        *starts.entry(start["job"].as_u64().expect("a job")).or_default() += 1;
    }
    assert!(starts.values().all(|count| *count == 2), "{starts:?}");
    scene.assert_no_survivors();
}

// proves: F-37c: suspended while its jobs run, and for good
#[test]
fn a_warden_that_stays_silent_is_replaced() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!("echo {{}} > {}; while [ ! -e go ]; do sleep 0.02; done; echo {{}}", ready.as_str());
    let running = scene
        .psmith(["-j2", "-k", "--events", "e", "-s", &script, ":::", "a", "b", "c"])
        .limit(LIMIT)
        .start();
    ready.lines(2);
    let first = proc::warden_of(running.pid()).expect("it is alive");
    assert!(send(first, Signal::STOP));
    // The second attempts of both are spawned by another warden.
    ready.lines(2);
    assert_ne!(proc::warden_of(running.pid()), Some(first), "another warden");
    scene.write("go", "");
    let ended = running.wait();
    ended.assert_code(0).assert_out("a\nb\nc\n");
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    for retry in events.named("job_retry") {
        assert_eq!((&retry["cause"], &retry["charged"]), (&"lost".into(), &false.into()), "{retry}");
    }
}

// proves: F-37c, F-8: a suspended warden costs no control: the host kills by itself
#[test]
fn a_timeout_kills_though_the_warden_is_suspended() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let mut events = scene.ready("events");
    let script = format!("trap '' TERM; echo $$ > {}; exec sleep 300 # {{}}", ready.as_str());
    let running = scene
        .psmith(["--timeout", "2", "--term-seq", "TERM,100,KILL,25"])
        .args(["--events", events.as_str(), "-s", &script, ":::", "a"])
        .limit(LIMIT)
        .start();
    let job: i32 = ready.lines(1)[0].parse().expect("a pid");
    // The host can kill what has been reported to it.
    while !events.lines(1).concat().contains("\"job_start\"") {}
    let warden = proc::warden_of(running.pid()).expect("it is alive");
    assert!(send(warden, Signal::STOP));
    let deadline = std::time::Instant::now() + psmith_testkit::OUTER_LIMIT;
    let mut has_stopped = false;
    while proc::is_alive(job) {
        assert!(std::time::Instant::now() < deadline, "never killed");
        let stands = proc::stat(warden).is_some_and(|stat| stat.state == 'T');
        assert!(stands || !has_stopped, "killed without the warden's help");
        has_stopped |= stands;
        // sleep: the job's death is reported to nobody but the suspended warden.
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(has_stopped);
    assert!(send(warden, Signal::CONT));
    let ended = running.wait();
    ended.assert_code(1).assert_err_has("failed: timeout after 2s");
}

// proves: F-37d, P-4: processes that outlived both are swept by the next start
#[test]
fn what_outlives_both_ends_is_swept_by_the_next_run() {
    need!("F-37d, P-4", Need::CgroupKill);
    let scene = scene!();
    let pids = scene.path("pids");
    scene.guard(|guard| guard.track(&pids));
    let mut ready = scene.ready("ready");
    let script =
        format!("\"$W\" fork-twice 2 pids redirect ignore; echo up > {}; sleep 300 # {{}}", ready.as_str());
    let running =
        scene.psmith(["-j3", "-s", &script, ":::", "a", "b", "c"]).env("W", wicked()).forbid("").start();
    ready.lines(3);
    let warden = proc::warden_of(running.pid()).expect("it is alive");
    // Neither can send a last message.
    running.signal(Signal::STOP);
    assert!(send(warden, Signal::STOP));
    assert!(send(warden, Signal::KILL));
    running.signal(Signal::KILL);
    let _ = running.wait();
    scene.psmith(["echo", ":::", "next"]).forbid("").run().assert_code(0).assert_out("next\n");
    scene.assert_no_survivors();
}

// proves: F-37b: a warden that always dies ends the run with psmith's own error, not with an endless loop
#[test]
fn a_warden_lost_again_and_again_ends_the_run() {
    let scene = scene!();
    let script = "kill -9 $PPID; sleep 300 # {}";
    // With keepers the parent is the job's own, and dies alone.
    let ended = scene.psmith(["-j1", "-s", script]).stdin(numbers(50)).at_any_level().limit(LIMIT).run();
    ended.assert_code(125).assert_err_has("psmith: error: ").assert_err_has("warden");
    scene.assert_no_survivors();
}
