//! A row of a board for each worker: its own text while it runs, then its end. Never changes a value.
//!
//! Rows change on the engine's thread, when the events arrive: they are current however slowly the values are taken.

use std::fmt;
use std::sync::Arc;

use psmith_core::board::{Row, RowStatus};

use crate::job::failure::cause_line;
use crate::run::run_event::{Finished, RunEvent, Tap};
use crate::streams::context::{RowChange, SkippedValue, StreamMessage, WorkerId, status_of};
#[cfg(feature = "tokio")]
use crate::streams::tasks::{TaskBody, TaskCx, TaskEnd};
use crate::streams::workers::OnEngineError;
use psmith_board::{Board, RowHandle};
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;

type PrefixFunction<'b> = Box<dyn Fn(WorkerId) -> String + 'b>;

/// Rows on a board for the workers of [`run_workers`](crate::run_workers), a row each
/// ([`Workers::with_status`](crate::Workers::with_status)), or for the tasks of `run_tasks`: `F` is their function.
///
/// The rows are there from the call on: `worker  1: waiting`. A worker changes its own through
/// [`WorkerCx::row`](crate::WorkerCx::row). When its process has ended the row says `done` and is completed, or is an
/// error's, with the cause as its text.
#[must_use = "nothing has rows before it is given to workers"]
pub struct WithStatus<'b, F = ()> {
    board: &'b Board,
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "only tasks have it"))]
    f: F,
    prefix: PrefixFunction<'b>,
    initial: String,
    complete: String,
}

/// Gives each task of `run_tasks` (feature `tokio`) a row on `board`: the function with its rows takes its place. Workers
/// get theirs by [`Workers::with_status`](crate::Workers::with_status).
#[cfg(feature = "tokio")]
pub fn wrap_with_status<F>(board: &Board, f: F) -> WithStatus<'_, F> {
    let WithStatus { board, prefix, initial, complete, .. } = WithStatus::on(board);
    WithStatus { board, f, prefix, initial, complete }
}

impl<'b> WithStatus<'b> {
    /// Rows on this board.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::{Board, WithStatus};
    /// use psmith::{WorkerCx, run_workers};
    /// let board = Board::off();
    /// let work = |cx: WorkerCx<u32>| cx.send(7);
    /// assert_eq!(run_workers(2, work).with_status(WithStatus::on(&board)).count(), 2);
    /// ```
    pub fn on(board: &'b Board) -> WithStatus<'b> {
        WithStatus {
            board,
            f: (),
            prefix: Box::new(|id| format!("worker {id:2}: ")),
            initial: "waiting".into(),
            complete: "done".into(),
        }
    }

    /// Makes the rows of `n` workers, and what changes them.
    pub(crate) fn observers(self, n: u32) -> (Tap, OnEngineError) {
        let rows = Arc::new(self.rows(n));
        let rows_to_fail = Arc::clone(&rows);
        let on_engine_error = OnEngineError(Box::new(move |error| rows_to_fail.fail_all(&error.to_string())));
        (Tap(Box::new(move |event| rows.on_event(event))), on_engine_error)
    }
}

impl<'b, F> WithStatus<'b, F> {
    /// Sets the text before a worker's own. The default is `worker`, the number two wide, a colon and a blank.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::{Board, WithStatus};
    /// use psmith::{WorkerCx, run_workers};
    /// let board = Board::off();
    /// let work = |cx: WorkerCx<u32>| cx.send(7);
    /// let rows = WithStatus::on(&board).prefix(|id| format!("counter {id}: "));
    /// assert_eq!(run_workers(1, work).with_status(rows).count(), 1);
    /// ```
    pub fn prefix(mut self, prefix: impl Fn(WorkerId) -> String + 'b) -> Self {
        self.prefix = Box::new(prefix);
        self
    }

    /// Sets a worker's text before its first own; the default is `waiting`.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::{Board, WithStatus};
    /// use psmith::{WorkerCx, run_workers};
    /// let board = Board::off();
    /// let work = |cx: WorkerCx<u32>| cx.send(7);
    /// let rows = WithStatus::on(&board).initial("not yet begun");
    /// assert_eq!(run_workers(1, work).with_status(rows).count(), 1);
    /// ```
    pub fn initial(mut self, text: impl Into<String>) -> Self {
        self.initial = text.into();
        self
    }

