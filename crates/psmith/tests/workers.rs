//! Workers: a process of its own with nothing of the host's in it, and one typed outcome whatever it does.
//!
//! All of it holds for forked workers and for executed ones: the last test runs the others again where forking is
//! forbidden.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use psmith::{Cause, Exit, Failure, Retry};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Says of the process it runs in what a child of psmith must be (P-10).
fn describe(_: ()) -> Description {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
    };
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().to_str()?.parse::<i32>().ok()?, target.to_str()?.to_owned()))
    });
    Description {
        descriptors: descriptors.filter(|(_, target)| !target.ends_with("/fd")).collect(),
        blocked: field("SigBlk"),
        ignored: field("SigIgn"),
        caught: field("SigCgt"),
        leads_session: rustix::process::getsid(None).unwrap() == rustix::process::getpid(),
        has_terminal: std::fs::File::open("/dev/tty").is_ok(),
        own_name: std::fs::read_to_string("/proc/self/comm").unwrap(),
        environment: std::env::vars().filter(|(key, _)| key.starts_with("PSMITH_")).collect(),
    }
}

#[derive(Serialize, Deserialize, Debug)]
struct Description {
    descriptors: Vec<(i32, String)>,
    blocked: u64,
    ignored: u64,
    caught: u64,
    leads_session: bool,
    has_terminal: bool,
    own_name: String,
    environment: Vec<(String, String)>,
}

// proves: P-10
#[test]
fn nothing_of_the_host_reaches_a_worker() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let ours = psmith::map([()], describe).into_iter().next().unwrap().unwrap();
    assert_eq!(ours.descriptors.len(), 4, "0, 1, 2 and the channel: {ours:?}");
    let targets: Vec<&str> = ours.descriptors.iter().map(|(_, target)| target.as_str()).collect();
    assert_eq!(targets[0], "/dev/null");
    assert!(targets[1].starts_with("pipe:") && targets[2].starts_with("pipe:"), "{ours:?}");
    assert!(targets[3].starts_with("socket:"), "{ours:?}");
    let sigpipe = 1 << 12;
    assert_eq!((ours.blocked, ours.ignored), (0, sigpipe), "{ours:?}");
    let (sigsegv, sigabrt) = (1 << 10, 1 << 5);
    assert_eq!(
        ours.caught & !(0b11 << 31),
        sigsegv | sigabrt,
        "none but the C library's, and those that name overflows and panics that abort: {ours:?}"
    );
    assert!(ours.leads_session && !ours.has_terminal, "{ours:?}");
    assert_eq!(ours.own_name.trim(), "psmith-worker");
    let names: BTreeSet<&str> = ours.environment.iter().map(|(key, _)| key.as_str()).collect();
    for name in ["PSMITH_RUN", "PSMITH_JOB", "PSMITH_SLOT", "PSMITH_ATTEMPT"] {
        assert!(names.contains(name), "{names:?}");
    }
    assert!(!names.contains("PSMITH_WARDEN") && !names.contains("PSMITH_WORKER"), "{names:?}");
}

// proves: F-29, state-of-worker, process-a-job, caller-untouched: nothing outlives the process of a job
#[test]
fn nothing_of_one_job_is_seen_by_the_next_or_by_the_caller() {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    psmith::init();
    let _guard = LeakGuard::alone();
    let change = |_: u32| {
        std::env::set_current_dir("/").unwrap();
        COUNT.fetch_add(1, Ordering::Relaxed) + 1
    };
    let before = std::env::current_dir().unwrap();
    let map = psmith::map(0..6, change).workers(2).isolation(psmith::Isolation::PerJob);
    let counts: Vec<u32> = map.map(Result::unwrap).collect();
    assert_eq!(counts, [1; 6]);
    assert_eq!((COUNT.load(Ordering::Relaxed), std::env::current_dir().unwrap()), (0, before));
}

/// Fails or crashes on its way, at the place that it names.
#[derive(Debug, Clone, PartialEq)]
enum Wicked {
    Good,
    Encode,
    Decode,
    CrashDecode,
    CrashEncode,
}

impl Serialize for Wicked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = match self {
            Wicked::Encode => return Err(serde::ser::Error::custom("will not go")),
            Wicked::CrashEncode => std::process::abort(),
            Wicked::Good => 0,
            Wicked::Decode => 1,
            Wicked::CrashDecode => 2,
        };
        serializer.serialize_u32(number)
    }
}

impl<'de> Deserialize<'de> for Wicked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Wicked, D::Error> {
        match u32::deserialize(deserializer)? {
            0 => Ok(Wicked::Good),
            1 => Err(serde::de::Error::custom("cannot be read")),
            _ => std::process::abort(),
        }
    }
}

