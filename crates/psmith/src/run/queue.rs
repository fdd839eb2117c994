//! Jobs on their way in: handed in, and not yet taken by the engine.

use std::collections::VecDeque;
use std::sync::Arc;

use psmith_core::JobPolicy;

use crate::job::job::Request;
use crate::run::input_block::InputBlock;
use crate::run::input_buffer::InputBuffer;

/// What waits to be taken, in the order in which it was handed in.
#[derive(Debug, Default)]
pub(crate) struct JobQueue {
    waiting: VecDeque<QueuedJobs>,
    /// So many jobs were taken.
    taken: u64,
}

#[derive(Debug)]
enum QueuedJobs {
    One(Request, Arc<JobPolicy>),
    /// Those from this one on. The last that wait may be added to.
    Many(Arc<InputBuffer>, usize),
}

/// The jobs whose turn it is.
#[derive(Debug)]
pub(crate) enum NextJobs {
    /// With its index.
    One(u64, Request, Arc<JobPolicy>),
    Many(InputBlock),
}

impl JobQueue {
    pub(crate) fn push(&mut self, request: Request, policy: Arc<JobPolicy>) {
        self.waiting.push_back(QueuedJobs::One(request, policy));
    }

    /// All that is added to these, until something is pushed behind them.
    pub(crate) fn push_all(&mut self, inputs: Arc<InputBuffer>) {
        self.waiting.push_back(QueuedJobs::Many(inputs, 0));
    }

    /// The index of the first that waits.
    pub(crate) fn index(&self) -> u64 {
        self.taken
    }

    /// How many wait by now.
    pub(crate) fn jobs(&self) -> u64 {
        self.waiting.iter().map(QueuedJobs::jobs).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.iter().all(|waiting| waiting.jobs() == 0)
    }

    /// Takes what comes next.
    pub(crate) fn next(&mut self) -> Option<NextJobs> {
        loop {
            let is_last = self.waiting.len() == 1;
            match self.waiting.front_mut()? {
                QueuedJobs::One(..) => {}
                QueuedJobs::Many(inputs, from) => {
                    let jobs = *from..inputs.jobs();
                    if !jobs.is_empty() {
                        *from = jobs.end;
                        let block = InputBlock::new(Arc::clone(inputs), jobs, self.taken);
                        self.taken += block.len() as u64;
                        return Some(NextJobs::Many(block));
                    }
                    if is_last {
                        return None;
                    }
                }
            }
            if let Some(QueuedJobs::One(request, policy)) = self.waiting.pop_front() {
                self.taken += 1;
                return Some(NextJobs::One(self.taken - 1, request, policy));
            }
        }
    }

    /// Counts one that nobody will take; gives its index.
    pub(crate) fn skip(&mut self) -> u64 {
        self.taken += 1;
        self.taken - 1
    }

    /// The job with this index, if it waits. Only where all are handed in one by one.
    pub(crate) fn get_mut(&mut self, index: u64) -> Option<&mut Request> {
        let at = usize::try_from(index.checked_sub(self.taken)?).ok()?;
        match self.waiting.get_mut(at)? {
            QueuedJobs::One(request, _) => Some(request),
            QueuedJobs::Many(..) => None,
        }
    }
}

impl QueuedJobs {
    fn jobs(&self) -> u64 {
        match self {
            QueuedJobs::One(..) => 1,
            QueuedJobs::Many(inputs, from) => (inputs.jobs() - from) as u64,
        }
    }
}

impl NextJobs {
    /// Each for itself, in order.
    pub(crate) fn requests(self) -> Vec<Request> {
        match self {
            NextJobs::One(_, request, _) => vec![request],
            NextJobs::Many(mut block) => std::iter::repeat_with(|| block.split_to(1))
                .take_while(|one| one.len() > 0)
                .map(|one| one.first())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::input_buffer::tests::writer_of;

    /// Index and inputs of what comes next.
    fn next(queue: &mut JobQueue) -> Option<(u64, Vec<Vec<u8>>)> {
        let index = queue.index();
        let requests = queue.next()?.requests();
        Some((index, requests.into_iter().map(|request| request.input.to_vec()).collect()))
    }

    #[test]
    fn what_is_added_while_others_take_is_taken_in_order() {
        let mut queue = JobQueue::default();
        assert!(queue.is_empty() && next(&mut queue).is_none());
        let mut writer = writer_of(&[b"a"]);
        queue.push_all(Arc::clone(writer.inputs()));
        assert_eq!(next(&mut queue), Some((0, vec![b"a".to_vec()])));
        assert!(queue.is_empty() && next(&mut queue).is_none());
        // They stay, and are looked at again.
        assert!(writer.add(b"b") && writer.add(b"c"));
        assert_eq!((queue.jobs(), queue.is_empty()), (2, false));
        let block = writer.inputs().jobs();
        assert_eq!(next(&mut queue), Some((1, vec![b"b".to_vec(), b"c".to_vec()])));
        assert!(writer.add(b"d"));
        let one = Request::of_encoded(writer.inputs().callee(), b"alone".to_vec());
        queue.push(one, Arc::default());
        let last = writer_of(&[b"e"]);
        queue.push_all(Arc::clone(last.inputs()));
        assert_eq!((block, queue.jobs()), (3, 3));
        assert_eq!(next(&mut queue), Some((3, vec![b"d".to_vec()])));
        assert_eq!(next(&mut queue), Some((4, vec![b"alone".to_vec()])));
        assert_eq!(next(&mut queue), Some((5, vec![b"e".to_vec()])));
        assert_eq!((next(&mut queue), queue.index()), (None, 6));
        assert_eq!((queue.skip(), queue.index()), (6, 7));
    }

    #[test]
    fn a_job_that_waits_is_found_by_its_index() {
        let mut queue = JobQueue::default();
        let writer = writer_of(&[]);
        for input in [b"a", b"b", b"c"] {
            let one = Request::of_encoded(writer.inputs().callee(), input.to_vec());
            queue.push(one, Arc::default());
        }
        assert!(queue.next().is_some());
        assert!(queue.get_mut(0).is_none() && queue.get_mut(3).is_none());
        assert_eq!(queue.get_mut(2).map(|request| request.input.to_vec()), Some(b"c".to_vec()));
    }
}
