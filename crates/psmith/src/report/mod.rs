//! What is kept and said of a run for people who look at it: one wording of causes, times and sizes, a history in bounded
//! memory, charts. For the command and for the web board; not part of the interface.
//!
//! Folds and composes. Writes nothing, reads no clock, changes no outcome.

pub mod cause;
pub mod charts;
pub mod display;
pub mod duration;
pub mod history;
pub mod html;
pub mod sample;
#[cfg(feature = "web")]
pub mod web;
pub mod when;

mod exitval;
mod record;

pub use exitval::{Exitval, exitval};
pub use record::{JobRecord, Status, is_flaky};

/// The style of all pages.
pub const STYLE: &str = include_str!("style.css");
