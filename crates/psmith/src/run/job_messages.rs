//! Messages of a worker about its job that mean the same whether the worker has one job or one after the other:
//! progress, messages both ways, names, nested runs. Never handles how a job begins or ends: each driver does.

use std::sync::Arc;

use psmith_core::JobId;
use psmith_core::outcome::Cause;

use crate::job::job::JobRef;
use crate::job::mailbox::{JobMailbox, Listeners};
use crate::observe::observer::ObserverEvent;
use crate::run::run_event::{RunEvent, Wants};
use crate::run::shared::RunShared;
use crate::run::worker_budget::Budget;
use psmith_engine::channel::messages::{FromWorker, Receiver};
use psmith_engine::handler::{HandlerReply, WorkerMessage};

/// The jobs that a worker has, as its driver knows them.
pub(crate) trait JobSource {
    /// Returns the job of this number, if the worker may name it now.
    fn job(&self, number: u64) -> Option<JobRef>;

    /// Returns the job of this number, if the worker may ask for messages to it: its number in its driver, and its
    /// mailbox.
    fn listener(&self, number: u64) -> Option<(JobId, Option<&Arc<JobMailbox>>)>;

    /// Sets the name of the worker.
    fn set_name(&mut self, name: String);
}

/// The receivers of such messages.
pub(crate) struct JobMessages<'d> {
    pub(crate) shared: &'d RunShared,
    pub(crate) wants: Wants,
    pub(crate) listeners: &'d mut Listeners,
    pub(crate) budget: &'d mut Budget,
}

impl JobMessages<'_> {
    /// Handles a message of the worker that is the job `worker` of the engine; gives back a message for its driver.
    pub(crate) fn receive(
        &mut self,
        worker: JobId,
        source: &mut dyn JobSource,
        message: WorkerMessage,
        reply: &mut HandlerReply,
    ) -> Option<WorkerMessage> {
        let WorkerMessage { message, bytes, body } = message;
        match message {
            message @ (FromWorker::Began { .. } | FromWorker::Done { .. } | FromWorker::BatchDone { .. }) => {
                return Some(WorkerMessage { message, bytes, body });
            }
            // A thread that an earlier job left behind may still report on that job: this is dropped.
            FromWorker::Progress { job, done, total } => {
                if let Some(job) = source.job(job) {
                    self.shared.show(|| ObserverEvent::Progressed(job.index, done, total));
                    if self.wants.progress {
                        self.shared.send_event(RunEvent::Progress(job, done, total));
                    }
                }
            }
            FromWorker::Message { job } => {
                if self.wants.messages {
                    if let Some(job) = source.job(job) {
                        self.shared.send_event(RunEvent::Message(job, bytes, body));
                    }
                } else if let Some((_, Some(mailbox))) = source.listener(job)
                    && !mailbox.inbox.receive(bytes, body)
                {
                    reply.breach = Some("it sent a message for which it had no room".into());
                }
            }
            FromWorker::Named { name } => source.set_name(name),
            // The overflow is the worker's, and so that of the job that it has.
            FromWorker::Overflowed => reply.report = Some(Err(Cause::StackOverflow)),
            FromWorker::Panicked { message, location, backtrace } => {
                reply.report = Some(Err(Cause::Panic { message, location, backtrace }));
            }
            FromWorker::Listens { job } => {
                if let Some((job, mailbox)) = source.listener(job) {
                    reply.messages = self.listeners.add(job, worker, mailbox);
                }
            }
            FromWorker::Took { job } => {
                if source.listener(job).is_some_and(|(job, _)| !self.listeners.took(job)) {
                    reply.breach = Some("it took a message that it was not sent".into());
                }
            }
            FromWorker::AsksRoom { job, bytes } => {
                if let Some((job, mailbox)) = source.listener(job) {
                    reply.messages.extend(self.listeners.ask_room(job, worker, mailbox, bytes));
                }
            }
            FromWorker::Heartbeat { .. } => {}
            FromWorker::Nests => self.budget.share(),
            FromWorker::Hello { .. } | FromWorker::SetUpFailed { .. } => {
                reply.breach = Some("it introduced itself twice".into());
            }
        }
        None
    }
}

/// Returns who receives the messages that a job sends.
pub(crate) fn receiver_of(wants: Wants, mailbox: Option<&Arc<JobMailbox>>) -> Receiver {
    match mailbox {
        _ if wants.messages => Receiver::Host,
        Some(_) => Receiver::Handle,
        None => Receiver::Nobody,
    }
}
