//! Limits of the kernel on arguments and environment of one program.
//!
//! The kernel's own sum is computed here: bytes, NULs and pointers of arguments and environment, against a quarter of
//! the stack. So a batch is never refused (`E2BIG`) and then cut in two: if its job could start at all, the batch is
//! made to fit. Space that cannot be known ahead, the path of an interpreter above all, is reserved by [`HEADROOM`].

use rustix::process::{Resource, getrlimit};

/// The bound of arguments and environment, whatever the stack (three quarters of `_STK_LIM`).
const TOTAL_BYTES_MAX: usize = 6 << 20;

/// The space that arguments and environment may always take (`ARG_MAX`).
const TOTAL_BYTES_MIN: usize = 128 << 10;

/// The space reserved for the program's path, the kernel's own entries.
const HEADROOM: usize = 4 << 10;

/// The space for the variables that each job is given (`PSMITH_JOB` and the like), with their pointers.
const OWN_VARIABLES: usize = 256;

/// The space for a directory of PATH in front of the program's name.
pub(crate) const PATH_COST: usize = 256;

/// The limits of one start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArgLimits {
    pub(crate) word_max: usize,
    /// The bound of the words with their NULs and pointers: what the environment leaves.
    pub(crate) total_max: usize,
}

impl ArgLimits {
    pub(crate) fn new(environment: &[(Vec<u8>, Vec<u8>)]) -> ArgLimits {
        let stack = getrlimit(Resource::Stack)
            .current
            .map_or(usize::MAX, |stack| usize::try_from(stack).unwrap_or(usize::MAX));
        // They are on the stack: on one smaller than twice what is always allowed, the program would have no space left
        // and die of it, after the kernel has accepted it.
        let total = (stack / 4).clamp(TOTAL_BYTES_MIN, TOTAL_BYTES_MAX).min(stack / 2);
        let variable = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + 2 + size_of::<usize>();
        let environment: usize = environment.iter().map(variable).sum::<usize>() + OWN_VARIABLES;
        ArgLimits {
            word_max: psmith_engine::command::WORD_BYTES_MAX,
            total_max: total.saturating_sub(environment).saturating_sub(HEADROOM),
        }
    }
}
