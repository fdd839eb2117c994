//! The two ends of a run break: the producer that reads inputs, and the consumer that takes outcomes. Accepted jobs are
//! finished and reported, and the error is psmith's own.

use psmith_testkit::need::{Need, mount_tmpfs};
use psmith_testkit::records::{RecordedEvents, joblog};
use psmith_testkit::{Scene, need, scene};

/// Asserts one error of psmith's own, and that every job that was started has its end.
fn assert_reported(scene: &Scene, ended: &psmith_testkit::cmd::EndedCommand, rows: usize) {
    ended.assert_code(125).assert_err_has("psmith: error: ");
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    assert_eq!(joblog(&scene.text("j")).len(), rows, "{}", ended.err());
}

// proves: F-32: at the first item
#[test]
fn an_input_that_cannot_be_read_is_an_error_before_the_first_job() {
    let scene = scene!();
    let ended = scene.shell("\"$PSMITH\" -s 'echo {} > ran' < .").run();
    ended.assert_code(125).assert_out("").assert_err_has("psmith: error: ");
    let ended = scene.psmith(["-s", "echo {} > ran", "::::", "nosuch"]).run();
    ended.assert_code(125).assert_out("").assert_err_has("nosuch");
    let ended = scene.psmith(["-a", "nosuch", "-s", "echo {} > ran"]).run();
    ended.assert_code(125).assert_out("").assert_err_has("nosuch");
    assert!(!scene.path("ran").exists());
}

/// A terminal that gives an input error during a run: EIO, once its other end is closed.
const HALF_AN_INPUT: &str = r#"
import os, pty, subprocess, sys
master, slave = pty.openpty()
import tty
tty.setraw(slave)
child = subprocess.Popen(sys.argv[1:], stdin=slave, start_new_session=True)
os.close(slave)
os.write(master, b"1\n2\n3\n")
with open("ready") as fifo:
    for _ in range(3):
        fifo.readline()
os.close(master)
sys.exit(child.wait() % 256)
"#;

// proves: F-32: in the middle, once jobs are running: they finish and are delivered, then the error is reported
#[test]
fn an_input_that_breaks_off_lets_the_accepted_jobs_finish() {
    need!("F-32", Need::Program("python3"));
    let scene = scene!();
    let _ready = rustix::fs::mkfifoat(rustix::fs::CWD, scene.path("ready"), rustix::fs::Mode::RWXU);
    // Jobs hold the FIFO open for the reader; each prints one line and waits for the break.
    let script = "exec 8<>ready; echo {} >&8; sleep 0.3; echo {}";
    let ended = scene
        .program("python3")
        .args(["-c", HALF_AN_INPUT])
        .arg(scene.psmith_path())
        .args(["-j3", "-k", "--joblog", "j", "--events", "e", "-s", script])
        .run();
    ended.assert_code(125).assert_err_has("psmith: error: cannot read stdin: input/output error");
    ended.assert_err_lacks("jobs stopped");
    ended.assert_out("1\n2\n3\n");
    assert_eq!(joblog(&scene.text("j")).len(), 3);
    RecordedEvents::parse(&scene.text("e")).assert_whole();
}

// proves: F-32: a record that is malformed in the midst of the input
#[test]
fn a_malformed_record_lets_the_accepted_jobs_finish() {
    let scene = scene!();
    let ended = scene
        .psmith(["-j1", "-k", "--csv", "--joblog", "j", "--events", "e", "echo", "{2}{1}"])
        .stdin("a,b\nc,d\n\"never closed,e\nf,g\n")
        .run();
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    assert!(ended.out().starts_with("ba\ndc\n"), "{}", ended.out());
    assert!(ended.code() == 125 || ended.code() == 0, "{}", ended.err());
}

// proves: F-33, F-52: stdout is full at the first byte, in the middle, at the last
#[test]
fn a_full_stdout_is_reported_with_the_jobs_that_are_left() {
    need!("F-33", Need::Tmpfs);
    for (jobs, before) in [(1, 0), (40, 0), (40, 9)] {
        let scene = scene!();
        let disk = scene.path("disk");
        std::fs::create_dir(&disk).expect("a directory");
        let _mounted = mount_tmpfs(&disk, "1m").expect("probed");
        std::fs::write(disk.join("out"), "").expect("an empty file");
        let inputs: String = (1..=jobs).map(|n| format!("{n}\n")).collect();
        let script = format!(
            "if [ {{}} -gt {before} ]; then head -c 2000000 /dev/zero; else head -c 100000 /dev/zero; fi"
        );
        let ended = scene
            .psmith(["-j1", "-k", "--retries", "2", "--joblog", "j", "--events", "e", "-s", &script])
            .stdin(inputs)
            .stdout_file(disk.join("out"))
            .run();
        ended.assert_err_has("no space left on device");
        assert_reported(&scene, &ended, before);
    }
}

// proves: F-33: an outcome that was not delivered is offered again by the next run, with the same number
#[test]
fn what_was_not_delivered_is_run_again_on_resume() {
    need!("F-33", Need::DevFull);
    let scene = scene!();
    let words =
        ["-j2", "-k", "--joblog", "j", "--resume", "--events", "e", "-s", "echo {}", ":::", "a", "b", "c"];
    let ended = scene.psmith(words).stdout_file("/dev/full").run();
    ended.assert_code(125).assert_err_has("no space left on device");
    assert!(joblog(&scene.text("j")).is_empty(), "nothing was delivered");
    scene.psmith(words).run().assert_code(0).assert_out("a\nb\nc\n");
}
