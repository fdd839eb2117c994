//! Where the output of jobs goes: at once by lines, at the end, or nowhere; and that nothing of it is lost in silence.
//!
//! A host whose streams the test reads is this program once more, with the name of a scene.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use psmith::{
    Cause, Isolation, Job, Options, Output, Pool, ProcessManager, Scheduler, Server, Supervisor, WorkerCx,
    run_workers,
};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::{LeakGuard, NONCE};

const SCENE: &str = "PSMITH_TEST_SCENE";
const GATE: &str = "PSMITH_TEST_GATE";
const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];
const MANY: usize = 1_000_000;

/// Plays a scene if this process is its host.
fn plays(scene: &str, play: impl FnOnce()) -> bool {
    psmith::init();
    let is_host = std::env::var_os(SCENE).is_some_and(|name| name == scene);
    if is_host {
        play();
    }
    is_host
}

/// Makes a host that plays the scene of this test.
fn host(test: &str, scene: &str) -> Command {
    let mut host = Command::new(std::env::current_exe().unwrap());
    host.args(["--exact", test, "--nocapture"]).env(SCENE, scene);
    host.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    host
}

fn lines_of(host: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok)
}

fn text_of(host: &mut Command) -> (String, String) {
    let output = host.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    (stdout, stderr)
}

fn gate_of_host() -> PathBuf {
    std::env::var_os(GATE).unwrap().into()
}

/// Prints a line, waits at the gate, and prints another, without its end.
fn speak_twice<A>(_: A) {
    println!("one");
    std::io::stdout().flush().unwrap();
    gate::pass(&gate_of_host());
    print!("two");
}

fn speak_as_worker(_: WorkerCx<u32>) {
    speak_twice(());
}

fn lines_in_every_face() {
    let options = || Options::new().output(Output::Lines);
    for isolation in BOTH {
        let run = psmith::map([0, 1], speak_twice::<u32>).workers(2).isolation(isolation);
        assert!(run.output(Output::Lines).into_iter().all(|end| end.is_ok()));
        println!("map ended");
    }
    assert!(run_workers(2, speak_as_worker).all(|(_, end)| end.is_ok()));
    println!("workers ended");
    let mut supervisor = Supervisor::new(1, speak_twice::<u32>);
    supervisor.start().unwrap();
    supervisor.drain();
    println!("supervisor ended");
    let job = || Job::new(speak_twice::<u32>, 0);
    let pool = Pool::builder().options(options()).build().unwrap();
    pool.submit(job()).unwrap().wait().unwrap();
    Scheduler::new().options(options()).schedule(job()).unwrap().wait().unwrap();
    let mut manager = ProcessManager::builder().options(options()).build().unwrap();
    manager.create_process(job(), |_, end| end.unwrap()).unwrap();
    manager.drain();
    let mut jobs = vec![job()].into_iter();
    Server::new(move || jobs.next()).options(options()).run().unwrap();
    assert!(psmith::run_jobs([job()]).options(options()).into_iter().all(|end| end.is_ok()));
    println!("all ended");
}

