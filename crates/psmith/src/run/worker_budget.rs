//! One budget of workers for a run and for all runs that its jobs begin, as GNU make's job server has it.
//!
//! The outermost run has as many tokens as workers, one for each job that runs. A job that begins a run of its own waits
//! for it, so it lends that run its own slot: one worker more needs no token, and whoever holds none goes on all the same,
//! so nobody waits in a circle. For further workers a run takes tokens as long as it has use for them. They are locks, so
//! the kernel gives back those of a process that dies.
//!
//! As long as no job has begun a run, the outermost one holds all tokens and this costs nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use psmith_sys::byte_locks::ByteLocks;

use psmith_engine::EngineError;

/// By which a job finds the budget of the run that it belongs to: how deep its own runs are, and where the tokens lie.
pub(crate) const VARIABLE: &str = "PSMITH_BUDGET";

/// So deep runs may be nested. A job that begins the run it belongs to would go on until the machine has nothing left.
pub(crate) const NESTED_RUNS_MAX: u32 = 16;

/// More workers than these share nothing with the runs of their jobs.
const TOKENS_MAX: u32 = 1024;

/// Who has use for more tokens than there are asks for them this often: nobody tells when one comes back.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// The slot of the job that this process does is lent to one of the runs that it has begun.
static IS_LENT: AtomicBool = AtomicBool::new(false);

/// A run's part in the budget.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    tokens: Option<ByteLocks>,
    /// It is the run of a job, whose slot it may use.
    is_nested: bool,
    /// Who else has use for tokens is taken into account.
    shares: bool,
    held: Vec<u32>,
    has_lent: bool,
    /// At most so many workers, however many tokens there are.
    most: u32,
    /// What the dispatcher was told.
    slots: u32,
}

/// What [`Budget::keep`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BudgetUpdate {
    /// So many slots from now on, where that is new.
    pub(crate) slots: Option<u32>,
    /// When to ask again, though nothing happens.
    pub(crate) again: Option<Duration>,
}

/// What this process inherited.
struct Inherited {
    depth: u32,
    tokens: Option<ByteLocks>,
}

fn inherited() -> Inherited {
    let value = std::env::var(VARIABLE).unwrap_or_default();
    let mut numbers = value.split(':').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let depth = next().and_then(|depth| u32::try_from(depth).ok()).unwrap_or(0);
    let tokens = (|| {
        let (process, descriptor, inode) = (next()?, next()?, next()?);
        // Whoever made them may be gone, or out of sight: then this run is on its own.
        ByteLocks::open(u32::try_from(process).ok()?, (i32::try_from(descriptor).ok()?, inode)).ok()
    })();
    Inherited { depth, tokens }
}

/// How many workers all runs of this budget have together, if this process does a job of such a run.
pub(crate) fn workers() -> Option<u32> {
    inherited().tokens.map(|tokens| tokens.count())
}

impl Budget {
    /// Of a run that begins now, with so many workers at most. `joins`: nobody said how many it should have, so they are
    /// those of the budget. Also gives the variable for its jobs.
    pub(crate) fn begin(workers: u32, joins: bool) -> Result<(Budget, Vec<u8>), EngineError> {
        let Inherited { depth, tokens } = inherited();
        if depth >= NESTED_RUNS_MAX {
            return Err(EngineError::TooDeep(NESTED_RUNS_MAX));
        }
        let word = |address: &str| format!("{VARIABLE}={}{address}\0", depth + 1).into_bytes();
        if let (true, Some(tokens)) = (joins, tokens) {
            let value = std::env::var(VARIABLE).unwrap_or_default();
            let address = value.find(':').map_or("", |at| &value[at..]);
            let mut nested = Budget::of(tokens, workers);
            (nested.is_nested, nested.shares) = (true, true);
            return Ok((nested, word(address)));
        }
        // Without tokens the runs of its jobs are on their own.
        let made = (workers <= TOKENS_MAX).then(|| Budget::own(workers).ok()).flatten();
        let Some((budget, (descriptor, inode))) = made else {
            return Ok((Budget::default(), word("")));
        };
        Ok((budget, word(&format!(":{}:{descriptor}:{inode}", std::process::id()))))
    }

    fn own(workers: u32) -> std::io::Result<(Budget, (i32, u64))> {
        let tokens = ByteLocks::create(workers.max(1))?;
        tokens.take_all()?;
        let address = tokens.address()?;
        let mut budget = Budget::of(tokens, workers);
        budget.held = (0..workers.max(1)).collect();
        budget.slots = workers;
        Ok((budget, address))
    }

    fn of(tokens: ByteLocks, most: u32) -> Budget {
        let mut budget = Budget::default();
        (budget.tokens, budget.most) = (Some(tokens), most);
        budget
    }

    /// A job has begun a run: from now on tokens are held only as far as they are used.
    pub(crate) fn share(&mut self) {
        self.shares = self.tokens.is_some();
    }

    /// Whether it is told about its workers by this alone.
    pub(crate) fn is_shared(&self) -> bool {
        self.shares
    }

    /// Whether no job may be begun, not even one.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.shares && self.have() == 0
    }

    /// So many workers at most from now on.
    pub(crate) fn resize(&mut self, most: u32) {
        self.most = most;
    }

    fn have(&self) -> u32 {
        self.held.len() as u32 + u32::from(self.has_lent)
    }

    /// Takes or gives back tokens, so that so many jobs can run, those that do already among them.
    pub(crate) fn keep(&mut self, wanted: u64) -> BudgetUpdate {
        let Some(tokens) = self.tokens.as_ref().filter(|_| self.shares) else {
            return BudgetUpdate::default();
        };
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.most);
        // The lent slot is the first to be used, and the last to be given back: it takes no token from anybody.
        if self.is_nested && !self.has_lent && wanted > 0 {
            self.has_lent = !IS_LENT.swap(true, Ordering::AcqRel);
        }
        let needed = wanted.saturating_sub(u32::from(self.has_lent)) as usize;
        for token in self.held.drain(needed.min(self.held.len())..) {
            // A token that cannot be given back is one less for the others, until this run ends.
            let _ = tokens.give_back(token);
        }
        let free = (0..tokens.count()).filter(|token| tokens.take(*token).unwrap_or(false));
        if self.held.len() < needed {
            let held = self.held.clone();
            let more = needed - held.len();
            self.held.extend(free.filter(|token| !held.contains(token)).take(more));
        }
        if self.has_lent && wanted == 0 {
            self.has_lent = false;
            IS_LENT.store(false, Ordering::Release);
        }
        let have = self.have();
        let is_new = std::mem::replace(&mut self.slots, have) != have;
        BudgetUpdate { slots: is_new.then_some(have.max(1)), again: (have < wanted).then_some(ASK_EVERY) }
    }
}

impl Drop for Budget {
    /// The tokens come back by themselves.
    fn drop(&mut self) {
        if self.has_lent {
            IS_LENT.store(false, Ordering::Release);
        }
    }
}
