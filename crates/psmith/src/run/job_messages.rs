//! What a worker's messages about its job mean, where that is the same whether the worker has one job or one after the
//! other: progress, messages both ways, names, nested runs. How a job begins and ends is each driver's own affair.

use std::sync::Arc;

use psmith_core::JobId;
use psmith_core::outcome::Cause;

use crate::job::job::JobRef;
use crate::job::mailbox::{JobMailbox, Listeners};
use crate::observe::observer::ObserverEvent;
use crate::run::run_event::{RunEvent, Wants};
use crate::run::shared::RunShared;
use crate::run::worker_budget::Budget;
use psmith_engine::channel::messages::FromWorker;
use psmith_engine::handler::{HandlerReply, WorkerMessage};

/// The job that a worker has, as its driver knows it.
pub(crate) trait Speaker {
    /// The job of this number, if it is one that the worker may speak of now.
    fn job(&self, number: u64) -> Option<JobRef>;

    /// The job of this number, if the worker may ask for messages to it: what its driver calls it, and its mailbox.
    fn listener(&self, number: u64) -> Option<(JobId, Option<&Arc<JobMailbox>>)>;

    /// The worker calls itself this from now on.
    fn is_named(&mut self, name: String);
}

/// Where such messages go.
pub(crate) struct JobMessages<'d> {
    pub(crate) shared: &'d RunShared,
    pub(crate) wants: Wants,
    pub(crate) listeners: &'d mut Listeners,
    pub(crate) budget: &'d mut Budget,
}

impl JobMessages<'_> {
    /// Deals with a message of the worker that the engine calls `worker`; gives back what is for its driver.
    pub(crate) fn receive(
        &mut self,
        worker: JobId,
        speaker: &mut dyn Speaker,
        letter: WorkerMessage,
        mail: &mut HandlerReply,
    ) -> Option<WorkerMessage> {
        let WorkerMessage { message: letter, bytes, body } = letter;
        match letter {
            letter @ (FromWorker::Began { .. } | FromWorker::Done { .. } | FromWorker::BatchDone { .. }) => {
                return Some(WorkerMessage { message: letter, bytes, body });
            }
            // A thread that an earlier job left behind may still speak of that one: nobody listens.
            FromWorker::Progress { job, done, total } => {
                if let Some(job) = speaker.job(job) {
                    self.shared.show(|| ObserverEvent::Progressed(job.index, done, total));
                    if self.wants.progress {
                        self.shared.send_event(RunEvent::Progress(job, done, total));
                    }
                }
            }
            FromWorker::Message { job } => {
                if self.wants.messages
                    && let Some(job) = speaker.job(job)
                {
                    self.shared.send_event(RunEvent::Message(job, bytes, body));
                }
            }
            FromWorker::Named { name } => speaker.is_named(name),
            // Of the worker, and so of the job that it has.
            FromWorker::Overflowed => mail.report = Some(Err(Cause::StackOverflow)),
            FromWorker::Listens { job } => {
                if let Some((job, mailbox)) = speaker.listener(job) {
                    mail.messages = self.listeners.add(job, worker, mailbox);
                }
            }
            FromWorker::Took { job } => {
                if speaker.listener(job).is_some_and(|(job, _)| !self.listeners.took(job)) {
                    mail.breach = Some("it took a message that it was not sent".into());
                }
            }
            FromWorker::Heartbeat { .. } => {}
            FromWorker::Nests => self.budget.share(),
            FromWorker::Hello { .. } | FromWorker::SetUpFailed { .. } => {
                mail.breach = Some("it introduced itself twice".into());
            }
        }
        None
    }
}