// proves: F-22, F-23, serde-values
#[test]
fn an_input_that_fails_or_crashes_on_its_way_is_the_failure_of_its_job_alone() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let inputs = [Wicked::Good, Wicked::Encode, Wicked::Decode, Wicked::CrashDecode, Wicked::Good];
    let got: Vec<Option<Cause>> = psmith::map(inputs, |wicked: Wicked| wicked == Wicked::Good)
        .workers(2)
        .map(|got| got.map_err(Failure::into_cause).err())
        .collect();
    let undecodable = |text: &str| Some(Cause::Undecodable(format!("its input: {text}")));
    assert_eq!(got[1], undecodable("will not go"));
    assert_eq!(got[2], undecodable("cannot be read"));
    assert!(matches!(got[3], Some(Cause::Signal { signal: 6, .. })), "{got:?}");
    assert_eq!((&got[0], &got[4]), (&None, &None));
}

// proves: F-24, F-25
#[test]
fn a_result_that_fails_or_crashes_on_its_way_is_the_failure_of_its_job_alone() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let make = |n: u32| match n {
        0 | 4 => Ok::<_, String>(Wicked::Good),
        1 => Ok(Wicked::Encode),
        2 => Ok(Wicked::Decode),
        _ => Ok(Wicked::CrashEncode),
    };
    let got: Vec<Option<Cause>> =
        psmith::try_map(0..5, make).workers(2).map(|got| got.map_err(Failure::into_cause).err()).collect();
    let undecodable = |text: &str| Some(Cause::Undecodable(format!("its result: {text}")));
    assert_eq!(got[1], undecodable("will not go"));
    assert_eq!(got[2], undecodable("cannot be read"));
    assert!(matches!(got[3], Some(Cause::Signal { signal: 6, .. })), "{got:?}");
    assert_eq!((&got[0], &got[4]), (&None, &None));
}

// proves: F-26, large-values
#[test]
fn large_values_go_both_ways_whole_and_too_large_ones_fail_with_the_limit() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let large = vec![0xa5_u8; 64 << 20];
    let turn = |mut bytes: Vec<u8>| {
        bytes.push(1);
        bytes
    };
    let back = psmith::map([large.clone()], turn).codec::<psmith::codec::Raw>().workers(1);
    let back = back.into_iter().next().unwrap().unwrap();
    assert!(back.len() == large.len() + 1 && back[..large.len()] == large[..]);

    let grow = |n: usize| vec![7_u8; n];
    let got: Vec<_> = psmith::map([10, 100_000], grow).max_message_bytes(50_000).workers(2).collect();
    assert_eq!(got[0].as_ref().unwrap().len(), 10);
    let text = got[1].as_ref().unwrap_err().to_string();
    assert!(text.contains("50000") && text.contains("max_message_bytes"), "{text}");
    let shrink = |bytes: Vec<u8>| bytes.len();
    let got: Vec<_> =
        psmith::map([vec![1; 10], vec![1; 100_000]], shrink).max_message_bytes(50_000).collect();
    assert_eq!(got[0].as_ref().unwrap(), &10);
    let text = got[1].as_ref().unwrap_err().to_string();
    assert!(text.contains("50000") && text.contains("max_message_bytes"), "{text}");
}

// proves: F-1, F-2, killed-worker-names-item, failure-in-one-line, one-typed-outcome
#[test]
fn killed_in_its_job_a_worker_is_a_signal_with_the_end_of_its_stderr() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let die = |_: ()| {
        eprintln!("last words");
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    };
    let failure =
        psmith::map([()], die).output(psmith::Output::Discard).into_iter().next().unwrap().unwrap_err();
    assert_eq!(failure.cause, Cause::Signal { signal: 9, core_dumped: false });
    assert_eq!(failure.exit, Some(Exit::Signal { signal: 9, core_dumped: false }));
    assert_eq!(failure.stderr_tail, b"last words\n");
    assert_eq!(failure.attempts, 1);
    assert!(failure.pid > 0 && failure.usage.unwrap().max_rss_bytes > 0);
    assert_eq!(failure.to_string(), "job #1 (()): killed by SIGKILL");
}

// proves: eof-error-is-no-death
#[test]
fn a_jobs_own_error_about_an_unexpected_end_is_not_taken_for_a_dead_worker() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let fail = |_: ()| Err::<(), _>(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
    let failure = psmith::try_map([()], fail).into_iter().next().unwrap().unwrap_err();
    assert!(matches!(&failure.cause, Cause::Error(text) if text.contains("unexpected end")), "{failure}");
}

