//! Tests of whole plans, from words to commands, and of their refusals. No job is started here.

use std::path::Path;

use super::*;
use crate::invocation::{Invocation, parse};

const PLACE: JobNumbers = JobNumbers { job: 1, slot: 1, total: None };

fn plan(args: &[&str]) -> Result<(RunPlan, JobStream), CliError> {
    match parse(args.iter().map(Into::into))? {
        Invocation::Run(config) => RunPlan::new(&config),
        other => panic!("{other:?}"),
    }
}

fn refused(args: &[&str]) -> String {
    plan(args).map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
}

fn rendered(args: &[&str]) -> Rendered {
    let (plan, mut jobs) = plan(args).unwrap();
    plan.render(&jobs.next().unwrap().unwrap(), PLACE).unwrap()
}

/// The messages of the command's contract, word for word.
#[test]
fn mistakes_are_reported_before_the_first_job() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::write(&data, "").unwrap();
    let data = data.to_str().unwrap();
    for (args, expected) in [
        (&[][..], "no command given\n  hint: psmith gzip ::: *.txt, or psmith -s < file-of-commands"),
        (
            &["echo {} | wc", ":::", "a"],
            "'echo {} | wc' is one word with shell characters, and no such program exists\n  hint: psmith -s 'echo {} | wc'",
        ),
        (
            &["--header", ":", "echo", "{nmae}", ":::", "name", "1", ":::", "size", "2"],
            "no column named 'nmae' (columns: name, size)\n  hint: write {{nmae}} for the text itself",
        ),
        (
            &["echo", "{3}", ":::", "a", ":::", "b"],
            "{3} but there are 2 input sources\n  hint: write {{3}} for the text itself",
        ),
        (&["-s", "echo `cat {}`", ":::", "a"], "{} inside `..` cannot be quoted safely\n  hint: use $(..)"),
        (&["nosuch", ":::", "a"], "nosuch: not found in PATH"),
        (&["exit", ":::", "a"], "exit: not found in PATH\n  hint: it is a shell word: psmith -s 'exit {}'"),
        (
            &["-s", "echo {}", "-j", "4", ":::", "a"],
            "-s takes one word, the script, not 3\n  hint: options stand before the script: psmith -j 4 -s 'echo {}'",
        ),
        (&["help", "x"], "help takes no 'x'\n  hint: to run a program of that name: psmith run help .."),
        (
            &["--timeout", "10x", "echo"],
            "--timeout: '10x' is not a duration\n  hint: 10, 1.5s, 250ms, 5m, 2h, or 200%",
        ),
        (&["--halt", "now", "echo"], "--halt: 'now' needs a condition\n  hint: --halt now,fail=1"),
        (&["--retires", "3", "echo"], "unknown option '--retires'\n  hint: did you mean --retries?"),
        (
            &["work", "-n1", ":::", "a"],
            "work is a psmith command and takes no :::\n  hint: psmith run work -n1 ::: a",
        ),
        (&["-a", "/nonexistent", "echo"], "cannot read /nonexistent: no such file or directory"),
        (&["-a", "/", "echo"], "cannot read /: it is a directory"),
        (
            &["--workdir", "/nonexistent", "echo", ":::", "a"],
            "--workdir: /nonexistent: no such file or directory\n  hint: mkdir -p /nonexistent",
        ),
        (&["echo", "{##}"], "{##} and {0#} need inputs that can be read twice\n  hint: ::: A.., or -a FILE"),
        (&[data, ":::", "a"], &format!("{data}: not executable\n  hint: chmod +x {data}")),
    ] {
        assert_eq!(refused(args), format!("psmith: error: {expected}"), "{args:?}");
    }
    let code = |args: &[&str]| plan(args).err().map(|error| error.exit_code);
    assert_eq!(code(&["nosuch", ":::", "a"]), Some(127));
    assert_eq!(code(&[data, ":::", "a"]), Some(126));
    assert_eq!(code(&["--retires", "3"]), Some(125));
}

#[test]
fn starts_that_cannot_succeed_are_failures_of_their_job() {
    let failure = |args: &[&str], input: &[u8]| {
        let (plan, _) = plan(args).unwrap();
        plan.render(&JobArgs::from_values([input]), PLACE).unwrap_err()
    };
    let nul = failure(&["echo", ":::", "a"], b"a\0b");
    assert_eq!(nul.detail, "input holds a NUL byte, which no argument can");
    assert!(nul.permanent);
    assert_eq!(hint_for(&nul), Some("-0 reads NUL-separated input"));
    let long = failure(&["echo", ":::", "a"], &vec![b'x'; 140 << 10][..]);
    assert_eq!(long.detail, "argument 1 is 140 KiB, the kernel takes 128 KiB");
    assert_eq!(hint_for(&long), Some("pass it as a file"));
    let fits = vec![b'x'; (128 << 10) - 1];
    let (plan, _) = plan(&["echo", ":::", "a"]).unwrap();
    assert!(plan.render(&JobArgs::from_values([&fits[..]]), PLACE).is_ok());
    let missing = failure(&["{}", ":::", "a"], b"no-such-program");
    assert_eq!((missing.detail.as_str(), missing.permanent), ("no-such-program: not found in PATH", false));
}

