//! The judge: what was really done to each job, and what the pool may make of it. Written from the contract; it has no
//! queue, no timers and no state machine, so it cannot say what must be requested next, but of every action it can say
//! whether it is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use psmith_core::outcome::{Cause, Outcome};
use psmith_core::policy::{Halt, HaltMode, JobPolicy, Timeout};
use psmith_core::worker_pool::{Placement, PoolPolicy, WorkerKey};
use psmith_core::{JobId, SlotId};

/// A job of the user's.
#[derive(Debug)]
pub(super) struct JudgedJob {
    policy: Arc<JobPolicy>,
    placement: Placement,
    /// The number of times that its function was called, and that was reported.
    begun: u32,
    /// The number of these calls that are not to be charged: it was not to blame, or their end was not observed.
    forgiven: u32,
    /// The number of calls that must be charged.
    owed: u32,
    /// True if a result of it was reported, and counts.
    finished: bool,
    cancelled: bool,
    /// The worker that has it.
    worker: Option<WorkerKey>,
    outcome: Option<&'static str>,
    delivered: bool,
}

impl JudgedJob {
    /// Returns whether its time may be up.
    fn is_limited(&self) -> bool {
        self.policy.timeout != Timeout::Never || self.policy.idle.is_some()
    }
}

/// The facts so far.
#[derive(Debug)]
pub(super) struct PoolReference {
    jobs: BTreeMap<u64, JudgedJob>,
    /// The indices of single jobs by the dispatcher's number.
    numbers: BTreeMap<JobId, u64>,
    slots: BTreeMap<SlotId, WorkerKey>,
    /// True if an end of the running jobs was requested.
    ending: bool,
    ordered: bool,
    batches: bool,
    next: u64,
    delivered: u64,
    pub(super) finished: bool,
}

macro_rules! must {
    ($holds:expr, $($message:tt)*) => { if !$holds { return Err(format!($($message)*)); } };
}

impl PoolReference {
    pub(super) fn new(policy: &PoolPolicy) -> PoolReference {
        let halts = matches!(policy.run.halt, Halt::When { mode: HaltMode::Now, .. });
        PoolReference {
            jobs: BTreeMap::new(),
            numbers: BTreeMap::new(),
            slots: BTreeMap::new(),
            ending: halts,
            ordered: policy.ordered,
            batches: policy.batches,
            next: 0,
            delivered: 0,
            finished: false,
        }
    }

    pub(super) fn on_accepted(&mut self, jobs: Range<u64>, policy: &Arc<JobPolicy>, placement: Placement) {
        for index in jobs {
            let job = JudgedJob {
                policy: Arc::clone(policy),
                placement,
                begun: 0,
                forgiven: 0,
                owed: 0,
                finished: false,
                cancelled: false,
                worker: None,
                outcome: None,
                delivered: false,
            };
            self.jobs.insert(index, job);
        }
    }

    pub(super) fn on_single(&mut self, number: JobId, index: u64) {
        self.numbers.insert(number, index);
    }

    pub(super) fn index_of(&self, number: JobId) -> Option<u64> {
        self.numbers.get(&number).copied()
    }

    pub(super) fn on_cancel(&mut self, number: JobId) {
        if let Some(job) = self.index_of(number).and_then(|index| self.jobs.get_mut(&index)) {
            (job.cancelled, job.owed) = (true, 0);
        }
    }

    /// Records that running jobs are ended from now on: also those whose report was not handled yet.
    pub(super) fn on_ending(&mut self) {
        self.ending = true;
        self.jobs.values_mut().filter(|job| job.outcome.is_none()).for_each(|job| job.owed = 0);
    }

    /// Checks that the pool may give these jobs to a worker.
    pub(super) fn on_give(
        &mut self,
        worker: WorkerKey,
        slot: SlotId,
        jobs: &Range<u64>,
    ) -> Result<(), String> {
        must!(!jobs.is_empty(), "nothing is given");
        must!(!self.slots.contains_key(&slot), "slot {slot:?} is given twice");
        self.slots.insert(slot, worker);
        for index in jobs.clone() {
            let job = self.jobs.get_mut(&index).ok_or("a job that nobody handed in")?;
            must!(job.outcome.is_none(), "job {index} has its outcome, and is given to {worker:?}");
            must!(!job.finished, "job {index} has finished, and is given to {worker:?}");
            must!(job.worker.is_none(), "job {index} is with {:?}, and is given to {worker:?}", job.worker);
            job.worker = Some(worker);
        }
        Ok(())
    }

    /// Records that the worker's function is called.
    pub(super) fn on_begin(&mut self, index: u64) -> Result<(), String> {
        let job = self.jobs.get_mut(&index).ok_or("a job that nobody handed in")?;
        must!(!job.finished, "job {index} has finished, and is run again");
        job.begun += 1;
        Ok(())
    }

    /// Records the result of the job, which was reported.
    pub(super) fn on_finish(&mut self, index: u64, is_ok: bool) {
        let calm = self.is_undisturbed(index);
        if let Some(job) = self.jobs.get_mut(&index) {
            job.finished = is_ok;
            job.owed += u32::from(calm);
        }
    }

    /// Records that a report may not count, because the pool ended the worker meanwhile.
    pub(super) fn on_cut(&mut self, jobs: Range<u64>) {
        for index in jobs {
            if let Some(job) = self.jobs.get_mut(&index) {
                job.finished = false;
                job.owed = 0;
            }
        }
    }

