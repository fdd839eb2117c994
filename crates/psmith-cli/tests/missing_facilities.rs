//! Starts that fail for want of something: one line that names the call, what psmith wanted it for, and the doctor, whose
//! remedy fits the cause.

use std::path::PathBuf;

use psmith_testkit::cmd::Cmd;
use psmith_testkit::need::Need;
use psmith_testkit::{Scene, need, scene, wicked};

const EPERM: &str = "1";
const ENOSYS: &str = "38";

/// The run of a job and the doctor's visit, both begun with these words.
fn both<'s>(scene: &'s Scene, begin: impl Fn() -> Cmd<'s>) -> (String, String) {
    let run = begin().arg(scene.psmith_path()).args(["echo", ":::", "a"]).run();
    run.assert_code(125);
    let err = run.err();
    let errors: Vec<&str> = err.lines().filter(|line| line.starts_with("psmith: error: ")).collect();
    assert!(errors.len() == 1 && !err.contains("warning"), "{err}");
    (errors[0].to_owned(), begin().arg(scene.psmith_path()).arg("doctor").run().out())
}

// proves: F-67
#[test]
fn a_call_that_a_filter_refuses_is_named_with_what_it_was_for_and_the_doctor_says_how_to_allow_it() {
    let cases = [
        ("pidfd_open", "pidfd_open, to watch the warden"),
        ("signalfd4", "signalfd4, to take signals"),
        ("prctl", "prctl(PR_SET_CHILD_SUBREAPER), to be given what jobs leave behind"),
        ("clone3", "clone3, for a thread"),
    ];
    for (call, words) in cases {
        for errno in [ENOSYS, EPERM] {
            let scene = scene!();
            let begin = || scene.program(wicked()).args(["refuse", call, errno]);
            if (call, errno) == ("clone3", ENOSYS) {
                // There is a way round it.
                begin()
                    .arg(scene.psmith_path())
                    .args(["echo", ":::", "a"])
                    .run()
                    .assert_code(0)
                    .assert_out("a\n");
                continue;
            }
            let (error, doctor) = both(&scene, begin);
            let reason = if errno == EPERM { "operation not permitted" } else { "function not implemented" };
            assert!(error.contains(words) && error.contains(reason), "{error}");
            assert!(error.contains("psmith doctor"), "{error}");
            assert!(doctor.contains(&format!("remedy: allow {call} in the seccomp profile")), "{doctor}");
        }
    }
}

// proves: F-68
#[test]
fn without_proc_or_dev_null_that_is_said() {
    need!("F-68", Need::Root);
    need!("F-68", Need::Program("unshare"));
    let cases = [
        (
            "/proc",
            "execve of /proc/self/exe, to start the warden",
            "/proc is not mounted",
            "mount -t proc proc /proc",
        ),
        (
            "/dev",
            "open of /dev/null, for the standard streams",
            "no such file or directory",
            "mknod -m 666 /dev/null",
        ),
    ];
    for (hidden, words, reason, remedy) in cases {
        let scene = scene!();
        let script = format!("mount -t tmpfs none {hidden} && exec \"$@\"");
        let begin = || scene.program("unshare").args(["--mount", "sh", "-c", &script, "sh"]);
        let (error, doctor) = both(&scene, begin);
        assert!(
            error.contains(words) && error.contains(reason) && error.contains("psmith doctor"),
            "{error}"
        );
        assert!(doctor.contains(&format!("remedy: {remedy}")), "{doctor}");
    }
}

/// The loader of this test, which is that of the command.
fn loader() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mut paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).map(PathBuf::from);
    paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-")))
}

// proves: F-68
#[test]
fn a_command_that_was_started_through_the_loader_says_so() {
    let loader = loader().expect("the tests are linked dynamically");
    let scene = scene!();
    let (error, doctor) = both(&scene, || scene.program(&loader));
    assert!(error.contains(&format!("started through {}", loader.display())), "{error}");
    assert!(error.contains("to start the warden") && error.contains("psmith doctor"), "{error}");
    let remedy = format!("remedy: start the program itself, not through {}", loader.display());
    assert!(doctor.contains(&remedy), "{doctor}");
}
