//! A pool that is paused, goes on, and changes its number of workers while it runs. Ends nothing.

use psmith_core::event::HoldReason;

use crate::pool::pool::Pool;
use psmith_engine::handler::EngineCommand;

impl Pool {
    /// Starts no more jobs until [`resume`](Pool::resume). Those that run go on, with their clocks; jobs are still
    /// taken in as far as there is room, and can be cancelled. A join of a paused pool waits until it goes on.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool, PendingReason};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// pool.pause();
    /// let later = pool.submit(Job::new(|n: u32| n + 1, 1)).unwrap();
    /// assert_eq!(later.explain(), PendingReason::Paused { ahead: 0 });
    /// pool.resume();
    /// assert_eq!(later.wait().unwrap(), 2);
    /// ```
    pub fn pause(&self) {
        self.hold(true);
    }

    /// Goes on after [`pause`](Pool::pause).
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// pool.pause();
    /// let handle = pool.submit(Job::new(|n: u32| n, 1)).unwrap();
    /// pool.resume();
    /// assert_eq!(handle.wait().unwrap(), 1);
    /// ```
    pub fn resume(&self) {
        self.hold(false);
    }

    /// Returns whether the pool is paused.
    ///
    /// ```
    /// # psmith::init();
    /// let pool = psmith::Pool::builder().workers(1).build().unwrap();
    /// pool.pause();
    /// assert!(pool.is_paused());
    /// ```
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared.lock().paused
    }

    fn hold(&self, on: bool) {
        let mut state = self.shared.lock();
        state.paused = on;
        // Under the lock: the orders of two threads arrive in the order of their calls.
        self.shared.submitter.order(EngineCommand::Hold(HoldReason::Paused, on));
    }

    /// Sets the number of workers from now on; 0 counts as 1. No job is ended for it: where there are fewer, the jobs
    /// beyond that number finish, and their workers end then. The number of jobs that the pool takes in
    /// ([`window`](crate::PoolBuilder::window)) stays as it was built.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    /// let pool = Pool::builder().workers(1).build().unwrap();
    /// pool.set_workers(3);
    /// let slots: Vec<u32> = (0..30)
    ///     .map(|_| pool.submit(Job::new(|_: ()| psmith::cx().unwrap().slot(), ())).unwrap())
    ///     .collect::<Vec<_>>()
    ///     .into_iter()
    ///     .map(|handle| handle.wait().unwrap())
    ///     .collect();
    /// assert!(slots.iter().all(|slot| *slot < 3));
    /// ```
    pub fn set_workers(&self, workers: u32) {
        self.shared.submitter.order(EngineCommand::Slots(workers.max(1)));
    }
}
