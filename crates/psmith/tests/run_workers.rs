//! A number of workers, one stream of the values that they send: numbers, order, ends, and the failures of those that
//! die.

mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use psmith::{Cause, Failure, OnError, WorkerCx, WorkerId, run_workers};
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;
use queue::take;
use rustix::process::{Pid, Signal, kill_process};

fn kill_self() -> ! {
    kill_process(Pid::from_raw(std::process::id() as i32).unwrap(), Signal::KILL).unwrap();
    loop {
        std::thread::park();
    }
}

/// By worker, in the order of arrival.
fn by_worker<T>(
    items: impl Iterator<Item = (WorkerId, Result<T, Failure>)>,
) -> BTreeMap<u32, Vec<Result<T, Failure>>> {
    let mut all: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (id, item) in items {
        all.entry(id.0).or_default().push(item);
    }
    all
}

// proves: streams-of-values: more values than wait anywhere, so that workers had to wait for the caller
#[test]
fn each_workers_values_come_in_its_order_and_the_stream_ends_after_the_last() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let count = |cx: WorkerCx<(u32, u32)>| (0..2000).try_for_each(|n| cx.send((std::process::id(), n)));
    let mut workers = run_workers(3, count);
    let all = by_worker(&mut workers);
    assert!(workers.next().is_none(), "it stays at its end");
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    let mut pids = BTreeSet::from([std::process::id()]);
    for values in all.into_values() {
        let values: Vec<(u32, u32)> = values.into_iter().map(Result::unwrap).collect();
        pids.insert(values[0].0);
        assert!(values.iter().all(|value| value.0 == values[0].0));
        assert!(values.iter().map(|value| value.1).eq(0..2000));
    }
    assert_eq!(pids.len(), 4, "each has a process of its own");
}

#[test]
fn no_workers_send_nothing_and_silent_ones_just_end() {
    psmith::init();
    let _guard = LeakGuard::alone();
    fn silent(_cx: WorkerCx<String>) {}
    assert_eq!(run_workers(0, silent).count(), 0);
    assert_eq!(run_workers(4, silent).count(), 0);
}

// proves: streams-of-values: what it had sent before comes first, and the others are as they were
#[test]
fn the_last_item_of_a_worker_that_dies_is_the_reason() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let work = |cx: WorkerCx<u32>| -> Result<(), String> {
        cx.send(1).unwrap();
        match cx.id().0 {
            1 => kill_self(),
            2 => Err("no more of it".into()),
            3 => panic!("worker 3"),
            4 => std::process::exit(7),
            _ => cx.send(2).map_err(|error| error.to_string()),
        }
    };
    let all = by_worker(run_workers(5, work));
    let causes: Vec<&Cause> = (1..=4).map(|id| &all[&id][1].as_ref().unwrap_err().cause).collect();
    assert!(matches!(causes[0], Cause::Signal { signal: 9, .. }), "{causes:?}");
    assert_eq!(causes[1], &Cause::Error("no more of it".into()));
    assert!(matches!(causes[2], Cause::Panic { message, .. } if message == "worker 3"), "{causes:?}");
    assert_eq!(causes[3], &Cause::Exit(7));
    for id in 1..=4 {
        assert_eq!(*all[&id][0].as_ref().unwrap(), 1);
        assert_eq!(all[&id].len(), 2, "worker {id}");
    }
    assert_eq!(all[&5].iter().map(|item| *item.as_ref().unwrap()).collect::<Vec<_>>(), [1, 2]);
    let line = all[&4][1].as_ref().unwrap_err().to_string();
    assert_eq!(line, "job #4 (worker 4): its process exited with code 7");
}

#[test]
fn a_failure_ends_the_others_where_that_was_asked_for() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let work = |cx: WorkerCx<u32>| -> Result<(), String> {
        cx.send(cx.id().0).map_err(|error| error.to_string())?;
        if cx.id() == WorkerId(2) {
            // The other one is there, and stays until it is ended.
            return Err("no".into());
        }
        loop {
            std::thread::park();
        }
    };
    let all = by_worker(run_workers(2, work).on_error(OnError::Kill));
    assert_eq!(all[&2].last().unwrap().as_ref().unwrap_err().cause, Cause::Error("no".into()));
    assert_eq!(all[&1].last().unwrap().as_ref().unwrap_err().cause, Cause::Cancelled);
}

#[test]
fn a_hung_worker_ends_by_its_timeout() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let hang = |cx: WorkerCx<u32>| -> Result<(), String> {
        cx.send(1).map_err(|error| error.to_string())?;
        loop {
            std::thread::park();
        }
    };
    let limit = Duration::from_millis(300);
    let items: Vec<_> = run_workers(1, hang).timeout(limit).map(|(_, item)| item).collect();
    assert_eq!(items.len(), 2);
    assert_eq!(items[1].as_ref().unwrap_err().cause, Cause::Timeout(limit));
}

