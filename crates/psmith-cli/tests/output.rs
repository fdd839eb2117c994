//! Output of jobs: grouped, ordered, by lines, untouched, tagged, kept in files; and what is written when disks are
//! full, two runs meet, or a run was killed.

use std::path::PathBuf;
use std::time::Duration;

use psmith_testkit::leak::SETTLE;
use psmith_testkit::need::{Mounted, Need, mount_tmpfs};
use psmith_testkit::records::{RecordedEvents, joblog};
use psmith_testkit::{Scene, Signal, need, proc, scene, wicked};
use serde_json::Value;

#[test]
fn grouped_output_is_never_interleaved() {
    let scene = scene!();
    let script = "for i in 1 2 3 4 5; do echo out {} $i; echo err {} $i >&2; sleep 0.02; done";
    let ended = scene.psmith(["-j4", "-s", script, ":::", "a", "b", "c", "d"]).run();
    ended.assert_code(0);
    for (text, stream) in [(ended.out(), "out"), (ended.err(), "err")] {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 20, "{text}");
        for block in lines.chunks(5) {
            let job = block[0].split(' ').nth(1).expect("three words");
            let expected: Vec<String> = (1..=5).map(|number| format!("{stream} {job} {number}")).collect();
            assert_eq!(block, expected, "{text}");
        }
    }
}

#[test]
fn a_job_s_stdout_comes_before_its_stderr() {
    let scene = scene!();
    let ended = scene.shell("\"$PSMITH\" -k -s 'echo err {} >&2; echo out {}' ::: a b 2>&1").run();
    ended.assert_code(0).assert_out("out a\nerr a\nout b\nerr b\n");
}

#[test]
fn kept_order_is_submission_order_whatever_finishes_first() {
    let scene = scene!();
    let inputs: String = (1..=60).map(|number| format!("{number}\n")).collect();
    let script = "[ $(expr {} % 7) != 0 ] || sleep 0.1; echo {}";
    let ended = scene.psmith(["-j8", "-k", "-s", script]).stdin(inputs.clone()).run();
    ended.assert_code(0).assert_quiet().assert_out(inputs);
}

