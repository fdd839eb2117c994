//! Test that a link-time entry runs before `main`, sees the arguments, and may take over the process.
//!
//! Without the test harness, so that the order of entry and `main` can be seen. Run it with `--release` for the
//! proof that link-time optimisation keeps it.
// As the crates that use the macro are: with unsafe code denied.
#![deny(unsafe_code)]

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

static RUNS: AtomicUsize = AtomicUsize::new(0);

psmith_sys::link_time_entry!(before_main);

fn before_main() {
    RUNS.fetch_add(1, Ordering::Relaxed);
    if std::env::args().nth(1).as_deref() == Some("take over") {
        // Threads, panics that are caught, and output work although std's runtime has not begun.
        let word = std::thread::spawn(|| std::env::args().nth(2).unwrap()).join().unwrap();
        std::panic::set_hook(Box::new(|_| {}));
        assert!(std::panic::catch_unwind(|| panic!("caught")).is_err());
        println!("took over: {word}");
        std::process::exit(7);
    }
}

fn main() {
    assert_eq!(RUNS.load(Ordering::Relaxed), 1, "the entry has run before main, once");
    let myself = std::env::current_exe().unwrap();
    let output = Command::new(myself).args(["take over", "an argument"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "took over: an argument\n");
}
