//! Jobs that could start now. Knows their order and nothing else of them.

use alloc::collections::BTreeMap;

use crate::JobId;

/// The ready jobs in the order of their turn: first those that come back (retried, lost, preempted, refused),
/// then those that were never started, each in the order they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: BTreeMap<Place, JobId>,
    last: u64,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    rank: Rank,
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Its turn had come, in vain.
    Refused,
    /// It comes back after an attempt.
    Returned,
    /// It was never started.
    New,
}

impl Queue {
    /// A job that was never started joins the end.
    pub(super) fn push_new(&mut self, job: JobId) -> Place {
        self.last += 1;
        self.put(Place { rank: Rank::New, turn: self.last }, job)
    }

    /// A job comes back: behind others that came back, before all that are new.
    pub(super) fn push_returned(&mut self, job: JobId) -> Place {
        self.last += 1;
        self.put(Place { rank: Rank::Returned, turn: self.last }, job)
    }

    /// A job that had its turn in vain is next again; of several, who had it first (`start`) goes first.
    pub(super) fn push_front(&mut self, job: JobId, start: u64) -> Place {
        self.put(Place { rank: Rank::Refused, turn: start }, job)
    }

    pub(super) fn first(&self) -> Option<JobId> {
        self.jobs.values().next().copied()
    }

    pub(super) fn remove(&mut self, place: Place) {
        let was = self.jobs.remove(&place);
        debug_assert!(was.is_some(), "a ready job is in the queue");
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn at(&self, place: Place) -> Option<JobId> {
        self.jobs.get(&place).copied()
    }

    fn put(&mut self, place: Place, job: JobId) -> Place {
        let was = self.jobs.insert(place, job);
        debug_assert!(was.is_none(), "no two jobs share a place");
        place
    }
}
