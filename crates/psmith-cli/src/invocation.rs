//! The request to psmith as a whole: words in, an [`Invocation`] out, or a message that names the word at fault.
//!
//! It never opens a file or probes the machine.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::config::Config;
use crate::error::CliError;
use crate::flags::table::RESERVED_COMMANDS;
use crate::flags::{OPTIONS_VARIABLE, RawFlags, help, is_source_marker, options_variable};
use crate::quote;

/// The request to psmith as a whole.
#[derive(Debug)]
pub enum Invocation {
    /// Run jobs.
    Run(Box<Config>),
    /// Report what this machine offers.
    Doctor {
        /// True for one JSON object.
        json: bool,
    },
    /// Print completions for this shell.
    Completions(clap_complete::Shell),
    /// Print the man page.
    Man,
    /// Print this text (help, version) on stdout.
    Print {
        /// The text to print, line feed included.
        text: String,
    },
}

/// Parses the words after the program's own name.
///
/// # Errors
/// Fails on anything that is not understood, not possible, or not in this version.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, CliError> {
    parse_with(args, None)
}

/// Parses the words after the program's own name, and before them those of the variable of options.
///
/// # Errors
/// As [`parse`]; what came from the variable is named.
pub fn parse_with(
    args: impl IntoIterator<Item = OsString>,
    options: Option<&OsStr>,
) -> Result<Invocation, CliError> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let first = args.first().and_then(|first| first.to_str()).unwrap_or_default().to_owned();
    match first.as_str() {
        "run" => {
            args.remove(0);
        }
        "doctor" | "help" => {
            takes_no_inputs(&first, &args)?;
            return other_command(&first, &args[1..]);
        }
        _ if RESERVED_COMMANDS.contains(&first.as_str()) => {
            takes_no_inputs(&first, &args)?;
            return Err(CliError::new(format!("{first}: not in this version"))
                .hint(format!("to run a program of that name: psmith run {first} ..")));
        }
        _ => {}
    }
    let Some(options) = options.filter(|options| !options.is_empty()) else { return run(args) };
    if RawFlags::parse(args.clone())?.is_given("no-opts") {
        return run(args);
    }
    let mut words = options_variable::words(options)?;
    let named =
        |error: CliError| CliError { message: format!("{OPTIONS_VARIABLE}: {}", error.message), ..error };
    if let Some(word) = RawFlags::parse(words.clone()).map_err(named)?.words.first() {
        let word = quote::shown(word.as_bytes());
        return Err(CliError::new(format!("{OPTIONS_VARIABLE}: '{word}' is no option"))
            .hint("--no-opts leaves it out"));
    }
    words.extend(args.iter().cloned());
    // What is wrong only with the variable is the variable's mistake.
    run(words).map_err(|error| if run(args).is_ok() { named(error) } else { error })
}

/// Resolves the words of a run, or of a question about psmith.
fn run(args: Vec<OsString>) -> Result<Invocation, CliError> {
    let raw = RawFlags::parse(args)?;
    if raw.is_set("h") || raw.is_set("help") {
        return Ok(Invocation::Print { text: help::help_text(raw.is_set("help")) });
    }
    if raw.is_set("version") {
        return Ok(Invocation::Print { text: format!("psmith {}\n", env!("CARGO_PKG_VERSION")) });
    }
    if let Some(kind) = raw.value("generate") {
        return generate(kind);
    }
    Config::resolve(raw).map(|config| Invocation::Run(Box::new(config)))
}

fn takes_no_inputs(name: &str, args: &[OsString]) -> Result<(), CliError> {
    let Some(marker) = args.iter().find(|word| is_source_marker(word)) else { return Ok(()) };
    let line = quote::command_line(args.iter().map(|word| word.as_encoded_bytes()));
    Err(CliError::new(format!("{name} is a psmith command and takes no {}", marker.to_string_lossy()))
        .hint(format!("psmith run {line}")))
}

fn other_command(name: &str, args: &[OsString]) -> Result<Invocation, CliError> {
    let words: Vec<&str> = args.iter().map(|word| word.to_str().unwrap_or("\u{fffd}")).collect();
    match (name, &words[..]) {
        ("doctor", ["-h" | "--help"]) => {
            Ok(Invocation::Print { text: help::doctor_command().render_long_help().to_string() })
        }
        ("help", [] | ["-h" | "--help"]) => Ok(Invocation::Print { text: help::help_text(true) }),
        ("doctor", []) => Ok(Invocation::Doctor { json: false }),
        ("doctor", ["--json"]) => Ok(Invocation::Doctor { json: true }),
        (_, [word, ..]) => Err(CliError::new(format!("{name} takes no '{}'", quote::shown(word.as_bytes())))
            .hint(format!("to run a program of that name: psmith run {name} .."))),
        _ => Err(CliError::new(format!("{name}: not understood"))),
    }
}

fn generate(kind: &OsStr) -> Result<Invocation, CliError> {
    let kind = kind.to_string_lossy();
    if kind == "man" {
        return Ok(Invocation::Man);
    }
    let shell = kind.strip_prefix("complete-").and_then(|shell| shell.parse().ok());
    shell.map(Invocation::Completions).ok_or_else(|| {
        CliError::new(format!("--generate: '{}' is nothing that is known", quote::shown(kind.as_bytes())))
            .hint(help::GENERATED.join(", "))
    })
}