// proves: F-15
#[test]
fn a_jobs_children_do_not_get_its_channel() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let listing = |_: ()| {
        let output = Command::new("/bin/ls").args(["-l", "/proc/self/fd"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let listed = psmith::map([()], listing).into_iter().next().unwrap().unwrap();
    assert!(listed.contains("pipe:") && !listed.contains("socket:"), "{listed}");
}

// proves: retries-apart
#[test]
fn a_job_that_crashes_is_tried_again_and_each_attempt_is_listed() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let flaky = |_: ()| match psmith::cx().unwrap().attempt() {
        1 => std::process::exit(7),
        2 => Err("second".to_owned()),
        3 => panic!("third"),
        attempt => Ok(attempt),
    };
    let got = psmith::try_map([()], flaky).retry(Retry::tries(4)).into_iter().next().unwrap();
    assert_eq!(got.unwrap(), 4);
    let failure =
        psmith::try_map([()], flaky).retry(Retry::tries(3)).into_iter().next().unwrap().unwrap_err();
    assert!(matches!(&failure.cause, Cause::Panic { message, .. } if message == "third"), "{failure}");
    let earlier: Vec<_> = failure.earlier.iter().map(|attempt| attempt.cause.clone().unwrap()).collect();
    assert_eq!(earlier, [Cause::Exit(7), Cause::Error("second".into())]);
    assert!(failure.to_string().ends_with("(after 3 attempts)"), "{failure}");
}

// proves: timeouts-and-grace, job-knows-itself
#[test]
fn a_job_that_asks_sees_that_it_is_to_stop_and_has_the_grace_to_do_so() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let wait = |mark: PathBuf| {
        let cx = psmith::cx().unwrap();
        while !cx.cancelled() {
            std::thread::yield_now();
        }
        std::fs::write(mark, b"seen").unwrap();
    };
    let mark = dir.path().join("mark");
    let limit = Duration::from_millis(200);
    let failure = psmith::map([mark.clone()], wait)
        .timeout(limit)
        .grace(Duration::from_secs(30))
        .into_iter()
        .next()
        .unwrap()
        .unwrap_err();
    assert_eq!(failure.cause, Cause::Timeout(limit));
    assert_eq!(std::fs::read(mark).unwrap(), b"seen");
}

// proves: P-4, nothing-lives-on, no-process-left, ordered-map
#[test]
fn dropping_the_iterator_ends_the_running_jobs_with_all_that_they_started() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let gate = Gate::closed();
    let stand = |(n, path): (u32, PathBuf)| {
        if n > 0 {
            drop(Command::new("/bin/sleep").arg("1000").spawn().unwrap());
            gate::pass(&path);
        }
        n
    };
    let items = (0..).map(|n| (n, gate.path()));
    let mut map = psmith::map(items, stand).workers(4).into_iter();
    assert_eq!(map.next().unwrap().unwrap(), 0);
    drop(map);
    // What is left, the guard finds.
}

// proves: endless-in-order, submission-order
#[test]
fn an_endless_source_is_asked_for_no_more_than_the_window() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pulled = std::cell::Cell::new(0_u64);
    let items = std::iter::repeat_with(|| pulled.replace(pulled.get() + 1));
    let mut delivered = 0;
    for got in psmith::map(items, |n: u64| n).workers(3).window(5).into_iter().take(100) {
        assert_eq!(got.unwrap(), delivered);
        delivered += 1;
        assert!(pulled.get() <= delivered + 5, "{} pulled, {delivered} delivered", pulled.get());
    }
}

// proves: F-44, children-of-the-host
#[test]
fn a_host_with_children_of_its_own_can_wait_for_each_of_them() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let mut before = Command::new("/bin/sh").args(["-c", "exit 3"]).spawn().unwrap();
    let mut one = psmith::map(0..20, |n: u32| n).workers(2).into_iter();
    let mut other = psmith::map(0..20, |n: u32| n + 100).workers(2).into_iter();
    for n in 0..20 {
        assert_eq!(one.next().unwrap().unwrap(), n);
        assert_eq!(Command::new("/bin/sh").args(["-c", "exit 5"]).status().unwrap().code(), Some(5));
        assert_eq!(other.next().unwrap().unwrap(), n + 100);
    }
    assert_eq!(before.wait().unwrap().code(), Some(3));
}

// proves: F-28
#[test]
fn a_thread_that_a_job_leaves_behind_holds_up_nothing() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let leave = |n: u32| {
        std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        });
        n
    };
    assert_eq!(psmith::map([9], leave).into_iter().next().unwrap().unwrap(), 9);
}

