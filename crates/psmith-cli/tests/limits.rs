//! Limits of a job: in force inside it, refused if they cannot be enforced, and their use reported.

use psmith_testkit::need::Need;
use psmith_testkit::records::RecordedEvents;
use psmith_testkit::{need, scene, wicked};

// proves: P-10
#[test]
fn limits_are_in_force_inside_the_job() {
    let scene = scene!();
    let script = "ulimit -t; ulimit -f; ulimit -n; ulimit -c # {}";
    let ended = scene
        .psmith([
            "--cpu-time",
            "17",
            "--fsize",
            "1M",
            "--nofile",
            "99",
            "--core",
            "512K",
            "-s",
            script,
            ":::",
            "a",
        ])
        .run();
    // The shell counts file sizes and cores in blocks of 512 bytes.
    ended.assert_code(0).assert_quiet().assert_out("17\n2048\n99\n1024\n");
}

// proves: F-39, limits-by-job: too few descriptors are the job's own error
#[test]
fn descriptors_beyond_the_limit_are_the_job_s_own_exit() {
    let scene = scene!();
    let ended = scene
        .psmith(["--nofile", "20", "--events", "e"])
        .arg(wicked())
        .args(["open-files", ":::", "100"])
        .run();
    ended
        .assert_code(1)
        .assert_err_has("failed: exit 24")
        .assert_err_has("\n  limits in force: --nofile 20\n");
    assert_eq!(RecordedEvents::parse(&scene.text("e")).end_of(1)["cause"], "exit");
}

// proves: F-18, P-2: the kernel killed a starting job for want of memory, and with it all that shares its memory map: the
// warden, and so all other jobs. `--mem 512`, meant as megabytes, was enough.
#[test]
fn memory_that_no_program_can_start_in_is_refused() {
    let scene = scene!();
    for size in ["10", "512", "3M"] {
        let ended = scene.psmith(["--mem", size, "true", ":::", "a"]).run();
        ended.assert_code(125).assert_out("").assert_err_has("psmith: error: --mem: too little memory");
        ended.assert_err_has("\n  hint: --mem 512M; at least 4M\n").assert_err_lacks("warden");
    }
}

// proves: F-18, P-2: words of two megabytes in the least memory that can be asked for
#[test]
fn many_words_in_little_memory_cost_at_most_their_own_job() {
    need!("F-18", Need::MemoryGroup);
    let scene = scene!();
    let inputs: String = (0..60_000).map(|n| format!("{n:060}\n")).collect();
    let ended = scene.psmith(["-X", "--mem", "4M", "true"]).stdin(inputs).run();
    ended.assert_err_lacks("warden").assert_err_lacks("lost");
}

// proves: F-18: below the limit nothing happens
#[test]
fn memory_below_the_limit_is_free() {
    need!("F-18", Need::MemoryGroup);
    let scene = scene!();
    let ended = scene
        .psmith(["--mem", "200M", "--events", "e"])
        .arg(wicked())
        .args(["eat-memory", ":::", "50000000"])
        .run();
    ended.assert_code(0).assert_quiet().assert_out("ate 48\n");
    let end = RecordedEvents::parse(&scene.text("e")).end_of(1).clone();
    assert!(end["maxrss"].as_u64().is_some_and(|peak| peak >= 48 << 20), "{end}");
}

// proves: F-18, limits-by-job: of the whole tree, not of each process
#[test]
fn memory_is_limited_for_the_whole_tree() {
    need!("F-18, P-8", Need::MemoryGroup);
    let scene = scene!();
    let script = "\"$W\" eat-memory 60000000 & \"$W\" eat-memory 60000000 & \"$W\" eat-memory 60000000 & wait; sleep 300 # {}";
    let ended = scene
        .psmith(["--mem", "100M", "--timeout", "30", "--events", "e", "-s", script, ":::", "a"])
        .env("W", wicked())
        .run();
    // The kernel chooses which of them it kills: if the shell stays alive, it ends by the timeout, and the evidence is
    // of an attempt that psmith ended.
    ended.assert_code(1);
    let cause = RecordedEvents::parse(&scene.text("e")).end_of(1)["cause"].clone();
    assert!(cause == "oom" || cause == "timeout", "{cause}");
}

