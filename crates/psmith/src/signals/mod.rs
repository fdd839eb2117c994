//! Guards for programs: a signal such as Ctrl-C ends the jobs of the whole program, one step harder with each further
//! signal, and Ctrl-Z suspends them.
//!
//! No handler is installed before a guard is made, and the handling from before is restored after it. The handler
//! itself only counts; a thread of the guard's does the rest.

mod guard;
mod suspend;

pub use guard::{Guard, guard};
pub use suspend::{SuspendGuard, suspend_guard};

/// The interrupt from the keyboard, Ctrl-C.
pub const INT: i32 = 2;
/// Quit from the keyboard, Ctrl-\.
pub const QUIT: i32 = 3;
/// The first signal for a program's own use: a list of what runs, perhaps (`board::JobBoard::print_on`).
pub const USR1: i32 = 10;
/// The second signal for a program's own use.
pub const USR2: i32 = 12;
/// The hang-up: the terminal is gone.
pub const HUP: i32 = 1;
/// The request to terminate, sent by `kill` and service managers.
pub const TERM: i32 = psmith_core::policy::SIGTERM;
