//! The program's functions that receive what running jobs say, on a thread of psmith's. Calls them, and decides nothing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;

use crate::job::job::JobRef;
use psmith_engine::function::described::Described;

type OnMessage = dyn FnMut(&JobRef, &[u8]) -> Result<(), String> + Send;
type OnProgress = dyn FnMut(&JobRef, u64, u64) + Send;

/// The functions that a face was given, if it was.
#[derive(Clone, Default)]
pub(crate) struct Listening {
    message: Option<Arc<Mutex<OnMessage>>>,
    progress: Option<Arc<Mutex<OnProgress>>>,
}

impl Listening {
    pub(crate) fn on_message<M: DeserializeOwned>(
        &mut self,
        mut hook: impl FnMut(&JobRef, M) + Send + 'static,
    ) {
        self.message = Some(Arc::new(Mutex::new(move |job: &JobRef, bytes: &[u8]| {
            let message = Described::read(bytes);
            hook(job, message.map_err(|error| format!("a message cannot be decoded: {error}"))?);
            Ok(())
        })));
    }

    pub(crate) fn on_progress(&mut self, hook: impl FnMut(&JobRef, u64, u64) + Send + 'static) {
        self.progress = Some(Arc::new(Mutex::new(hook)));
    }

    pub(crate) fn hears_messages(&self) -> bool {
        self.message.is_some()
    }

    pub(crate) fn hears_progress(&self) -> bool {
        self.progress.is_some()
    }

    /// Passes a message on; the error says why it could not be.
    pub(crate) fn message(&self, job: &JobRef, bytes: &[u8]) -> Result<(), String> {
        let Some(hook) = &self.message else { return Ok(()) };
        (hook.lock().unwrap_or_else(PoisonError::into_inner))(job, bytes)
    }

    pub(crate) fn progress(&self, job: &JobRef, done: u64, total: u64) {
        if let Some(hook) = &self.progress {
            (hook.lock().unwrap_or_else(PoisonError::into_inner))(job, done, total);
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, progress) = (self.hears_messages(), self.hears_progress());
        f.debug_struct("Listening").field("message", &message).field("progress", &progress).finish()
    }
}

/// `on_message` and `on_progress` as methods of a face that receives them on a thread of psmith's and keeps its
/// [`Options`](crate::Options) at this path.
macro_rules! listening {
    ($($path:ident).+) => {
        /// Sets a function that receives the messages of all jobs ([`Cx::send`](crate::Cx::send)), in the order in which
        /// each job sends them and before its outcome, on a thread of psmith's that no outcome passes meanwhile. Handles
        /// receive none then ([`JobHandle::recv`](crate::JobHandle::recv)). A message of another type is the failure of
        /// its job.
        pub fn on_message<M: serde::de::DeserializeOwned>(
            mut self,
            hook: impl FnMut(&$crate::job::job::JobRef, M) + Send + 'static,
        ) -> Self {
            self.$($path).+.listening.on_message(hook);
            self
        }

        /// Sets a function that receives the progress of all jobs ([`Cx::progress`](crate::Cx::progress)): how much is
        /// done, of how much (0: unknown). It is called as [`on_message`](Self::on_message) is.
        pub fn on_progress(mut self, hook: impl FnMut(&$crate::job::job::JobRef, u64, u64) + Send + 'static) -> Self {
            self.$($path).+.listening.on_progress(hook);
            self
        }
    };
}
pub(crate) use listening;