// proves: live-output
#[test]
fn lines_come_while_jobs_run_each_with_its_jobs_name_and_all_before_its_outcome() {
    let scene = "lines";
    if plays(scene, lines_in_every_face) {
        // return: this process is the program that the test starts, and has played its part.
        return;
    }
    let _guard = LeakGuard::alone();
    let mut gate = Gate::closed();
    let test = "lines_come_while_jobs_run_each_with_its_jobs_name_and_all_before_its_outcome";
    let mut host = host(test, scene).env(GATE, gate.path()).spawn().unwrap();
    let mut lines = lines_of(&mut host).filter(|line| line.contains(": ") || line.ends_with(" ended"));
    let mut next = |count: usize| {
        let mut lines: Vec<String> = lines.by_ref().take(count).collect();
        lines[..count - (count % 2)].sort();
        lines
    };
    // These come while the jobs that wrote them wait at the gate.
    assert_eq!(next(2), ["item 0: one", "item 1: one"]);
    gate.open();
    assert_eq!(next(3), ["item 0: two", "item 1: two", "map ended"]);
    let both = |name: &str| [0, 1].map(|n| format!("{name} {n}: "));
    let [first, second] = both("item");
    let expected =
        [format!("{first}one"), format!("{first}two"), format!("{second}one"), format!("{second}two")];
    assert_eq!(next(5), [&expected[..], &["map ended".to_owned()]].concat());
    let workers = ["worker 1: one", "worker 1: two", "worker 2: one", "worker 2: two", "workers ended"];
    assert_eq!(next(5), workers);
    // It may have been started again before it was drained.
    let mut supervised: Vec<String> = std::iter::from_fn(|| Some(next(1).remove(0)))
        .take_while(|line| line != "supervisor ended")
        .collect();
    supervised.sort();
    supervised.dedup();
    assert_eq!(supervised, ["worker 1: one", "worker 1: two"]);
    let rest = ["item 0: one", "item 0: two"].repeat(5);
    let got: Vec<String> = lines.collect();
    assert_eq!(got[..10], rest, "{got:?}");
    assert_eq!(got[10], "all ended");
    assert!(host.wait().unwrap().success());
}

// proves: live-output
#[test]
fn long_output_by_lines_is_whole_and_all_of_it_comes_before_the_outcome() {
    const LINES: usize = 20_000;
    let play = || {
        for isolation in BOTH {
            let speak = |_: u32| (0..LINES).for_each(|n| println!("line {n}"));
            let builder = Pool::builder().isolation(isolation).output(Output::Lines);
            let pool = builder.build().unwrap();
            pool.submit(Job::new(speak, 0)).unwrap().wait().unwrap();
            println!("the pool goes on");
        }
    };
    if plays("long", play) {
        // return: this process is the program that the test starts, and has played its part.
        return;
    }
    let _guard = LeakGuard::alone();
    let test = "long_output_by_lines_is_whole_and_all_of_it_comes_before_the_outcome";
    let (stdout, _) = text_of(&mut host(test, "long"));
    let mut lines = stdout.lines().skip_while(|line| !line.starts_with("item 0: "));
    for _ in BOTH {
        assert!(lines.by_ref().take(LINES).eq((0..LINES).map(|n| format!("item 0: line {n}"))));
        assert_eq!(lines.next(), Some("the pool goes on"));
    }
}

// proves: live-output
#[test]
fn a_supervised_process_that_runs_is_heard() {
    let scene = "supervised";
    let play = || {
        let mut supervisor = Supervisor::new(2, |number: u32| {
            eprintln!("up {number}");
            gate::pass(&gate_of_host());
        });
        supervisor.start().unwrap();
        supervisor.join();
    };
    if plays(scene, play) {
        // return: this process is the program that the test starts, and has played its part.
        return;
    }
    let guard = LeakGuard::new();
    let gate = Gate::closed();
    let test = "a_supervised_process_that_runs_is_heard";
    let mut host = host(test, scene).env(GATE, gate.path()).env(NONCE, guard.nonce()).spawn().unwrap();
    let lines = BufReader::new(host.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said: Vec<String> = lines.filter(|line| line.contains("up")).take(2).collect();
    said.sort();
    assert_eq!(said, ["worker 1: up 1", "worker 2: up 2"]);
    host.kill().unwrap();
    host.wait().unwrap();
}

fn command(script: &str) -> Job<Vec<u8>> {
    Job::command("sh").args(["-c", script]).job()
}

fn commands_by_lines() {
    for isolation in BOTH {
        let jobs = [command("echo value; echo live >&2"), command("echo lost value; exit 3")];
        let ends = psmith::run_jobs(jobs).isolation(isolation).workers(1).output(Output::Lines);
        let ends: Vec<_> = ends.collect();
        assert_eq!(ends[0].as_ref().unwrap(), b"value\n");
        assert_eq!(ends[1].as_ref().unwrap_err().cause, Cause::Exit(3));
    }
}

// proves: live-output
#[test]
fn the_value_of_a_command_is_no_output() {
    if plays("commands", commands_by_lines) {
        // return: this process is the program that the test starts, and has played its part.
        return;
    }
    let _guard = LeakGuard::alone();
    let (stdout, stderr) = text_of(&mut host("the_value_of_a_command_is_no_output", "commands"));
    assert_eq!(stdout.matches("sh -c echo lost value; exit 3: lost value\n").count(), 2, "{stdout}");
    assert!(!stdout.contains(": value"), "{stdout}");
    assert_eq!(stderr.matches("sh -c echo value; echo live >&2: live\n").count(), 2, "{stderr}");
}

fn speak_much(fails: bool) -> Result<(), &'static str> {
    print!("{}", "x".repeat(MANY));
    if fails { Err("failed") } else { Ok(()) }
}

