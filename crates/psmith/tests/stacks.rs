//! The stack of a stuck job: functions by name, of a worker that spins and of one that sleeps, and nothing is changed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use psmith::{Containment, Isolation, Job, Output, Server, Stack, StackError, stack_of};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use psmith_testkit::{OUTER_LIMIT, proc};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

#[inline(never)]
fn stuck_in_a_loop(until: &Path) -> u64 {
    let mut rounds = 0_u64;
    let gate = File::open(until).unwrap();
    let is_open = || flock(&gate, FlockOperation::NonBlockingLockShared).is_ok();
    while !(rounds.is_multiple_of(1 << 20) && is_open()) {
        rounds = std::hint::black_box(rounds + 1);
    }
    rounds
}

#[inline(never)]
fn stuck_in_sleep(until: &Path) -> u64 {
    gate::pass(until);
    // A call that comes last is compiled to a jump: this frame would be missing.
    std::hint::black_box(0)
}

/// Tells who listens that the job runs, and where.
fn tell_pid() {
    psmith::cx().unwrap().send(&std::process::id()).unwrap();
}

#[inline(never)]
fn outer_function((spins, gate): (bool, PathBuf)) -> bool {
    tell_pid();
    let rounds = if spins { stuck_in_a_loop(&gate) } else { stuck_in_sleep(&gate) };
    std::hint::black_box(rounds) > 0
}

/// Takes samples until the process is in that function: it may not have entered it yet.
#[track_caller]
fn wait_for(pid: u32, function: &str) -> Stack {
    let deadline = Instant::now() + OUTER_LIMIT;
    loop {
        // The process may be found before the event of its start has arrived.
        let Ok(stack) = stack_of(pid) else {
            assert!(Instant::now() < deadline, "never seen");
            continue;
        };
        let is_in =
            |frame: &psmith::Frame| frame.function.as_ref().is_some_and(|name| name.contains(function));
        if stack.frames.iter().any(is_in) {
            return stack;
        }
        assert!(Instant::now() < deadline, "never in {function}:\n{stack}");
    }
}

// proves: live-board: the stack names the stuck function, in both isolations; the sampled process goes on undisturbed
#[test]
fn the_stack_of_a_worker_names_the_function_that_it_is_stuck_in() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let mut gate = Gate::closed();
        let items = [(true, gate.path()), (false, gate.path())];
        let (started, pids) = mpsc::channel();
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                let jobs = psmith::map(items, outer_function).workers(2).isolation(isolation);
                let jobs = jobs.on_message(move |job, pid: u32| {
                    started.send((job.index(), pid)).unwrap();
                });
                jobs.map(Result::unwrap).collect::<Vec<_>>()
            });
            for _ in 0..2 {
                let (index, pid) = pids.recv().unwrap();
                let function = if index == 0 { "stuck_in_a_loop" } else { "stuck_in_sleep" };
                for _ in 0..5 {
                    let stack = wait_for(pid, function);
                    let text = stack.to_string();
                    assert!(text.contains("outer_function") && text.contains("stacks.rs:"), "{text}");
                    let place = |name: &str| text.find(name).unwrap();
                    assert!(place(function) < place("outer_function"), "the innermost first: {text}");
                    assert_eq!((stack.pid, &stack.cut), (pid, &None), "{text}");
                }
            }
            gate.open();
            assert_eq!(running.join().unwrap(), [true, false]);
        });
    }
}

/// The job's own thread waits for another, which is the one that is stuck.
#[inline(never)]
fn waits_for_another((path, threads): (PathBuf, usize)) -> u32 {
    tell_pid();
    let work = |number: usize| {
        let path = path.clone();
        let named = std::thread::Builder::new().name(format!("painter {number}"));
        named.spawn(move || stuck_in_sleep(&path)).unwrap()
    };
    let threads: Vec<_> = (1..=threads).map(work).collect();
    threads.into_iter().map(|thread| u32::from(thread.join().unwrap() == 0)).sum()
}