#[test]
fn words_of_a_job() {
    let argv = |args: &[&str]| {
        let (plan, jobs) = plan(args).unwrap();
        jobs.map(|job| {
            let words = plan.render(&job.unwrap(), PLACE).unwrap().argv;
            words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>().join("|")
        })
        .collect::<Vec<_>>()
    };
    for (args, expected) in [
        (&["echo", "a", "{}", "b", "{}", ":::", "x"][..], &["echo|a|x|b|x"][..]),
        (&["echo", "{foo}", ":::", "a"], &["echo|{foo}|a"]),
        (&["echo", "{{}}", ":::", "a"], &["echo|{}"]),
        (&["echo", ":::", "a b", ":::", "c"], &["echo|a b|c"]),
        (&["echo", "x{}y", ":::", "a b", ":::", "c"], &["echo|xa b cy"]),
        (&["-n2", "echo", "x{}y", "{}", ":::", "1", "2"], &["echo|x1 2y|1|2"]),
        (&["-N2", "echo", "x{}y", "{1}-{2}", ":::", "1", "2", "3"], &["echo|x1y|x2y|1-2", "echo|x3y|3-"]),
        (&["-N0", "echo", "hi", ":::", "1"], &["echo|hi"]),
        (&["-X", "echo", "a{}b", ":::", "1", "2"], &["echo|a1b a2b"]),
        (&["-I", ",,", "echo", ",,{}", ":::", "a"], &["echo|a{}"]),
        (&["-n1", "echo", "-n", "-k", "--", ":::", "a"], &["echo|-n|-k|--|a"]),
        (&["--", "echo", "-n", ":::", "a"], &["echo|-n|a"]),
    ] {
        let expected: Vec<String> = expected
            .iter()
            .map(|line| if args[0] == "-X" { line.replace(' ', "|") } else { (*line).to_owned() })
            .collect();
        let joined = argv(&[&["-j1"], args].concat());
        assert_eq!(joined, expected, "{args:?}");
    }
}

#[test]
fn a_job_is_shown_on_one_line() {
    assert_eq!(rendered(&["echo", ":::", "a b"]).text, "echo 'a b'");
    assert_eq!(rendered(&["echo", ":::", "a\nb\t'"]).text, "echo $'a\\nb\\t\\''");
    assert_eq!(rendered(&["-s", "echo {}; true", ":::", "a b"]).text, "echo 'a b'; true");
    assert_eq!(rendered(&["-s", "echo {}\ntrue", ":::", "a"]).text, "sh -c $'echo \\'a\\'\\ntrue'");
    assert_eq!(rendered(&["-s", ":::", "exit 3"]).text, "exit 3");
    let dir = rendered(&["--workdir", "/{//}", "echo", ":::", "usr/bin"]).dir;
    assert_eq!(dir.as_deref(), Some(Path::new("/usr")));
}

#[test]
fn commands_have_a_fixed_start() {
    let start = |args: &[&str]| String::from_utf8(plan(args).unwrap().0.command_start()).unwrap();
    assert_eq!(start(&["gzip", "-9", "{}", "x", ":::", "a"]), "gzip -9");
    assert_eq!(start(&["gzip", ":::", "a"]), "gzip");
    assert_eq!(start(&["-s", "gzip {} | wc", ":::", "a"]), "gzip ");
    assert_eq!(start(&["{}", ":::", "a"]), "");
}

#[test]
fn tags() {
    let tag = |args: &[&str]| {
        let (plan, mut jobs) = plan(args).unwrap();
        plan.tag(&jobs.next().unwrap().unwrap(), PLACE).map(|tag| String::from_utf8(tag).unwrap())
    };
    assert_eq!(tag(&["--tag", "echo", ":::", "a", ":::", "b"]).as_deref(), Some("a b\t"));
    assert_eq!(tag(&["--tagstring", "t{#}-{2}", "echo", ":::", "a", ":::", "b"]).as_deref(), Some("t1-b\t"));
    assert_eq!(tag(&["echo", ":::", "a"]), None);
}

#[test]
fn a_plain_script_needs_no_shell() {
    let dash = std::fs::canonicalize("/bin/sh").is_ok_and(|shell| shell.ends_with("dash"));
    let here = format!("PWD={}", std::env::current_dir().unwrap().display());
    // dash would pass this environment on as it is, and only then may it be skipped.
    let known = ["--env-clear", "--env", "PATH=/usr/bin:/bin", "--env", &here];
    for args in [&["-s", "env -- {} x{}y", ":::", "a b'"][..], &["-s", ":::", "env -u x true"]] {
        let job = rendered(&[&known, args].concat());
        assert_eq!(job.recorded_argv()[..2], [&b"/bin/sh"[..], b"-c"], "{args:?}");
        assert_eq!(job.shell, !dash, "{args:?}");
        if dash {
            assert!(job.program.ends_with("env") && job.argv[0] == b"env", "{job:?}");
        }
    }
    let words = rendered(&[&known, &["-s", "env -- {} x{}y", ":::", "a b'"][..]].concat()).argv;
    assert!(!dash || words == [&b"env"[..], b"--", b"a b'", b"xa b'y"]);
    for script in [
        "echo {}",
        "cd {}",
        "env {} | wc",
        "x=1 env {}",
        "env *",
        "env $x",
        "env {}; env",
        "env {} # x",
        "if {}; then :; fi",
        "~/x {}",
    ] {
        assert!(rendered(&[&known, &["-s", script, ":::", "a"][..]].concat()).shell, "{script}");
    }
    for other in [
        &["-n2"][..],
        &["--shell", "bash"],
        &["--env", "IFS=x"],
        &["--env", "PWD=/nonexistent"],
        &["--workdir", "/"],
    ] {
        assert!(rendered(&[&known, other, &["-s", "env x{}", ":::", "a", "b"]].concat()).shell, "{other:?}");
    }
}
