//! Sources of items, and results passed through the iterator's own adapters.

use std::cell::Cell;
use std::sync::{Mutex, mpsc};

use psmith::{Failure, Isolation, Job, ProcessManager, Server};
use psmith_testkit::leak::LeakGuard;

const BOTH: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

fn with_index(n: u64) -> (u64, u64) {
    (psmith::cx().unwrap().index(), n)
}

// proves: sources-that-block
#[test]
fn a_closure_is_asked_in_order_and_not_again_after_its_end() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for (isolation, workers) in [(BOTH[0], 3), (BOTH[1], 3), (BOTH[1], 0)] {
        let asked = Cell::new(0);
        let items = std::iter::from_fn(|| {
            asked.set(asked.get() + 1);
            // Were it asked once more, it would go on.
            (asked.get() != 21).then(|| asked.get() * 10)
        });
        let got: Vec<_> = psmith::map(items, with_index)
            .workers(workers)
            .isolation(isolation)
            .map(Result::unwrap)
            .collect();
        assert!(got.into_iter().eq((0..20).map(|index| (index, (index + 1) * 10))), "{isolation:?}");
        assert_eq!(asked.get(), 21, "{isolation:?}, {workers} workers");
    }
}

// proves: sources-that-block
#[test]
fn a_channel_whose_senders_are_gone_ends_the_run_though_nothing_was_sent() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let (send, receive) = mpsc::channel::<u64>();
    drop(send);
    assert_eq!(psmith::map(receive, with_index).workers(2).count(), 0);
}

// proves: iterator-adapters, values-survive
#[test]
fn indices_go_with_their_items_also_where_results_come_as_they_like() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in BOTH {
        let mut reported = Vec::new();
        let got: Vec<(usize, (u64, u64))> = psmith::map(100..120, with_index)
            .workers(3)
            .isolation(isolation)
            .unordered()
            .on_done(|job, result| reported.push((job.index(), *result.unwrap())))
            .map(Result::unwrap)
            .enumerate()
            .collect();
        assert!(got.iter().map(|(place, _)| *place).eq(0..20));
        assert!(got.iter().all(|(_, (index, n))| *n == 100 + index), "{got:?}");
        assert!(reported.iter().all(|(index_reported, (index, _))| index_reported == index), "{reported:?}");
    }
}

// proves: iterator-adapters, values-survive: items and indices come with results, in any order, and to every hook
#[test]
fn results_and_hooks_know_their_items() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let work = |word: String| {
        psmith::cx().unwrap().progress(1, 1);
        // Where nobody listens it is told so.
        let _ = psmith::cx().unwrap().send(&word);
        if word == "w7" { Err("the seventh") } else { Ok(word.len()) }
    };
    for (isolation, workers) in [(BOTH[0], 3), (BOTH[1], 3), (BOTH[1], 0)] {
        let words = || (0..20).map(|n| format!("w{n}"));
        let map = || psmith::try_map(words(), work).workers(workers).isolation(isolation).unordered();
        let seen = Mutex::new(Vec::new());
        let note = |hook: u8, job: &psmith::JobRef| {
            let word: String = job.input().unwrap();
            assert_eq!(word, format!("w{}", job.index()), "{isolation:?}, {workers} workers");
            assert_eq!(job.input::<u32>(), None);
            seen.lock().unwrap().push((hook, job.index()));
        };
        let watched = map().on_start(|job| note(0, job)).on_done(|job, _| note(1, job));
        let mut got: Vec<(String, usize)> = Vec::new();
        for result in watched.with_input() {
            match result {
                Ok(pair) => got.push(pair),
                Err(failure) if workers > 0 => assert_eq!(failure.input::<String>().unwrap(), "w7"),
                Err(failure) => assert_eq!(failure.index, 7),
            }
        }
        assert!(got.len() == 19 && got.iter().all(|(word, length)| word.len() == *length), "{got:?}");
        let mut watched = seen.into_inner().unwrap();
        watched.sort_unstable();
        assert!(watched.into_iter().eq((0..2).flat_map(|hook| (0..20).map(move |n| (hook, n)))));
        // Several short jobs at a time, too.
        let mut got: Vec<u64> = map().indexed().filter_map(|end| Some(end.ok()?.0)).collect();
        got.sort_unstable();
        assert!(got.into_iter().eq((0..20).filter(|n| *n != 7)));
        let known = |job: &psmith::JobRef| job.input::<String>() == Some(format!("w{}", job.index()));
        let (mut progress, mut messages) = (0, 0);
        let all = map().on_progress(|job, _, _| progress += u32::from(known(job)));
        all.on_message(|job, word: String| {
            messages += u32::from(known(job) && job.input() == Some(word));
        })
        .for_each(drop);
        assert!(workers == 0 || (progress, messages) == (20, 20), "{isolation:?}: {progress}, {messages}");
        let mut jobs = words().map(move |word| Job::fallible(work, word));
        let mut consumed = 0;
        let server = Server::new(move || jobs.next()).workers(3).isolation(isolation);
        server.consumer(|job, _| consumed += u32::from(known(job))).run().unwrap();
        assert_eq!(consumed, 20);
    }
}