// proves: F-34a, P-7: starts are held when too much is undelivered
#[test]
fn the_window_holds_starts_and_loses_nothing() {
    let scene = scene!();
    let script =
        "if [ {} = 1 ]; then while [ ! -e go ]; do sleep 0.02; done; fi; echo {} >> started; echo {}";
    let inputs: String = (1..=40).map(|number| format!("{number}\n")).collect();
    let running = scene
        .psmith(["-j2", "-k", "--window", "5", "--events", "e", "-s", script])
        .stdin(inputs.clone())
        .start();
    // The first job holds all others back; at most the window and the slots have been started.
    let deadline = std::time::Instant::now() + SETTLE;
    while RecordedEvents::parse(&whole_lines(&scene.path("e"))).named("held").is_empty() {
        assert!(std::time::Instant::now() < deadline, "never held");
        // sleep: the events are a file, whose growth sends no event
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(scene.text("started").lines().count() <= 7, "{}", scene.text("started"));
    scene.write("go", "");
    running.wait().assert_code(0).assert_out(inputs);
    let events = RecordedEvents::parse(&scene.text("e"));
    assert_eq!(events.named("held")[0]["reason"], "window");
}

/// Returns a file that is being written, up to its last whole line; empty if it does not exist yet.
fn whole_lines(path: &std::path::Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.rfind('\n').map_or_else(String::new, |end| text[..=end].to_owned())
}

#[test]
fn the_first_undelivered_job_streams_live() {
    let scene = scene!();
    let script = "echo early {}; while [ ! -e go ]; do sleep 0.02; done; echo late {}";
    let running = scene.psmith(["-j2", "-k", "-s", script, ":::", "a", "b"]).start();
    running.wait_for_out("early a\n");
    scene.write("go", "");
    running.wait().assert_code(0).assert_out("early a\nlate a\nearly b\nlate b\n");
}

#[test]
fn line_buffered_output_comes_in_whole_lines_as_written() {
    let scene = scene!();
    let script = "printf 'part {}'; while [ ! -e go ]; do sleep 0.02; done; printf ' rest\\nlast {}'";
    let running =
        scene.psmith(["-j3", "--lb", "-s", &format!("echo up {{}}; {script}"), ":::", "a", "b", "c"]).start();
    for name in ["a", "b", "c"] {
        running.wait_for_out(&format!("up {name}\n"));
    }
    assert!(!running.out_so_far().contains("part"), "no part of a line");
    scene.write("go", "");
    let ended = running.wait();
    ended.assert_code(0);
    for name in ["a", "b", "c"] {
        assert!(ended.out().contains(&format!("part {name} rest\n")), "{}", ended.out());
        assert!(
            ended.out().contains(&format!("last {name}")),
            "the partial line at the end: {}",
            ended.out()
        );
    }
}

#[test]
fn ungrouped_jobs_have_our_very_descriptors() {
    let scene = scene!();
    scene.write("out", "");
    scene.write("err", "");
    let ended = scene
        .psmith(["-u", "-s", "readlink /proc/self/fd/1; readlink /proc/self/fd/2 >&2 # {}", ":::", "a"])
        .stdout_file(scene.path("out"))
        .stderr_file(scene.path("err"))
        .run();
    ended.assert_code(0);
    assert_eq!(scene.text("out"), format!("{}\n", scene.path("out").display()));
    assert_eq!(scene.text("err"), format!("{}\n", scene.path("err").display()));
}

#[test]
fn tags_begin_each_line_and_add_no_newline() {
    let scene = scene!();
    let ended = scene.psmith(["-k", "--tag", "-s", "printf '1\\n2'; : {}", ":::", "a", "b"]).run();
    ended.assert_code(0).assert_out("a\t1\na\t2b\t1\nb\t2");
    let ended = scene.psmith(["-k", "--tag", "echo", "x", ":::", "a", ":::", "1", "2"]).run();
    ended.assert_out("a 1\tx a 1\na 2\tx a 2\n");
    let ended = scene.psmith(["-k", "--tagstring", "{/.}:", "echo", ":::", "d/a.c"]).run();
    ended.assert_out("a:\td/a.c\n");
    let ended = scene.psmith(["-k", "--tag", "-s", "echo e >&2; : {}", ":::", "a"]).run();
    assert_eq!(ended.err(), "a\te\n");
}

#[test]
fn shown_are_all_or_the_failed_or_none() {
    for (show, out) in [("all", "0\n1\n"), ("fail", "1\n"), ("none", "")] {
        let scene = scene!();
        scene
            .psmith(["-k", "--show", show, "-s", "echo {}; exit {}", ":::", "0", "1"])
            .run()
            .assert_code(1)
            .assert_out(out);
    }
}

#[test]
fn results_in_a_directory() {
    let scene = scene!();
    let ended = scene
        .psmith(["-k", "--results", "out", "-s", "echo o {}; echo e >&2; exit {}", ":::", "0", "3"])
        .run();
    ended.assert_code(1).assert_out("o 0\no 3\n");
    for (job, code) in [(1, 0), (2, 3)] {
        let dir = format!("out/0/{job}");
        assert_eq!(scene.text(format!("{dir}/stdout")), format!("o {code}\n"));
        assert_eq!(scene.text(format!("{dir}/stderr")), "e\n");
        let record: Value = serde_json::from_str(&scene.text(format!("{dir}/job.json"))).expect("JSON");
        assert_eq!(record["job"], job);
        assert_eq!(record["status"], if code == 0 { "ok" } else { "failed" });
        assert_eq!(record["inputs"], serde_json::json!([code.to_string()]));
        assert!(record["argv"].is_array());
    }
    let names: Vec<_> = std::fs::read_dir(scene.path("out/0")).expect("a directory").flatten().collect();
    assert_eq!(names.len(), 2, "no dot name is left: {names:?}");
}

#[test]
fn results_in_a_file_for_each_job() {
    let scene = scene!();
    let ended = scene
        .psmith([
            "-k",
            "--results",
            "out/{/.}.txt",
            "--show",
            "none",
            "-s",
            "echo {}; case {} in *b*) echo e >&2;; esac",
        ])
        .args([":::", "d/a.c", "d/b.c"])
        .run();
    ended.assert_code(0).assert_out("");
    assert_eq!(scene.text("out/a.txt"), "d/a.c\n");
    assert_eq!(scene.text("out/b.txt"), "d/b.c\n");
    assert!(!scene.path("out/a.txt.err").exists(), "stderr was empty");
    assert_eq!(scene.text("out/b.txt.err"), "e\n");
    // The same name twice fails the second job.
    let ended = scene.psmith(["-j1", "--results", "same-{/.}", "echo", ":::", "x/n.1", "y/n.2"]).run();
    ended.assert_code(1).assert_err_has("job 2");
}

#[test]
fn results_as_rows() {
    let scene = scene!();
    for name in ["r.jsonl", "r.json", "r.csv"] {
        scene
            .psmith([
                "-k",
                "--results",
                name,
                "-s",
                "printf 'a,\"b\"\\n%s\\n' {1}; exit {2}",
                ":::",
                "x y",
                ":::",
                "0",
                "4",
            ])
            .run()
            .assert_code(1);
    }
    for name in ["r.jsonl", "r.json"] {
        let text = scene.text(name);
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(rows.len(), 2, "{text}");
        let row = rows.iter().find(|row| row["Seq"] == 2).expect("a row of job 2");
        assert_eq!(row["V"], serde_json::json!(["x y", "4"]), "{row}");
        assert_eq!(
            (&row["Exitval"], &row["Status"], &row["Cause"]),
            (&4.into(), &"failed".into(), &"exit".into()),
            "{row}"
        );
        assert_eq!(row["Stdout"], "a,\"b\"\nx y\n");
    }
    let mut reader = csv::Reader::from_path(scene.path("r.csv")).expect("the file opens");
    let header = reader.headers().expect("a header").clone();
    let wanted = "Seq,Host,Starttime,JobRuntime,Send,Receive,Exitval,Signal,Command,V1,V2,Stdout,Stderr";
    assert_eq!(header.iter().collect::<Vec<_>>().join(","), wanted);
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0][9], &rows[0][10], &rows[0][11]), ("x y", "0", "a,\"b\"\nx y\n"));
}