/// Loses output in each way of running jobs, where it can be kept nowhere, or passed on nowhere.
fn lose(output: Output) {
    for isolation in BOTH {
        let run = psmith::try_map([false, true], speak_much).workers(1).isolation(isolation).output(output);
        let ends: Vec<_> = run.collect();
        ends[0].as_ref().unwrap();
        let lost = ends[1].as_ref().unwrap_err().lost_output.as_ref().expect("told");
        eprintln!("failure: {} {} {}", lost.stdout_bytes, lost.stderr_bytes, lost);
        let builder = Pool::builder().workers(1).isolation(isolation).output(output);
        let pool = builder.build().unwrap();
        pool.submit(Job::fallible(speak_much, false)).unwrap().wait().unwrap();
        eprintln!("report: {}", pool.report().lost_output);
        let mut jobs = vec![Job::fallible(speak_much, false)].into_iter();
        let report = Server::new(move || jobs.next()).isolation(isolation).output(output).run().unwrap();
        eprintln!("report: {}", report.lost_output);
    }
}

/// The numbers behind this word, one a line.
fn numbers(text: &str, word: &str) -> Vec<usize> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(word));
    lines.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
}

// proves: F-52, output-told
#[test]
fn output_that_cannot_be_kept_is_told_and_counted() {
    let play = || {
        lose(Output::Whole);
        for isolation in BOTH {
            let script = format!("head -c {MANY} /dev/zero");
            let ends = psmith::run_jobs([command("echo short"), command(&script)]).isolation(isolation);
            let ends: Vec<_> = ends.output(Output::Discard).collect();
            assert_eq!(ends[0].as_ref().unwrap(), b"short\n");
            eprintln!("value: {}", ends[1].as_ref().unwrap_err());
        }
        // What is not to be kept needs no room.
        for output in [Output::Discard, Output::Keep(10), Output::Lines, Output::Inherit] {
            for isolation in BOTH {
                let run = psmith::try_map([true], speak_much).isolation(isolation).output(output);
                let failure = run.into_iter().last().unwrap().unwrap_err();
                assert_eq!(failure.lost_output, None, "{output:?}");
                let kept = if output == Output::Keep(10) { 10 } else { 0 };
                assert_eq!(failure.stdout_tail, vec![b'x'; kept]);
            }
        }
    };
    if plays("unkept", play) {
        // return: this process is the program that the test starts, and has played its part.
        return;
    }
    let _guard = LeakGuard::alone();
    let test = "output_that_cannot_be_kept_is_told_and_counted";
    let (stdout, stderr) = text_of(host(test, "unkept").env("TMPDIR", "/nowhere"));
    let count = stdout.bytes().filter(|byte| *byte == b'x').count();
    let losses = numbers(&stderr, "psmith: warning: item 0: ");
    assert_eq!(losses.len(), 2 * 3, "{stderr}");
    let (failures, reports) = (numbers(&stderr, "failure: "), numbers(&stderr, "report: "));
    assert_eq!((failures.len(), reports.len()), (2, 4));
    let lost: usize = losses.iter().chain(&failures).sum();
    // With those by lines and inherited.
    assert_eq!(count + lost, (2 * 4 + 4) * MANY);
    assert!(reports.iter().all(|bytes| (1..MANY).contains(bytes) && losses.contains(bytes)), "{stderr}");
    assert!(
        stderr.contains("bytes of output were not kept: /nowhere: no such file or directory"),
        "{stderr}"
    );
    assert_eq!(
        stderr.matches("could not be kept: /nowhere: no such file or directory").count(),
        2,
        "{stderr}"
    );
}