// Dropped in the midst of it, also where its workers wait for their values to be taken: the guard counts.
#[test]
fn dropping_the_stream_ends_all_workers() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let endless = |cx: WorkerCx<Vec<u8>>| while cx.send(vec![7; 100_000]).is_ok() {};
    let mut workers = run_workers(3, endless).grace(Duration::from_millis(200));
    assert_eq!(workers.next().unwrap().1.unwrap().len(), 100_000);
    drop(workers);
    // Never asked, it never began.
    drop(run_workers(3, endless));
}

// What a job sends past its worker is no value.
#[test]
fn a_message_of_another_kind_is_an_error_and_not_the_end() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let work = |cx: WorkerCx<u32>| {
        psmith::cx().unwrap().send(&"by another way".to_owned()).unwrap();
        cx.send(5)
    };
    let items: Vec<_> = run_workers(1, work).map(|(_, item)| item).collect();
    let failure = items[0].as_ref().unwrap_err();
    assert!(
        matches!(&failure.cause, Cause::Undecodable(why) if why.starts_with("its message: ")),
        "{failure}"
    );
    assert_eq!(*items[1].as_ref().unwrap(), 5);
}

struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not this one"))
    }
}

impl<'de> serde::Deserialize<'de> for Unwritable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Unwritable, D::Error> {
        Ok(Unwritable)
    }
}

#[test]
fn an_input_that_cannot_travel_is_the_failure_of_all_and_one_of_another_type_is_an_error() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let work = |cx: WorkerCx<String>| -> Result<(), String> {
        cx.send("began".into()).unwrap();
        cx.input::<u64>().map(drop).map_err(|error| format!("no number: {error}"))
    };
    let refused: Vec<_> = run_workers(2, work).input(Unwritable).collect();
    assert_eq!(refused.len(), 2);
    for (_, item) in refused {
        let failure = item.unwrap_err();
        assert_eq!(failure.cause, Cause::Undecodable("its input: not this one".into()));
        assert_eq!(failure.pid, 0, "no process was started for it");
    }
    let other: Vec<_> = run_workers(1, work).input("text".to_owned()).map(|(_, item)| item).collect();
    assert_eq!(other[0].as_ref().unwrap(), "began");
    assert!(other[1].as_ref().unwrap_err().to_string().contains("no number: "));
}

// proves: workers-drain-a-queue (the queue; its rows are in board_workers.rs)
#[test]
fn three_workers_drain_a_queue_that_they_share() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let mut gate = Gate::closed();
    let drain = |cx: WorkerCx<u64>| -> Result<(), String> {
        let (dir, gate): (PathBuf, PathBuf) = cx.input().map_err(|error| error.to_string())?;
        while let Some(number) = take(&dir, 33) {
            cx.send(number).map_err(|error| error.to_string())?;
            // No worker goes on before each has had one.
            gate::pass(&gate);
        }
        Ok(())
    };
    let mut all: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (id, number) in run_workers(3, drain).input((dir.path().to_owned(), gate.path())) {
        all.entry(id.0).or_default().push(number.unwrap());
        if all.len() == 3 {
            gate.open();
        }
    }
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    let mut numbers: Vec<u64> = all.into_values().flatten().collect();
    numbers.sort();
    assert!(numbers.into_iter().eq(1..=33), "each once");
}

/// Sends each item of the feed, with its worker; `kills` says which items it does not survive.
fn work_off(mut cx: WorkerCx<u32>) -> Result<(), String> {
    let (dir, kills) = cx.input::<(PathBuf, Vec<u32>)>().map_err(|error| error.to_string())?;
    while let Some(item) = cx.next::<u32>() {
        // Only the first that has it in hand.
        if kills.contains(&item) && std::fs::File::create_new(dir.join(item.to_string())).is_ok() {
            std::process::abort();
        }
        cx.send(item).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn sorted(values: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    values
}

// proves: streams-of-values
#[test]
fn workers_take_items_of_one_queue_each_once_and_no_sooner_than_they_ask() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let input = (dir.path().to_owned(), Vec::<u32>::new());
    let values = run_workers(3, work_off).input(input.clone()).feed(0..1000_u32);
    let values: Vec<(WorkerId, u32)> = values.map(|(id, value)| (id, value.unwrap())).collect();
    assert_eq!(sorted(values.iter().map(|(_, n)| *n)), (0..1000).collect::<Vec<_>>());
    // Of one worker in the order of the queue.
    for id in (1..=3).map(WorkerId) {
        assert!(values.iter().filter(|(of, _)| *of == id).is_sorted_by_key(|(_, n)| *n));
    }
    assert_eq!(run_workers(2, work_off).input(input.clone()).feed(Vec::<u32>::new()).count(), 0);
    // Without a queue there is no item.
    assert_eq!(run_workers(2, work_off).input(input).count(), 0);

    let taken = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&taken);
    let mut gate = Gate::closed();
    let hold = |mut cx: WorkerCx<u32>| {
        let path = cx.input::<PathBuf>().unwrap();
        let n = cx.next::<u32>().unwrap();
        cx.send(n).unwrap();
        gate::pass(&path);
    };
    let items = (0..).inspect(move |_| counter.store(counter.load(Ordering::SeqCst) + 1, Ordering::SeqCst));
    let mut values = run_workers(2, hold).input(gate.path()).feed(items);
    assert_eq!(sorted(values.by_ref().take(2).map(|(_, n)| n.unwrap())), [0, 1]);
    assert_eq!(taken.load(Ordering::SeqCst), 2, "endless, and nobody has asked for more");
    gate.open();
    assert!(values.next().is_none());
}