// Where the warden cannot fork, workers are executed, and all of the above holds for them.
#[test]
fn executed_workers_keep_all_of_these_promises() {
    const AGAIN: &str = "PSMITH_TEST_EXECUTED";
    if std::env::var_os(AGAIN).is_some() {
        // return: this copy runs the others
        return;
    }
    // Shared, so that no test which inspects the whole process runs beside this one's child.
    let guard = LeakGuard::new();
    let output = Command::new(std::env::current_exe().unwrap())
        .env(psmith_testkit::leak::NONCE, guard.nonce())
        .env(AGAIN, "1")
        .env("PSMITH_FORBID", "fork")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Another descriptor of the worker's own channel, which a job has no business with.
fn channel() -> std::fs::File {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut sockets = entries.filter(|entry| {
        std::fs::read_link(entry.path()).is_ok_and(|to| to.to_str().unwrap().starts_with("socket:"))
    });
    let number: i32 = sockets.next().unwrap().file_name().to_str().unwrap().parse().unwrap();
    let own = rustix::process::getpid();
    let process = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).unwrap();
    let flags = rustix::process::PidfdGetfdFlags::empty();
    std::fs::File::from(rustix::process::pidfd_getfd(process, number, flags).unwrap())
}

// proves: F-14, SEC-worker
#[test]
fn garbage_on_the_channel_ends_its_worker_and_no_other() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let meddle = |n: u32| {
        let garbage: &[u8] = match n {
            1 => &[0xff; 64],
            2 => b"\x66\x73\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0 a length that nobody has",
            3 => b"\x66\x73\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0 a checksum that does not fit",
            _ => return n,
        };
        channel().write_all(garbage).unwrap();
        loop {
            std::thread::park();
        }
    };
    let got: Vec<_> = psmith::map(0..5, meddle).workers(2).collect();
    for (index, word) in [(1, "no frame"), (2, "longer than"), (3, "checksum")] {
        let cause = &got[index].as_ref().unwrap_err().cause;
        assert!(matches!(cause, Cause::Protocol(text) if text.contains(word)), "{cause:?}");
    }
    assert_eq!((got[0].as_ref().unwrap(), got[4].as_ref().unwrap()), (&0, &4));
}

// proves: F-10
#[test]
fn a_worker_that_closes_its_channel_and_runs_on_is_ended() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let close = |_: ()| -> u32 {
        psmith_sys::exit::close_inherited_descriptors().unwrap();
        loop {
            std::thread::park();
        }
    };
    let failure = psmith::map([()], close).into_iter().next().unwrap().unwrap_err();
    assert!(matches!(&failure.cause, Cause::Protocol(text) if text.contains("lived on")), "{failure}");
}

// proves: F-28, one-answer-a-job
#[test]
fn a_copy_of_the_worker_that_its_job_forked_does_not_answer_for_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let fork = |_: ()| match psmith_sys::fork::fork_single().unwrap() {
        psmith_sys::fork::ForkResult::Child(_) => "copy".to_owned(),
        psmith_sys::fork::ForkResult::Parent(_, copy) => {
            // Had it anything to say, it would be there first.
            let ended = rustix::process::WaitId::PidFd(copy.as_fd());
            rustix::process::waitid(ended, rustix::process::WaitIdOptions::EXITED).unwrap();
            "worker".to_owned()
        }
    };
    for isolation in [psmith::Isolation::PerJob, psmith::Isolation::Reuse] {
        let got =
            psmith::map([()], fork).isolation(isolation).output(psmith::Output::Discard).into_iter().next();
        assert_eq!(got.unwrap().unwrap(), "worker");
    }
}

// proves: F-5, P-2
#[test]
fn a_worker_killed_while_it_writes_its_result_is_a_signal_or_a_success_and_never_anything_else() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let die = |turns: u32| {
        std::thread::spawn(move || {
            (0..turns).for_each(|_| std::thread::yield_now());
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        });
        vec![turns as u8; 1 << 20]
    };
    for (turns, got) in (0..60).map(|n| n * 40).zip(psmith::map((0..60).map(|n| n * 40), die).workers(4)) {
        match got {
            Ok(bytes) => assert!(bytes == vec![turns as u8; 1 << 20]),
            Err(failure) => {
                assert_eq!(failure.cause, Cause::Signal { signal: 9, core_dumped: false }, "{turns} turns");
            }
        }
    }
}

/// Panics on its way, at the place that it names.
#[derive(Clone)]
struct Panics(u32);

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != 1, "no way out");
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Panics, D::Error> {
        let number = u32::deserialize(deserializer)?;
        assert!(number != 2, "no way in");
        Ok(Panics(number))
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(self.0 != 3 || psmith::cx().is_none(), "no way to end");
    }
}