// proves: iterator-adapters, values-survive
#[test]
fn lists_are_flattened_by_one_level_and_only_what_is_absent_is_left_out() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let lists = |n: u32| vec![vec![n; 2]; n as usize];
    let flat: Vec<Vec<u32>> =
        psmith::map(0..3, lists).workers(2).into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(flat, [vec![1, 1], vec![2, 2], vec![2, 2]]);
    let some = |n: u32| if n == 1 { None } else { Some(n == 2) };
    let left: Vec<bool> = psmith::map(0..4, some).workers(2).into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(left, [false, true, false]);
}

// proves: ordered-map, policy-at-failure
#[test]
fn a_collected_result_stops_at_the_first_failure_and_nothing_starts_before_the_first_question() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let taken = Cell::new(0);
    let items = (0..1000_u32).inspect(|_| taken.set(taken.get() + 1));
    let fail = |n: u32| if n == 3 { Err("three") } else { Ok(n) };
    let map = psmith::try_map(items, fail).workers(2).window(4);
    assert_eq!(taken.get(), 0);
    let failure = map.collect::<Result<Vec<u32>, Failure>>().unwrap_err();
    assert_eq!(failure.to_string(), "job #4 (3): three");
    assert!(taken.get() <= 8, "{} were taken", taken.get());
}

// proves: iterator-adapters: faces and their iterators go to other threads, with their hooks
#[test]
fn every_run_can_be_moved_to_another_thread_before_and_while_it_runs() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn elsewhere(work: &mut (dyn FnMut() -> u64 + Send)) -> u64 {
        std::thread::scope(|scope| scope.spawn(work).join().unwrap())
    }
    let (mut done, mut consumed, mut exited) = (0, 0, 0);
    let mut results = psmith::map(0..4_u64, |n: u64| n).on_done(|_, _| done += 1).into_iter();
    let first = results.next().unwrap().unwrap();
    assert_eq!(first + elsewhere(&mut || results.by_ref().map(Result::unwrap).sum()), 6);
    let mut each = Some(psmith::each(0..4, |_: u32| ()).workers(2));
    assert_eq!(elsewhere(&mut || each.take().unwrap().run().unwrap().jobs), 4);
    let mut jobs = psmith::run_jobs((0..4).map(|n| Job::new(|n: u64| n, n))).workers(2).into_iter();
    assert_eq!(elsewhere(&mut || jobs.by_ref().map(Result::unwrap).sum()), 6);
    let mut jobs = (0..4).map(|n| Job::new(|n: u64| n, n));
    let mut server = Some(Server::new(move || jobs.next()).consumer(|_, n| consumed += n.unwrap()));
    assert_eq!(elsewhere(&mut || server.take().unwrap().run().unwrap().jobs), 4);
    drop(server);
    let mut manager = ProcessManager::new().unwrap();
    manager.create_process(Job::new(|n: u64| n, 7), |_, n| exited = n.unwrap()).unwrap();
    elsewhere(&mut || {
        manager.join();
        0
    });
    drop((results, manager));
    assert_eq!((done, consumed, exited), (4, 6, 7));
}
