//! Messages from a job's handle to the job while it runs: in order, each taken once, bounded where none are taken.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use psmith::{Cause, Failure, Isolation, Job, Pool, RecvError, Retry, SendError};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

fn pool(workers: u32, isolation: Isolation) -> Pool {
    Pool::builder().workers(workers).isolation(isolation).build().unwrap()
}

fn cx() -> psmith::Cx {
    psmith::cx().expect("inside a job")
}

/// Receives all messages until they end.
fn collect(_: ()) -> Vec<String> {
    std::iter::from_fn(|| cx().recv().ok()).collect()
}

/// Takes no message until a file tells it to.
fn deaf(path: PathBuf) {
    gate::pass(&path);
}

// proves: messages-both-ways, job-knows-itself
#[test]
fn messages_come_in_the_order_sent_whether_the_job_has_begun_or_not() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let pool = pool(1, isolation);
        let first = pool.submit(Job::new(collect, ())).unwrap();
        // Behind the first: it has not begun when it is sent its messages, and ends without having been asked for more.
        let second = pool.submit(Job::new(collect, ())).unwrap();
        for n in 0..3 {
            second.send(&format!("early {n}")).unwrap();
        }
        second.end_messages();
        for n in 0..3000 {
            first.send(&n.to_string()).unwrap();
        }
        assert!(!first.is_ready());
        first.end_messages();
        let expected: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
        assert_eq!(first.wait().unwrap(), expected, "{isolation:?}");
        assert_eq!(second.wait().unwrap(), ["early 0", "early 1", "early 2"]);
    }
}

// proves: messages-both-ways
#[test]
fn a_job_that_does_not_read_fills_a_bounded_buffer_and_its_sender_gets_an_error() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let mut gate = Gate::closed();
        let pool = pool(1, isolation);
        let handle = pool.submit(Job::new(deaf, gate.path())).unwrap();
        let chunk = vec![7_u8; 100_000];
        let mut sent = 0;
        let error = loop {
            match handle.try_send(&chunk) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, SendError::Full), "{error}");
        assert_eq!(sent, 10, "1 MiB of messages");
        assert!(matches!(handle.send_timeout(&chunk, Duration::from_millis(5)), Err(SendError::Full)));
        // One that waits learns that the job is over.
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| handle.send(&chunk));
            gate.open();
            assert!(matches!(waits.join().unwrap(), Err(SendError::Over)));
        });
        handle.wait().unwrap();
        assert!(matches!(handle.try_send(&1), Err(SendError::Over)));
    }
}

// proves: messages-both-ways
#[test]
fn a_message_longer_than_all_room_goes_alone_and_one_longer_than_a_frame_not_at_all() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let length = |()| -> Result<usize, RecvError> {
        let cx = cx();
        Ok(cx.recv::<Vec<u8>>()?.len() + cx.recv::<Vec<u8>>()?.len())
    };
    for isolation in BOTH {
        let pool =
            Pool::builder().workers(1).isolation(isolation).max_message_bytes(5 << 20).build().unwrap();
        let handle = pool.submit(Job::fallible(length, ())).unwrap();
        let long = vec![1_u8; 2 << 20];
        handle.send(&long).unwrap();
        handle.send(&long).unwrap();
        assert_eq!(handle.wait().unwrap(), 4 << 20);
        let next = pool.submit(Job::fallible(length, ())).unwrap();
        let error = next.send(&vec![1_u8; 6 << 20]).unwrap_err();
        assert!(matches!(error, SendError::TooLong { bytes_max, .. } if bytes_max < 5 << 20), "{error}");
        next.kill();
        next.wait().unwrap_err();
    }
}

// proves: messages-both-ways
#[test]
fn messages_taken_by_one_attempt_are_not_given_to_the_next_however_the_first_ended() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn second_time(crash: bool) -> Result<String, String> {
        let cx = cx();
        let message = cx.recv::<String>().map_err(|error| error.to_string())?;
        match cx.attempt() {
            1 if crash => std::process::abort(),
            1 => Err(message),
            _ => Ok(message),
        }
    }
    for isolation in BOTH {
        for crash in [false, true] {
            let pool =
                Pool::builder().workers(1).isolation(isolation).retry(Retry::tries(2)).build().unwrap();
            let handle = pool.submit(Job::fallible(second_time, crash)).unwrap();
            handle.send(&"one".to_owned()).unwrap();
            handle.send(&"two".to_owned()).unwrap();
            handle.send(&"three".to_owned()).unwrap();
            assert_eq!(handle.wait().unwrap(), "two", "{isolation:?}, crash {crash}");
        }
    }
}