// proves: F-22, F-23, F-25, F-27
#[test]
fn a_value_that_panics_on_its_way_is_the_failure_of_its_own_item_on_either_side() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let got: Vec<Option<Cause>> = psmith::map((0..5).map(Panics), |input: Panics| input.0)
        .workers(2)
        .map(|got| got.map_err(Failure::into_cause).err())
        .collect();
    assert!(matches!(&got[1], Some(Cause::Undecodable(text)) if text.contains("no way out")), "{got:?}");
    assert!(matches!(&got[2], Some(Cause::Panic { message, .. }) if message == "no way in"), "{got:?}");
    assert!(matches!(&got[3], Some(Cause::Panic { message, .. }) if message == "no way to end"), "{got:?}");
    assert_eq!((&got[0], &got[4]), (&None, &None));

    let make = |number: u32| Ok::<_, String>(Panics(number));
    let got: Vec<Option<Cause>> =
        psmith::try_map(0..4, make).workers(2).map(|got| got.map_err(Failure::into_cause).err()).collect();
    assert!(matches!(&got[1], Some(Cause::Panic { message, .. }) if message == "no way out"), "{got:?}");
    assert!(matches!(&got[2], Some(Cause::Undecodable(text)) if text.contains("no way in")), "{got:?}");
    assert!(matches!(&got[3], Some(Cause::Panic { message, .. }) if message == "no way to end"), "{got:?}");
    assert_eq!(got[0], None);
}

// proves: F-3
#[test]
fn a_panic_within_a_panic_is_told_with_both_texts() {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    fn twice() -> u32 {
        let _again = Again;
        panic!("the first");
    }
    psmith::init();
    let _guard = LeakGuard::alone();
    // A panic that was caught before is not among them.
    let panic = |way: u32| -> u32 {
        let _ = std::panic::catch_unwind(|| panic!("the caught one"));
        match way {
            0 => 0,
            1 => std::process::abort(),
            2 => std::thread::spawn(twice).join().unwrap(),
            _ => twice(),
        }
    };
    for isolation in [psmith::Isolation::PerJob, psmith::Isolation::Reuse] {
        let ends = psmith::map(0..4, panic).isolation(isolation).workers(1).output(psmith::Output::Discard);
        let [caught, aborted, in_thread, twice] = <[_; 4]>::try_from(ends.collect::<Vec<_>>()).unwrap();
        assert_eq!(caught.unwrap(), 0);
        let aborted = aborted.unwrap_err();
        assert!(matches!(aborted.cause, Cause::Signal { signal: 6, .. }), "{aborted}");
        for failure in [in_thread.unwrap_err(), twice.unwrap_err()] {
            let Cause::Panic { message, location, .. } = &failure.cause else { panic!("{failure}") };
            assert!(location.contains("workers.rs"), "{location}");
            let at = ["the first; then panicked at ", "the second; then panicked at "]
                .map(|text| message.find(text));
            assert!(at[0].is_some() && at[0] < at[1], "{message}");
            assert!(
                matches!(failure.exit, Some(psmith::Exit::Signal { signal: 6, .. })),
                "{:?}",
                failure.exit
            );
        }
    }
}

fn deep(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 50]);
    if std::hint::black_box(true) { deep(n + 1) + std::hint::black_box(&frame)[0] } else { 0 }
}

// U-19
#[test]
fn an_overflow_of_the_stack_is_named_and_a_wild_pointer_is_not_taken_for_one() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn fault(way: u32) -> u64 {
        match way {
            0 => deep(0),
            // Of another process that shares its channel: not the job's.
            1 => {
                let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
                u64::from(child.wait().unwrap().success())
            }
            _ => {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::SEGV)
                    .unwrap();
                0
            }
        }
    }
    for isolation in [psmith::Isolation::PerJob, psmith::Isolation::Reuse] {
        let ended: Vec<_> = psmith::map([0, 1, 2], fault).isolation(isolation).workers(1).collect();
        let overflow = ended[0].as_ref().unwrap_err();
        assert_eq!(overflow.cause, Cause::StackOverflow, "{isolation:?}");
        assert_eq!(overflow.to_string(), "job #1 (0): its stack overflowed (killed by SIGSEGV)");
        assert!(overflow.cause.is_crash() && overflow.cause.kind() == psmith::CauseKind::Signal);
        assert_eq!(*ended[1].as_ref().unwrap(), 1);
        assert!(matches!(ended[2].as_ref().unwrap_err().cause, Cause::Signal { signal: 11, .. }));
    }
}
