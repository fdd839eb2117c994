//! Bad input gets one clear line that says what is wrong, and what to do; nothing is started. Each row of the
//! contract's list of mistakes.

use std::os::unix::fs::PermissionsExt;

use psmith_testkit::cmd::EndedCommand;
use psmith_testkit::{Scene, scene};

/// Asserts one error line, at most two hints, nothing started, exit 125 unless told.
fn refused(scene: &Scene, args: &[&str], exit: i32, error: &str, hint: &str) -> EndedCommand {
    let ended = scene.psmith(args).run();
    ended.assert_code(exit).assert_out("");
    let err = ended.err();
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(
        lines.first().copied(),
        Some(format!("psmith: error: {error}").as_str()),
        "of {args:?}: {err}"
    );
    assert!(lines.len() <= 3, "one line and at most two hints: {err}");
    for line in &lines[1..] {
        assert!(line.starts_with("  hint: "), "{line:?}");
    }
    assert!(err.contains(hint), "no hint {hint:?}: {err}");
    ended
}

#[test]
fn no_command() {
    refused(
        &scene!(),
        &[],
        125,
        "no command given",
        "psmith gzip ::: *.txt, or psmith -s < file-of-commands",
    );
}

#[test]
fn one_word_with_shell_characters() {
    let error = "'echo {} | wc' is one word with shell characters, and no such program exists";
    refused(&scene!(), &["echo {} | wc", ":::", "a"], 125, error, "psmith -s 'echo {} | wc'");
}

