//! The interrupt ladder, the drain, Ctrl-Z, USR1, and the quiet end at a closed pipe: on a terminal and without.

use psmith_testkit::cmd::RunningCommand;
use psmith_testkit::pty::{OnTerminal, ShellReport};
use psmith_testkit::records::{RecordedEvents, joblog};
use rustix::process::{Pid, kill_process};

use psmith_testkit::{OUTER_LIMIT, Ready, Scene, Signal, need, need::Need, proc, scene, wicked};

/// Returns a job that waits, then cleans up when it is terminated.
fn clean_job(ready: &str) -> String {
    format!("trap 'echo cleaned {{}}; exit 0' TERM; echo wrote {{}}; echo up > {ready}; sleep 300 & wait")
}

/// Returns a job that reports its termination, and continues.
fn stubborn_job(ready: &str) -> String {
    format!("trap 'echo termed > {ready}' TERM; echo up > {ready}; while :; do sleep 300 & wait; done # {{}}")
}

/// Starts two jobs that have been asked to end, and do not; psmith kills none by itself.
fn interrupted(scene: &Scene, ready: &mut Ready) -> RunningCommand {
    let running = scene
        .psmith(["-j2", "--term-seq", "TERM,600000,KILL,25", "-s", &stubborn_job(ready.as_str())])
        .args([":::", "a", "b"])
        .start();
    ready.lines(2);
    running.signal(Signal::INT);
    running
}

fn first_signal(signal: Signal, number: i32, name: &str) {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let running = scene
        .psmith(["-j2", "-k", "--joblog", "j", "--events", "e", "-s", &clean_job(ready.as_str())])
        .args([":::", "a", "b", "c", "d"])
        .start();
    ready.lines(2);
    running.signal(signal);
    let ended = running.wait();
    assert_eq!(ended.signal(), Some(number), "the parent sees the signal: {}", ended.err());
    ended.assert_out("wrote a\ncleaned a\nwrote b\ncleaned b\n");
    assert!(joblog(&scene.text("j")).is_empty(), "a job cut short has no row");
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    let end = events.run_end();
    assert_eq!(
        (&end["cancelled"], &end["left"], &end["stopped_by"], &end["exit"]),
        (&2.into(), &2.into(), &name.into(), &(128 + number).into()),
        "{end}"
    );
    // The command to type to resume.
    ended.assert_err_has("--resume");
}

// proves: F-46, P-9
#[test]
fn the_first_int_terminates_and_delivers_what_was_written() {
    first_signal(Signal::INT, 2, "INT");
}

// proves: F-47
#[test]
fn the_first_term_does_as_int() {
    first_signal(Signal::TERM, 15, "TERM");
}

// proves: F-46, job-control
#[test]
fn the_second_int_kills() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let running = interrupted(&scene, &mut ready);
    assert_eq!(ready.lines(2), ["termed", "termed"]);
    running.signal(Signal::INT);
    assert_eq!(running.wait().signal(), Some(2));
}

// proves: F-46: the ladder ends the run whatever the jobs do
#[test]
fn many_ints_at_once_end_the_run() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let running = interrupted(&scene, &mut ready);
    ready.lines(1);
    while !running.has_ended() {
        running.signal(Signal::INT);
        std::thread::yield_now();
    }
    assert_eq!(running.wait().signal(), Some(2));
}

// proves: F-46
#[test]
fn quit_kills_at_once() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let job = format!("trap 'echo termed' TERM QUIT; echo up > {}; sleep 300 & wait # {{}}", ready.as_str());
    let running =
        scene.psmith(["-j2", "--term-seq", "TERM,600000,KILL,25", "-s", &job, ":::", "a", "b"]).start();
    ready.lines(2);
    running.signal(Signal::QUIT);
    let ended = running.wait();
    assert_eq!(ended.signal(), Some(3));
    ended.assert_out("");
}

