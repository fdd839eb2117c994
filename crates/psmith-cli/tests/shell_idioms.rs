//! Scripts that the shell of `-s` cannot parse or does not know are one error before the first job, and options in the
//! environment are those of the user.

use psmith_testkit::need::Need;
use psmith_testkit::{Scene, need, scene};

fn refused(scene: &Scene, script: &str, error: &str, hint: &str) {
    let ended = scene.psmith(["-s", script, ":::", "a", "b"]).env("BASH_FUNC_doit%%", "() { echo d; }").run();
    ended.assert_code(125).assert_out("").assert_err_has(error);
    assert_eq!(ended.err().contains("--shell bash"), !hint.is_empty(), "{script}: {}", ended.err());
    assert!(ended.err().contains(hint), "{script}: {}", ended.err());
}

#[test]
fn a_script_that_cannot_be_parsed_is_one_error() {
    let scene = scene!();
    refused(&scene, "if echo {}", "cannot parse the script", "");
    refused(&scene, "echo {}; done", "cannot parse the script", "");
    // Its own parser decides, not what it would do.
    for script in
        ["for x in 1; do echo {}; done", "case {} in (a) echo a;; *) echo b; esac", "cat <<X\n1\nX\necho {}"]
    {
        scene.psmith(["-s", script, ":::", "a"]).run().assert_code(0).assert_quiet();
    }
}

#[test]
fn what_only_bash_knows_names_bash() {
    need!("idioms of bash", Need::Program("bash"));
    let scene = scene!();
    scene.write("lib", "x=1\n");
    let dash = std::fs::canonicalize("/bin/sh").is_ok_and(|shell| shell.ends_with("dash"));
    if dash {
        for (script, error) in [
            ("diff <(echo 1) <(echo {})", "cannot parse the script"),
            ("source ./lib; echo $x{}", "'source' is bash's"),
            ("set -o pipefail; echo {}", "'pipefail' is bash's"),
            ("if [[ {} = a ]]; then echo a; fi", "'[[' is bash's"),
            ("doit {}", "'doit' is bash's"),
        ] {
            refused(&scene, script, error, "psmith -s --shell bash");
        }
    }
    let args = ["-k", "-s", "--shell", "bash", "source ./lib; [[ {} = a ]] && cat <(echo $x)", ":::", "a"];
    scene.psmith(args).run().assert_code(0).assert_quiet().assert_out("1\n");
    // In quotes and comments, and behind a command, they are text.
    let args = ["-s", "echo 'x; source y' source {} # [[", ":::", "a"];
    scene.psmith(args).run().assert_code(0).assert_quiet().assert_out("x; source y source a\n");
}

#[test]
fn options_of_the_environment_come_before_those_that_are_typed() {
    let scene = scene!();
    let run = |options: &str, args: &[&str]| scene.psmith(args).env("PSMITH_OPTS", options).run();
    run("-k --tagstring 'a b'", &["echo", ":::", "1", "2"]).assert_quiet().assert_out("a b\t1\na b\t2\n");
    run("--tag -k", &["--no-tag", "echo", ":::", "1"]).assert_out("1\n");
    run("--tag", &["--no-opts", "echo", ":::", "1"]).assert_out("1\n");
    run("--tag", &["echo", "--no-opts", ":::", "1"]).assert_out("1\t--no-opts 1\n");
    run("", &["echo", ":::", "1"]).assert_out("1\n");
    for (options, error) in [
        ("--timeout 10x", "PSMITH_OPTS: --timeout: '10x' is not a duration"),
        ("--retires 3", "PSMITH_OPTS: unknown option '--retires'"),
        ("-k echo", "PSMITH_OPTS: 'echo' is no option"),
        ("--tagstring 'a", "PSMITH_OPTS: a quote is not closed"),
    ] {
        run(options, &["echo", ":::", "1"]).assert_code(125).assert_out("").assert_err_has(error);
    }
    run("-k", &["--timeout", "10x", "echo", ":::", "1"]).assert_code(125).assert_err_has("error: --timeout");
}
