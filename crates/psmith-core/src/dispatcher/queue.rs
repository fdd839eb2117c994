//! The queue of jobs that could start now. Holds their order and nothing else of them.

use alloc::collections::VecDeque;

use crate::{JobId, Table};

/// The ready jobs in the order of their turn: first those that return (retried, lost, preempted, refused), then those
/// that were never started, each in the order they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The jobs whose turn had come and whose start was refused, by the number of that start.
    refused: Table<u64, JobId>,
    /// The jobs that returned after an attempt, by turn.
    returned: Table<u64, JobId>,
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
        put(&mut self.returned, QueuePosition { rank: Rank::Returned, turn: self.last }, job)
    }

    /// Puts a job whose start was refused at the front; of several, the one with the lower `start` goes first.
    pub(super) fn push_front(&mut self, job: JobId, start: u64) -> QueuePosition {
        put(&mut self.refused, QueuePosition { rank: Rank::Refused, turn: start }, job)
    }

    pub(super) fn first(&self) -> Option<JobId> {
        let again = self.refused.values().next().or_else(|| self.returned.values().next());
        again.copied().or_else(|| self.new.front().map(|&(_, job)| job))
    }

    pub(super) fn remove(&mut self, place: QueuePosition) {
        let was = match place.rank {
            Rank::New => match self.new.front() {
                Some(&(turn, _)) if turn == place.turn => self.new.pop_front().is_some(),
                _ => self.find_new(place.turn).is_some_and(|at| self.new.remove(at).is_some()),
            },
            Rank::Refused => self.refused.remove(place.turn).is_some(),
            Rank::Returned => self.returned.remove(place.turn).is_some(),
        };
        debug_assert!(was, "a ready job is in the queue");
    }

    pub(super) fn len(&self) -> usize {
        self.refused.len() + self.returned.len() + self.new.len()
    }

    #[cfg(any(test, feature = "check"))]
    pub(super) fn at(&self, place: QueuePosition) -> Option<JobId> {
        match place.rank {
            Rank::New => self.new.get(self.find_new(place.turn)?).map(|&(_, job)| job),
            Rank::Refused => self.refused.get(place.turn).copied(),
            Rank::Returned => self.returned.get(place.turn).copied(),
        }
    }

    fn find_new(&self, turn: u64) -> Option<usize> {
        self.new.binary_search_by_key(&turn, |&(turn, _)| turn).ok()
    }
}

fn put(table: &mut Table<u64, JobId>, place: QueuePosition, job: JobId) -> QueuePosition {
    let was = table.insert(place.turn, job);
    debug_assert!(was.is_none(), "no two jobs share a place");
    place
}