#[test]
fn a_message_that_a_job_left_is_not_the_next_jobs() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let one = |()| cx().recv::<u32>().unwrap();
    let pool = pool(1, Isolation::Reuse);
    let first = pool.submit(Job::new(one, ())).unwrap();
    for n in 0..50_u32 {
        // The later ones may come too late: either is right.
        let _ = first.send(&n);
    }
    assert_eq!(first.wait().unwrap(), 0);
    let second = pool.submit(Job::new(one, ())).unwrap();
    second.send(&100_u32).unwrap();
    assert_eq!(second.wait().unwrap(), 100);
}

#[test]
fn a_message_of_another_type_is_an_error_and_the_next_is_as_it_is() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let numbers = |()| -> (bool, u32) {
        let cx = cx();
        let wrong = matches!(cx.recv::<u32>(), Err(RecvError::Undecodable(_)));
        (wrong, cx.recv::<u32>().unwrap())
    };
    for isolation in BOTH {
        let pool = pool(1, isolation);
        let handle = pool.submit(Job::new(numbers, ())).unwrap();
        handle.send(&"text".to_owned()).unwrap();
        handle.send(&5_u32).unwrap();
        assert_eq!(handle.wait().unwrap(), (true, 5));
    }
}

#[test]
fn a_job_can_poll_and_can_wait_with_a_limit() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn poll(_: ()) -> [Option<u32>; 4] {
        let (cx, short) = (cx(), Duration::from_millis(1));
        [
            cx.try_recv().unwrap(),
            cx.recv_timeout(Duration::from_secs(60)).unwrap(),
            cx.try_recv().unwrap(),
            cx.recv_timeout(short).unwrap(),
        ]
    }
    for isolation in BOTH {
        let pool = pool(1, isolation);
        let mut gate = Gate::closed();
        let before = pool.submit(Job::new(deaf, gate.path())).unwrap();
        let handle = pool.submit(Job::new(poll, ())).unwrap();
        // Before it has begun: so the first poll finds them.
        handle.send(&1_u32).unwrap();
        handle.send(&2_u32).unwrap();
        gate.open();
        before.wait().unwrap();
        assert_eq!(handle.wait().unwrap(), [Some(1), Some(2), None, None], "{isolation:?}");
    }
}

// proves: job-knows-itself
#[test]
fn a_job_without_a_sender_gets_an_error() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let closed = |()| matches!(cx().recv::<u32>(), Err(RecvError::Closed));
    for isolation in BOTH {
        assert!(psmith::map([()], closed).isolation(isolation).into_iter().last().unwrap().unwrap());
        let pool = pool(1, isolation);
        // A handle given away for the outcome sends no more.
        assert!(pool.submit(Job::new(closed, ())).unwrap().into_outcome().unwrap());
    }
    assert!(psmith::map([()], closed).workers(0).into_iter().last().unwrap().unwrap());
}

#[test]
fn a_job_that_waits_for_a_message_is_notified_of_a_stop() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn patient(socket: PathBuf) -> Result<(), String> {
        let cx = cx();
        assert!(!cx.cancelled());
        let mut line = UnixStream::connect(socket).unwrap();
        line.write_all(b"waits;").unwrap();
        let ended = cx.recv::<String>();
        line.write_all(format!("{ended:?}").as_bytes()).unwrap();
        Err("put away its things".into())
    }
    let dir = tempfile::tempdir().unwrap();
    for (n, isolation) in BOTH.into_iter().enumerate() {
        let socket = dir.path().join(n.to_string());
        let listener = UnixListener::bind(&socket).unwrap();
        let pool = Pool::builder().workers(1).isolation(isolation).grace(Duration::from_secs(60));
        let pool = pool.build().unwrap();
        let handle = pool.submit(Job::fallible(patient, socket)).unwrap();
        let (mut line, _) = listener.accept().unwrap();
        let mut sent = [0; 6];
        line.read_exact(&mut sent).unwrap();
        handle.cancel();
        let mut rest = String::new();
        line.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "Err(Cancelled)", "{isolation:?}");
        assert_eq!(handle.wait().unwrap_err().cause, Cause::Cancelled);
    }
}

