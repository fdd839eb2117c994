//! What a caller's hook may answer.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::job::JobRef;
use crate::function::codec::Codec;
use crate::function::described::Described;

/// A hook that is called with a job's messages, as they travelled. An error stops the run.
pub(super) type MessageHook<'h> = Box<dyn FnMut(&JobRef, &[u8]) -> Result<(), String> + 'h>;

/// The same from one that takes them decoded.
pub(super) fn message_hook<'h, M: Serialize + DeserializeOwned>(
    mut hook: impl FnMut(&JobRef, M) + 'h,
) -> MessageHook<'h> {
    Box::new(move |job, bytes| {
        let message = <Described as Codec<M>>::decode(bytes);
        hook(job, message.map_err(|error| format!("a message cannot be decoded: {error}"))?);
        Ok(())
    })
}

/// What a hook may return: nothing, or a `Result` whose error stops the run.
///
/// ```
/// # psmith::init();
/// # // proves: U-9
/// let mut map = psmith::map(0..100, |n: u32| n).on_start(|job| {
///     if job.index() < 3 { Ok(()) } else { Err("three are enough") }
/// });
/// let failure = map.find_map(Result::err).unwrap();
/// assert!(failure.to_string().contains("three are enough"));
/// ```
pub trait HookAnswer {
    /// The error's text, if there is one.
    ///
    /// # Errors
    /// What the hook wants to be told to the caller.
    fn into_answer(self) -> Result<(), String>;
}

impl HookAnswer for () {
    fn into_answer(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> HookAnswer for Result<(), E> {
    fn into_answer(self) -> Result<(), String> {
        self.map_err(|error| format!("{error:#}"))
    }
}
