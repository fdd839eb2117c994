//! Changes that a job makes in its process: in a worker that stays, no later job sees them.

use std::collections::BTreeSet;

use psmith::{Isolation, Job, Pool};
use psmith_testkit::leak::LeakGuard;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Changes one thing, or nothing.
fn change(what: &str) {
    match what {
        "nothing" => {}
        "directory" => std::env::set_current_dir("/").unwrap(),
        "umask" => drop(rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077))),
        "mask" => drop(psmith_sys::signals::block(psmith_sys::signals::SignalSet::of(&[10]))),
        "nice" => drop(rustix::process::nice(3).unwrap()),
        "limit" => {
            let limit = getrlimit(Resource::Nofile);
            let current = limit.current.map(|current| current - 1);
            setrlimit(Resource::Nofile, rustix::process::Rlimit { current, ..limit }).unwrap();
        }
        // A program that is written in Rust cannot set a variable without promising that it has one thread.
        "environment" => psmith_sys::environment::forget("PSMITH_TEST_TRACE"),
        "stream" => {
            let null = std::fs::File::open("/dev/null").unwrap();
            rustix::stdio::dup2_stderr(&null).unwrap();
        }
        other => panic!("{other}"),
    }
}

/// The process and all of this that can be seen in it.
fn state(what: String) -> (u32, Vec<String>) {
    change(&what);
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let seen = vec![
        std::env::current_dir().unwrap().display().to_string(),
        line("Umask"),
        line("SigBlk"),
        format!("{:?}", rustix::process::getpriority_process(None)),
        std::fs::read_to_string("/proc/self/limits").unwrap(),
        format!("{:?}", std::env::var_os("PSMITH_TEST_TRACE")),
        std::fs::read_link("/proc/self/fd/2").unwrap().display().to_string().replace(char::is_numeric, ""),
    ];
    (std::process::id(), seen)
}

const PUT_BACK: [&str; 3] = ["directory", "umask", "mask"];
const REPLACED: [&str; 4] = ["nice", "limit", "environment", "stream"];

// proves: F-29, state-of-worker, caller-untouched
#[test]
fn a_jobs_changes_to_its_process_are_seen_by_no_other_job() {
    const AGAIN: &str = "PSMITH_TEST_TRACE";
    psmith::init();
    if std::env::var_os(AGAIN).is_none() {
        let guard = LeakGuard::alone();
        let mut copy = std::process::Command::new(std::env::current_exe().unwrap());
        copy.args(["--exact", "a_jobs_changes_to_its_process_are_seen_by_no_other_job", "--nocapture"]);
        let output = copy.env(AGAIN, "1").env(psmith_testkit::leak::NONCE, guard.nonce()).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
        // return: the copy, whose environment has a variable to lose, has shown it
        return;
    }
    let own = state("nothing".into());
    for isolation in [Isolation::Reuse, Isolation::PerJob] {
        let pool = Pool::builder().workers(1).isolation(isolation).build().unwrap();
        let ask = |what: &str| pool.submit(Job::new(state, what.to_owned())).unwrap().wait().unwrap();
        let mut before = ask("nothing");
        for what in PUT_BACK.into_iter().chain(REPLACED) {
            let changed = ask(what);
            assert_ne!(changed.1, before.1, "{what} is a change that can be seen");
            let after = ask("nothing");
            assert_eq!(after.1, before.1, "{what}, {isolation:?}");
            if isolation == Isolation::Reuse {
                assert_eq!(after.0 == before.0, PUT_BACK.contains(&what), "{what}: {} {}", before.0, after.0);
            }
            before = after;
        }
    }
    assert_eq!(state("nothing".into()), own);
}

// proves: F-29: of a batch, its end is checked.
#[test]
fn the_next_batch_sees_nothing_of_the_one_before() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let home = std::env::current_dir().unwrap();
    // A job that prints is the last of its batch, so the next is the first of another.
    let leave = |n: u32| {
        let dir = std::env::current_dir().unwrap();
        change(if n % 10 == 3 { "directory" } else { "nothing" });
        change(if n % 10 == 6 { "nice" } else { "nothing" });
        if n % 10 == 8 {
            println!("the last");
        }
        (dir, rustix::process::getpriority_process(None).unwrap(), std::process::id())
    };
    let map = psmith::map(0..100, leave).workers(1).output(psmith::Output::Discard);
    let got: Vec<_> = map.map(Result::unwrap).collect();
    let own = rustix::process::getpriority_process(None).unwrap();
    for (dir, nice, _) in got.iter().skip(9).step_by(10) {
        assert_eq!((dir, *nice), (&home, own));
    }
    // Ten times a worker was left with another niceness.
    assert_eq!(got.iter().map(|(.., pid)| *pid).collect::<BTreeSet<u32>>().len(), 11);
}

// proves: F-29: what the set-up of workers changes is no job's.
#[test]
fn the_changes_of_the_init_function_stay() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = Pool::builder().workers(1).init(|| change("directory")).build().unwrap();
    let ask = |_: u32| (std::env::current_dir().unwrap(), std::process::id());
    let [first, second] = [0, 1].map(|n| pool.submit(Job::new(ask, n)).unwrap().wait().unwrap());
    assert_eq!(first, second);
    assert_eq!(first.0, std::path::Path::new("/"));
}
