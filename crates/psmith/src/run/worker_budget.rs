//! The budget of workers that a run and all runs of its jobs share, as GNU make's job server has it. Never ends a job:
//! tokens come back only between jobs.
//!
//! The outermost run has as many tokens as workers, one for each job that runs. A job that begins a run of its own
//! waits for it, so it lends that run its own slot: one worker more needs no token, and a run that holds none makes
//! progress all the same, so no runs wait in a circle. For further workers a run takes tokens as long as it has use for
//! them. They are locks, so the kernel gives back those of a process that dies.
//!
//! As long as no job has begun a run, the outermost one holds all tokens and this costs nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use psmith_sys::byte_locks::ByteLocks;

use psmith_engine::EngineError;

/// Environment variable by which a job finds the budget of its run: how deep its own runs are nested, and the address
/// of the tokens.
pub(crate) const VARIABLE: &str = "PSMITH_BUDGET";

/// Deepest nesting of runs. A job that begins the run it belongs to would go on until the machine has nothing left.
pub(crate) const NESTED_RUNS_MAX: u32 = 16;

/// Limit of the tokens. A run of more workers shares nothing with the runs of its jobs.
const TOKENS_MAX: u32 = 1024;

/// Interval at which a run asks for more tokens than there are: there is no notification of one that comes back.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// True while the slot of the job that this process does is lent to one of the runs that it has begun.
static IS_LENT: AtomicBool = AtomicBool::new(false);

/// A run's part in the budget.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    tokens: Option<ByteLocks>,
    /// True for the run of a job, whose slot it may use.
    is_nested: bool,
    /// True where other runs may have use for tokens.
    shares: bool,
    held: Vec<u32>,
    has_lent: bool,
    /// Limit of workers, however many tokens there are.
    most: u32,
    /// The number of slots that the dispatcher has.
    slots: u32,
}

/// Result of [`Budget::keep`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BudgetUpdate {
    /// The number of slots from now on, if it has changed.
    pub(crate) slots: Option<u32>,
    /// Pause after which to ask again, though nothing happens.
    pub(crate) again: Option<Duration>,
}

/// The budget that this process inherited.
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
        // The process that made them may have ended, or be in another namespace: then this run is on its own.
        ByteLocks::open(u32::try_from(process).ok()?, (i32::try_from(descriptor).ok()?, inode)).ok()
    })();
    Inherited { depth, tokens }
}

/// Returns how many workers all runs of this budget have together, if this process does a job of such a run.
pub(crate) fn workers() -> Option<u32> {
    inherited().tokens.map(|tokens| tokens.count())
}

impl Budget {
    /// Makes the budget of a run that begins now, with at most `workers` workers. `joins`: no number was asked for, so
    /// they are those of the inherited budget. Also returns the environment variable for its jobs.
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

    /// Notes that a job has begun a run: from now on tokens are held only as far as they are used.
    pub(crate) fn share(&mut self) {
        self.shares = self.tokens.is_some();
    }

    /// Returns whether this budget alone sets the number of slots.
    pub(crate) fn is_shared(&self) -> bool {
        self.shares
    }

    /// Returns whether no job may be begun, not even one.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.shares && self.have() == 0
    }

    /// Sets the limit of workers.
    pub(crate) fn resize(&mut self, most: u32) {
        self.most = most;
    }

    fn have(&self) -> u32 {
        self.held.len() as u32 + u32::from(self.has_lent)
    }

    /// Takes or gives back tokens, so that `wanted` jobs can run, including those that run already.
    pub(crate) fn keep(&mut self, wanted: u64) -> BudgetUpdate {
        let Some(tokens) = self.tokens.as_ref().filter(|_| self.shares) else {
            return BudgetUpdate::default();
        };
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.most);
        // The lent slot is the first to be used, and the last to be given back: it takes no token from other runs.
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
    /// Gives back the lent slot; the tokens come back by themselves.
    fn drop(&mut self) {
        if self.has_lent {
            IS_LENT.store(false, Ordering::Release);
        }
    }
}