#[test]
fn events_tell_the_whole_run() {
    let scene = scene!();
    let ended = scene
        .psmith(["-j2", "--events", "e", "--events-output", "-s", "echo {}; exit {}", ":::", "0", "3"])
        .run();
    ended.assert_code(1);
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    let start = events.named("run_start")[0];
    assert_eq!(
        (&start["shell"], &start["slots"], &start["total"]),
        (&true.into(), &2.into(), &2.into()),
        "{start}"
    );
    assert_eq!(start["cwd"], scene.cwd().display().to_string());
    let starts = events.named("job_start");
    assert_eq!(starts.len(), 2);
    assert!(starts.iter().all(|event| event["pid"].as_i64().is_some_and(|pid| pid > 1)), "{starts:?}");
    let run = events.run_end();
    for (field, count) in [("jobs", 2), ("ok", 1), ("failed", 1), ("cancelled", 0), ("left", 0), ("exit", 1)]
    {
        assert_eq!(run[field], count, "{field} of {run}");
    }
    assert_eq!(events.named("job_output").len(), 2);
    let end = events.end_of(2);
    for field in ["wall", "user", "sys", "maxrss", "stdout_bytes"] {
        assert!(end[field].is_number(), "{field} of {end}");
    }
    assert_eq!(end["stdout_bytes"], 2);
}

#[test]
fn events_to_a_descriptor() {
    let scene = scene!();
    let ended = scene.shell("exec \"$PSMITH\" --events 5 echo ::: a 5>e").run();
    ended.assert_code(0).assert_out("a\n").assert_quiet();
    RecordedEvents::parse(&scene.text("e")).assert_whole();
}

