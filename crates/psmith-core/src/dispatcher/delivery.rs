//! The delivery of outcomes to the consumer: the order in which they are handed over, and the limit of those that
//! wait.

use crate::policy::Order;
use crate::{JobId, Table};

/// The window between the end of a job and the delivery of its outcome.
#[derive(Debug)]
pub(super) struct DeliveryWindow {
    order: Order,
    window: u64,
    /// Jobs handed to the consumer and not yet taken.
    handed: Table<JobId, ()>,
    /// Jobs that are ended and wait for a job before them (submission order only).
    waiting: Table<JobId, ()>,
    /// The lowest job that was not handed over (submission order only).
    next: JobId,
    /// The last job that was announced as head.
    announced: JobId,
}

impl DeliveryWindow {
    pub(super) fn new(order: Order, window: u32) -> DeliveryWindow {
        DeliveryWindow {
            order,
            window: u64::from(window.max(1)),
            handed: Table::new(),
            waiting: Table::new(),
            next: JobId(1),
            announced: JobId(0),
        }
    }

    /// Records that `job` has its outcome; calls `hand_over` for each job whose turn that makes it, in order.
    pub(super) fn on_ended(&mut self, job: JobId, mut hand_over: impl FnMut(JobId)) {
        match self.order {
            Order::Completion => {
                self.handed.insert(job, ());
                hand_over(job);
            }
            Order::Submission => {
                debug_assert!(job >= self.next, "a job ends once");
                self.waiting.insert(job, ());
                while self.waiting.remove(self.next).is_some() {
                    self.handed.insert(self.next, ());
                    hand_over(self.next);
                    self.next.0 += 1;
                }
            }
        }
    }

    /// Records that the consumer took the outcome of `job`. Ignored for a job that was not handed over.
    pub(super) fn on_delivered(&mut self, job: JobId) {
        self.handed.remove(job);
    }

    /// Returns whether the window is full, so that starts are held.
    pub(super) fn is_full(&self) -> bool {
        self.undelivered() >= self.window
    }

    pub(super) fn undelivered(&self) -> u64 {
        (self.handed.len() + self.waiting.len()) as u64
    }

    /// Returns the job for which all others wait: the lowest undelivered one, in submission order, if it has not
    /// ended.
    ///
    /// It may start while the window is full, or the window would never empty. It may not while the consumer still has
    /// outcomes to take: then room comes from the consumer, and one head after the other would overrun the window.
    pub(super) fn head(&self) -> Option<JobId> {
        match self.order {
            Order::Completion => None,
            Order::Submission => self.handed.is_empty().then_some(self.next),
        }
    }

    /// Returns the head, once for each job that becomes it, if it is among the `accepted` first jobs.
    pub(super) fn next_announcement(&mut self, accepted: u64) -> Option<JobId> {
        let head = self.head().filter(|head| *head > self.announced && head.0 <= accepted)?;
        self.announced = head;
        Some(head)
    }
}
