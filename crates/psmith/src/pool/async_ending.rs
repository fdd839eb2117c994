//! Waits for the jobs of a pool that hold up no thread. Knows no executor.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::pool::pool::Pool;
use crate::pool::refusal::Unfinished;
use crate::pool::scheduler::Scheduler;
use crate::pool::shared::PoolShared;

/// A join under way. Dropped, it joins no more.
struct Join<'p> {
    shared: &'p PoolShared,
    /// True while it keeps the pool from taking jobs.
    counts: bool,
}

/// A drain under way.
struct Drain<'p> {
    pool: Option<Arc<PoolShared>>,
    /// The scheduler that forgets the pool then.
    scheduler: Option<(&'p Scheduler, Arc<Pool>)>,
    closed: bool,
}

impl Pool {
    /// Waits as [`Pool::join`] does, as a future, for any executor. It begins with the first poll; dropping it ends the
    /// wait, and the pool takes jobs again.
    ///
    /// ```
    /// # psmith::init();
    /// # async fn doc() {
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::new(|n: u32| n, 1)).unwrap();
    /// pool.join_async().await;
    /// assert!(handle.is_ready());
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(doc());
    /// ```
    pub fn join_async(&self) -> impl Future<Output = ()> + Unpin {
        Join { shared: &self.shared, counts: false }
    }

    /// Ends the pool as [`Pool::drain`] does, as a future, for any executor. It begins with the first poll; from then on
    /// the pool takes no more jobs, also if the future is dropped.
    ///
    /// ```
    /// # psmith::init();
    /// # async fn doc() {
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::new(|n: u32| n, 1)).unwrap();
    /// assert!(pool.drain_async().await.jobs.is_empty());
    /// assert!(handle.is_ready());
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(doc());
    /// ```
    pub fn drain_async(&self) -> impl Future<Output = Unfinished> + Unpin {
        Drain { pool: Some(Arc::clone(&self.shared)), scheduler: None, closed: false }
    }
}

impl Scheduler {
    /// Waits as [`Scheduler::join`] does, as a future; see [`Pool::join_async`](crate::Pool::join_async).
    ///
    /// ```
    /// # psmith::init();
    /// # async fn doc() {
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let handle = scheduler.schedule(Job::new(|n: u32| n, 1)).unwrap();
    /// scheduler.join_async().await;
    /// assert!(handle.is_ready());
    /// # drop(scheduler.drain());
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(doc());
    /// ```
    pub fn join_async(&self) -> impl Future<Output = ()> {
        let pool = self.current();
        async move {
            if let Some(pool) = pool {
                pool.join_async().await;
            }
        }
    }

    /// Waits as [`Scheduler::drain`] does, as a future; see [`Pool::drain_async`](crate::Pool::drain_async).
    ///
    /// ```
    /// # psmith::init();
    /// # async fn doc() {
    /// use psmith::{Job, Scheduler};
    /// let scheduler = Scheduler::new();
    /// let handle = scheduler.schedule(Job::new(|n: u32| n, 1)).unwrap();
    /// assert!(scheduler.drain_async().await.jobs.is_empty());
    /// assert!(handle.is_ready());
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(doc());
    /// ```
    pub fn drain_async(&self) -> impl Future<Output = Unfinished> + Unpin {
        let pool = self.current();
        let shared = pool.as_ref().map(|pool| Arc::clone(&pool.shared));
        Drain { pool: shared, scheduler: pool.map(|pool| (self, pool)), closed: false }
    }
}

impl Future for Join<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared;
        if !shared.is_ours() {
            return Poll::Ready(());
        }
        // Registered first: any change from here on wakes it.
        shared.waiting.add(context.waker());
        let mut state = shared.lock();
        if !std::mem::replace(&mut self.counts, true) {
            state.joining += 1;
        }
        if !state.is_done() {
            return Poll::Pending;
        }
        drop(state);
        self.leave();
        Poll::Ready(())
    }
}

impl Join<'_> {
    fn leave(&mut self) {
        if std::mem::replace(&mut self.counts, false) && self.shared.is_ours() {
            self.shared.lock().joining -= 1;
            self.shared.notify_waiters();
        }
    }
}

impl Drop for Join<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Future for Drain<'_> {
    type Output = Unfinished;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Unfinished> {
        let Some(shared) = self.pool.clone().filter(|pool| pool.is_ours()) else {
            return Poll::Ready(Unfinished::default());
        };
        shared.waiting.add(context.waker());
        if !std::mem::replace(&mut self.closed, true) {
            drop(shared.close());
        }
        let state = shared.lock();
        if state.over && state.has_called() {
            let unfinished = state.unfinished();
            drop(state);
            if let Some((scheduler, pool)) = self.scheduler.take() {
                scheduler.forget(&pool);
            }
            return Poll::Ready(unfinished);
        }
        let is_done = state.is_done();
        drop(state);
        if is_done {
            shared.submitter.close();
        }
        Poll::Pending
    }
}