#[test]
fn threads_of_a_job_share_its_messages_and_one_that_outlives_it_gets_an_error() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn shared(count: u64) -> u64 {
        let cx = cx();
        let sum = std::sync::atomic::AtomicU64::new(0);
        let taken = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let cx = cx.clone();
                let (sum, taken) = (&sum, &taken);
                scope.spawn(move || {
                    while let Ok(n) = cx.recv::<u64>() {
                        sum.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
                        taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), count);
        sum.into_inner()
    }
    /// Keeps its view of a job that is over, for the next.
    fn outlived(_: ()) -> bool {
        static FORMER: std::sync::Mutex<Option<psmith::Cx>> = std::sync::Mutex::new(None);
        let former = FORMER.lock().unwrap().replace(cx());
        former.is_some_and(|cx| matches!(cx.try_recv::<u32>(), Err(RecvError::Over)))
    }
    for isolation in BOTH {
        let pool = pool(1, isolation);
        let handle = pool.submit(Job::new(shared, 500)).unwrap();
        (1..=500_u64).for_each(|n| handle.send(&n).unwrap());
        handle.end_messages();
        assert_eq!(handle.wait().unwrap(), 500 * 501 / 2);
    }
    let pool = pool(1, Isolation::Reuse);
    let results = [(); 2].map(|()| pool.submit(Job::new(outlived, ())).unwrap().wait().unwrap());
    assert_eq!(results, [false, true]);
}

// proves: messages-both-ways, one-kind-of-job
#[test]
fn a_message_of_another_type_stops_a_run_of_jobs_and_names_its_sender() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let say = |n: u32| {
        let results = if n == 1 { cx().send(&"one".to_owned()) } else { cx().send(&n) };
        results.unwrap();
        n
    };
    for isolation in BOTH {
        let mut received = Vec::new();
        let jobs = (0..).map(|n| Job::<u32>::new(say, n).label(format!("say {n}")));
        let run = psmith::run_jobs(jobs).workers(1).window(2).isolation(isolation);
        // Endless, but for the message.
        let ends: Vec<_> = run.on_message(|_, n: u32| received.push(n)).collect();
        assert_eq!(ends[0].as_ref().unwrap(), &0);
        let failure = ends[1].as_ref().unwrap_err();
        assert_eq!(failure.label.as_deref(), Some("say 1"));
        assert!(failure.to_string().contains("a message cannot be decoded"), "{failure}");
        assert!(ends[2..].iter().all(Result::is_ok), "{ends:?}");
        assert_eq!(received[0], 0);
    }
}

// proves: one-kind-of-job: the failing message of a later job does not overtake an earlier job
#[test]
fn the_failure_of_a_message_keeps_its_place_in_the_order_of_the_jobs() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    // The first ends once the second has sent a message that cannot be decoded.
    let work = |(n, pipe): (u32, PathBuf)| {
        if n == 0 {
            std::fs::read(pipe).unwrap();
        } else {
            cx().send(&"one".to_owned()).unwrap();
            cx().send(&"once more".to_owned()).unwrap();
            std::fs::write(pipe, b"x").unwrap();
        }
        n
    };
    let pipe = |name: &str| {
        let pipe = dir.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        pipe
    };
    let check = |ends: Vec<Result<u32, Failure>>, results: Vec<(u64, bool)>| {
        assert_eq!(ends[0].as_ref().unwrap(), &0, "{ends:?}");
        let failure = ends[1].as_ref().unwrap_err();
        assert!(failure.to_string().contains("a message cannot be decoded"), "{failure}");
        assert_eq!((failure.index, ends.len()), (1, 2), "{ends:?}");
        assert_eq!(results, [(0, true), (1, false)], "the hook gets the same");
    };
    for isolation in BOTH {
        let path = pipe(&format!("jobs {isolation:?}"));
        let mut results = Vec::new();
        let jobs = [0, 1].map(|n| Job::<u32>::new(work, (n, path.clone())));
        let run = psmith::run_jobs(jobs).workers(2).isolation(isolation).on_message(|_, _: u32| ());
        let ends = run.on_done(|job, outcome| results.push((job.index(), outcome.is_ok()))).collect();
        check(ends, results);

        let path = pipe(&format!("map {isolation:?}"));
        let mut results = Vec::new();
        let map = psmith::map([0, 1].map(|n| (n, path.clone())), work).workers(2).isolation(isolation);
        let map = map.on_message(|_, _: u32| ());
        let ends = map.on_done(|job, outcome| results.push((job.index(), outcome.is_ok()))).collect();
        check(ends, results);
    }
}

