//! Tests of the kit itself: a leak check that finds nothing would prove nothing.

use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use psmith_testkit::leak::LeakGuard;
use psmith_testkit::pty::{OnTerminal, ShellReport};
use psmith_testkit::{Scene, Signal, proc, wicked};

fn scene() -> Scene {
    Scene::new(wicked())
}

/// The leaks of these tests are there from the start: nothing has to settle.
fn check_now(guard: &mut LeakGuard) {
    guard.settle_within(Duration::ZERO);
    guard.check();
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_command_s_output_and_status_come_back() {
    let scene = scene();
    let ended = scene.shell("cat; echo err >&2; exit 3").stdin("in").run();
    ended.assert_code(3).assert_out("in").assert_err_has("err");
    let killed = scene.psmith(["kill-self", "KILL"]).run();
    assert_eq!((killed.code(), killed.signal()), (137, Some(9)));
}

#[test]
fn a_daemon_left_behind_is_found_named_and_killed() {
    let scene = scene();
    let pids = scene.path("pids");
    scene.psmith(["fork-twice", "2", pids.to_str().unwrap(), "redirect"]).run().assert_code(0);
    let left = scene.guard(|guard| guard.survivors());
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(proc::stat(left[0]).unwrap().session != proc::stat(1).unwrap().session);
    let failure = catch_unwind(AssertUnwindSafe(|| scene.guard(check_now))).expect_err("a leak is a failure");
    let failure = message(failure);
    assert!(
        failure.contains(&left[0].to_string()) && failure.contains("announce-and-wait")
            || failure.contains("daemon-step"),
        "{failure}"
    );
    assert!(scene.guard(|guard| guard.survivors_after(Duration::from_secs(5))).is_empty());
}

#[test]
fn a_daemon_without_environment_is_found_by_its_pid_file() {
    let scene = scene();
    let pids = scene.path("pids");
    scene.guard(|guard| guard.track(&pids));
    scene
        .psmith(["fork-twice", "3", pids.to_str().unwrap(), "clear-env", "redirect", "ignore"])
        .run()
        .assert_code(0);
    let left = scene.guard(|guard| guard.survivors());
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(proc::with_environment(&scene.guard(|guard| guard.mark())).is_empty());
    scene.guard(|guard| guard.forgive());
}

#[test]
fn a_temporary_file_left_behind_is_found() {
    let scene = scene();
    let file = scene.tmp().join("forgotten");
    std::fs::write(&file, "").unwrap();
    let failure = message(catch_unwind(AssertUnwindSafe(|| scene.guard(check_now))).expect_err("a leak"));
    assert!(failure.contains("forgotten"), "{failure}");
}

#[test]
fn a_descriptor_a_thread_and_a_child_left_behind_are_found() {
    let mut guard = LeakGuard::alone();
    guard.settle_within(Duration::ZERO);
    let file = std::fs::File::open("/proc/self/status").unwrap();
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let (up, is_up) = std::sync::mpsc::channel::<()>();
    let body = move || {
        // A thread sets its name itself; from here on it has it.
        up.send(()).unwrap();
        wait.recv().is_ok()
    };
    let thread = std::thread::Builder::new().name("psmith loop".into()).spawn(body).unwrap();
    is_up.recv().unwrap();
    let failure = message(catch_unwind(AssertUnwindSafe(|| guard.check())).expect_err("a leak"));
    for wanted in ["/status", "psmith loop", "sleep 100"] {
        assert!(failure.contains(wanted), "no {wanted} in {failure}");
    }
    guard.settle_within(Duration::from_secs(5));
    drop((file, end));
    thread.join().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    guard.check();
}

#[test]
fn ignore_term_ignores_what_it_says() {
    let scene = scene();
    let mut ready = scene.ready("ready");
    let running = scene.psmith(["ignore-term", ready.as_str()]).start();
    ready.wait();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        running.signal(signal);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 0x4007, 0x4007, "HUP INT QUIT TERM in {ignored}");
    running.signal(Signal::KILL);
    assert_eq!(running.wait().signal(), Some(9));
}

