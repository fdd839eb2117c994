//! A guard for programs: on a signal such as Ctrl-C the jobs of the whole program come to their end, one step harder
//! with each further signal.
//!
//! Nothing is installed before a guard is asked for, and what was there before is there again after it. The handler
//! itself only counts; a thread of the guard's does what follows.

mod guard;
mod suspend;

pub use guard::{Guard, guard};
pub use suspend::{SuspendGuard, suspend_guard};

/// The interrupt from the keyboard, Ctrl-C.
pub const INT: i32 = 2;
/// Quit from the keyboard, Ctrl-\.
pub const QUIT: i32 = 3;
/// For a program's own use: a list of what runs, perhaps (`board::JobBoard::print_on`).
pub const USR1: i32 = 10;
/// As [`USR1`].
pub const USR2: i32 = 12;
/// The terminal is gone.
pub const HUP: i32 = 1;
/// What `kill` and service managers send.
pub const TERM: i32 = psmith_core::policy::SIGTERM;
