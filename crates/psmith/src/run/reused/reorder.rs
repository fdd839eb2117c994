//! Outcomes in the order of their jobs. How many may wait here is the window's affair, which the caller keeps.

use std::collections::BTreeMap;

use crate::run::run::News;

/// Holds outcomes back until those before them have been told.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    next: u64,
    waiting: BTreeMap<u64, News>,
}

impl Sequence {
    /// Takes in outcomes; calls `tell` with each whose turn that makes it.
    pub(crate) fn push(&mut self, news: News, mut tell: impl FnMut(News)) {
        let (index, jobs) = news.jobs();
        debug_assert!(index >= self.next, "a job has one outcome");
        if index != self.next {
            self.waiting.insert(index, news);
            return;
        }
        self.next += jobs;
        tell(news);
        while let Some(news) = self.waiting.remove(&self.next) {
            self.next += news.jobs().1;
            tell(news);
        }
    }
}
