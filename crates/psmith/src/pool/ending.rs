//! The end of a pool: join, drain, stop. The names are those of every face that runs until it is ended.

use std::time::{Duration, Instant};

use crate::pool::pool::Pool;
use crate::pool::refusal::Unfinished;
use crate::pool::shared::PoolState;
use psmith_engine::handler::EngineCommand;

impl Pool {
    /// Waits until every job that was handed in has its outcome. Meanwhile no job is taken; afterwards the pool goes
    /// on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handle = pool.submit(Job::new(|n: u32| n, 1)).unwrap();
    /// pool.join();
    /// assert!(handle.is_ready());
    /// ```
    pub fn join(&self) {
        self.join_until(None);
    }

    /// Waits as [`Pool::join`] does, for at most `limit`; false if jobs were left by then. They go on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = pool.submit(Job::<()>::new(forever, ())).unwrap();
    /// assert!(!pool.join_timeout(std::time::Duration::from_millis(10)));
    /// handle.kill();
    /// pool.join();
    /// ```
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.join_until(Instant::now().checked_add(limit))
    }

    fn join_until(&self, until: Option<Instant>) -> bool {
        let mut state = self.shared.lock();
        state.joining += 1;
        if until.is_none() {
            self.shared.take_no_messages(&state);
        }
        let (mut state, done) = self.shared.wait_for(state, until, PoolState::is_done);
        state.joining -= 1;
        drop(state);
        self.shared.notify_waiters();
        done
    }

    /// Takes no more jobs, finishes all that were taken, and ends the pool. Nothing is unfinished then, unless jobs
    /// were cancelled meanwhile, for example by another thread's stop. As a join, it waits for a paused pool to go on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool, Refusal};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let handles = [1, 2, 3].map(|n| pool.submit(Job::new(|n: u32| n, n)).unwrap());
    /// assert!(pool.drain().jobs.is_empty());
    /// assert_eq!(handles.map(|handle| handle.wait().unwrap()), [1, 2, 3]);
    /// assert_eq!(pool.submit(Job::new(|n: u32| n, 4)).unwrap_err().reason, Refusal::Closed);
    /// ```
    pub fn drain(&self) -> Unfinished {
        let state = self.shared.close();
        let is_done = self.shared.wait_for(state, None, |state| state.is_done() || state.over);
        drop(is_done);
        self.shared.submitter.close();
        self.unfinished()
    }

    /// Takes and starts no more jobs, asks those that run to stop, and kills them after the pool's grace
    /// ([`grace`](crate::PoolBuilder::grace)). Ends the pool; returns the jobs that were not done.
    ///
    /// ```
    /// # psmith::init();
    /// # use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// # // proves: ways-to-end
    /// let handle = pool.submit(Job::<()>::new(|_: ()| -> () { loop { std::thread::park() } }, ()).label("endless")).unwrap();
    /// let unfinished = pool.stop();
    /// assert_eq!(unfinished.jobs[0].label(), Some("endless"));
    /// assert_eq!(handle.wait().unwrap_err().cause, psmith::Cause::Cancelled);
    /// ```
    pub fn stop(&self) -> Unfinished {
        self.stop_within(self.grace)
    }

    /// Stops as [`Pool::stop`] does, with this grace, if it is shorter than the pool's; with none, what runs is killed
    /// at once.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// let forever = |_: ()| -> () { loop { std::thread::park() } };
    /// let handle = pool.submit(Job::<()>::new(forever, ())).unwrap();
    /// assert_eq!(pool.stop_within(std::time::Duration::ZERO).jobs.len(), 1);
    /// assert!(handle.is_ready());
    /// ```
    pub fn stop_within(&self, grace: Duration) -> Unfinished {
        let mut state = self.shared.close();
        // They are not started any more.
        for (index, request) in std::mem::take(&mut state.held_back) {
            state.cancel_unstarted(index, &request);
        }
        if !grace.is_zero() {
            self.shared.submitter.order(EngineCommand::Stop);
            self.shared.submitter.close();
            let kill_at = Instant::now().checked_add(grace);
            let (still, is_over) = self.shared.wait_for(state, kill_at, |state| state.over);
            state = still;
            if is_over {
                drop(state);
                return self.unfinished();
            }
        }
        drop(state);
        self.shared.submitter.order(EngineCommand::Kill);
        self.shared.submitter.close();
        self.unfinished()
    }

    /// Returns the jobs that were not done, once the engine has ended.
    fn unfinished(&self) -> Unfinished {
        let (state, _) =
            self.shared.wait_for(self.shared.lock(), None, |state| state.over && state.has_called());
        state.unfinished()
    }

    /// Waits until no thread waits for the end of all jobs, or the pool is ended.
    pub(super) fn wait_for_joins(&self) {
        drop(self.shared.wait_for(self.shared.lock(), None, |state| state.joining == 0 || state.closed));
    }
}