    /// Records that these jobs are with no worker any more.
    pub(super) fn on_left(&mut self, slot: Option<SlotId>, jobs: Range<u64>) {
        if let Some(slot) = slot {
            self.slots.remove(&slot);
        }
        for index in jobs {
            if let Some(job) = self.jobs.get_mut(&index) {
                job.worker = None;
            }
        }
    }

    /// Records that the worker died within this job: observably by its own doing, or not.
    pub(super) fn on_death_within(&mut self, index: u64, by_itself: bool) {
        let calm = self.is_undisturbed(index);
        if let Some(job) = self.jobs.get_mut(&index) {
            job.owed += u32::from(by_itself && calm);
            job.forgiven += u32::from(!by_itself);
        }
    }

    /// Returns whether no request can have ended this job.
    fn is_undisturbed(&self, index: u64) -> bool {
        !self.ending && self.jobs.get(&index).is_some_and(|job| !job.cancelled && !job.is_limited())
    }

    pub(super) fn on_results(&mut self, jobs: &Range<u64>) -> Result<(), String> {
        for index in jobs.clone() {
            let job = self.jobs.get_mut(&index).ok_or("a job that nobody handed in")?;
            must!(job.outcome.is_none(), "job {index} has two outcomes");
            must!(job.finished, "job {index} has a result, and did not finish");
            job.outcome = Some("result");
            job.worker = None;
        }
        self.on_delivered(jobs)
    }

    pub(super) fn on_end(&mut self, jobs: &Range<u64>, outcome: &Outcome) -> Result<(), String> {
        let several = jobs.end - jobs.start > 1;
        for index in jobs.clone() {
            let calm = self.is_undisturbed(index);
            let job = self.jobs.get_mut(&index).ok_or("a job that nobody handed in")?;
            must!(job.outcome.is_none(), "job {index} has two outcomes");
            must!(
                !several || job.begun == 0,
                "job {index} was begun, and ends as one of several that were not"
            );
            let word = outcome.verdict.as_ref().map_or_else(|cause| cause.kind().word(), |()| "ok");
            job.outcome = Some(word);
            must!(
                !(job.finished && calm) || outcome.verdict.is_ok(),
                "job {index} finished well, and ends as {word}"
            );
            must!(
                outcome.verdict.is_err() || job.finished || !calm,
                "job {index} is well, and did not finish"
            );
            if job.placement != Placement::Shared {
                continue;
            }
            let is_limited = job.is_limited();
            let is_limit = |cause: &Cause| matches!(cause, Cause::Timeout(_) | Cause::Idle(_));
            let earlier =
                outcome.earlier.iter().filter(|one| one.charged && one.cause.as_ref().is_some_and(is_limit));
            // The cause of the last failure is not reported for a job that is cancelled while it waits for another
            // try.
            let may_be_limit = |cause: &Cause| is_limit(cause) || (is_limited && *cause == Cause::Cancelled);
            let limits =
                earlier.count() as u32 + u32::from(outcome.verdict.as_ref().is_err_and(may_be_limit));
            let charged = outcome.tries.saturating_sub(limits);
            let most = job.begun.saturating_sub(job.forgiven);
            must!(charged <= most, "job {index} is charged for {charged} tries, of which {most} were begun");
            must!(
                outcome.tries >= job.owed,
                "job {index} is charged for {} tries, and owes {}",
                outcome.tries,
                job.owed
            );
        }
        Ok(())
    }

    pub(super) fn on_deliver(&mut self, jobs: &Range<u64>) -> Result<(), String> {
        for index in jobs.clone() {
            let job = self.jobs.get(&index).ok_or("a job that nobody handed in")?;
            must!(job.outcome.is_some(), "job {index} is delivered without an outcome");
        }
        self.on_delivered(jobs)
    }

    fn on_delivered(&mut self, jobs: &Range<u64>) -> Result<(), String> {
        for index in jobs.clone() {
            let job = self.jobs.get_mut(&index).ok_or("a job that nobody handed in")?;
            must!(!job.delivered, "job {index} is delivered twice");
            job.delivered = true;
            self.delivered += 1;
        }
        match (self.batches, self.ordered) {
            // In the order of the dispatcher's numbers, which are those of submission.
            (false, true) => self.in_order(jobs),
            (true, _) | (false, false) => Ok(()),
        }
    }

    fn in_order(&mut self, jobs: &Range<u64>) -> Result<(), String> {
        must!(
            jobs.start == self.next,
            "job {} is handed out where it is job {}'s turn",
            jobs.start,
            self.next
        );
        self.next = jobs.end;
        Ok(())
    }

    pub(super) fn on_hand_out(&mut self, jobs: &Range<u64>) -> Result<(), String> {
        for index in jobs.clone() {
            must!(
                self.jobs.get(&index).is_some_and(|job| job.delivered),
                "job {index} is handed out too early"
            );
        }
        self.in_order(jobs)
    }

    /// Checks that nothing is left, and nothing is missing.
    pub(super) fn settle_accounts(&self) -> Result<(), String> {
        let open: BTreeSet<u64> =
            self.jobs.iter().filter(|(_, job)| !job.delivered).map(|(index, _)| *index).collect();
        must!(open.is_empty(), "jobs without an outcome at the end: {open:?}");
        let handed = !(self.ordered && self.batches) || self.next == self.delivered;
        must!(handed, "{} jobs were handed out of {}", self.next, self.delivered);
        Ok(())
    }
}
