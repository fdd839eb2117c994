//! The flags of the command line: words in, raw flags out, or a message that names the word at fault.
//!
//! It never opens a file or probes the machine.

pub(crate) mod help;
mod raw_flags;
mod suggest;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::ffi::OsStr;

pub(crate) use raw_flags::RawFlags;

/// Returns whether a word begins a source of inputs.
pub(crate) fn is_source_marker(word: &OsStr) -> bool {
    matches!(word.to_str(), Some(":::" | ":::+" | "::::" | "::::+"))
}