// proves: F-16, P-7
#[test]
fn large_output_goes_to_disk_and_not_to_memory() {
    const BYTES: usize = 200_000_000;
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!(
        "\"$W\" flood {BYTES}; echo up > {}; while [ ! -e go ]; do sleep 0.02; done # {{}}",
        ready.as_str()
    );
    let running = scene.psmith(["-s", &script, ":::", "a"]).env("W", wicked()).start();
    ready.wait();
    let mut processes = proc::children(running.pid());
    processes.push(running.pid());
    for pid in processes {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
            .unwrap_or(0);
        assert!(peak < 48 * 1024, "{peak} KiB: {}", proc::describe(pid));
    }
    scene.write("go", "");
    let ended = running.wait();
    ended.assert_code(0).assert_quiet();
    assert_eq!(ended.stdout.len(), BYTES);
}

// proves: F-17
#[test]
fn an_endless_line_is_bounded_by_bytes() {
    let scene = scene!();
    for options in [&["-k"][..], &["--lb"], &["--tag"]] {
        let ended =
            scene.psmith(options).arg(wicked()).args(["no-newline", "30000000", ":::", "stdout"]).run();
        ended.assert_code(0).assert_quiet();
        assert!(ended.stdout.len() >= 30_000_000, "{} with {options:?}", ended.stdout.len());
    }
}

/// Mounts a disk of 1 MiB, as the directory `disk`, until the second value is dropped.
fn small_disk(scene: &Scene) -> (PathBuf, Mounted) {
    let disk = scene.path("disk");
    std::fs::create_dir(&disk).expect("a directory");
    let mounted = mount_tmpfs(&disk, "1m").expect("probed");
    (disk, mounted)
}

// proves: F-21, F-52: a full disk is a clear error, and no finished job's record is lost
#[test]
fn a_full_disk_under_results_is_a_clear_error() {
    need!("F-21", Need::Tmpfs);
    let scene = scene!();
    let _disk = small_disk(&scene);
    let ended = scene
        .psmith([
            "-j1",
            "--results",
            "disk/out",
            "--joblog",
            "j",
            "--show",
            "none",
            "-s",
            "\"$W\" flood 100000 # {}",
        ])
        .args([":::"])
        .args((1..=40).map(|number| number.to_string()))
        .env("W", wicked())
        .run();
    ended
        .assert_code(125)
        .assert_err_has("cannot write")
        .assert_err_has("no space left on device")
        .assert_err_has("--resume");
    let rows = joblog(&scene.text("j"));
    assert!((5..=10).contains(&rows.len()), "{} rows", rows.len());
    for row in &rows {
        let dir = format!("disk/out/0/{}", row.seq);
        assert_eq!(
            scene.read(format!("{dir}/stdout")).len(),
            100_000,
            "a job with a row has its whole result"
        );
        assert!(scene.path(format!("{dir}/job.json")).exists());
    }
}

// proves: F-16, F-21: grouped output is not cut
#[test]
fn a_full_tmpdir_is_a_clear_error() {
    need!("F-21", Need::Tmpfs);
    let scene = scene!();
    let (disk, _mounted) = small_disk(&scene);
    let ended = scene
        .psmith(["-j2", "-s", "\"$W\" flood 20000000 # {}", ":::", "a", "b"])
        .env("W", wicked())
        .env("TMPDIR", &disk)
        .run();
    ended.assert_code(125).assert_err_has("no space left on device");
    assert_eq!(std::fs::read_dir(&disk).expect("a directory").count(), 0, "spools have no name");
}

