//! The flags of the command line: words in, raw flags out, or a message that names the word at fault.
//!
//! It never opens a file or probes the machine.

mod absent;
pub(crate) mod help;
pub(crate) mod options_variable;
mod raw_flags;
mod suggest;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::ffi::OsStr;

pub use options_variable::OPTIONS_VARIABLE;
pub(crate) use raw_flags::RawFlags;

/// Returns whether a word begins a source of inputs.
pub(crate) fn is_source_marker(word: &OsStr) -> bool {
    matches!(word.to_str(), Some(":::" | ":::+" | "::::" | "::::+"))
}

/// Returns the name of a flag in messages: the form that most people type.
pub(crate) fn named(id: &str) -> String {
    match id {
        "jobs" => "-j".to_owned(),
        "max-args" => "-n".to_owned(),
        "max-replace-args" => "-N".to_owned(),
        "max-lines" => "-L".to_owned(),
        "context-replace" => "-X".to_owned(),
        "xargs" => "-m".to_owned(),
        "null" => "-0".to_owned(),
        "no-run-if-empty" => "-r".to_owned(),
        "delimiter" => "-d".to_owned(),
        "replace" => "-I".to_owned(),
        "arg-file" => "-a".to_owned(),
        _ => format!("--{id}"),
    }
}