    /// Sets a worker's text when it has ended well; the default is `done`.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::{Board, WithStatus};
    /// use psmith::{WorkerCx, run_workers};
    /// let board = Board::off();
    /// let work = |cx: WorkerCx<u32>| cx.send(7);
    /// let rows = WithStatus::on(&board).complete("all sent");
    /// assert_eq!(run_workers(1, work).with_status(rows).count(), 1);
    /// ```
    pub fn complete(mut self, text: impl Into<String>) -> Self {
        self.complete = text.into();
        self
    }

    fn rows(&self, n: u32) -> WorkerRows {
        let row = |id| Row::new().prefix((self.prefix)(WorkerId(id))).summary(self.initial.as_str());
        let rows = (1..=n).map(|id| self.board.add_row(row(id))).collect();
        WorkerRows { rows, complete: self.complete.clone() }
    }
}

impl<F> fmt::Debug for WithStatus<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithStatus").field("board", &self.board).finish_non_exhaustive()
    }
}

/// Tasks with rows: each has a [`RowHandle`] of its own.
#[cfg(feature = "tokio")]
impl<T, O, F> TaskBody<T, O> for WithStatus<'_, F>
where
    T: Send + 'static,
    F: TaskBody<T, O>,
{
    fn tasks(self, mut cxs: Vec<TaskCx<T>>) -> Vec<TaskEnd> {
        let n = u32::try_from(cxs.len()).unwrap_or(u32::MAX);
        let WorkerRows { rows, complete } = self.rows(n);
        for (cx, row) in cxs.iter_mut().zip(&rows) {
            cx.row = Some(row.clone());
        }
        let with_row = |(task, row): (TaskEnd, RowHandle)| -> TaskEnd {
            let end = RowEnd { row, text: Err("cancelled".into()) };
            let complete = complete.clone();
            Box::pin(async move {
                // Moved as a whole, not by its field: it ends the row when the task is dropped.
                let mut end = end;
                let ended = task.await;
                end.text = ended.as_ref().map(|()| complete).map_err(cause_line);
                ended
            })
        };
        self.f.tasks(cxs).into_iter().zip(rows).map(with_row).collect()
    }
}

/// Ends a row with its task, also where that is aborted.
#[cfg(feature = "tokio")]
struct RowEnd {
    row: RowHandle,
    text: Result<String, String>,
}

#[cfg(feature = "tokio")]
impl Drop for RowEnd {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.text, Ok(String::new())) {
            Ok(text) => self.row.set_summary(text),
            Err(text) => fail(&self.row, text),
        }
        self.row.complete();
    }
}

/// The workers' rows, in the order of their numbers.
struct WorkerRows {
    rows: Vec<RowHandle>,
    complete: String,
}

impl WorkerRows {
    /// Handles an event that concerns rows; returns true if it concerns nothing else.
    fn on_event(&self, event: &RunEvent) -> bool {
        match event {
            RunEvent::Message(job, bytes, body) => {
                let Ok(StreamMessage::<SkippedValue>::Row(change)) = Described::decode(&bytes[*body..])
                else {
                    return false;
                };
                if let Some(row) = self.row(job.index) {
                    apply(row, change);
                }
                true
            }
            RunEvent::Done(finished) => {
                if let Some(row) = self.row(finished.job.index) {
                    self.end(row, finished);
                }
                false
            }
            RunEvent::Started(_) | RunEvent::SlotFreed | RunEvent::Progress(..) | RunEvent::Results(_) => {
                false
            }
        }
    }

    fn row(&self, index: u64) -> Option<&RowHandle> {
        self.rows.get(usize::try_from(index).ok()?)
    }

    fn end(&self, row: &RowHandle, finished: &Finished) {
        let verdict = match &finished.request.refused {
            Some(cause) => Err(cause),
            None => finished.outcome.verdict.as_ref().map(|_| ()),
        };
        match verdict {
            Ok(()) => row.set_summary(self.complete.as_str()),
            Err(cause) => fail(row, cause_line(cause)),
        }
        row.complete();
    }

    /// Shows an error of psmith's own on all rows. Rows that are completed stay as they are.
    fn fail_all(&self, text: &str) {
        for row in &self.rows {
            fail(row, text.to_owned());
            row.complete();
        }
    }
}

fn fail(row: &RowHandle, text: String) {
    row.set_status(RowStatus::Error);
    row.set_summary(text);
}

fn apply(row: &RowHandle, change: RowChange) {
    match change {
        RowChange::Summary(text) => row.set_summary(text),
        RowChange::Prefix(text) => row.set_prefix(text),
        RowChange::Status(code) => row.set_status(status_of(code)),
        RowChange::Start(target) => row.start(target),
        RowChange::Tick(steps) => row.tick(steps),
        RowChange::Finish => row.finish(),
        RowChange::Clear => row.clear(),
    }
}
