//! A number of tasks of an async runtime, one stream of the values that they send, and their rows on a board.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use psmith::board::{Board, wrap_with_status};
use psmith::{Cause, TaskCx, WorkerId, run_tasks};
use psmith_testkit::emulator::Terminal;

fn block_on<R>(future: impl Future<Output = R>) -> R {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

// proves: streams-of-values
#[test]
fn each_tasks_values_come_in_its_order_and_the_stream_ends_after_the_last() {
    let mut all: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    block_on(async {
        // More than wait anywhere.
        let count = async |cx: TaskCx<u32>| {
            for n in 0..1000 {
                cx.send(n).await?;
            }
            Ok::<_, psmith::SendError>(())
        };
        let mut tasks = run_tasks(3, count);
        while let Some((WorkerId(id), value)) = tasks.next().await {
            all.entry(id).or_default().push(value.unwrap());
        }
        assert!(tasks.next().await.is_none(), "it stays at its end");
    });
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert!(all.into_values().all(|values| values.into_iter().eq(0..1000)));
}

// The original's workers share one queue.
#[test]
fn three_tasks_drain_a_queue_and_one_that_panics_harms_no_other() {
    let queue = Arc::new(Mutex::new((1..=33).collect::<Vec<u32>>()));
    let drain = |cx: TaskCx<u32>| {
        let queue = Arc::clone(&queue);
        async move {
            if cx.id() == WorkerId(2) {
                panic!("no appetite");
            }
            loop {
                let Some(number) = queue.lock().unwrap().pop() else { return };
                cx.send(number).await.unwrap();
            }
        }
    };
    let mut sum = 0;
    let mut failures = Vec::new();
    block_on(async {
        let mut tasks = run_tasks(3, drain);
        while let Some((id, value)) = tasks.next().await {
            match value {
                Ok(number) => sum += number,
                Err(failure) => failures.push((id, failure)),
            }
        }
    });
    assert_eq!(sum, (1..=33).sum::<u32>());
    let [(WorkerId(2), failure)] = &failures[..] else { panic!("{failures:?}") };
    assert!(matches!(&failure.cause, Cause::Panic { message, .. } if message == "no appetite"), "{failure}");
}

#[test]
fn a_dropped_stream_ends_its_tasks() {
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let gone = Arc::new(AtomicUsize::new(0));
    block_on(async {
        let endless = |cx: TaskCx<u32>| {
            let gone = Gone(Arc::clone(&gone));
            async move {
                let _gone = gone;
                while cx.send(1).await.is_ok() {}
                std::future::pending::<()>().await;
            }
        };
        let mut tasks = run_tasks(4, endless);
        assert!(tasks.next().await.is_some());
        drop(tasks);
        while gone.load(Ordering::SeqCst) < 4 {
            tokio::task::yield_now().await;
        }
    });
}

// proves: row-per-worker
#[test]
fn rows_end_with_done_or_the_cause_or_that_they_were_cancelled() {
    let (mut terminal, slave) = Terminal::new(60, 12);
    let board = Board::builder()
        .update(Duration::from_millis(10))
        .dim_after(Duration::from_secs(3600))
        .console(slave);
    block_on(async {
        let work = async |cx: TaskCx<u32>| {
            cx.row().unwrap().set_summary("working");
            cx.send(1).await.map_err(|error| error.to_string())?;
            match cx.id().0 {
                1 => Ok(()),
                2 => Err("no more of it".to_owned()),
                _ => std::future::pending().await,
            }
        };
        let mut tasks = run_tasks(3, wrap_with_status(&board, work));
        let mut values = 0;
        let mut failures = 0;
        while values < 3 || failures < 1 {
            match tasks.next().await.unwrap().1 {
                Ok(_) => values += 1,
                Err(failure) => {
                    assert_eq!(failure.to_string(), "job #2 (worker 2): no more of it");
                    failures += 1;
                }
            }
        }
        terminal.wait_until("two have ended", |screen| {
            let text = screen.contents();
            text.contains("worker  1: done")
                && text.contains("worker  2: no more of it")
                && text.contains("worker  3: working")
        });
    });
    drop(board);
    terminal.finish();
    let mut lines = terminal.transcript();
    lines.sort();
    assert_eq!(lines, ["worker  1: done", "worker  2: no more of it", "worker  3: cancelled"]);
    assert!(terminal.is_as_it_was());
}
