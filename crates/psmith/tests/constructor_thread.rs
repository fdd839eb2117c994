//! A program with a constructor that starts a thread before `main`: also in its warden, which then must not fork.

use std::process::Command;

use psmith::Isolation;
use psmith_testkit::leak::{LeakGuard, NONCE};

/// What some libraries do when they are loaded. A constructor of the program's own comes before psmith's entry.
fn start_a_thread() {
    std::thread::spawn(|| {
        loop {
            std::thread::park();
        }
    });
}

psmith_sys::link_time_entry!(crate::start_a_thread);

/// What the kernel shows of the worker that this is called in.
fn image_name(_: u32) -> String {
    // The program's own arguments follow.
    let words = String::from_utf8(std::fs::read("/proc/self/cmdline").unwrap()).unwrap();
    words.split('\0').next().unwrap().to_owned()
}

// proves: F-50a
#[test]
fn where_a_constructor_starts_a_thread_workers_are_executed_and_a_warning_is_printed_once() {
    const AGAIN: &str = "PSMITH_TEST_AGAIN";
    psmith::init();
    if std::env::var_os(AGAIN).is_none() {
        let guard = LeakGuard::alone();
        let mut copy = Command::new(std::env::current_exe().unwrap());
        let output = copy.arg("--nocapture").env(AGAIN, "1").env(NONCE, guard.nonce()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}{stderr}", String::from_utf8_lossy(&output.stdout));
        let about = "psmith: warning: before main this program has 2 threads already";
        assert_eq!(stderr.matches(about).count(), 1, "{stderr}");
        // return: the copy has shown the rest
        return;
    }
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let names = psmith::map(0..20, image_name).workers(2).isolation(isolation);
        assert!(names.map(Result::unwrap).all(|name| name == "psmith-worker"), "{isolation:?}");
    }
    // Their ends are reported as any worker's.
    let abort = |_: u32| -> u32 { std::process::abort() };
    let failure =
        psmith::map([1], abort).output(psmith::Output::Discard).into_iter().next().unwrap().unwrap_err();
    assert!(matches!(failure.cause, psmith::Cause::Signal { signal: 6, .. }), "{failure}");
}
