//! Hazards of real size: gigabytes, endless lines, hundreds of daemons, thousands of forks. Memory stays bounded,
//! nothing is cut, nothing is left.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use psmith_testkit::need::Need;
use psmith_testkit::records::RecordedEvents;
use psmith_testkit::{need, proc, scene, wicked};

/// The bound of P-7 on what output may add to host or warden.
const GROWTH_MAX_KIB: u64 = 16 * 1024;

/// The outer limit: these are the large tests.
const LIMIT: Duration = Duration::from_secs(240);

/// Returns the peak of a process's memory so far.
fn peak_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("{}", proc::describe(pid)))
}

/// Runs a job that waits, writes a flood, and waits again; host and warden may grow by the bound in between. All that
/// it wrote must be read.
fn growth_is_bounded(options: &[&str], flood: &str, bytes: u64) {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let stands =
        |file: &str| format!("echo up > {}; while [ ! -e {file} ]; do sleep 0.02; done", ready.as_str());
    // It drains into a counter, so that the test itself stays small.
    let script = format!("{}; {flood}; {} # {{}}", stands("go"), stands("done"));
    let mut command = scene.psmith(options).args(["-s", &script, ":::", "a"]).env("W", wicked()).command();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("psmith starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    let counter = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        let mut count = 0;
        loop {
            match stdout.read(&mut buffer).expect("a pipe can be read") {
                0 => return count,
                read => count += read as u64,
            }
        }
    });
    ready.wait();
    let pid = i32::try_from(child.id()).expect("a pid fits");
    let mut watched = vec![pid];
    watched.extend(proc::children(pid));
    assert_eq!(watched.len(), 2, "host and warden");
    let before: Vec<u64> = watched.iter().map(|pid| peak_kib(*pid)).collect();
    scene.write("go", "");
    ready.wait();
    for (pid, before) in watched.iter().zip(&before) {
        let grown = peak_kib(*pid) - before;
        assert!(grown < GROWTH_MAX_KIB, "grew by {grown} KiB with {options:?}: {}", proc::describe(*pid));
    }
    scene.write("done", "");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(counter.join().expect("the counter counts"), bytes, "with {options:?}");
}

// proves: F-16, P-7
#[test]
fn a_gigabyte_on_stdout_stays_out_of_memory() {
    growth_is_bounded(&[], "\"$W\" flood 1073741824", 1 << 30);
}

// proves: F-16, P-7: passed on as it comes, and by lines
#[test]
fn a_flood_that_is_passed_on_live_stays_out_of_memory() {
    growth_is_bounded(&["-k"], "\"$W\" flood 300000000", 300_000_000);
    growth_is_bounded(&["--lb"], "\"$W\" flood 300000000", 300_000_000);
}

// proves: F-17, P-7
#[test]
fn a_hundred_megabytes_without_a_newline_stay_out_of_memory() {
    for options in [&[][..], &["-k"], &["--lb"]] {
        growth_is_bounded(options, "\"$W\" no-newline 100000000", 100_000_000);
    }
}

