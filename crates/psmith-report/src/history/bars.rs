//! Bars of busy slots: one for each attempt, and if there are too many, one for several neighbours.

use std::time::Duration;

use crate::history::{AttemptEnd, EndedAttempt};

/// The greatest number of bars in a report.
pub const BARS_MAX: usize = 6000;
/// The number of slots that have a lane of their own; those above it have none.
pub const LANES_MAX: usize = 64;

/// A bar: one or several attempts, one after the other in the same slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// The slot, from 1.
    pub slot: u32,
    pub began: Duration,
    pub ended: Duration,
    /// The number of attempts.
    pub attempts: u32,
    /// The number of attempts that failed, retried or not.
    pub failed: u32,
    /// The job of the first attempt.
    pub job: u64,
    /// The worst end among the attempts.
    pub worst: AttemptEnd,
}

impl Bar {
    pub(super) fn of(attempt: &EndedAttempt) -> Bar {
        let failed = matches!(attempt.end, AttemptEnd::Failed | AttemptEnd::Retried);
        Bar {
            slot: attempt.slot,
            began: attempt.began,
            ended: attempt.began + attempt.wall,
            attempts: 1,
            failed: u32::from(failed),
            job: attempt.job,
            worst: attempt.end,
        }
    }

    fn join(&mut self, next: &Bar) {
        self.ended = self.ended.max(next.ended);
        self.attempts = self.attempts.saturating_add(next.attempts);
        self.failed = self.failed.saturating_add(next.failed);
        self.worst = self.worst.max(next.worst);
    }
}

/// The bars of all slots. Neighbours that together span no more than the resolution are one bar; the resolution doubles
/// whenever there are too many, so the bars of `LANES_MAX` lanes always fit in the end.
#[derive(Debug)]
pub struct Bars {
    lanes: Vec<Vec<Bar>>,
    count: usize,
    max: usize,
    resolution: Duration,
    /// The number of attempts in slots without a lane.
    not_drawn: u64,
}

impl Bars {
    pub(super) fn new(max: usize) -> Bars {
        Bars {
            lanes: Vec::new(),
            count: 0,
            max: max.max(LANES_MAX),
            resolution: Duration::ZERO,
            not_drawn: 0,
        }
    }

    /// Adds a bar; it must not begin before the last one of its slot.
    pub(super) fn push(&mut self, bar: Bar) {
        let lane = bar.slot.saturating_sub(1) as usize;
        if lane >= LANES_MAX {
            self.not_drawn += 1;
            return;
        }
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, Vec::new);
        }
        self.count += usize::from(!append(&mut self.lanes[lane], bar, self.resolution));
        while self.count > self.max {
            self.resolution = (self.resolution * 2).max(Duration::from_micros(500));
            self.join_neighbours();
        }
    }

    /// Returns the lanes, from slot 1 on, each in the order of time.
    pub fn lanes(&self) -> &[Vec<Bar>] {
        &self.lanes
    }

    /// Returns the span up to which neighbours are drawn as one bar; zero while each attempt has its own.
    pub fn resolution(&self) -> Duration {
        self.resolution
    }

    /// Returns the number of attempts in slots that have no lane.
    pub fn not_drawn(&self) -> u64 {
        self.not_drawn
    }

    fn join_neighbours(&mut self) {
        self.count = 0;
        for lane in &mut self.lanes {
            let mut joined = Vec::with_capacity(lane.len());
            for bar in lane.drain(..) {
                append(&mut joined, bar, self.resolution);
            }
            self.count += joined.len();
            *lane = joined;
        }
    }
}

/// Adds a bar to a lane; returns true if it was merged into its neighbour.
fn append(lane: &mut Vec<Bar>, bar: Bar, resolution: Duration) -> bool {
    if let Some(last) = lane.last_mut()
        && bar.ended.saturating_sub(last.began) <= resolution
        && !resolution.is_zero()
    {
        last.join(&bar);
        return true;
    }
    lane.push(bar);
    false
}
