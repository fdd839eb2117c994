//! Hooks of the caller, and the answers that they may give. Calls no hook itself: the iterators do.

use std::fmt::Display;

use psmith_core::{Cause, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::failure::Failure;
use crate::job::job::{JobRef, Request};
#[cfg(feature = "board")]
use crate::map::progress_row::Shown;
use psmith_engine::channel::messages::FromWorker;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::error_text;

pub(crate) type StartHook<'h> = Box<dyn FnMut(&JobRef) -> Result<(), String> + Send + 'h>;
type DoneHook<'h, R> = Box<dyn FnMut(&JobRef, Result<&R, &Failure>) -> Result<(), String> + Send + 'h>;
pub(crate) type ProgressHook<'h> = Box<dyn FnMut(&JobRef, u64, u64) + Send + 'h>;

type LeftHook<'h> = Box<dyn FnMut(Request) + Send + 'h>;

/// The hooks that a caller has set for the jobs of a `map`.
pub(crate) struct Hooks<'h, R> {
    /// Called with jobs that were taken and not begun.
    pub(crate) left: Option<LeftHook<'h>>,
    pub(crate) start: Option<StartHook<'h>>,
    pub(crate) done: Option<DoneHook<'h, R>>,
    pub(crate) progress: Option<ProgressHook<'h>>,
    pub(crate) message: Option<MessageHook<'h>>,
    /// The reasons for which the outcomes of these jobs, which are yet to come, are replaced by a hook's failure.
    pub(crate) overridden: Table<u64, String>,
    #[cfg(feature = "board")]
    pub(crate) shown: Shown,
}

impl<R> Hooks<'_, R> {
    pub(crate) fn none() -> Self {
        Hooks {
            left: None,
            start: None,
            done: None,
            progress: None,
            message: None,
            overridden: Table::new(),
            #[cfg(feature = "board")]
            shown: Shown::Over,
        }
    }
}

impl<R> Hooks<'_, R> {
    /// Calls the hooks with what an inline job said; the error says why a message could not be received.
    pub(crate) fn hear_inline(&mut self, job: &JobRef, said: &[(FromWorker, Vec<u8>)]) -> Result<(), String> {
        for (message, body) in said {
            match (message, &mut self.message, &mut self.progress) {
                (FromWorker::Message { .. }, Some(hook), _) => hook(job, body)?,
                (FromWorker::Progress { done, total, .. }, _, Some(hook)) => hook(job, *done, *total),
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'h, R> Hooks<'h, R> {
    pub(crate) fn on_start<H: HookAnswer>(&mut self, mut hook: impl FnMut(&JobRef) -> H + Send + 'h) {
        self.start = Some(Box::new(move |job| hook(job).into_answer()));
    }

    pub(crate) fn on_done<H: HookAnswer>(
        &mut self,
        mut hook: impl FnMut(&JobRef, Result<&R, &Failure>) -> H + Send + 'h,
    ) {
        self.done = Some(Box::new(move |job, result| hook(job, result).into_answer()));
    }
}

/// The hooks as methods of a face beside [`Map`](crate::Map), which keeps its [`Hooks`] at this path: there each is
/// documented and shown.
macro_rules! hooks {
    ($gives:ty, $($path:ident).+) => {
/// Sets the hook for the start of a job, as [`Map::on_start`](crate::Map::on_start) does.
        pub fn on_start<H: HookAnswer>(mut self, hook: impl FnMut(&JobRef) -> H + Send + 'h) -> Self {
            self.$($path).+.on_start(hook);
            self
        }

/// Sets the hook for the outcome of a job, as [`Map::on_done`](crate::Map::on_done) does.
        pub fn on_done<H: HookAnswer>(
            mut self,
            hook: impl FnMut(&JobRef, Result<&$gives, &Failure>) -> H + Send + 'h,
        ) -> Self {
            self.$($path).+.on_done(hook);
            self
        }

/// Sets the hook for a job's progress, as [`Map::on_progress`](crate::Map::on_progress) does.
        pub fn on_progress(mut self, hook: impl FnMut(&JobRef, u64, u64) + Send + 'h) -> Self {
            self.$($path).+.progress = Some(Box::new(hook));
            self
        }

/// Sets the hook for a job's messages, as [`Map::on_message`](crate::Map::on_message) does.
        pub fn on_message<M: serde::Serialize + serde::de::DeserializeOwned + 'static>(
            mut self,
            hook: impl FnMut(&JobRef, M) + Send + 'h,
        ) -> Self {
            self.$($path).+.message = Some($crate::map::hooks::message_hook(hook));
            self
        }
    };
}
pub(crate) use hooks;

/// A hook that is called with a job's messages, as they travelled. An error stops the run.
pub(crate) type MessageHook<'h> = Box<dyn FnMut(&JobRef, &[u8]) -> Result<(), String> + Send + 'h>;

/// Makes such a hook of one that takes decoded messages.
pub(crate) fn message_hook<'h, M: Serialize + DeserializeOwned + 'static>(
    mut hook: impl FnMut(&JobRef, M) + Send + 'h,
) -> MessageHook<'h> {
    Box::new(move |job, bytes| {
        let message = <Described as Codec<M>>::decode(bytes);
        hook(job, message.map_err(|error| format!("a message cannot be decoded: {error}"))?);
        Ok(())
    })
}

/// A value that a hook may return, or the body of a worker that only ends: nothing, or a `Result` whose error is a
/// hook's reason to stop the run, and a worker's failure. A body that never returns will do, too.
///
/// ```
/// # psmith::init();
/// # // proves: start-hook
/// let map = psmith::map(0..100, |n: u32| n).on_start(|job| {
///     if job.index() < 3 { Ok(()) } else { Err("three are enough") }
/// });
/// let failure = map.into_iter().find_map(Result::err).unwrap();
/// assert!(failure.to_string().contains("three are enough"));
/// ```
#[diagnostic::on_unimplemented(
    message = "a hook or a worker cannot return `{Self}`",
    label = "it returns `()`, or `Result<(), E>` with an error that can be displayed",
    note = "end its body with `;`, or with `Ok(())`"
)]
pub trait HookAnswer {
    /// The error's text, if there is one.
    ///
    /// # Errors
    /// The reason for which the hook stops the run, or the worker has failed.
    fn into_answer(self) -> Result<(), String>;
}

impl HookAnswer for () {
    fn into_answer(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display + 'static> HookAnswer for Result<(), E> {
    fn into_answer(self) -> Result<(), String> {
        self.map_err(|error| error_text(&error))
    }
}

/// The type `!` of what never returns, which has no name of its own yet.
type Never = <fn() -> ! as Returns>::Value;

/// The type that a function returns; public only because it stands in an implementation.
pub trait Returns {
    /// The type.
    type Value;
}

impl<R> Returns for fn() -> R {
    type Value = R;
}

impl HookAnswer for Never {
    fn into_answer(self) -> Result<(), String> {
        match self {}
    }
}

/// The failure of a job whose hook has stopped the run.
pub(crate) fn of_hook(job: &JobRef, reason: String) -> Failure {
    let mut failure = Failure::new(Cause::Error(reason), job.index);
    failure.label = job.label().map(str::to_owned);
    failure
}
