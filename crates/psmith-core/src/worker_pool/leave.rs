//! The dismissal of workers that are not needed any more, and the end of those that do not leave when asked to. Has
//! nothing to do with workers that fail.

use super::{PoolAction, WorkerPool, WorkerStage};
use crate::Time;

impl WorkerPool {
    /// Dismisses idle workers beyond the maximum.
    fn dismiss_surplus(&mut self, now: Time) {
        let staying = self.workers.values().filter(|worker| !worker.alone && !worker.is_leaving()).count();
        self.dismiss(staying.saturating_sub(self.workers_max as usize), now);
    }

    /// Dismisses `count` idle workers, or all if there are fewer, those first that have been idle longest.
    pub(super) fn dismiss(&mut self, count: usize, now: Time) {
        for id in self.idle.drain(..count.min(self.idle.len())) {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.stage = WorkerStage::Leaving(now + self.policy.grace);
                self.out.push(PoolAction::Leave(id));
            }
        }
    }

    /// Dismisses workers that are not needed, ends those that do not leave; returns when the next is due.
    pub(super) fn dismiss_unneeded(&mut self, now: Time) -> Option<Time> {
        self.dismiss_surplus(now);
        let mut next: Option<Time> = None;
        let mut due = |at: Time| next = Some(next.map_or(at, |next| next.min(at)));
        let gone_by = now + self.policy.grace;
        let (idle, out) = (&mut self.idle, &mut self.out);
        self.workers.for_each_mut(|id, worker| match worker.stage {
            WorkerStage::Idle(since) => {
                let until = self.policy.idle.map(|limit| since + limit);
                if self.finished || until.is_some_and(|until| until <= now) {
                    idle.retain(|idle| *idle != id);
                    worker.stage = WorkerStage::Leaving(gone_by);
                    out.push(PoolAction::Leave(id));
                    due(gone_by);
                } else if let Some(until) = until {
                    due(until);
                }
            }
            WorkerStage::Leaving(until) if worker.terminating => due(until.max(gone_by)),
            WorkerStage::Leaving(until) if until <= now => {
                worker.terminating = true;
                out.push(PoolAction::Kill(id));
            }
            WorkerStage::Leaving(until) => due(until),
            WorkerStage::Starting if self.finished && !worker.terminating => {
                worker.terminating = true;
                out.push(PoolAction::Cancel(id));
            }
            WorkerStage::Starting | WorkerStage::Busy { .. } => {}
        });
        next
    }
}