// proves: F-18, limits-by-job: the neighbour's limit is its own
#[test]
fn one_job_s_memory_does_not_harm_another() {
    need!("F-18, P-2", Need::MemoryGroup);
    let scene = scene!();
    let ended = scene
        .psmith(["-j2", "-k", "--mem", "50M", "--events", "e"])
        .arg(wicked())
        .args(["eat-memory", ":::", "300000000", "1000000", "300000000", "1000000"])
        .run();
    ended.assert_code(2).assert_out("ate 1\nate 1\n");
    let events = RecordedEvents::parse(&scene.text("e"));
    for (job, cause) in
        [(1, "oom".into()), (2, serde_json::Value::Null), (3, "oom".into()), (4, serde_json::Value::Null)]
    {
        assert_eq!(events.end_of(job)["cause"], cause, "job {job}");
    }
}

// proves: F-13, limits-by-job
#[test]
fn processes_are_limited_for_the_whole_tree() {
    need!("F-13", Need::PidsGroup);
    let scene = scene!();
    let ended = scene.psmith(["--pids", "100"]).arg(wicked()).args(["fork-many", ":::", "20"]).run();
    ended.assert_code(0).assert_out("20\n");
}

#[test]
fn limits_that_cannot_be_enforced_are_refused_before_the_first_job() {
    for option in [["--pids", "10"], ["--cpus", "1"]] {
        let scene = scene!();
        let ended = scene.psmith(option).args(["-s", "echo {} > ran", ":::", "a"]).forbid("cgroup").run();
        ended.assert_code(125).assert_out("").assert_err_has("psmith: error: ").assert_err_has(option[0]);
        assert!(!scene.path("ran").exists());
    }
}

#[test]
fn cpu_time_and_memory_are_reported_for_every_job() {
    let scene = scene!();
    scene
        .psmith(["--events", "e", "-s", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done # {}", ":::", "a"])
        .run()
        .assert_code(0);
    let end = RecordedEvents::parse(&scene.text("e")).end_of(1).clone();
    assert!(end["user"].as_f64().is_some_and(|time| time > 0.0), "{end}");
    assert!(end["maxrss"].as_u64().is_some_and(|peak| peak > 100_000), "{end}");
}

#[test]
fn niceness_is_added() {
    let scene = scene!();
    let here = scene.shell("nice").run().out();
    let here: i32 = here.trim().parse().expect("a number");
    scene
        .psmith(["--nice", "3", "-N0", "nice", ":::", "a"])
        .run()
        .assert_code(0)
        .assert_out(format!("{}\n", (here + 3).min(19)));
}

#[test]
fn batches_fit_the_kernel_whatever_the_stack_and_the_environment() {
    let scene = scene!();
    let expected: String = (1..=60_000).map(|number| format!("{number}\n")).collect();
    for stack in ["64", "128", "256", "1024", "8192"] {
        // The environment takes from the same space, as far as there is any.
        let filler = if stack.len() < 4 { 1_000 } else { 100_000 };
        for batch in ["-X", "-m"] {
            let ended = scene
                .shell(&format!(
                    "ulimit -s {stack}; seq 60000 | \"$PSMITH\" {batch} -j2 -k --env F=\"$F\" echo > out || exit"
                ))
                .env("F", "f".repeat(filler))
                .run();
            ended.assert_code(0).assert_quiet();
            let printed = scene.text("out").replace(' ', "\n");
            assert!(printed == expected, "{batch} with a stack of {stack} KiB loses or changes inputs");
        }
    }
}
