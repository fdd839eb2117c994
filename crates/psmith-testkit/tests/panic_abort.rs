//! Tests of a program that is built with `panic = "abort"`. Here rather than beside the library's tests because it is
//! built by the test, once: those are repeated as other users, who have no cargo.

use std::fs;
use std::path::{Path, PathBuf};
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

/// Builds a package of its own, with the workspace's versions; the result of an earlier build is used again.
fn build() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panic-abort");
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest = format!(
        "[package]\nname = \"aborts\"\nedition = \"2024\"\n[workspace]\n[dependencies]\npsmith = {{ path = {:?} }}\n\
         [profile.dev]\npanic = \"abort\"\ndebug = false\n",
        crates.join("psmith")
    );
    fs::create_dir_all(dir.join("src")).unwrap();
    let lock = fs::read(crates.with_file_name("Cargo.lock")).unwrap();
    let files =
        [("Cargo.toml", manifest.as_bytes()), ("Cargo.lock", &lock), ("src/main.rs", PROGRAM.as_bytes())];
    for (name, content) in files {
        let path = dir.join(name);
        // Untouched where it is the same: cargo goes by its time.
        if fs::read(&path).ok().as_deref() != Some(content) {
            fs::write(path, content).unwrap();
        }
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("run by cargo"));
    cargo.args(["build", "--quiet", "--offline"]).current_dir(&dir);
    // Not those of the run that this test belongs to.
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_PROFILE_DEV_PANIC", "MAKEFLAGS"] {
        cargo.env_remove(variable);
    }
    let output = cargo.output().unwrap();
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
    let aborted = "Panic { message: \"5 is odd\", location: \"src/main.rs:6:42\", backtrace: \"\" } \
                   Signal { signal: 6, core_dumped: false } 1 \"\"";
    let expected = ["2", aborted, "3", "2", aborted, "3"].join("\n");
    assert_eq!(said.trim_end(), expected, "{complained}");
}
