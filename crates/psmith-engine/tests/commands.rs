//! Commands through the engine, from the library's side: outcomes, output, order.

use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use psmith_core::outcome::{Cause, Outcome, SpawnFailure};
use psmith_core::policy::{Halt, Leak, Order as Delivery_, Timeout};
use psmith_core::{JobId, JobPolicy, RunPolicy};
use psmith_engine::command::Launch;
use psmith_engine::handler::{
    AttemptSlot, Delivery, EngineCommand, EngineEvent, Handler, Live, Pull, Streams, Taken, View,
};
use psmith_engine::spool::Spool;
use psmith_engine::{Command, Engine, Setup, Surroundings};

/// Numbers the runs of this process: the name of a run is what its orphans are found by.
static RUNS: AtomicU32 = AtomicU32::new(0);

/// A delivered job.
#[derive(Debug)]
struct Delivered {
    script: String,
    outcome: Outcome,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// A producer that runs each script by `sh -c` and collects everything.
struct Scripts {
    left: std::vec::IntoIter<String>,
    policy: Arc<JobPolicy>,
    delivered: Vec<Delivered>,
    kill_warden_at: Option<u64>,
}

impl Handler for Scripts {
    type Job = String;

    fn pull(&mut self) -> Pull<String> {
        match self.left.next() {
            Some(script) => Pull::Job(script, Arc::clone(&self.policy)),
            None => Pull::Ended,
        }
    }

    fn launch(&mut self, job: &mut String, _at: AttemptSlot) -> Result<Launch, SpawnFailure> {
        Command::new(b"/bin/sh", &["sh", "-c", job.as_str()]).map(Launch::Command)
    }

    fn live(&mut self, _job: &String, _next_in_line: bool) -> Live {
        Live::Nothing
    }

    fn output(&mut self, _id: JobId, _job: &mut String, _stream: u8, _: &mut Vec<u8>, _: usize) {
        unreachable!("nothing is live here")
    }

    fn backlog(&mut self, _id: JobId, _job: &mut String, _stream: u8, _backlog: Spool) {
        unreachable!("nothing is live here")
    }

    fn takes_output(&self) -> bool {
        true
    }

    fn on_event(&mut self, _view: &View<'_>, event: EngineEvent<'_, String>) {
        if let EngineEvent::Started { pid, .. } = event
            && self.kill_warden_at.take_if(|at| *at == 0).is_some()
        {
            let parent = psmith_sys::proc_tree::stat(pid).expect("the job is alive").ppid;
            let parent = rustix::process::Pid::from_raw(parent as i32).expect("the job has a parent");
            rustix::process::kill_process(parent, rustix::process::Signal::KILL).expect("the warden is ours");
        }
        if let Some(at) = &mut self.kill_warden_at {
            *at = at.saturating_sub(1);
        }
    }