#[test]
fn each_violent_hazard_dies_as_it_says() {
    let scene = scene();
    for (args, signal) in [
        (&["segv"][..], 11),
        (&["abort"], 6),
        (&["ill"], 4),
        (&["fpe"], 8),
        (&["stack-overflow"], 6),
        (&["kill-self", "SEGV"], 11),
        (&["kill-self", "BUS"], 7),
        (&["kill-self", "TERM"], 15),
    ] {
        assert_eq!(scene.psmith(args).run().signal(), Some(signal), "{args:?}");
    }
    scene.psmith(["exec-fail"]).run().assert_code(127);
    scene.psmith(["exit", "42"]).run().assert_code(42);
}

#[test]
fn each_memory_hazard_allocates_and_each_flood_floods() {
    let scene = scene();
    scene.psmith(["eat-memory", "3000000"]).run().assert_code(0).assert_out("ate 3\n");
    scene.psmith(["open-files", "5"]).run().assert_code(0).assert_out("5\n");
    let path = scene.path("f");
    scene.psmith(["write-file", "10000", path.to_str().unwrap()]).run().assert_code(0);
    assert_eq!(scene.read("f").len(), 10_000);
    assert_eq!(scene.psmith(["flood", "1000000"]).run().stdout.len(), 1_000_000);
    assert_eq!(scene.psmith(["no-newline", "100001", "stderr"]).run().stderr.len(), 100_001);
    assert!(scene.psmith(["escape-sequences"]).run().stdout.contains(&0xff));
    scene.psmith(["fork-many", "3"]).run().assert_out("3\n");
    scene.guard(|guard| guard.forgive());
}

#[test]
fn the_reports_are_true() {
    use std::os::unix::ffi::OsStrExt;
    let scene = scene();
    // More than these if the parent of the test left some open.
    assert!(scene.psmith(["list-fds"]).run().out().starts_with("0\n1\n2\n"));
    let odd = std::ffi::OsStr::from_bytes(b"\xff\n -");
    scene.psmith(["print-argv-hex", "a", ""]).arg(odd).run().assert_out("61\n-\nff0a202d\n");
    let status = scene.psmith(["print-status"]).run();
    status.assert_code(0);
    for wanted in ["pdeathsig 0", "SigBlk 0000000000000000", "nofile "] {
        assert!(status.out().contains(wanted), "{}", status.out());
    }
}

#[test]
fn a_terminal_stops_continues_and_interrupts_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("cat-it");
    std::fs::write(&script, "#!/bin/sh\necho standing\nexec cat\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let scene = Scene::new(&script);
    let mut terminal = OnTerminal::start(&scene, &[], &[]);
    terminal.wait_for_screen("standing");
    assert!(terminal.is_cooked());
    terminal.type_keys(b"\x1a");
    assert_eq!(terminal.next_report(), ShellReport::Stopped(20));
    terminal.foreground();
    terminal.type_keys(b"hello\n");
    terminal.wait_for_screen("hello\r\nhello");
    terminal.type_keys(b"\x03");
    assert_eq!(terminal.next_report(), ShellReport::Signaled(2));
}

#[test]
fn a_closed_terminal_hangs_up_the_command() {
    let scene = Scene::new("/bin/cat");
    let mut terminal = OnTerminal::start(&scene, &[], &[]);
    terminal.type_keys(b"x\n");
    terminal.wait_for_screen("x\r\nx");
    terminal.hang_up();
    terminal.wait_gone();
}

/// Checks that a probe leaves nothing behind, whatever the machine can do, and that a refusal has a reason.
#[test]
fn probes_have_a_result_and_clean_up() {
    for need in psmith_testkit::need::Need::MACHINE {
        let answer = need.probe();
        println!("{}: {answer:?}", need.name());
        assert!(answer.err().is_none_or(|reason| !reason.is_empty()));
    }
    let own = format!("probe-of-test-{}", std::process::id());
    for mount in psmith_testkit::leak::group_mounts() {
        let left = std::fs::read_dir(&mount).into_iter().flatten().flatten();
        assert!(!left.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(&own)));
    }
}
