//! The example of a runner of test commands, as its users see it.

use std::io::Write;
use std::process::{Command, Stdio};

use psmith_testkit::leak::LeakGuard;

/// What it printed, and whether it succeeded.
fn run(tests: &[&str], workers: Option<&str>) -> (String, String, bool) {
    let mut command = Command::new(psmith_testkit::example("test_runner"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("PSMITH_WORKERS").envs(workers.map(|workers| ("PSMITH_WORKERS", workers)));
    let mut runner = command.spawn().unwrap();
    let mut stdin = runner.stdin.take().unwrap();
    // One that cannot run anything may be gone by now.
    let _ = stdin.write_all(tests.join("\n").as_bytes());
    drop(stdin);
    let ended = runner.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(ended.stdout), text(ended.stderr), ended.status.success())
}

// proves: test-runner
#[test]
fn a_test_runner_lists_all_in_order_shows_failures_whole_and_succeeds_if_all_passed() {
    let _guard = LeakGuard::new();
    let long = "seq 20000; echo why >&2; exit 3";
    let (stdout, stderr, ok) = run(&["sleep 0.2; echo hidden", long, "echo hidden >&2", "kill -9 $$"], None);
    assert!(!ok);
    let numbers: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    let expected = format!(
        "ok   sleep 0.2; echo hidden\n{numbers}FAIL {long}\n     job #2 ({long}): its process exited with code 3\n\
         ok   echo hidden >&2\nFAIL kill -9 $$\n     job #4 (kill -9 $$): killed by SIGKILL\n2 passed, 2 failed\n"
    );
    assert_eq!(stdout, expected);
    assert_eq!(stderr, "why\n");

    let (stdout, stderr, ok) = run(&["true", "true"], None);
    assert_eq!(
        (stdout.as_str(), stderr.as_str(), ok),
        ("ok   true\nok   true\n2 passed, 0 failed\n", "", true)
    );
}

// proves: test-runner: the number of workers
#[test]
fn a_test_runner_runs_two_at_once_at_least_and_as_many_as_the_environment_sets() {
    let _guard = LeakGuard::new();
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Each end of a pipe waits for the other to be opened: both run at once, or none ends.
    let (read, write) = (format!("cat {}", fifo.display()), format!("echo > {}", fifo.display()));
    assert!(run(&[&read, &write], None).2);
    // One at a time: each finds no other beside it.
    let alone = format!("mkdir {0}/alone && sleep 0.05 && rmdir {0}/alone", dir.path().display());
    assert!(run(&[&alone, &alone, &alone], Some("1")).2);
    let (stdout, _, ok) = run(&["true"], Some("none"));
    assert!(!ok && stdout.contains("PSMITH_WORKERS=none"), "{stdout}");
}
