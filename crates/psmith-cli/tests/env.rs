//! State with which a job starts, asserted from inside the job.

use std::collections::BTreeMap;

use psmith_testkit::{Scene, need::find_program, proc, scene, wicked};

fn status_of_a_job(scene: &Scene) -> BTreeMap<String, String> {
    let ended = scene.psmith(["-N0"]).arg(wicked()).args(["print-status", ":::", "x"]).run();
    ended.assert_code(0).assert_quiet();
    ended
        .out()
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

// proves: P-10, F-37e, F-15
#[test]
fn descriptors_are_exactly_0_1_2() {
    let scene = scene!();
    scene.write("open", "");
    for options in ["", "-u", "--lb", "-k", "--results out", "--joblog j --events e"] {
        let script =
            format!("exec 5<open 7<open 9<open; exec \"$PSMITH\" {options} \"$W\" list-fds {{#}} ::: a b c");
        let ended = scene.shell(&script).env("W", wicked()).run();
        ended.assert_code(0).assert_quiet();
        let mut lines = ended.sorted_lines();
        lines.dedup();
        assert_eq!(lines, ["0", "1", "2"], "with {options:?}");
    }
}

// proves: P-10, F-44
#[test]
fn signals_are_default_and_the_mask_is_empty() {
    let scene = scene!();
    // A program without a runtime of its own, so that it shows what it was given.
    for start in ["", "trap '' PIPE USR1 TTOU; "] {
        let script = format!("{start}exec \"$PSMITH\" -N0 cat /proc/self/status ::: x");
        let ended = scene.shell(&script).run();
        ended.assert_code(0).assert_quiet();
        for line in ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"] {
            let wanted = format!("{line}:\t0000000000000000");
            assert!(ended.out().lines().any(|given| given == wanted), "no {wanted:?} in {}", ended.out());
        }
    }
}

// proves: P-10, F-30
#[test]
fn a_job_leads_a_session_of_its_own_without_a_terminal() {
    let scene = scene!();
    let status = status_of_a_job(&scene);
    let own = proc::stat(i32::try_from(std::process::id()).expect("a pid fits")).expect("this process");
    assert_eq!(status["session"], status["pid"]);
    assert_eq!(status["pgrp"], status["pid"]);
    assert_ne!(status["session"], own.session.to_string());
    assert_eq!(status["tty"], "no");
}

// proves: F-37b, F-37d
#[test]
fn a_job_dies_with_its_warden() {
    let scene = scene!();
    assert_eq!(status_of_a_job(&scene)["pdeathsig"], "9");
}

// proves: P-10, F-39
#[test]
fn the_soft_limit_of_descriptors_is_the_one_psmith_got() {
    let scene = scene!();
    let script = "ulimit -Sn 123; exec \"$PSMITH\" -j8 -N0 sh -c 'ulimit -Sn' ::: a b";
    scene.shell(script).run().assert_code(0).assert_quiet().assert_out("123\n123\n");
}

#[test]
fn no_core_file_unless_asked_for() {
    let scene = scene!();
    assert_eq!(status_of_a_job(&scene)["core"], "0");
}

#[test]
fn stdin_is_empty_unless_given() {
    let scene = scene!();
    scene
        .psmith(["-k", "-s", "cat; readlink /proc/self/fd/0; echo {}", ":::", "a"])
        .stdin("ours\n")
        .run()
        .assert_code(0)
        .assert_out("/dev/null\na\n");
    let inherited =
        scene.psmith(["--stdin", "inherit", "-s", "cat; echo {}", ":::", "a"]).stdin("ours\n").run();
    inherited.assert_code(0).assert_out("ours\na\n");
    let refused = scene.psmith(["--stdin", "inherit", "cat"]).stdin("a\n").run();
    refused.assert_code(125).assert_err_has("psmith: error: ").assert_err_has("--stdin");
}

#[test]
fn a_job_knows_its_numbers() {
    let scene = scene!();
    let script = "echo $PSMITH_JOB $PSMITH_SLOT $PSMITH_ATTEMPT ${PSMITH_RUN:+run} {}; [ {} != b ] || [ $PSMITH_ATTEMPT = 2 ]";
    let ended = scene.psmith(["-j1", "-k", "--retries", "2", "-s", script, ":::", "a", "b"]).run();
    ended.assert_code(0).assert_out("1 1 1 run a\n2 1 2 run b\n");
}

