//! A map over the workers of a pool. Starts no run of its own: its jobs are the pool's.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;

use crate::job::callee::Callee;
use crate::job::failure::Failure;
use crate::job::job::{Job, Request};
use crate::pool::handle::JobHandle;
use crate::pool::pool::Pool;
use crate::pool::refusal::{Refusal, SubmitError};
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::{Fallible, JobFunction, Plain};

/// The items on their way, oldest first, and the source of the others.
struct PoolMap<'p, I, R, M> {
    pool: &'p Pool,
    items: I,
    /// Makes the job of an item.
    job_of: M,
    /// A job for which there was no room.
    held: Option<Job<R>>,
    handed_in: VecDeque<JobHandle<R>>,
    /// True once there are no more items, or the pool takes no more.
    ended: bool,
    /// The failure of the item that the pool did not take.
    refused: Option<Failure>,
}

impl Pool {
    /// Maps the items by jobs of this pool, beside its other jobs; results come in the order of the items. Items are
    /// taken as they are needed: at most as many are on their way as the pool's
    /// [`window`](crate::PoolBuilder::window). Where the pool is ended meanwhile, the item that it did not take is a
    /// failure, and no more are taken. Dropping the iterator cancels its jobs.
    ///
    /// For results in the order in which they come, submit the jobs and use
    /// [`JobHandle::as_completed`](crate::JobHandle::as_completed).
    ///
    /// ```
    /// # psmith::init();
    /// let pool = psmith::Pool::builder().workers(2).build().unwrap();
    /// let squares: Result<Vec<u32>, _> = pool.map(1..=4, |n: u32| n * n).collect();
    /// assert_eq!(squares.unwrap(), [1, 4, 9, 16]);
    /// ```
    pub fn map<I, R>(&self, items: I, f: fn(I::Item) -> R) -> impl Iterator<Item = Result<R, Failure>>
    where
        I: IntoIterator,
        I::Item: 'static,
        R: 'static,
        Described: Codec<I::Item> + Codec<R>,
    {
        self.map_by(items, Plain(f))
    }

    /// Maps the items by jobs of this pool, as [`Pool::map`] does, with an `f` that returns a `Result`: its error is the
    /// job's failure.
    ///
    /// ```
    /// # psmith::init();
    /// let pool = psmith::Pool::builder().workers(2).build().unwrap();
    /// let numbers = pool.try_map(["7", "seven"].map(str::to_owned), |text: String| text.parse::<u32>());
    /// assert_eq!(numbers.map(|number| number.is_ok()).collect::<Vec<_>>(), [true, false]);
    /// ```
    pub fn try_map<I, R, E>(
        &self,
        items: I,
        f: fn(I::Item) -> Result<R, E>,
    ) -> impl Iterator<Item = Result<R, Failure>>
    where
        I: IntoIterator,
        I::Item: 'static,
        R: 'static,
        E: Display + 'static,
        Described: Codec<I::Item> + Codec<R>,
    {
        self.map_by(items, Fallible(f))
    }

    fn map_by<I, F>(&self, items: I, f: F) -> impl Iterator<Item = Result<F::Value, Failure>>
    where
        I: IntoIterator,
        F: JobFunction<Input = I::Item>,
        Described: Codec<F::Input> + Codec<F::Value>,
    {
        let callee = Arc::new(Callee::new::<F, Described>(f, None));
        let job_of = move |item: I::Item| Job {
            request: Request::new::<I::Item, Described>(&callee, &item, u64::MAX),
            decode: <Described as Codec<F::Value>>::decode,
        };
        PoolMap {
            pool: self,
            items: items.into_iter(),
            job_of,
            held: None,
            handed_in: VecDeque::new(),
            ended: false,
            refused: None,
        }
    }
}

impl<I: Iterator, R, M: FnMut(I::Item) -> Job<R>> PoolMap<'_, I, R, M> {
    /// Hands items in while there is room. Waits for room only where no item is on its way.
    fn hand_in(&mut self) {
        while !self.ended && self.handed_in.len() < self.pool.window as usize {
            let Some(job) = self.held.take().or_else(|| self.items.next().map(&mut self.job_of)) else {
                self.ended = true;
                return;
            };
            let is_first = self.handed_in.is_empty();
            let taken = if is_first { self.pool.submit(job) } else { self.pool.try_submit(job) };
            match taken {
                Ok(handle) => self.handed_in.push_back(handle.cancel_on_drop()),
                Err(SubmitError { job, reason: Refusal::Full | Refusal::Joining }) => {
                    self.held = Some(*job);
                    if !is_first {
                        return;
                    }
                    // Somebody waits for the end of all jobs, of which this map has none.
                    self.pool.wait_for_joins();
                }
                Err(refused) => {
                    self.ended = true;
                    self.refused = Some(refused.into_failure(self.pool.jobs_taken()));
                }
            }
        }
    }
}

impl<I: Iterator, R, M: FnMut(I::Item) -> Job<R>> Iterator for PoolMap<'_, I, R, M> {
    type Item = Result<R, Failure>;

    fn next(&mut self) -> Option<Result<R, Failure>> {
        self.hand_in();
        match self.handed_in.pop_front() {
            Some(handle) => Some(handle.into_outcome()),
            None => self.refused.take().map(Err),
        }
    }
}