// A job of a map has no handle, so nobody can send it anything. It waited for ever, because the host did not know which of
// several short jobs asked.
// proves: messages-both-ways
#[test]
fn a_job_of_a_batch_that_asks_for_messages_learns_that_there_are_none() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let poll =
        |n: u64| psmith::cx().unwrap().try_recv::<u32>().is_ok_and(|message| message.is_some()) || n > 1_000;
    let found: Vec<bool> = psmith::map(0..100, poll).workers(2).map(Result::unwrap).collect();
    assert_eq!(found, [false; 100]);
    let wait = |_: u64| psmith::cx().unwrap().recv::<u32>().is_err();
    let closed: Vec<bool> = psmith::map(0..100, wait).workers(2).map(Result::unwrap).collect();
    assert_eq!(closed, [true; 100]);
}

/// Sends numbers until one is refused; returns how many were sent, and the reason.
fn send_until_refused(numbers: u64) -> (u64, Option<String>) {
    for n in 0..numbers {
        if let Err(error) = cx().send(&n) {
            return (n, Some(error.to_string()));
        }
    }
    (numbers, None)
}

// Each of 5,000 messages was answered `Ok` where nobody could receive them.
// proves: messages-both-ways
#[test]
fn where_nobody_receives_a_message_is_refused_on_every_face_and_a_pools_hook_receives_all() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (nobody, all) = ((0, Some("nobody receives the messages of this job".to_owned())), (5000, None));
    for isolation in BOTH {
        assert_eq!(
            psmith::map([5000], send_until_refused).isolation(isolation).into_iter().last().unwrap().unwrap(),
            nobody
        );
        // Many short jobs that are one batch.
        let mut ends =
            psmith::map(vec![1; 50], send_until_refused).isolation(isolation).workers(1).into_iter();
        assert!(ends.all(|end| end.unwrap().1.is_some()));

        let (sender, heard) = std::sync::mpsc::channel();
        let (steps, progress) = std::sync::mpsc::channel();
        let pool = Pool::builder()
            .workers(1)
            .isolation(isolation)
            .on_message(move |job: &psmith::JobRef, n: u64| sender.send((job.id(), n)).unwrap())
            .on_progress(move |job, done, total| steps.send((job.id(), done, total)).unwrap())
            .build()
            .unwrap();
        let report = |n: u64| {
            cx().progress(n, 9);
            send_until_refused(5000)
        };
        let handle = pool.submit(Job::new(report, 4)).unwrap();
        assert_eq!(handle.wait().unwrap(), all, "{isolation:?}");
        assert!(heard.try_iter().eq((0..5000).map(|n| (1, n))), "before the outcome, and in order");
        assert!(matches!(handle.recv::<u64>(), Err(RecvError::Closed)), "they went to the hook");
        assert_eq!(progress.try_iter().collect::<Vec<_>>(), [(1, 4, 9)]);
        // One of another type is the failure of its job alone.
        let text = pool.submit(Job::new(|()| cx().send("text").is_ok(), ())).unwrap();
        assert!(text.wait().unwrap_err().to_string().contains("cannot be decoded"));
        assert_eq!(pool.submit(Job::new(send_until_refused, 1)).unwrap().wait().unwrap(), (1, None));
    }
    assert_eq!(
        psmith::map([5000], send_until_refused).workers(0).into_iter().last().unwrap().unwrap(),
        nobody
    );

    // Inline a hook hears as well, when the job has ended.
    let (mut sum, mut last) = (0, 0);
    let inline = psmith::map([3, 4], |n: u64| (cx().progress(n, n), send_until_refused(n)).1).workers(0);
    let ends = inline.on_message(|_, n: u64| sum += n).on_progress(|_, done, _| last = done).into_iter();
    assert_eq!(ends.map(Result::unwrap).collect::<Vec<_>>(), [(3, None), (4, None)]);
    assert_eq!((sum, last), (3 + 6, 4));

    let ended = |results: Vec<(u64, Option<String>)>| assert_eq!(results, std::slice::from_ref(&nobody));
    let mut results = Vec::new();
    let mut jobs = [Job::new(send_until_refused, 5000)].into_iter();
    psmith::Server::new(move || jobs.next()).consumer(|_, end| results.push(end.unwrap())).run().unwrap();
    ended(results);
    let mut results = Vec::new();
    let mut manager = psmith::ProcessManager::new().unwrap();
    manager.create_process(Job::new(send_until_refused, 5000), |_, end| results.push(end.unwrap())).unwrap();
    manager.join();
    drop(manager);
    ended(results);
}