// proves: F-47
#[test]
fn hup_drains() {
    for (code_of_job, exit) in [(0, 122), (5, 1)] {
        let scene = scene!();
        let mut ready = scene.ready("ready");
        let job = format!(
            "echo up > {}; while [ ! -e go ]; do sleep 0.05; done; echo {{}}; exit {code_of_job}",
            ready.as_str()
        );
        let running = scene.psmith(["-j1", "--events", "e", "-s", &job, ":::", "a", "b", "c"]).start();
        ready.wait();
        running.signal(Signal::HUP);
        // Listed while draining: by then the HUP, which was sent first, has been received too.
        running.signal(Signal::USR1);
        running.wait_for_err("while [ ! -e go ]");
        scene.write("go", "");
        let ended = running.wait();
        ended.assert_code(exit).assert_out("a\n");
        let events = RecordedEvents::parse(&scene.text("e"));
        assert_eq!(events.run_end()["left"], 2);
    }
}

#[test]
fn what_nohup_ignores_stays_ignored() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let job = format!("echo up > {}; while [ ! -e go ]; do sleep 0.05; done; echo {{}}", ready.as_str());
    let running =
        scene.shell("trap '' HUP; exec \"$PSMITH\" -j1 -k -s \"$JOB\" ::: a b c").env("JOB", job).start();
    ready.wait();
    running.signal(Signal::HUP);
    scene.write("go", "");
    running.wait().assert_code(0).assert_out("a\nb\nc\n");
}

#[test]
fn usr1_lists_the_running_and_usr2_is_ignored() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let job = format!("echo up > {}; while [ ! -e go ]; do sleep 0.05; done; : {{}}", ready.as_str());
    let running = scene.psmith(["-j2", "-s", &job, ":::", "first", "second"]).start();
    ready.lines(2);
    running.signal(Signal::USR2);
    running.signal(Signal::USR1);
    running.wait_for_err("first");
    running.wait_for_err("second");
    scene.write("go", "");
    running.wait().assert_code(0).assert_out("");
}

// proves: F-42
#[test]
fn a_closed_stdout_ends_the_run_quietly() {
    let scene = scene!();
    let ended = scene.shell("{ seq 100000 | \"$PSMITH\" -j2 -k echo; echo $? > code; } | head -1").run();
    ended.assert_code(0).assert_out("1\n").assert_quiet();
    assert_eq!(scene.text("code"), "141\n");
}

// proves: F-42: with a job that has written and still runs
#[test]
fn a_closed_stdout_terminates_the_running() {
    let scene = scene!();
    let ended = scene
        .shell("{ \"$PSMITH\" -j2 --lb -s 'if [ {} = 1 ]; then seq 100000; fi; sleep 300' ::: 1 2; echo $? > code; } | head -1")
        .run();
    ended.assert_code(0).assert_out("1\n").assert_quiet();
    assert_eq!(scene.text("code"), "141\n");
}

// proves: F-47: a full device is an error of psmith's, and no signal
#[test]
fn a_full_stdout_is_an_error_that_counts() {
    need!("F-47", Need::DevFull);
    let scene = scene!();
    let ended = scene.psmith(["-j1", "-k", "echo", ":::", "a", "b", "c"]).stdout_file("/dev/full").run();
    ended
        .assert_code(125)
        .assert_err_has("cannot write stdout: no space left on device; ")
        .assert_err_has("--joblog FILE from the start, and --resume goes on");
    assert_eq!(ended.err().matches(" stopped, ").count(), 1, "what was stopped is said once");
}

// proves: F-46, P-10
#[test]
fn ctrl_c_on_a_terminal() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let job = clean_job(ready.as_str());
    let mut terminal = OnTerminal::start(&scene, &["-j2", "-k", "-s", &job, ":::", "a", "b", "c"], &[]);
    ready.lines(2);
    terminal.type_keys(b"\x03");
    assert_eq!(terminal.next_report(), ShellReport::Signaled(2));
    terminal.wait_for_screen("cleaned a");
    terminal.wait_for_screen("cleaned b");
    assert!(terminal.is_cooked());
}

// proves: F-46
#[test]
fn ctrl_c_twice_on_a_terminal() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let job = stubborn_job(ready.as_str());
    let options = ["-j2", "--term-seq", "TERM,600000,KILL,25", "-s", &job, ":::", "a", "b"];
    let mut terminal = OnTerminal::start(&scene, &options, &[]);
    ready.lines(2);
    terminal.type_keys(b"\x03");
    assert_eq!(ready.lines(2), ["termed", "termed"]);
    terminal.type_keys(b"\x03");
    assert_eq!(terminal.next_report(), ShellReport::Signaled(2));
    assert!(terminal.is_cooked());
}