// proves: F-38 as far as a joblog goes
#[test]
fn two_runs_on_one_joblog_do_not_mix() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!("echo up > {}; while [ ! -e go ]; do sleep 0.02; done; echo {{}}", ready.as_str());
    let first = scene.psmith(["--joblog", "j", "-s", &script, ":::", "a", "b"]).start();
    ready.wait();
    for log in ["j", "+j"] {
        let second = scene.psmith(["--joblog", log, "-s", "echo {} > second", ":::", "x"]).run();
        second.assert_code(125).assert_out("").assert_err_has("psmith: error: ").assert_err_has("j");
    }
    assert!(!scene.path("second").exists(), "nothing was started");
    scene.write("go", "");
    first.wait().assert_code(0);
    assert_eq!(joblog(&scene.text("j")).len(), 2);
}

#[test]
fn a_joblog_is_replaced_appended_or_resumed() {
    let scene = scene!();
    let run = |options: &[&str], inputs: &[&str]| {
        scene.psmith(["-j1"]).args(options).args(["-s", "echo {}; exit {}", ":::"]).args(inputs).run()
    };
    run(&["--joblog", "j"], &["0", "1"]).assert_code(1);
    run(&["--joblog", "j"], &["0"]).assert_code(0);
    assert_eq!(joblog(&scene.text("j")).len(), 1);
    run(&["--joblog", "+j"], &["1", "0"]).assert_code(1);
    assert_eq!(joblog(&scene.text("j")).len(), 3);
    // Identity is the command's text and its occurrence: two zeros were done, the third is not.
    run(&["--joblog", "j", "--resume"], &["0", "0", "0", "1", "2"]).assert_code(1).assert_out("0\n2\n");
    // Only successes are skipped; a failed job runs again, whatever its position now.
    run(&["--joblog", "j", "--resume-failed"], &["2", "1", "0"]).assert_code(2).assert_out("2\n1\n");
}

// proves: P-6: a crash loses nothing and repeats at most what was undelivered
#[test]
fn resume_after_a_kill_repeats_at_most_what_was_undelivered() {
    const JOBS: usize = 600;
    const KILLS: u32 = 4;
    const SLOTS: u32 = 3;
    let scene = scene!();
    let inputs: String = (1..=JOBS).map(|number| format!("{number}\n")).collect();
    let script = "echo {} >> ran; sleep 0.005; echo {}";
    let command = |resume: &[&str]| {
        scene.psmith(["-j3", "--joblog", "j"]).args(resume).args(["-s", script]).stdin(inputs.clone())
    };
    let mut delivered = String::new();
    for _ in 0..KILLS {
        let running = command(&["--resume"]).start();
        running.wait_for_lines(40);
        running.signal(Signal::KILL);
        delivered.push_str(&running.wait().out());
        scene.assert_no_survivors();
    }
    let ended = command(&["--resume"]).run();
    ended.assert_code(0);
    delivered.push_str(&ended.out());
    let mut counts = vec![0_u32; JOBS + 1];
    for line in scene.text("ran").lines() {
        counts[line.parse::<usize>().expect("a number")] += 1;
    }
    assert!(counts[1..].iter().all(|count| *count >= 1), "each job has run");
    // A kill leaves undelivered at most the running jobs, and those that had ended but not been written yet.
    let repeated: u32 = counts[1..].iter().map(|count| count - 1).sum();
    assert!(repeated <= KILLS * SLOTS * 2, "{repeated} jobs were repeated in {KILLS} kills of {SLOTS} slots");
    let mut lines: Vec<usize> = delivered.lines().filter_map(|line| line.parse().ok()).collect();
    lines.sort_unstable();
    lines.dedup();
    assert!(lines.iter().copied().eq(1..=JOBS), "each job's output was delivered");
    let mut rows: Vec<usize> = joblog(&scene.text("j"))
        .iter()
        .map(|row| usize::try_from(row.seq).expect("a job number fits"))
        .collect();
    rows.sort_unstable();
    rows.dedup();
    assert!(rows.iter().copied().eq(1..=JOBS), "each job has a row");
}

#[test]
fn a_run_that_ends_well_on_a_pipe_says_nothing() {
    let scene = scene!();
    scene.psmith(["-j4", "true"]).stdin("1\n2\n3\n").run().assert_code(0).assert_out("").assert_quiet();
}