// proves: messages-both-ways
#[test]
fn the_hooks_of_each_face_receive_all_messages_and_the_progress() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let all = (5000, None);
    let (mut sum, mut last) = (0, 0);
    let mut jobs = [Job::new(
        |n: u64| {
            cx().progress(n, n);
            send_until_refused(5000)
        },
        7,
    )]
    .into_iter();
    let server = psmith::Server::new(move || jobs.next()).on_message(|_, n: u64| sum += n);
    server
        .on_progress(|_, done, _| last = done)
        .consumer(|_, end| assert_eq!(end.unwrap(), all))
        .run()
        .unwrap();
    assert_eq!((sum, last), (4999 * 5000 / 2, 7));
    let (sender, heard) = std::sync::mpsc::channel();
    let hear = move |job: &psmith::JobRef, n: u64| sender.send((job.id(), n)).unwrap();
    let scheduler = psmith::Scheduler::new().on_message(hear.clone());
    assert_eq!(scheduler.schedule(Job::new(send_until_refused, 2)).unwrap().wait().unwrap(), (2, None));
    scheduler.drain();
    let mut manager = psmith::ProcessManager::builder().on_message(hear.clone()).build().unwrap();
    manager.create_process(Job::new(send_until_refused, 2), |_, end| drop(end.unwrap())).unwrap();
    manager.join();
    drop(manager);
    let say = |n: u32| -> () {
        cx().send(&u64::from(n)).unwrap();
        loop {
            std::thread::park();
        }
    };
    let mut supervisor = psmith::Supervisor::new(1, say).on_message(hear);
    supervisor.start().unwrap();
    let received: Vec<_> = heard.iter().take(5).collect();
    assert_eq!(received, [(1, 0), (1, 1), (1, 0), (1, 1), (1, 1)]);
    supervisor.stop();
}

// proves: messages-both-ways
#[test]
fn a_handle_receives_what_its_job_sends_and_its_job_learns_when_nobody_does() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let double = |_: ()| {
        while let Ok(n) = cx().recv::<u64>() {
            cx().send(&(2 * n)).unwrap();
        }
    };
    for isolation in BOTH {
        let pool = pool(1, isolation);
        let talk = pool.submit(Job::new(double, ())).unwrap();
        for n in 0..100 {
            talk.send(&n).unwrap();
            assert_eq!(talk.recv::<u64>().unwrap(), 2 * n);
        }
        talk.into_outcome().unwrap();
        // More than are kept: the job waits for the one that takes them.
        let many = pool.submit(Job::new(send_until_refused, 5000)).unwrap();
        assert!(many.messages::<u64>().map(Result::unwrap).eq(0..5000), "{isolation:?}");
        assert_eq!(many.wait().unwrap(), (5000, None));
        assert!(matches!(many.try_recv::<u64>(), Err(RecvError::Closed)));
        // Where none are taken, as many as fit are kept, and the job learns that there will be no more.
        let kept = pool.submit(Job::new(send_until_refused, 5000)).unwrap();
        let (sent, refused) = kept.wait().unwrap();
        assert_eq!((sent, refused.as_deref()), (1024, Some("nobody receives the messages of this job")));
        assert!(kept.messages::<u64>().map(Result::unwrap).eq(0..1024));
        // Also of one that took some, and then waits for the outcome or for all.
        for joins in [false, true] {
            let some = pool.submit(Job::new(send_until_refused, 5000)).unwrap();
            assert_eq!(some.recv::<u64>().unwrap(), 0);
            if joins {
                pool.join();
            }
            let (sent, refused) = some.wait().unwrap();
            assert!((1024..2048).contains(&sent) && refused.is_some(), "{sent}");
        }
        // One of another type is an error, and the next is as it is.
        let text = pool
            .submit(Job::new(
                |()| {
                    cx().send("text").unwrap();
                    cx().send(&7).unwrap();
                },
                (),
            ))
            .unwrap();
        assert!(matches!(text.recv::<u32>(), Err(RecvError::Undecodable(_))));
        assert_eq!(text.recv::<u32>().unwrap(), 7);
        // A dropped handle, before the job has begun and while it sends.
        let (sender, ends) = std::sync::mpsc::channel();
        let mut gate = Gate::closed();
        let gated = |path: PathBuf| {
            cx().send("begun").unwrap();
            gate::pass(&path);
            // The news may be on its way.
            std::iter::repeat_with(|| cx().send("more").is_err()).position(|refused| refused)
        };
        let dropped = pool.submit(Job::new(gated, gate.path())).unwrap();
        assert_eq!(dropped.recv::<String>().unwrap(), "begun");
        dropped.on_done(move |end| sender.send(end.unwrap()).unwrap());
        drop(dropped);
        gate.open();
        assert!(ends.recv().unwrap().is_some_and(|sent| sent <= 1024));
    }
}
