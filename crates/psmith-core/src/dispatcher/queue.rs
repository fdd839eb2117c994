//! The queue of jobs that could start now. Holds their order and nothing else of them.

use alloc::collections::{BTreeMap, VecDeque};

use crate::JobId;

/// The ready jobs in the order of their turn: first those that return (retried, lost, preempted, refused), then those
/// that were never started, each in the order they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The jobs that had their turn before: few.
    again: BTreeMap<QueuePosition, JobId>,
    /// The jobs that were never started, by turn: many, and nearly always taken from the front.
    new: VecDeque<(u64, JobId)>,
    last: u64,
}

/// The position of a job in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueuePosition {
    rank: Rank,
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The job's turn had come, and its start was refused.
    Refused,
    /// The job returned after an attempt.
    Returned,
    /// The job was never started.
    New,
}

impl Queue {
    /// Appends a job that was never started.
    pub(super) fn push_new(&mut self, job: JobId) -> QueuePosition {
        self.last += 1;
        self.new.push_back((self.last, job));
        QueuePosition { rank: Rank::New, turn: self.last }
    }

    /// Queues a job that returns: behind others that returned, before all that are new.
    pub(super) fn push_returned(&mut self, job: JobId) -> QueuePosition {
        self.last += 1;
        self.put(QueuePosition { rank: Rank::Returned, turn: self.last }, job)
    }

    /// Puts a job whose start was refused at the front; of several, the one with the lower `start` goes first.
    pub(super) fn push_front(&mut self, job: JobId, start: u64) -> QueuePosition {
        self.put(QueuePosition { rank: Rank::Refused, turn: start }, job)
    }

    pub(super) fn first(&self) -> Option<JobId> {
        self.again.values().next().copied().or_else(|| self.new.front().map(|&(_, job)| job))
    }

    pub(super) fn remove(&mut self, place: QueuePosition) {
        let was = match place.rank {
            Rank::New => match self.new.front() {
                Some(&(turn, _)) if turn == place.turn => self.new.pop_front().is_some(),
                _ => self.find_new(place.turn).is_some_and(|at| self.new.remove(at).is_some()),
            },
            Rank::Refused | Rank::Returned => self.again.remove(&place).is_some(),
        };
        debug_assert!(was, "a ready job is in the queue");
    }

    pub(super) fn len(&self) -> usize {
        self.again.len() + self.new.len()
    }

    pub(super) fn at(&self, place: QueuePosition) -> Option<JobId> {
        match place.rank {
            Rank::New => self.new.get(self.find_new(place.turn)?).map(|&(_, job)| job),
            Rank::Refused | Rank::Returned => self.again.get(&place).copied(),
        }
    }

    fn find_new(&self, turn: u64) -> Option<usize> {
        self.new.binary_search_by_key(&turn, |&(turn, _)| turn).ok()
    }

    fn put(&mut self, place: QueuePosition, job: JobId) -> QueuePosition {
        let was = self.again.insert(place, job);
        debug_assert!(was.is_none(), "no two jobs share a place");
        place
    }
}
