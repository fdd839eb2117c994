//! A submit that waits for room without holding up a thread. Knows no executor.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::job::job::Job;
use crate::pool::handle::JobHandle;
use crate::pool::pool::Pool;
use crate::pool::refusal::{Refusal, SubmitError};

/// A job on its way into a pool; see [`Pool::submit_async`].
struct Submission<'p, R> {
    pool: &'p Pool,
    /// The job, until it was handed in.
    job: Option<Job<R>>,
}

impl Pool {
    /// Hands a job in, as [`Pool::submit`] does, but waits for room as a future, for any executor. Nothing is handed in
    /// before the future is polled, and nothing when it is dropped before it is ready. Of several futures, the one that
    /// has waited longest is not preferred.
    ///
    /// # Errors
    /// The job, if the pool is being joined or was ended, also while the future waits.
    ///
    /// # Panics
    /// The future panics if it is polled after it was ready.
    ///
    /// ```
    /// # psmith::init();
    /// # use psmith::{Failure, Job, Pool};
    /// # use std::{future::Future, pin::pin, task::{Context, Poll, Wake}};
    /// # struct Here(std::thread::Thread);
    /// # impl Wake for Here { fn wake(self: std::sync::Arc<Self>) { self.0.unpark() } }
    /// # fn block_on<T>(future: impl Future<Output = T>) -> T {
    /// #     let (mut future, waker) = (pin!(future), std::sync::Arc::new(Here(std::thread::current())).into());
    /// #     loop {
    /// #         match future.as_mut().poll(&mut Context::from_waker(&waker)) {
    /// #             Poll::Ready(done) => return done,
    /// #             Poll::Pending => std::thread::park(),
    /// #         }
    /// #     }
    /// # }
    /// let pool = Pool::builder().workers(1).window(1).build().unwrap();
    /// let sum = block_on(async {
    ///     let mut sum = 0;
    ///     for n in 1..=3_u32 {
    ///         sum += pool.submit_async(Job::new(|n: u32| n * 10, n)).await.unwrap().await?;
    ///     }
    ///     Ok::<_, Failure>(sum)
    /// });
    /// assert_eq!(sum.unwrap(), 60);
    /// ```
    pub fn submit_async<R>(
        &self,
        job: Job<R>,
    ) -> impl Future<Output = Result<JobHandle<R>, SubmitError<R>>> + Unpin {
        Submission { pool: self, job: Some(job) }
    }
}

impl<R> Future for Submission<'_, R> {
    type Output = Result<JobHandle<R>, SubmitError<R>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let job = this.job.take().expect("a future is not polled after it was ready");
        // Registered first: any change from here on wakes it.
        this.pool.waits_for_room(context.waker());
        match this.pool.try_submit(job) {
            Err(SubmitError { job, reason: Refusal::Full }) => {
                this.job = Some(*job);
                Poll::Pending
            }
            handed_in => Poll::Ready(handed_in),
        }
    }
}