// proves: F-52, output-told
#[test]
fn output_that_cannot_be_passed_on_is_told_and_counted() {
    let play = || {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        rustix::stdio::dup2_stdout(full).unwrap();
        lose(Output::Whole);
        lose(Output::Lines);
        // The test's own end cannot be told any more.
        std::process::exit(0);
    };
    if plays("full", play) {
        // return: this process is the program that the test starts, and has played its part.
        return;
    }
    let _guard = LeakGuard::alone();
    let test = "output_that_cannot_be_passed_on_is_told_and_counted";
    let (_, stderr) = text_of(&mut host(test, "full"));
    let told = ["failure: ", "report: ", "psmith: warning: item 0: ", "psmith: warning: item 1: "];
    let told = told.map(|word| numbers(&stderr, word));
    assert_eq!(told.each_ref().map(Vec::len), [4, 8, 12, 4], "{stderr}");
    // By lines a last line gets an end, which is lost, too.
    assert!(told.iter().flatten().all(|bytes| [MANY, MANY + 9].contains(bytes)), "{stderr}");
    assert!(stderr.contains("bytes of output were not passed on: no space left on device"), "{stderr}");
}

// proves: F-52, output-told
#[test]
fn of_more_output_than_is_kept_the_beginning_is_and_the_rest_is_told() {
    let play = || {
        for isolation in BOTH {
            let run = psmith::try_map([false], speak_much).isolation(isolation).max_output_bytes(100_000);
            assert!(run.into_iter().last().unwrap().is_ok());
        }
    };
    if plays("limit", play) {
        // return: this process is the program that the test starts, and has played its part.
        return;
    }
    let _guard = LeakGuard::alone();
    let test = "of_more_output_than_is_kept_the_beginning_is_and_the_rest_is_told";
    let (stdout, stderr) = text_of(&mut host(test, "limit"));
    assert_eq!(stdout.bytes().filter(|byte| *byte == b'x').count(), 2 * 100_000);
    let line = "psmith: warning: item 0: 900000 bytes of output were not kept: more than 100000 bytes \
                (max_output_bytes)\n";
    assert_eq!(stderr.matches(line).count(), 2, "{stderr}");
}

// proves: live-output
#[test]
fn inherited_streams_are_the_programs_own_and_the_value_of_a_command_stays_one() {
    let play = || {
        let ask = |_: u32| {
            eprintln!("direct");
            std::fs::read_link("/proc/self/fd/1").unwrap()
        };
        for isolation in BOTH {
            let run = psmith::map([0], ask).isolation(isolation).output(Output::Inherit);
            let ours = std::fs::read_link("/proc/self/fd/1").unwrap();
            assert_eq!(run.into_iter().next().unwrap().unwrap(), ours);
            let job = command("echo value; echo direct >&2");
            let run = psmith::run_jobs([job]).isolation(isolation).output(Output::Inherit);
            assert_eq!(run.into_iter().next().unwrap().unwrap(), b"value\n");
        }
    };
    if plays("inherit", play) {
        // return: this process is the program that the test starts, and has played its part.
        return;
    }
    let _guard = LeakGuard::alone();
    let test = "inherited_streams_are_the_programs_own_and_the_value_of_a_command_stays_one";
    let mut host = host(test, "inherit").spawn().unwrap();
    let mut stderr = String::new();
    host.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(host.wait_with_output().unwrap().status.success(), "{stderr}");
    assert_eq!(stderr.matches("direct\n").count(), 4, "{stderr}");
}
