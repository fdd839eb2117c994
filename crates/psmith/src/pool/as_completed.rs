//! Handles in the order in which their jobs end. Runs nothing, and ends nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use psmith_engine::condition::Condition;
use psmith_sys::generation::generation;

use crate::pool::handle::JobHandle;

/// The places of jobs that have ended and were not handed out, in the order of their ends.
#[derive(Debug, Default)]
struct EndOrder {
    ended: Mutex<VecDeque<usize>>,
    changed: Condition,
}

impl EndOrder {
    fn add(&self, place: usize) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push_back(place);
        self.changed.notify_all();
    }

    fn next(&self) -> usize {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(place) = ended.pop_front() {
                return place;
            }
            ended = self.changed.wait(ended);
        }
    }
}

/// The handles that were not handed out yet.
struct AsCompleted<R> {
    order: Arc<EndOrder>,
    /// By place.
    handles: Vec<Option<JobHandle<R>>>,
    left: usize,
    process: u64,
}

impl<R> JobHandle<R> {
    /// Hands these handles out in the order in which their jobs end, each when its outcome is there. They may be of
    /// different pools. A handle that is not taken is dropped with the iterator, which leaves its job running.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, JobHandle, Pool};
    /// let pool = Pool::builder().workers(2).build().unwrap();
    /// let handles = (0..4).map(|n| pool.submit(Job::new(|n: u32| n * n, n)).unwrap());
    /// let mut squares: Vec<u32> = JobHandle::as_completed(handles).map(|handle| handle.wait().unwrap()).collect();
    /// squares.sort();
    /// assert_eq!(squares, [0, 1, 4, 9]);
    /// ```
    pub fn as_completed(
        handles: impl IntoIterator<Item = JobHandle<R>>,
    ) -> impl Iterator<Item = JobHandle<R>> {
        let order = Arc::new(EndOrder::default());
        let handles: Vec<_> = handles.into_iter().map(Some).collect();
        for (place, handle) in handles.iter().flatten().enumerate() {
            let order = Arc::clone(&order);
            match handle.forked() {
                // No outcome arrives in this process, and every wait returns at once.
                Some(_) => order.add(place),
                None => handle.completion.on_outcome(Box::new(move |_| order.add(place))),
            }
        }
        AsCompleted { order, left: handles.len(), handles, process: generation() }
    }
}

impl<R> Iterator for AsCompleted<R> {
    type Item = JobHandle<R>;

    fn next(&mut self) -> Option<JobHandle<R>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        if self.process != generation() {
            // In a copy of the program that was forked meanwhile no outcome arrives.
            return self.handles.iter_mut().find_map(Option::take);
        }
        self.handles[self.order.next()].take()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