// proves: F-46
#[test]
fn ctrl_backslash_on_a_terminal() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let job = stubborn_job(ready.as_str());
    let mut terminal = OnTerminal::start(&scene, &["-s", &job, ":::", "a"], &[]);
    ready.wait();
    terminal.type_keys(b"\x1c");
    assert_eq!(terminal.next_report(), ShellReport::Signaled(3));
    assert!(terminal.is_cooked());
}

// proves: F-48, P-8, job-control
#[test]
fn ctrl_z_stops_every_tree_and_every_clock() {
    for variables in [&[][..], &[("PSMITH_FORBID", "cgroup")], &[("PSMITH_FORBID", "cgroup,subreaper")]] {
        let scene = scene!();
        let mut ready = scene.ready("ready");
        let job = format!(
            "(while :; do echo tick >> ticks; sleep 0.05; done) & while [ ! -e ticks ]; do sleep 0.01; done; \
             echo up > {}; while [ ! -e go ]; do sleep 0.05; done; kill $!; echo through {{}}",
            ready.as_str()
        );
        let options = ["--timeout", "3", "-s", &job, ":::", "a"];
        let mut terminal = OnTerminal::start(&scene, &options, variables);
        ready.wait();
        terminal.type_keys(b"\x1a");
        assert!(matches!(terminal.next_report(), ShellReport::Stopped(_)));
        assert!(terminal.is_cooked());
        let ticks = scene.read("ticks").len();
        // sleep: longer than the timeout, since time itself is the subject
        std::thread::sleep(std::time::Duration::from_millis(3500));
        assert_eq!(scene.read("ticks").len(), ticks, "the tree stands still");
        scene.write("go", "");
        terminal.foreground();
        assert_eq!(terminal.next_report(), ShellReport::Exited(0), "{}", terminal.screen_text());
        terminal.wait_for_screen("through a");
    }
}

// proves: F-48
#[test]
fn ctrl_z_and_fg_again_and_again() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let job =
        format!("echo up > {}; while [ ! -e go ]; do sleep 0.01; done; echo through {{}}", ready.as_str());
    let mut terminal = OnTerminal::start(&scene, &["-j3", "-s", &job, ":::", "a", "b", "c"], &[]);
    ready.lines(3);
    for round in 0..100 {
        terminal.type_keys(b"\x1a");
        assert!(matches!(terminal.next_report(), ShellReport::Stopped(_)), "round {round}");
        terminal.foreground();
        // A Ctrl-Z typed before the process continues is lost with the SIGCONT: the kernel drops it.
        let deadline = std::time::Instant::now() + OUTER_LIMIT;
        while proc::stat(terminal.pid()).is_some_and(|stat| stat.state == 'T') {
            assert!(std::time::Instant::now() < deadline, "round {round}: it never goes on");
            std::thread::yield_now();
        }
    }
    scene.write("go", "");
    assert_eq!(terminal.next_report(), ShellReport::Exited(0));
}

// proves: F-48: at the weaker levels a job that had just been started was not stopped: the report of its process was
// still held back, or on its way, and a job that is not known cannot be stopped
#[test]
fn ctrl_z_stops_a_job_that_has_just_begun() {
    for variables in [&[("PSMITH_FORBID", "cgroup")], &[("PSMITH_FORBID", "cgroup,subreaper")]] {
        for round in 0..20 {
            let scene = scene!();
            let mut ready = scene.ready("ready");
            // A job that waits in `read` alone; the FIFO is held open by the test.
            let go = scene.ready("go");
            let job = format!("echo $$ > {}; read line < go; : {{}}", ready.as_str());
            let mut terminal = OnTerminal::start(&scene, &["-s", &job, ":::", "a"], variables);
            let pid: i32 = ready.lines(1)[0].parse().expect("a pid");
            terminal.type_keys(b"\x1a");
            assert!(matches!(terminal.next_report(), ShellReport::Stopped(_)));
            let deadline = std::time::Instant::now() + OUTER_LIMIT;
            // A signal takes effect a moment after it was sent.
            while proc::stat(pid).expect("it is there").state != 'T' {
                assert!(std::time::Instant::now() < deadline, "round {round} of {variables:?}: it goes on");
                std::thread::yield_now();
            }
            std::fs::write(go.path(), "\n").expect("the job reads it");
            terminal.foreground();
            assert_eq!(terminal.next_report(), ShellReport::Exited(0), "{}", terminal.screen_text());
        }
    }
}

