//! Puts the messages and the progress of a job behind the report of its start. The former come from the worker, the
//! latter from the warden, and either may be first.
//!
//! Holds no event longer than until the job's start or end is known.

use psmith_core::Table;

use crate::run::run_event::RunEvent;

/// Events of a job that wait for the report of its start. With more the job is taken for started: it has said so much.
const EARLY_EVENTS_MAX: usize = 64;

/// The jobs whose start was reported, and the events so far of the others.
#[derive(Debug, Default)]
pub(crate) struct StartOrder {
    begun: Table<u64, ()>,
    early: Table<u64, Vec<RunEvent>>,
}

impl StartOrder {
    /// Takes an event, and returns those whose turn it is.
    pub(crate) fn admit(&mut self, event: RunEvent) -> Vec<RunEvent> {
        match &event {
            RunEvent::Started(job) => {
                if self.begun.insert(job.index, ()).is_some() {
                    return Vec::new();
                }
                let mut early = self.early.remove(job.index).unwrap_or_default();
                // They name its process, which was not known when they came.
                for event in &mut early {
                    if let RunEvent::Progress(of, ..) | RunEvent::Message(of, ..) = event {
                        of.clone_from(job);
                    }
                }
                std::iter::once(event).chain(early).collect()
            }
            RunEvent::Progress(job, ..) | RunEvent::Message(job, ..) => {
                if self.begun.contains(job.index) {
                    return vec![event];
                }
                let job = job.clone();
                let mut early = self.early.remove(job.index).unwrap_or_default();
                early.push(event);
                let is_full = early.len() >= EARLY_EVENTS_MAX;
                self.early.insert(job.index, early);
                if !is_full {
                    return Vec::new();
                }
                self.admit(RunEvent::Started(job))
            }
            RunEvent::Done(finished) => {
                let job = &finished.job;
                self.begun.remove(job.index);
                let Some(early) = self.early.remove(job.index) else { return vec![event] };
                // It did begin, or it could not have sent anything.
                let started = RunEvent::Started(job.clone());
                std::iter::once(started).chain(early).chain([event]).collect()
            }
            RunEvent::SlotFreed | RunEvent::Results(_) => vec![event],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::job::JobRef;

    fn job(index: u64) -> JobRef {
        JobRef { index, label: None, slot: 0, pid: 7, name: None, input: None }
    }

    /// Admits an event; returns the events that come out, each as a short text.
    fn admitted(order: &mut StartOrder, event: RunEvent) -> Vec<String> {
        let word = |event: RunEvent| match event {
            RunEvent::Started(job) => format!("{} began", job.index),
            RunEvent::Progress(job, done, _) => format!("{} at {done}", job.index),
            RunEvent::Message(job, ..) => format!("{} says", job.index),
            RunEvent::SlotFreed | RunEvent::Done(_) | RunEvent::Results(_) => "done".to_owned(),
        };
        order.admit(event).into_iter().map(word).collect()
    }

    #[test]
    fn a_job_whose_start_nobody_reports_is_not_held_for_ever() {
        let mut order = StartOrder::default();
        let said: Vec<String> =
            (0..100).flat_map(|n| admitted(&mut order, RunEvent::Progress(job(0), n, 100))).collect();
        assert_eq!((said.len(), said[0].as_str(), said[1].as_str()), (101, "0 began", "0 at 0"));
        // A report that comes later says nothing new.
        assert!(admitted(&mut order, RunEvent::Started(job(0))).is_empty());
    }

    #[test]
    fn a_start_comes_before_what_its_job_says_whichever_arrives_first() {
        let mut order = StartOrder::default();
        assert!(admitted(&mut order, RunEvent::Progress(job(0), 1, 9)).is_empty());
        assert!(admitted(&mut order, RunEvent::Message(job(0), Vec::new(), 0)).is_empty());
        // Other jobs do not wait for it.
        assert_eq!(admitted(&mut order, RunEvent::Started(job(1))), ["1 began"]);
        assert_eq!(admitted(&mut order, RunEvent::Progress(job(1), 2, 9)), ["1 at 2"]);
        assert_eq!(admitted(&mut order, RunEvent::Started(job(0))), ["0 began", "0 at 1", "0 says"]);
        assert_eq!(admitted(&mut order, RunEvent::Progress(job(0), 3, 9)), ["0 at 3"]);
        assert!(order.early.is_empty());
    }
}
