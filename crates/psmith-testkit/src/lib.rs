//! The common parts of psmith's tests: a fresh scene for each test with a leak check at its end, the runner of the
//! command under test, wicked helper programs, and the ledger of what a machine could not show.
//!
//! An operating-system test starts with a [`Scene`] (or a bare [`leak::LeakGuard`] where no command is run), asks
//! for what it needs with [`need!`], and waits for readiness, never for time. Nothing here is part of psmith;
//! nothing here decides what is right: that is the test's business.

pub mod browser;
pub mod cmd;
pub mod emulator;
mod ended;
pub mod forked;
pub mod gate;
pub mod leak;
pub mod need;
pub mod proc;
pub mod pty;
pub mod records;
mod scene;
pub mod simulation;
pub mod sweep;
mod wicked;

/// Returns the numbers from 1 on, a line each: many small inputs, and what `echo` makes of them.
#[must_use]
pub fn numbers(count: u32) -> String {
    (1..=count).map(|number| format!("{number}\n")).collect()
}

pub use rustix::process::Signal;
pub use scene::{OUTER_LIMIT, Ready, Scene};
pub use wicked::{example, example_library, wicked};
