//! The flags as typed, with clap's errors in psmith's own words. Never interprets a value.

use std::ffi::{OsStr, OsString};

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::absent::{ABSENT, Why};
use super::help;
use super::suggest::nearest;

use crate::error::CliError;
use crate::quote;

/// The words that were typed, before they are interpreted.
#[derive(Debug)]
pub(crate) struct RawFlags {
    matches: ArgMatches,
    /// The words from the first one that is no option.
    pub(crate) words: Vec<OsString>,
    /// True if `--` stands before them.
    pub(crate) literal: bool,
}

impl RawFlags {
    pub(crate) fn parse(args: Vec<OsString>) -> Result<RawFlags, CliError> {
        let own_name = OsString::from("psmith");
        let is_end: Vec<bool> = args.iter().map(|word| word == "--").collect();
        let mut matches = help::run_command()
            .try_get_matches_from(std::iter::once(own_name).chain(args))
            .map_err(|error| translate(&error))?;
        let words =
            matches.remove_many("command").map_or_else(|| help::no_values().collect(), Iterator::collect);
        let words: Vec<OsString> = words;
        let before = is_end.len().checked_sub(words.len() + 1);
        let literal = before.is_some_and(|before| is_end[before]);
        Ok(RawFlags { matches, words, literal })
    }

    /// Returns whether a flag without a value was given, and not revoked.
    pub(crate) fn is_set(&self, id: &str) -> bool {
        self.matches.get_flag(id)
    }

    /// Returns the value of a flag, the last one given; empty for a flag whose value is optional and was left out.
    pub(crate) fn value(&self, id: &str) -> Option<&OsStr> {
        self.matches.get_one::<OsString>(id).map(OsString::as_os_str)
    }

    /// Returns whether a flag was given, with a value or without.
    pub(crate) fn is_given(&self, id: &str) -> bool {
        self.matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine)
    }

    /// Returns the values of a flag.
    pub(crate) fn values(&self, id: &str) -> impl Iterator<Item = &OsString> {
        self.matches.get_many::<OsString>(id).into_iter().flatten()
    }
}

/// Returns the error of a flag that is known and does nothing here.
fn absent(name: &str) -> Option<CliError> {
    let absent = ABSENT.iter().find(|absent| absent.is_called(name))?;
    Some(match absent.why {
        Why::Instead(pointer) => CliError::new(format!("{name} is left out of psmith")).hint(pointer),
        Why::Later | Why::Needless => CliError::new(format!("{name}: not in this version")),
    })
}

fn translate(error: &clap::Error) -> CliError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let typed = context(ContextKind::InvalidArg).unwrap_or_default();
    // `--timeout <D|P%>` or `-n <N>`: the name is the first word; if there are two, `--jobs` is clearer than `-j`.
    let name = typed.split([' ', '=', '[']).next().unwrap_or_default().to_owned();
    let shown = quote::shown(name.as_bytes());
    match error.kind() {
        ErrorKind::UnknownArgument => {
            if let Some(error) = absent(&name) {
                return error;
            }
            let message = CliError::new(format!("unknown option '{shown}'"));
            match name.strip_prefix("--").and_then(nearest_long) {
                Some(known) => message.hint(format!("did you mean --{known}?")),
                None => message.hint("psmith --help lists all; -- ends the options"),
            }
        }
        ErrorKind::TooManyValues => CliError::new(format!("{shown} takes no value")),
        ErrorKind::InvalidValue
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::TooFewValues
        | ErrorKind::NoEquals => {
            let message = CliError::new(format!("{shown} needs a value"));
            match name.strip_prefix("--").and_then(help::usage_of) {
                Some(usage) => message.hint(usage),
                None => message,
            }
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            CliError::new(line.strip_prefix("error: ").unwrap_or(line).to_owned())
        }
    }
}

fn nearest_long(typed: &str) -> Option<String> {
    if let Some(known) = nearest(typed, help::long_names()) {
        return Some(known.to_owned());
    }
    let known = nearest(typed.strip_prefix("no-")?, help::long_names())?;
    Some(format!("no-{known}"))
}
