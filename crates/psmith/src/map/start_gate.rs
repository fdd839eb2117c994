//! The gate before the start of a job where a start hook is set: a job is handed in only once a slot is free for it and
//! its hook has let it pass. Starts nothing itself, and calls no hook.

use crate::job::failure::Failure;
use crate::job::job::JobRef;
use crate::map::hooks::of_hook;
use crate::run::run::Run;
use psmith_engine::handler::EngineCommand;

/// The free slots of a run, as its caller knows them.
#[derive(Debug)]
pub(super) struct StartGate {
    slots: u64,
    /// Jobs that were let pass and have not ended.
    busy: u64,
    /// The job that its hook refused, with the reason.
    refused: Option<(JobRef, String)>,
}

impl StartGate {
    pub(super) fn new(workers: u32) -> StartGate {
        StartGate { slots: u64::from(workers), busy: 0, refused: None }
    }

    /// Returns whether the hook of another job may be called.
    pub(super) fn has_room(&self) -> bool {
        self.busy < self.slots
    }

    /// Takes the hook's answer about a job; returns whether it may begin. After a refusal nothing more does.
    pub(super) fn may_begin(&mut self, job: JobRef, answer: Result<(), String>) -> bool {
        match answer {
            Ok(()) => self.busy += 1,
            Err(text) => self.refused = Some((job, format!("start hook: {text}"))),
        }
        self.refused.is_none()
    }

    /// Notes that a job has ended.
    pub(super) fn on_end(&mut self) {
        self.busy = self.busy.saturating_sub(1);
    }

    /// Takes the failure that stands in the place of the job that was refused.
    pub(super) fn take_refused(&mut self) -> Option<(JobRef, Failure)> {
        let (job, text) = self.refused.take()?;
        let failure = of_hook(&job, text);
        Some((job, failure))
    }
}

/// Calls a hook. If it panics the run is ended, so that nothing more is begun, whatever becomes of its iterator.
pub(super) fn call_hook<T>(run: Option<&Run>, hook: impl FnOnce() -> T) -> T {
    let _guard = EndOnPanic(run);
    hook()
}

struct EndOnPanic<'r>(Option<&'r Run>);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.0
            && std::thread::panicking()
        {
            run.end(EngineCommand::Stop);
        }
    }
}
