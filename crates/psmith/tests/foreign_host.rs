//! psmith in a shared library of a program that knows nothing of it: the example `foreign_host`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use psmith_testkit::leak::{LeakGuard, NONCE};
use psmith_testkit::{example, example_library};

/// Lets the library work in `/bin/true`, and returns what it wrote.
fn load(guard: &LeakGuard, args: &[&str]) -> String {
    let library = example_library("foreign_host");
    let mut host = Command::new("/bin/true");
    let host = host.arg0("foreign-host").args(args).env("LD_PRELOAD", library).env(NONCE, guard.nonce());
    let output = host.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && out.ends_with("done\n"), "{out}\n{err}");
    out
}

// proves: F-68
#[test]
fn every_face_in_a_foreign_program_answers_an_error_that_says_why() {
    let guard = LeakGuard::new();
    let out = load(&guard, &[]);
    let answers: Vec<&str> = out.lines().filter(|line| *line != "done").collect();
    assert_eq!(answers.len(), 10, "{out}");
    for answer in answers {
        assert!(answer.contains("psmith lies in a shared library of this program"), "{answer}");
        assert!(answer.contains("warden_program"), "{answer}");
    }
}

// proves: F-68, functions-and-commands
#[test]
fn commands_run_in_a_foreign_program_that_names_a_warden_and_functions_say_why_not() {
    let guard = LeakGuard::new();
    // Any program that uses psmith, in this version of it.
    let warden = example("test_runner");
    let out = load(&guard, &[warden.to_str().unwrap()]);
    let answers: Vec<&str> = out.lines().filter(|line| *line != "done").collect();
    assert_eq!(answers.len(), 5, "{out}");
    for answer in answers {
        assert!(answer.contains("functions cannot be run from a shared library"), "{answer}");
    }
}