// proves: F-34a, P-7: a slow reader slows the run down, and fills nothing but the spools
#[test]
fn a_slow_reader_makes_nothing_grow() {
    const JOBS: u64 = 3_000;
    let scene = scene!();
    let script = "seq 1 200 # {}";
    let mut psmith = scene.psmith(["-j4", "-k", "-s", script]).command();
    scene.write("in", (1..=JOBS).map(|n| format!("{n}\n")).collect::<String>());
    let input = std::fs::File::open(scene.path("in")).expect("the input");
    let mut child =
        psmith.stdin(input).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("psmith starts");
    let pid = i32::try_from(child.id()).expect("a pid fits");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut first = [0; 4];
    stdout.read_exact(&mut first).expect("the first output");
    let warden = proc::children(pid)[0];
    // Nobody reads. When host and warden have nothing more to do, everything waits.
    let mut quiet = 0;
    let mut last = (0, 0);
    while quiet < 20 {
        // sleep: that nothing happens any more can only be seen by a second reading.
        std::thread::sleep(Duration::from_millis(25));
        let now = (cpu_ticks(pid), cpu_ticks(warden));
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
    let (host_peak, warden_peak) = (peak_kib(pid), peak_kib(warden));
    let mut all = first.to_vec();
    let mut buffer = [0; 3000];
    loop {
        match stdout.read(&mut buffer).expect("a pipe can be read") {
            0 => break,
            read => all.extend_from_slice(&buffer[..read]),
        }
        if let (Some(host), Some(warden)) = (alive_peak(pid), alive_peak(warden)) {
            assert!(host < host_peak + GROWTH_MAX_KIB && warden < warden_peak + GROWTH_MAX_KIB);
        }
    }
    assert!(child.wait().expect("it ends").success());
    assert!(host_peak < 64 * 1024 && warden_peak < 32 * 1024, "{host_peak} and {warden_peak} KiB");
    let one: String = (1..=200).map(|n| format!("{n}\n")).collect();
    assert!(all == one.repeat(JOBS as usize).as_bytes(), "{} bytes", all.len());
}

fn alive_peak(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

/// Returns the processor time that it has used, in ticks.
fn cpu_ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rfind(')').map_or("", |at| &stat[at + 1..]);
    rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Runs two hundred jobs, twenty at once, each of which leaves a daemon behind a chain of one to five forks.
fn daemons(forbid: &str, level: &str) {
    let scene = scene!();
    let pids = scene.path("pids");
    scene.guard(|guard| guard.track(&pids));
    let script = "n={}; \"$W\" fork-twice $((1 + n % 5)) pids redirect ignore";
    let ended = scene
        .psmith(["-j20", "--events", "e", "--contain", level, "-s", script])
        .stdin((1..=200).map(|n| format!("{n}\n")).collect::<String>())
        .env("W", wicked())
        .forbid(forbid)
        .limit(LIMIT)
        .run();
    ended.assert_code(0);
    assert_eq!(scene.text("pids").lines().count(), 200, "every daemon stood");
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    assert_eq!(events.named("run_start")[0]["contain"], level);
    scene.assert_no_survivors();
}

// proves: F-12, P-4
#[test]
fn two_hundred_daemons_at_cgroup() {
    need!("F-12, P-4", Need::CgroupKill);
    daemons("", "cgroup");
}

// proves: F-12, P-4
#[test]
fn two_hundred_daemons_at_keeper() {
    daemons("cgroup", "keeper");
}

// proves: F-12, P-4
#[test]
fn two_hundred_daemons_at_sweep() {
    daemons("cgroup", "sweep");
}

// proves: F-13: a bounded bomb of 2,000, without a limit on processes
#[test]
fn a_bomb_of_two_thousand_leaves_nothing() {
    let scene = scene!();
    let ended =
        scene.psmith(["--events", "e"]).arg(wicked()).args(["fork-many", ":::", "2000"]).limit(LIMIT).run();
    ended.assert_code(0).assert_out("2000\n");
    let end = RecordedEvents::parse(&scene.text("e")).end_of(1).clone();
    assert!(end["leaked"].as_u64().is_some_and(|leaked| leaked >= 1), "{end}");
    scene.assert_no_survivors();
}

// proves: F-13: with a limit the bomb ends small, and its neighbour does not notice
#[test]
fn a_bomb_of_two_thousand_is_limited_to_its_own_tree() {
    need!("F-13, P-2", Need::PidsGroup);
    let scene = scene!();
    let ended = scene
        .psmith(["-j2", "-k", "--pids", "50", "--events", "e"])
        .arg(wicked())
        .args(["fork-many", ":::", "2000", "20", "2000", "20"])
        .forbid("")
        .limit(LIMIT)
        .run();
    ended.assert_code(2);
    let events = RecordedEvents::parse(&scene.text("e"));
    for (job, cause) in
        [(1, "limit".into()), (2, serde_json::Value::Null), (3, "limit".into()), (4, serde_json::Value::Null)]
    {
        assert_eq!(events.end_of(job)["cause"], cause, "job {job}");
    }
    scene.assert_no_survivors();
}

// proves: F-28: a fork without exec that returns too is part of its job, not an outcome of its own
#[test]
fn a_job_that_forks_and_returns_twice_ends_once() {
    let scene = scene!();
    let ended = scene
        .psmith([
            "-k",
            "--events",
            "e",
            "-s",
            "(echo child {}; exit 4) & echo parent {}; wait; exit 3",
            ":::",
            "a",
            "b",
        ])
        .run();
    ended.assert_code(2);
    let mut lines = ended.sorted_lines();
    lines.sort();
    assert_eq!(lines, ["child a", "child b", "parent a", "parent b"]);
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    for job in [1, 2] {
        assert_eq!(events.end_of(job)["code"], 3);
    }
}

// proves: F-19: address space, as an explicit limit of the job itself
#[test]
fn an_allocation_that_fails_is_the_job_s_own_end() {
    let scene = scene!();
    let script = "ulimit -v 65536; exec \"$W\" eat-memory 200000000 # {}";
    let ended = scene.psmith(["-k", "--events", "e", "-s", script, ":::", "a"]).env("W", wicked()).run();
    ended.assert_code(1);
    let end = RecordedEvents::parse(&scene.text("e")).end_of(1).clone();
    // Rust's own answer to an allocation that fails is an abort, with a word on stderr.
    assert_eq!((&end["cause"], &end["signal"]), (&"signal".into(), &6.into()), "{end}");
    assert!(end["stderr_tail"].as_str().is_some_and(|tail| tail.contains("memory allocation")), "{end}");
}