// proves: streams-of-values, retries-apart
#[test]
fn an_item_in_the_hand_of_a_worker_that_dies_is_tried_again_or_a_failure_and_the_others_are_done() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for workers in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let kills = vec![2, 3, 7];
        let input = (dir.path().to_owned(), kills.clone());
        let ends: Vec<_> = run_workers(workers, work_off).input(input).feed(0..10_u32).collect();
        let (values, failures): (Vec<_>, Vec<_>) =
            ends.into_iter().map(|(_, end)| end).partition(Result::is_ok);
        assert_eq!(sorted(values.into_iter().map(Result::unwrap)), [0, 1, 4, 5, 6, 8, 9]);
        let failures: Vec<_> = failures.into_iter().map(Result::unwrap_err).collect();
        assert!(failures.iter().all(|failure| failure.cause.is_crash()), "{failures:?}");
        assert_eq!(sorted(failures.iter().map(|failure| failure.input().unwrap())), kills);

        // Each item has the tries that the policy says, whatever became of those before it.
        let dir = tempfile::tempdir().unwrap();
        let run = run_workers(workers, work_off).input((dir.path().to_owned(), kills)).feed(0..10_u32);
        let values = run.retry(psmith::Retry::tries(2)).map(|(_, value)| value.unwrap());
        assert_eq!(sorted(values), (0..10).collect::<Vec<_>>());
    }
    // One that dies without an item is not replaced.
    let dies = |_: WorkerCx<u32>| -> () { std::process::abort() };
    assert_eq!(run_workers(2, dies).feed(0..10_u32).count(), 2);
}

// proves: streams-of-values, policy-at-failure
#[test]
fn a_queue_holds_up_no_end() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let input = || (PathBuf::new(), Vec::<u32>::new());
    // A source that never gives, and a reader that leaves.
    let (sender, items) = std::sync::mpsc::channel::<u32>();
    let mut values = run_workers(2, work_off).input(input()).feed(items);
    sender.send(7).unwrap();
    assert_eq!(values.next().unwrap().1.unwrap(), 7);
    drop(values);
    drop(sender);
    // After the first failure no item is taken, where that is asked for.
    let taken = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&taken);
    let fail = |mut cx: WorkerCx<u32>| match cx.next::<u32>() {
        Some(n) => Err(format!("no {n}")),
        None => Ok(()),
    };
    let items = (0..).inspect(move |_| counter.store(counter.load(Ordering::SeqCst) + 1, Ordering::SeqCst));
    let ends: Vec<_> = run_workers(1, fail).feed(items).on_error(OnError::Stop).collect();
    assert_eq!((ends.len(), taken.load(Ordering::SeqCst)), (1, 1));
    // To wait for an item is no silence.
    let slow = (0..1_u32).inspect(|_| {
        // sleep: the passing of time is what is tested.
        std::thread::sleep(Duration::from_millis(900));
    });
    let values = run_workers(1, work_off).input(input()).feed(slow).idle_timeout(Duration::from_millis(600));
    assert_eq!(sorted(values.map(|(_, n)| n.unwrap())), [0]);
    // A source that panics does so for the one who reads, when what it gave is done.
    let mut values =
        run_workers(2, work_off).input(input()).feed((0..5).inspect(|n| assert!(*n < 3, "a bad source")));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert_eq!(sorted(values.by_ref().take(3).map(|(_, n)| n.unwrap())), [0, 1, 2]);
        values.next().is_none()
    }));
    assert!(panic.is_err());
    // Items of another type than the worker takes are a failure that says so.
    let ends: Vec<_> = run_workers(1, work_off).input(input()).feed(["text"].map(str::to_owned)).collect();
    let failure = ends[0].1.as_ref().unwrap_err();
    assert!(failure.to_string().contains("an item of the feed is of another type"), "{failure}");
    assert_eq!(failure.input::<String>().unwrap(), "text");
}