// proves: F-48: a stopped run can be killed, and leaves nothing
#[test]
fn a_stopped_run_that_is_killed_leaves_nothing() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let job = format!("echo up > {}; sleep 300 # {{}}", ready.as_str());
    let mut terminal = OnTerminal::start(&scene, &["-j2", "-s", &job, ":::", "a", "b"], &[]);
    ready.lines(2);
    terminal.type_keys(b"\x1a");
    assert!(matches!(terminal.next_report(), ShellReport::Stopped(_)));
    terminal.signal(Signal::KILL);
    assert_eq!(terminal.next_report(), ShellReport::Signaled(9));
}

// proves: F-9: a job that was stopped by a signal is reported, and continues when it is continued
#[test]
fn a_job_stopped_from_outside_is_reported_and_continues() {
    for forbidden in ["", "cgroup", "cgroup,subreaper"] {
        let scene = scene!();
        let wicked = wicked();
        let running = scene
            .psmith(["--progress", "plain", "--events", "e"])
            .args([wicked.as_os_str(), "stop-self".as_ref(), ":::".as_ref(), "a".as_ref()])
            .forbid(forbidden)
            .start();
        running.wait_for_err("psmith: job 1 stands still, stopped by signal 19 (STOP): ");
        let events = RecordedEvents::wait_for(&scene.path("e"), "job_stopped", 1);
        let pid = events.named("job_start")[0]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).expect("a start names its process");
        // Not yet reaped: it is stopped.
        kill_process(pid, Signal::CONT).expect("it is there");
        running.wait().assert_code(0).assert_out("continued\n");
        let events = RecordedEvents::parse(&scene.text("e"));
        events.assert_whole();
        assert_eq!(events.named("job_stopped").len(), 1, "{forbidden:?}");
        assert_eq!(events.named("job_stopped")[0]["signal"], 19);
    }
}

// proves: F-47
#[test]
fn a_closed_terminal_drains_without_a_hang() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let job =
        format!("echo {{}} > {}; while [ ! -e go ]; do sleep 0.05; done; echo out {{}}", ready.as_str());
    let mut terminal = OnTerminal::start(&scene, &["-j1", "-s", &job, ":::", "a", "b"], &[]);
    ready.wait();
    terminal.hang_up();
    scene.write("go", "");
    terminal.wait_gone();
}

// proves: F-30, P-10
#[test]
fn jobs_cannot_touch_the_terminal() {
    let scene = scene!();
    let job = "cat; (stty -echo < /dev/tty) 2>/dev/null || echo no tty; echo {}";
    let mut terminal = OnTerminal::start(&scene, &["-k", "-s", job, ":::", "a"], &[]);
    assert_eq!(terminal.next_report(), ShellReport::Exited(0));
    terminal.wait_for_screen("no tty");
    assert!(terminal.is_cooked());
}

#[test]
fn input_awaited_from_a_terminal_is_said_and_read() {
    let scene = scene!();
    let mut terminal = OnTerminal::start(&scene, &["-k", "echo", "got"], &[]);
    terminal.wait_for_screen("psmith: waiting for input on the terminal, one per line; Ctrl-D ends it");
    terminal.type_keys(b"line\n");
    terminal.type_keys(b"\x04");
    assert_eq!(terminal.next_report(), ShellReport::Exited(0));
    terminal.wait_for_screen("got line");
}

/// The term sequence is the user's.
#[test]
fn another_term_sequence_is_followed() {
    let scene: Scene = scene!();
    let mut ready = scene.ready("ready");
    let job = format!(
        "trap 'echo got USR2' USR2; trap '' TERM; echo up > {}; while :; do sleep 300 & wait; done # {{}}",
        ready.as_str()
    );
    let ended = scene
        .psmith(["--timeout", "700ms", "--term-seq", "USR2,300", "-s", &job, ":::"])
        .arg("a")
        .env("W", wicked())
        .run();
    ready.wait();
    ended.assert_code(1).assert_out("got USR2\n").assert_err_has("failed: timeout after 700ms");
}