#[test]
fn the_summary_names_failures_and_how_to_go_on() {
    let scene = scene!();
    let ended =
        scene.psmith(["--joblog", "jobs.log", "-s", "echo why {} >&2; exit {}", ":::", "0", "2", "0"]).run();
    ended.assert_code(1).assert_err_has("psmith: 3 jobs in ").assert_err_has("2 ok, 1 failed");
    ended.assert_err_has("  #2 ").assert_err_has("| why 2");
    ended.assert_err_has("resume: add --resume-failed to the same command (joblog jobs.log)");
}

#[test]
fn a_json_summary_is_the_run_end() {
    let scene = scene!();
    let ended = scene.psmith(["--summary", "json", "echo", ":::", "a"]).run();
    ended.assert_code(0);
    let summary: Value = serde_json::from_str(ended.err().trim_end()).expect("one JSON object");
    assert_eq!((&summary["event"], &summary["ok"]), (&"run_end".into(), &1.into()), "{summary}");
}

#[test]
fn quiet_says_nothing_but_errors() {
    let scene = scene!();
    scene.psmith(["--quiet", "-s", "exit {}", ":::", "1"]).run().assert_code(1).assert_quiet();
    scene.psmith(["--quiet", "nosuch", ":::", "1"]).run().assert_code(127).assert_err_has("psmith: error: ");
}

#[test]
fn commands_are_shown_on_stderr_when_asked_for() {
    let scene = scene!();
    let ended = scene.psmith(["-j1", "-t", "echo", ":::", "a b", "c"]).run();
    ended.assert_code(0).assert_out("a b\nc\n");
    assert_eq!(ended.err(), "echo 'a b'\necho c\n");
}

#[test]
fn dry_run_as_json() {
    let scene = scene!();
    let ended = scene.psmith(["--dry-run=json", "gzip", ":::", "a.txt"]).run();
    ended.assert_code(0).assert_quiet();
    let row: Value = serde_json::from_str(ended.out().trim_end()).expect("one JSON object");
    assert_eq!(
        row,
        serde_json::json!({"job": 1, "argv": ["gzip", "a.txt"], "cwd": null, "inputs": ["a.txt"]})
    );
    let ended = scene.psmith(["--dry-run=json", "-s", "wc {}", ":::", "a b"]).run();
    let row: Value = serde_json::from_str(ended.out().trim_end()).expect("one JSON object");
    assert_eq!(row["argv"], serde_json::json!(["/bin/sh", "-c", "wc 'a b'"]));
}

#[test]
fn a_success_that_counts_as_failed_is_run_again_by_resume_failed() {
    let scene = scene!();
    let run = |more: &[&str]| {
        let script = "echo {} >> seen; [ -e up ] || { : > up; exit 1; }";
        scene
            .psmith(["--retries", "2", "--flaky", "fail", "--joblog", "j", "--events", "e"])
            .args(more)
            .args(["-s", script, ":::", "a"])
            .run()
    };
    run(&[]).assert_code(1).assert_err_has("job 1 failed: flaky");
    assert_eq!(joblog(&scene.text("j")).last().map(|row| row.exitval), Some(-1));
    assert!(scene.text("e").contains(r#""status":"failed","cause":null"#), "{}", scene.text("e"));
    run(&["--resume"]).assert_code(0);
    assert_eq!(scene.text("seen"), "a\na\n");
    run(&["--resume-failed"]).assert_code(0);
    assert_eq!(scene.text("seen"), "a\na\na\n");
}

#[test]
fn the_json_summary_is_the_last_event() {
    let scene = scene!();
    let ended = scene.psmith(["--summary", "json", "--events", "e", "echo", ":::", "a"]).run();
    ended.assert_code(0).assert_out("a\n");
    let run = |text: &str| {
        let line = text.lines().last().expect("a line");
        let (_, after) = line.split_once(r#""run":""#).expect("a run");
        after.split_once('"').expect("its end").0.to_owned()
    };
    let name = run(&ended.err());
    assert_eq!(name.len(), 4, "{name}");
    assert_eq!(name, run(&scene.text("e")));
}