    fn deliver(&mut self, _view: &View<'_>, delivery: Delivery<String>) -> Taken {
        let mut delivered = Delivered {
            script: delivery.job,
            outcome: *delivery.outcome,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        let mut stdout = delivery.output.stdout.into_reader();
        stdout.read_to_end(&mut delivered.stdout).expect("a spool can be read");
        let mut stderr = delivery.output.stderr.into_reader();
        stderr.read_to_end(&mut delivered.stderr).expect("a spool can be read");
        self.delivered.push(delivered);
        Taken::Now
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn woken(&mut self, _view: &View<'_>, _commands: &mut Vec<EngineCommand>) {}

    fn tick(&mut self, _view: &View<'_>, _commands: &mut Vec<EngineCommand>) -> Option<Duration> {
        None
    }
}

fn setup(order: Delivery_) -> Setup {
    let env = std::env::vars_os()
        .flat_map(|(key, value)| {
            use std::os::unix::ffi::OsStringExt;
            [key.into_vec(), b"=".to_vec(), value.into_vec(), vec![0]].concat()
        })
        .collect();
    Setup {
        policy: RunPolicy {
            slots: 4,
            window: 64,
            order,
            queue_max: 16,
            halt: Halt::Never,
            breaker: 0,
            start_gap: Duration::ZERO,
            slow: None,
            seed: 1,
        },
        contain: None,
        streams: Streams { stdin: None, inherit: None, captures_values: false },
        surroundings: Surroundings { env, ..Surroundings::default() },
        spool_dir: PathBuf::from("/tmp"),
        run: format!("test-{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed)),
    }
}

fn run(scripts: &[&str], policy: JobPolicy, order: Delivery_) -> Vec<Delivered> {
    run_killing_warden(scripts, policy, order, None)
}

fn run_killing_warden(
    scripts: &[&str],
    policy: JobPolicy,
    order: Delivery_,
    kill_warden_at: Option<u64>,
) -> Vec<Delivered> {
    psmith_engine::init();
    let left: Vec<String> = scripts.iter().map(ToString::to_string).collect();
    let handler =
        Scripts { left: left.into_iter(), policy: Arc::new(policy), delivered: Vec::new(), kill_warden_at };
    let (handler, end) = Engine::new(handler, setup(order)).expect("the engine starts").run();
    end.expect("the run ends well");
    handler.delivered
}

#[test]
fn output_and_exit_codes_arrive_in_submission_order() {
    let scripts = ["sleep 0.2; echo a", "echo b; echo e >&2; exit 3", "printf c"];
    let delivered = run(&scripts, JobPolicy::default(), Delivery_::Submission);
    assert_eq!(delivered.iter().map(|delivered| delivered.script.as_str()).collect::<Vec<_>>(), scripts);
    assert_eq!(delivered[0].stdout, b"a\n");
    assert_eq!(delivered[1].stdout, b"b\n");
    assert_eq!(delivered[1].stderr, b"e\n");
    assert_eq!(delivered[1].outcome.verdict, Err(Cause::Exit(3)));
    assert_eq!(delivered[2].stdout, b"c");
    assert_eq!(delivered[2].outcome.verdict, Ok(()));
}

#[test]
fn a_timeout_ends_a_job_that_ignores_terminate() {
    let term_seq = psmith_core::policy::TermSeq::with_grace(Duration::from_millis(100));
    let policy =
        JobPolicy { timeout: Timeout::After(Duration::from_millis(200)), term_seq, ..JobPolicy::default() };
    let delivered = run(&["trap '' TERM; echo on; sleep 60; sleep 60"], policy, Delivery_::Completion);
    assert_eq!(delivered[0].outcome.verdict, Err(Cause::Timeout(Duration::from_millis(200))));
    assert_eq!(delivered[0].stdout, b"on\n");
}

#[test]
fn a_descendant_that_outlives_its_job_is_killed_and_counted() {
    let delivered =
        run(&["setsid sleep 60 & sleep 60 & exit 0"], JobPolicy::default(), Delivery_::Completion);
    assert_eq!(delivered[0].outcome.verdict, Ok(()));
    assert!(
        delivered[0].outcome.last.as_ref().is_some_and(|last| last.leaked >= 1),
        "{:?}",
        delivered[0].outcome
    );
}

#[test]
fn a_leak_can_be_declared_a_failure() {
    let policy = JobPolicy { leak: Leak::Fail, ..JobPolicy::default() };
    let delivered = run(&["sleep 60 & exit 0", "exit 0"], policy, Delivery_::Submission);
    assert!(matches!(delivered[0].outcome.verdict, Err(Cause::Leaked(1))), "{:?}", delivered[0].outcome);
    assert_eq!(delivered[1].outcome.verdict, Ok(()));
}

#[test]
fn a_killed_warden_is_replaced_and_its_jobs_run_again_uncharged() {
    let scripts = ["sleep 0.3; echo 1", "sleep 0.3; echo 2", "sleep 0.3; echo 3", "echo 4"];
    let delivered = run_killing_warden(&scripts, JobPolicy::default(), Delivery_::Submission, Some(2));
    for (index, delivered) in delivered.iter().enumerate() {
        assert_eq!(delivered.outcome.verdict, Ok(()), "{delivered:?}");
        assert_eq!(delivered.stdout, format!("{}\n", index + 1).into_bytes());
        assert_eq!(delivered.outcome.tries, 1, "a lost attempt is not charged");
    }
    assert!(
        delivered.iter().any(|delivered| delivered.outcome.attempts > 1),
        "the warden was killed under running jobs"
    );
}

#[test]
fn a_program_that_cannot_be_executed_is_a_spawn_failure_of_its_step() {
    let scripts = ["x"; 3];
    let delivered = run(&scripts, JobPolicy::default(), Delivery_::Submission);
    assert!(
        delivered.iter().all(|delivered| delivered.outcome.verdict == Err(Cause::Exit(127))),
        "sh says 127 itself: {delivered:?}"
    );
}