#[test]
fn variables_are_set_and_the_rest_is_passed_on_or_not() {
    let scene = scene!();
    let with = scene
        .psmith(["--env", "K=v w", "--env", "L=", "env", ":::"])
        .arg("KEPT=x")
        .env("FROM_OUTSIDE", "1")
        .run();
    // `env` reads its argument as a variable, and prints all of them.
    for wanted in ["K=v w", "L=", "FROM_OUTSIDE=1", "KEPT=x"] {
        assert!(with.out().lines().any(|line| line == wanted), "no {wanted} in {}", with.out());
    }
    let env = find_program("env").expect("env is everywhere");
    let without = scene
        .psmith(["--env-clear", "--env", "K=v"])
        .arg(env)
        .args(["-u", "X", ":::", "A=b"])
        .env("FROM_OUTSIDE", "1")
        .run();
    without.assert_code(0);
    let names: Vec<String> = without
        .sorted_lines()
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(names.contains(&"K".to_owned()) && names.contains(&"PSMITH_JOB".to_owned()), "{names:?}");
    for gone in ["HOME", "FROM_OUTSIDE", "TMPDIR"] {
        assert!(!names.contains(&gone.to_owned()), "{gone} in {names:?}");
    }
}

#[test]
fn the_working_directory_is_ours_or_the_one_asked_for() {
    let scene = scene!();
    for name in ["a dir", "b"] {
        std::fs::create_dir(scene.path(name)).expect("a directory");
    }
    let here = format!("{}\n", scene.cwd().display());
    scene.psmith(["-N0", "pwd", ":::", "x"]).run().assert_code(0).assert_out(here);
    let there = format!("{}\n{}\n", scene.path("a dir").display(), scene.path("b").display());
    scene
        .psmith(["-k", "--workdir", "{}", "-s", "pwd # {}", ":::", "a dir", "b"])
        .run()
        .assert_code(0)
        .assert_out(there);
}

// proves: F-29
#[test]
fn what_a_job_changes_is_gone_with_it() {
    let scene = scene!();
    let script =
        "umask; ulimit -n; pwd; echo ${CHANGED-unset}; umask 077; ulimit -n 50; cd /; export CHANGED=1 # {}";
    let ended = scene.psmith(["-j1", "-k", "-s", script, ":::", "a", "b"]).run();
    ended.assert_code(0);
    let out = ended.out();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 8, "{out}");
    assert_eq!(lines[..4], lines[4..]);
}

// proves: F-39: few descriptors cap the slots with a message, and never fail a job
#[test]
fn few_descriptors_give_progress_or_one_clear_error() {
    for limit in [16, 20, 24, 32, 48, 64] {
        let scene = scene!();
        let script = format!("ulimit -n {limit}; exec \"$PSMITH\" -k -j16 echo ::: 1 2 3 4 5 6 7 8");
        let ended = scene.shell(&script).run();
        match ended.code() {
            0 => drop(ended.assert_out("1\n2\n3\n4\n5\n6\n7\n8\n")),
            125 => drop(ended.assert_out("").assert_err_has("psmith: error: ")),
            other => panic!("exit {other} with {limit} descriptors: {}", ended.err()),
        }
    }
}

#[test]
fn one_variable_of_ours_is_passed_on() {
    let scene = scene!();
    let args = ["--env-clear", "--env", "OURS", "--env", "PATH", "-s", "echo $OURS $OTHER {}", ":::", "a"];
    scene
        .psmith(args)
        .env("OURS", "x")
        .env("OTHER", "y")
        .run()
        .assert_code(0)
        .assert_quiet()
        .assert_out("x a\n");
    let ended = scene.psmith(["--env", "NOT_SET", "echo", ":::", "a"]).run();
    ended.assert_code(125).assert_err_has("--env: NOT_SET is not set").assert_err_has("export NOT_SET");
}

#[test]
fn a_variable_holds_the_slot_from_0_on() {
    let scene = scene!();
    let args = ["-j1", "--process-slot-var", "S", "-s", "echo $S {%}", ":::", "a", "b"];
    scene.psmith(args).run().assert_code(0).assert_quiet().assert_out("0 1\n0 1\n");
}
