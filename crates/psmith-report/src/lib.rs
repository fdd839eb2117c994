//! Reports of a run for people: one wording of causes, times and sizes, a history in bounded memory, charts; and the
//! web board.
//!
//! Folds and composes. Never writes, never reads a clock, never changes an outcome.

#![expect(missing_docs, reason = "each type says what it is, and its fields are named after what they carry")]

pub mod cause;
pub mod charts;
pub mod display;
pub mod duration;
pub mod history;
pub mod html;
pub mod sample;
#[cfg(feature = "web")]
pub mod web;
pub mod web_events;
pub mod when;

mod exitval;
mod record;

pub use exitval::{Exitval, exitval};
pub use record::{JobRecord, Status, is_flaky};

/// The style of all pages.
pub const STYLE: &str = include_str!("style.css");
