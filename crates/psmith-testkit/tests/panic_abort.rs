//! Tests of a program that is built with `panic = "abort"`. Here rather than beside the library's tests because it is
//! built by the test, once: those are repeated as other users, who have no cargo.

mod outside;

use std::path::PathBuf;
use std::process::Command;

use psmith_testkit::leak::{LeakGuard, NONCE};

const PROGRAM: &str = r#"
use psmith::Isolation::{PerJob, Reuse};

fn main() {
    psmith::init();
    let halve = |n: u32| if n % 2 == 1 { panic!("{n} is odd") } else { n / 2 };
    for isolation in [PerJob, Reuse] {
        for got in psmith::map([4, 5, 6], halve).workers(1).isolation(isolation).output(psmith::Output::Discard) {
            match got {
                Ok(half) => println!("{half}"),
                Err(failure) => println!(
                    "{:?} {:?} {} {:?}",
                    failure.cause,
                    failure.exit.unwrap(),
                    failure.attempts,
                    String::from_utf8_lossy(&failure.stderr_tail),
                ),
            }
        }
    }
}
"#;

/// Builds it.
fn build() -> PathBuf {
    let dir = outside::package("panic-abort", "panic = \"abort\"\ndebug = false", &[("aborts", PROGRAM)]);
    let output = outside::cargo(&dir).args(["build", "--quiet", "--offline"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir.join("target/debug/aborts")
}

// proves: F-3
#[test]
fn in_a_program_built_to_abort_a_panic_is_told_as_one() {
    let program = build();
    let guard = LeakGuard::new();
    let output =
        Command::new(program).env(NONCE, guard.nonce()).env_remove("RUST_BACKTRACE").output().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let aborted = "Panic { message: \"5 is odd\", location: \"src/bin/aborts.rs:6:42\", backtrace: \"\" } \
                   Signal { signal: 6, core_dumped: false } 1 \"\"";
    let expected = ["2", aborted, "3", "2", aborted, "3"].join("\n");
    assert_eq!(said.trim_end(), expected, "{complained}");
}