#[test]
fn a_program_of_exactly_that_name_is_run() {
    let scene = scene!();
    let path = scene.write("a program", "#!/bin/sh\necho ran \"$1\"\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    scene.psmith(["./a program", ":::", "x"]).run().assert_code(0).assert_out("ran x\n");
}

#[test]
fn a_column_that_is_not_there() {
    let scene = scene!();
    scene.write("table", "name,size\na,1\n");
    let args = ["-C", ",", "--header", ":", "-a", "table", "echo", "{nmae}"];
    refused(
        &scene,
        &args,
        125,
        "no column named 'nmae' (columns: name, size)",
        "write {{nmae}} for the text itself",
    );
}

#[test]
fn a_source_that_is_not_there() {
    refused(
        &scene!(),
        &["echo", "{3}", ":::", "a", ":::", "b"],
        125,
        "{3} but there are 2 input sources",
        "",
    );
}

#[test]
fn placeholders_that_cannot_be_quoted_safely() {
    let scene = scene!();
    refused(
        &scene,
        &["-s", "echo `cat {}`", ":::", "a"],
        125,
        "{} inside `..` cannot be quoted safely",
        "use $(..)",
    );
    for script in ["echo ${x-{}}", "echo $(({} + 1))", "cat <<E\n{}\nE\n"] {
        let ended = scene.psmith(["-s", script, ":::", "a"]).run();
        ended.assert_code(125).assert_out("").assert_err_has("cannot be quoted safely");
    }
}

#[test]
fn a_program_that_is_not_there() {
    let scene = scene!();
    refused(&scene, &["nosuch", ":::", "a"], 127, "nosuch: not found in PATH", "");
    for word in ["exit", "cd"] {
        let error = format!("{word}: not found in PATH");
        let hint = format!("it is a shell word: psmith -s '{word} {{}}'");
        refused(&scene, &[word, ":::", "a"], 127, &error, &hint);
    }
}

#[test]
fn a_program_that_is_not_executable() {
    let scene = scene!();
    scene.write("data", "no program");
    refused(&scene, &["./data", ":::", "a"], 126, "./data: not executable", "chmod +x ./data");
}

#[test]
fn a_duration_that_is_none() {
    let error = "--timeout: '10x' is not a duration";
    refused(
        &scene!(),
        &["--timeout", "10x", "echo", ":::", "a"],
        125,
        error,
        "10, 1.5s, 250ms, 5m, 2h, or 200%",
    );
}

#[test]
fn a_halt_without_a_condition() {
    let error = "--halt: 'now' needs a condition";
    refused(&scene!(), &["--halt", "now", "echo", ":::", "a"], 125, error, "--halt now,fail=1");
}

#[test]
fn a_joblog_of_another_command() {
    let scene = scene!();
    scene.psmith(["--joblog", "jobs.log", "printf", "%s", ":::", "a"]).run().assert_code(0);
    let before = scene.text("jobs.log");
    let ended = scene.psmith(["--joblog", "jobs.log", "--resume", "echo", ":::", "a"]).run();
    ended
        .assert_code(125)
        .assert_out("")
        .assert_err_has("jobs.log is of another command: its rows begin 'printf");
    ended.assert_err_has("this one 'echo").assert_err_has("another --joblog, or +jobs.log to append");
    assert_eq!(scene.text("jobs.log"), before, "untouched");
}

#[test]
fn an_output_that_cannot_be_written() {
    let scene = scene!();
    for option in ["--joblog", "--events", "--results"] {
        let path = "/nodir/x.jsonl";
        let error = format!("cannot write {path}: no such directory");
        refused(&scene, &[option, path, "echo", ":::", "a"], 125, &error, "");
    }
}

#[test]
fn an_option_that_is_none() {
    refused(
        &scene!(),
        &["--retires", "3", "echo", ":::", "a"],
        125,
        "unknown option '--retires'",
        "did you mean --retries?",
    );
}

#[test]
fn a_subcommand_that_meets_inputs() {
    let error = "work is a psmith command and takes no :::";
    refused(&scene!(), &["work", "-n1", ":::", "a"], 125, error, "psmith run work -n1 ::: a");
}

#[test]
fn a_program_named_as_a_subcommand_is_run_by_run() {
    let scene = scene!();
    let path = scene.write("work", "#!/bin/sh\necho \"worked on $1\"\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let ended = scene.psmith(["run", "work", ":::", "a"]).env("PATH", ".:/usr/bin:/bin").run();
    ended.assert_code(0).assert_out("worked on a\n").assert_quiet();
}

#[test]
fn a_word_that_is_no_command_of_psmith_is_the_program_of_that_name() {
    let scene = scene!();
    scene.write("a", "first\nlast\n");
    scene.psmith(["tail", "-n1", ":::", "a"]).run().assert_code(0).assert_out("last\n").assert_quiet();
    scene.psmith(["run", "tail", "-n1", ":::", "a"]).run().assert_code(0).assert_out("last\n").assert_quiet();
    scene.psmith(["rm", ":::", "a"]).run().assert_code(0).assert_quiet();
    assert!(!scene.path("a").exists());
}

#[test]
fn options_of_a_later_version_say_so() {
    let scene = scene!();
    for option in [
        &["--jsonl"][..],
        &["--priority", "1"],
        &["--queue", "q"],
        &["--after", "1"],
        &["--at", "12:00"],
        &["--label", "l"],
        &["--jobserver", "auto"],
        &["--run", "r"],
        &["--no-record"],
    ] {
        let mut args = option.to_vec();
        args.extend(["echo", ":::", "a"]);
        let ended = scene.psmith(&args).run();
        ended
            .assert_code(125)
            .assert_out("")
            .assert_err_has("psmith: error: ")
            .assert_err_has("not in this version");
    }
}

#[test]
fn options_of_others_that_were_left_out_name_what_to_use() {
    let scene = scene!();
    for (option, pointer) in [
        (&["-S", "host"][..], "psmith ssh HOST"),
        (&["--sshlogin", "host"], "psmith ssh HOST"),
        (&["--sqlmaster", "url"], "--results FILE.csv"),
        (&["--retry-failed"], "--resume-failed"),
        (&["-L", "1"], "-n"),
        (&["--trim", "l"], "sed"),
        (&["--memsuspend", "1G"], "--memfree"),
    ] {
        let mut args = option.to_vec();
        args.extend(["echo", ":::", "a"]);
        let ended = scene.psmith(&args).run();
        ended.assert_code(125).assert_out("").assert_err_has("psmith: error: ").assert_err_has(pointer);
    }
}

#[test]
fn options_of_gnu_parallel_that_mean_nothing_here_are_taken() {
    let scene = scene!();
    let args = ["--will-cite", "--no-notice", "--gnu", "--plus", "--noswap", "-q", "echo", ":::", "a"];
    scene.psmith(args).run().assert_code(0).assert_out("a\n").assert_quiet();
}

#[test]
fn values_that_make_no_sense_are_refused_with_their_option() {
    let scene = scene!();
    for (option, value) in [
        ("-j", "many"),
        ("--mem", "10Q"),
        ("--retries", "-1"),
        ("--halt", "later,fail=1"),
        ("--term-seq", "NOSIG"),
        ("--retry-on", "sunshine"),
        ("--contain", "hope"),
        ("--exit", "loud"),
        ("--env", "NOVALUE"),
        ("--color", "blue"),
        ("--rate", "fast"),
        ("--events", "2"),
        ("-C", "("),
    ] {
        let ended = scene.psmith([option, value, "echo", ":::", "a"]).run();
        ended.assert_code(125).assert_out("").assert_err_has("psmith: error: ").assert_err_has(value);
        assert!(ended.err().lines().count() <= 3, "{}", ended.err());
    }
}

#[test]
fn a_list_of_inputs_that_cannot_be_read() {
    let scene = scene!();
    let ended = scene.psmith(["-a", "nosuch.txt", "echo"]).run();
    ended.assert_code(125).assert_out("").assert_err_has("psmith: error: ").assert_err_has("nosuch.txt");
}