// proves: live-board: what other threads are stuck in, by the threads' names
#[test]
fn the_stack_of_a_process_names_what_its_other_threads_are_stuck_in() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let mut gate = Gate::closed();
        let (started, pids) = mpsc::channel();
        let item = (gate.path(), 3);
        std::thread::scope(|scope| {
            let running = scope.spawn(move || {
                let jobs = psmith::map([item], waits_for_another).isolation(isolation);
                jobs.on_message(move |_, pid: u32| started.send(pid).unwrap())
                    .into_iter()
                    .next()
                    .unwrap()
                    .unwrap()
            });
            let pid = pids.recv().unwrap();
            let deadline = Instant::now() + OUTER_LIMIT;
            let holds = |frames: &[psmith::Frame], function: &str| {
                frames.iter().any(|frame| frame.function.as_ref().is_some_and(|name| name.contains(function)))
            };
            let stack = loop {
                // Not before all are where they will stay.
                let stack = stack_of(pid);
                if let Ok(stack) = &stack
                    && stack.threads.iter().filter(|thread| holds(&thread.frames, "stuck_in_sleep")).count()
                        == 3
                    && holds(&stack.frames, "waits_for_another")
                {
                    break stack.clone();
                }
                assert!(Instant::now() < deadline, "{stack:?}");
            };
            let names: Vec<&str> = stack.threads.iter().map(|thread| thread.name.as_str()).collect();
            assert_eq!(names, ["painter 1", "painter 2", "painter 3"]);
            assert!(!holds(&stack.frames, "stuck_in_sleep"), "that is the other threads' affair: {stack}");
            assert_eq!((stack.threads.len(), &stack.threads_cut), (3, &None));
            let text = stack.to_string();
            let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words}: {text}"));
            assert!(at("thread painter 2 (") > at("thread painter 1 ("), "{text}");
            // Two requesters at once both get all threads.
            let both = [(); 2].map(|()| scope.spawn(move || stack_of(pid).unwrap().threads.len()));
            assert_eq!(both.map(|asked| asked.join().unwrap()), [3, 3]);
            gate.open();
            assert_eq!(running.join().unwrap(), 3, "they went on as if nobody had looked");
        });
    }
}

// proves: live-board: threads that end while they are sampled
#[test]
fn a_sample_of_threads_that_come_and_go_harms_no_process() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let churn = |path: PathBuf| -> u32 {
        tell_pid();
        let gate = File::open(path).unwrap();
        let mut threads = 0;
        while flock(&gate, FlockOperation::NonBlockingLockShared).is_err() {
            let some: Vec<_> = (0..40).map(|_| std::thread::spawn(std::thread::yield_now)).collect();
            some.into_iter().for_each(|thread| thread.join().unwrap());
            threads += 40;
        }
        threads
    };
    let mut gate = Gate::closed();
    let (started, pids) = mpsc::channel();
    let path = gate.path();
    std::thread::scope(|scope| {
        let running = scope.spawn(move || {
            psmith::map([path], churn)
                .on_message(move |_, pid: u32| started.send(pid).unwrap())
                .into_iter()
                .next()
                .unwrap()
        });
        let pid = pids.recv().unwrap();
        let stacks: Result<Vec<_>, _> = (0..60).map(|_| stack_of(pid)).collect();
        // Before anything can fail: the job would go on for ever.
        gate.open();
        assert!(running.join().unwrap().unwrap() > 0);
        let others: usize = stacks.unwrap().iter().map(|stack| stack.threads.len()).sum();
        assert!(others > 0, "none was ever seen");
    });
}

// proves: live-board: at each level of containment; a program without debug information has the names of its libraries
#[test]
fn the_stack_of_a_command_names_what_the_library_has() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for level in Containment::ALL.into_iter().filter(|level| level.probe().is_ok()) {
        // No other process has this argument.
        let seconds = format!("1000.{}{}", std::process::id(), level as u8);
        let mut jobs = vec![Job::command("sleep").arg(&seconds).job()].into_iter();
        let server = Server::new(move || jobs.next()).contain(level).output(Output::Discard);
        let sampler = std::thread::spawn(move || {
            let pid = pid_of(&format!("sleep {seconds}"));
            let _ends = Ends(pid);
            let stack = wait_for(pid, "nanosleep");
            assert!(stack.frames.iter().any(|frame| frame.object.is_some()), "{stack}");
            assert!(matches!(stack_of(std::process::id()), Err(StackError::NotOurs)));
            pid
        });
        server.run().unwrap();
        let pid = sampler.join().unwrap();
        assert!(matches!(stack_of(pid), Err(StackError::NotOurs)), "{level:?}: it has ended");
    }
}

/// A process that is killed, so that the run ends.
struct Ends(u32);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_raw(self.0.cast_signed()).unwrap(), Signal::KILL);
    }
}

/// The process with this command line, once it is there.
fn pid_of(line: &str) -> u32 {
    let deadline = Instant::now() + OUTER_LIMIT;
    loop {
        if let Some(pid) = proc::pids().into_iter().find(|pid| proc::command_line(*pid) == line) {
            return pid.cast_unsigned();
        }
        assert!(Instant::now() < deadline, "never {line}");
    }
}
