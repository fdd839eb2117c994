//! Tasks of an async runtime that send values, merged into one stream. Knows no worker process.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use psmith_core::outcome::Cause;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::job::failure::Failure;
use crate::map::hooks::HookAnswer;
use crate::streams::context::WorkerId;
use psmith_engine::worker::panics;
use psmith_engine::worker::send_error::SendError;

/// The number of values that wait to be taken; beyond it the tasks wait.
const WAITING_MAX: usize = 64;

/// Runs `f` as `n` tasks of the Tokio runtime at once and gives the values that they send, each with its task's number.
///
/// The tasks start at the call. The values of one come in the order in which it sent them. A task that fails or panics
/// gives its [`Failure`] as its last item, and the others go on; one that returns just ends. The stream ends when the
/// last task has; dropping it ends them all at their next `await`.
///
/// Of [`Options`](crate::Options) it serves none: the tasks begin at the call, and nothing but they themselves can end
/// them.
///
/// These are tasks of this process: nothing isolates them, and a task that blocks holds up its runtime. Work that must
/// survive a crash belongs in [`run_workers`](crate::run_workers). As there, `f` may be wrapped, so that each has a row
/// on a board.
///
/// ```
/// use psmith::{TaskCx, WorkerId, run_tasks};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let factor = 10;
/// let mut tasks = run_tasks(3, |cx: TaskCx<u32>| async move { cx.send(factor * cx.id().0).await });
/// let mut sent = Vec::new();
/// while let Some((WorkerId(id), value)) = tasks.next().await {
///     sent.push((id, value.unwrap()));
/// }
/// sent.sort();
/// assert_eq!(sent, [(1, 10), (2, 20), (3, 30)]);
/// # });
/// ```
///
/// # Panics
/// Outside of a Tokio runtime.
pub fn run_tasks<T, O, B>(n: u32, f: B) -> Tasks<T>
where
    T: Send + 'static,
    B: TaskBody<T, O>,
{
    let (sender, inbox) = channel(WAITING_MAX);
    let cx = |id| TaskCx {
        id: WorkerId(id),
        sender: sender.clone(),
        #[cfg(feature = "board")]
        row: None,
    };
    let mut tasks = JoinSet::new();
    for (id, task) in (1..=n).zip(f.tasks((1..=n).map(cx).collect())) {
        let sender = sender.clone();
        tasks.spawn(async move {
            if let Err(cause) = task.await {
                let mut failure = Failure::new(cause, u64::from(id) - 1);
                failure.attempts = 1;
                failure.pid = std::process::id();
                failure.label = Some(format!("worker {id}"));
                // An error means that the stream was dropped: then no failure is to be reported.
                let _ = sender.send((WorkerId(id), Err(failure))).await;
            }
        });
    }
    Tasks { inbox, _tasks: tasks }
}

/// A body of tasks that [`run_tasks`] can run: an async function of a [`TaskCx`], or one that was wrapped.
///
/// `T` is the type of the values that the tasks send, `O` the type that they return: `()` or a `Result` of it.
pub trait TaskBody<T, O> {
    /// Makes a future for each of these contexts.
    #[doc(hidden)]
    fn tasks(self, cxs: Vec<TaskCx<T>>) -> Vec<TaskEnd>;
}

/// The future of a task, which gives its end.
pub(crate) type TaskEnd = Pin<Box<dyn Future<Output = Result<(), Cause>> + Send>>;

impl<T, O, F, R> TaskBody<T, (O, R)> for F
where
    F: FnMut(TaskCx<T>) -> R,
    R: Future<Output = O> + Send + 'static,
    O: HookAnswer,
{
    fn tasks(mut self, cxs: Vec<TaskCx<T>>) -> Vec<TaskEnd> {
        let task = |cx| -> TaskEnd {
            let task = Box::pin(self(cx));
            Box::pin(async { caught(task).await?.into_answer().map_err(Cause::Error) })
        };
        cxs.into_iter().map(task).collect()
    }
}

/// Gives the task's own end, or its panic.
async fn caught<R: Future>(mut task: Pin<Box<R>>) -> Result<R::Output, Cause> {
    poll_fn(|waker| {
        // After a panic the task is not polled again: nothing of it is seen half-done.
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(waker))) {
            Ok(poll) => poll.map(Ok),
            // The place is printed by the program's own panic hook, which is not ours to replace.
            Err(payload) => Poll::Ready(Err(Cause::Panic {
                message: panics::message(payload.as_ref()),
                location: String::new(),
                backtrace: String::new(),
            })),
        }
    })
    .await
}

/// A task's view of itself; see [`run_tasks`]. The stream does not end while one exists.
pub struct TaskCx<T> {
    id: WorkerId,
    sender: Sender<(WorkerId, Result<T, Failure>)>,
    #[cfg(feature = "board")]
    pub(crate) row: Option<psmith_board::RowHandle>,
}

impl<T> TaskCx<T> {
    /// The number of this task, from 1.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use psmith::{TaskCx, run_tasks};
    /// let send_id = |cx: TaskCx<u32>| async move { cx.send(cx.id().0).await.unwrap() };
    /// let mut values = run_tasks(1, send_id);
    /// assert_eq!(values.next().await.unwrap().1.unwrap(), 1);
    /// # });
    /// ```
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Sends a value to the reader of the [`Tasks`]. Waits while the reader does not keep up.
    ///
    /// # Errors
    /// [`SendError::Gone`]: the stream was dropped.
    pub async fn send(&self, value: T) -> Result<(), SendError> {
        let sent = self.sender.send((self.id, Ok(value))).await;
        sent.map_err(|_| SendError::Gone(io::ErrorKind::BrokenPipe.into()))
    }

    /// The task's row on the board, if there is one.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use psmith::{TaskCx, run_tasks};
    /// let work = |cx: TaskCx<u32>| async move { cx.send(u32::from(cx.row().is_some())).await.unwrap() };
    /// // It has no board.
    /// assert_eq!(run_tasks(1, work).next().await.unwrap().1.unwrap(), 0);
    /// # });
    /// ```
    #[cfg(feature = "board")]
    #[must_use]
    pub fn row(&self) -> Option<&psmith_board::RowHandle> {
        self.row.as_ref()
    }
}

impl<T> fmt::Debug for TaskCx<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCx").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The values of all tasks; see [`run_tasks`].
#[must_use = "dropped at once it ends its tasks"]
pub struct Tasks<T> {
    inbox: Receiver<(WorkerId, Result<T, Failure>)>,
    /// The tasks: aborted when dropped.
    _tasks: JoinSet<()>,
}

impl<T> Tasks<T> {
    /// The next value, or failure; `None` when the last task has ended. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<(WorkerId, Result<T, Failure>)> {
        self.inbox.recv().await
    }
}

impl<T> Stream for Tasks<T> {
    type Item = (WorkerId, Result<T, Failure>);

    fn poll_next(self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().inbox.poll_recv(waker)
    }
}

impl<T> fmt::Debug for Tasks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}
