//! The clap command made from the table: parser, help, man page and completions share it.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command};

use super::absent::{ABSENT, Why};
use super::table::{FLAGS, Flag, Takes};

const USAGE: &str = "psmith [run] [options] COMMAND [ARGS].. [::: INPUTS..]
       psmith [run] [options] -s SCRIPT [::: INPUTS..]
       psmith doctor | help";

const EXAMPLES: &str = "\
Runs a command over many inputs, each job in a process of its own.

Examples:
  psmith gzip ::: *.log                       a gzip per file, one per CPU
  find . -name '*.png' | psmith optipng       inputs from stdin, one per line
  psmith convert {} {.}.jpg ::: *.png         {.} is {} without extension
  psmith -s 'sort {} | uniq > {}.u' ::: a b   a script; inputs are quoted
  psmith -j4 --retries 3 --timeout 5m --joblog log fetch :::: urls
";

const DESCRIPTION: &str = "\
Runs a command over many inputs, several at once, each job in a process of its own, and ends every job in exactly one \
outcome with one cause. Words after the options are the program and its arguments, passed on byte for byte; no shell \
reads them, and an input never becomes more than one argument. Words that only a shell would understand, such as && or \
>out, are refused; behind -- they are passed on. With -s the one word is a script for a shell, into which \
inputs are put as quoted literals.

Standard output belongs to the jobs: what a job writes comes whole, when it ends, unless -k, --lb or -u say otherwise. \
An attempt that is lost (somebody killed psmith's helper) is run again, and what it had streamed cannot be taken back: \
the next attempt's output follows whole, and a warning says so. \
Everything that psmith has to say goes to standard error; a run that ends well on a pipe says nothing. When psmith \
ends, however it ends, no process of a job is left running.";

const SOURCES: &str = "\
Inputs:
  (stdin)        one per line, where no source is named
  ::: A B ..     these words
  :::: F ..      the lines of files (- = stdin), as -a F
  :::+ ::::+     the same, zipped with the source before
Several sources make a cross product, the last one fastest.
";

const REPLACEMENTS: &str = "\
Replacement strings:
                                        for dir/a.tar.gz
  {}        the input                   dir/a.tar.gz
  {.}       without last extension      dir/a.tar
  {/}       after the last /            a.tar.gz
  {//}      before the last /, else .   dir
  {/.}      {/} without last extension  a.tar
  {..}      without last two            dir/a
  {/..}     {/} without last two        a
  {+/}      as {//}, but empty for none dir
  {+.}      last extension              gz
  {+..}     last two extensions         tar.gz
  {%.gz}    without that end            dir/a.tar
  {#dir/}   without that start          a.tar.gz
  {:-x}     x if the input is empty     dir/a.tar.gz
  {#} {%}   job number, slot number, both from 1
  {##} {0#} number of jobs; {#} zero-padded to its width
  {2} {2.}  the second source or column, with any suffix from above
  {name}    a column, with --header
  {{}}      the text {} itself; likewise {{.}} and all others
  ${{x}}    a shell's own ${x}, where {x} would be replaced
Without any of them the inputs are appended as arguments.
";

const VALUES: &str = "\
Values:
  D, a duration: 10 (seconds), 1.5, 250ms, 10s, 5m, 2h, 1d, 1h30m
  SIZE: 4096, 512K, 100M, 1.5G (K M G T: powers of 1024; k m g t: of 1000)
Flags without a value have a --no- form; the last one wins. PSMITH_OPTS holds
options that come before those that are typed (--no-opts leaves it out).

Exit code:
  0 all ok            1-100 so many jobs failed, 101 more
  122 none failed, some were left unrun      124 no input (--require-input)
  125 psmith itself failed    126, 127 program not executable, not found
  128+n died from signal n

Signals: Ctrl-C or TERM ends the running jobs, a second one kills them; HUP lets
them finish and starts no more; Ctrl-Z stops them all; USR1 lists them.

Keys, while the board is up and stdin is a terminal: t running jobs with their
last lines, + and - slots, p pause and go, d drain, f failures so far, ? help.
";

/// Makes the command `psmith [run]`, ready to parse.
pub(crate) fn run_command() -> Command {
    let mut command = Command::new("psmith")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs a command over many inputs, each job in a process of its own")
        .long_about(DESCRIPTION)
        .override_usage(USAGE)
        .before_help(EXAMPLES)
        .after_help("More in --help: inputs, replacement strings, values, exit codes, signals.")
        .after_long_help(format!("{SOURCES}\n{REPLACEMENTS}\n{VALUES}"))
        .help_template("{before-help}Usage: {usage}\n\n{all-args}{after-help}\n")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .value_parser(ValueParser::os_string())
                .num_args(0..)
                .trailing_var_arg(true)
                .hide(true),
        );
    for flag in FLAGS {
        command = command.arg(arg(flag));
        if matches!(flag.takes, Takes::Nothing | Takes::Optional(_)) {
            command = command.arg(negation(flag));
        }
    }
    // Of those that do nothing here only the needless ones are parsed; the others are unknown, and explained.
    for absent in ABSENT.iter().filter(|absent| absent.why == Why::Needless) {
        let arg = Arg::new(absent.long).long(absent.long).hide(true).action(ArgAction::SetTrue);
        command = command.arg(absent.short.map_or(arg.clone(), |short| arg.short(short)));
    }
    command
}

/// Makes the whole command with its subcommands, for completions and the man page.
pub(crate) fn whole_command() -> Command {
    run_command()
        .disable_help_subcommand(true)
        .subcommand(Command::new("run").about("Run a command over many inputs (the default)"))
        .subcommand(doctor_command())
        .subcommand(Command::new("help").about("Print the long help"))
}

/// What `--generate` prints.
pub(crate) const GENERATED: [&str; 6] =
    ["man", "complete-bash", "complete-elvish", "complete-fish", "complete-powershell", "complete-zsh"];

/// Makes the command `psmith doctor`.
pub(crate) fn doctor_command() -> Command {
    Command::new("doctor")
        .bin_name("psmith doctor")
        .about("Tell what this machine offers: containment, limits, descriptors, each with its remedy")
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("As one JSON object"))
}

fn arg(flag: &Flag) -> Arg {
    let mut arg = Arg::new(flag.id).help(flag.help).help_heading(flag.heading.title());
    if !flag.more.is_empty() {
        arg = arg.long_help(format!("{}. {}", flag.help, flag.more));
    }
    if !flag.long.is_empty() && flag.long != "h" {
        arg = arg.long(flag.long).aliases(flag.aliases.iter().copied());
    }
    if let Some((first, others)) = flag.short.split_first() {
        arg = arg.short(*first).visible_short_aliases(others.to_vec());
    }
    let arg = match flag.takes {
        Takes::Nothing | Takes::Once => arg.action(ArgAction::SetTrue),
        Takes::Value(name) => value(arg, name).action(ArgAction::Set),
        Takes::Values(name) => value(arg, name).action(ArgAction::Append),
        Takes::Optional(name) => value(arg, name)
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(""),
    };
    match flag.id {
        "group" => arg.overrides_with_all(["lb", "ungroup"]),
        "lb" => arg.overrides_with_all(["group", "ungroup"]),
        "ungroup" => arg.overrides_with_all(["group", "lb"]),
        "max-args" => arg.overrides_with("max-replace-args"),
        "max-replace-args" => arg.overrides_with("max-args"),
        "context-replace" => arg.overrides_with("xargs"),
        "xargs" => arg.overrides_with("context-replace"),
        "null" => arg.overrides_with("delimiter"),
        "delimiter" => arg.overrides_with("null"),
        "bar" => arg.overrides_with("progress"),
        "progress" => arg.overrides_with("bar"),
        "tag" => arg.overrides_with("tagstring"),
        "tagstring" => arg.overrides_with("tag"),
        _ => arg,
    }
}

fn value(arg: Arg, name: &'static str) -> Arg {
    arg.value_name(name).value_parser(ValueParser::os_string()).allow_hyphen_values(true)
}

/// Makes a flag such as `--no-keep-order`: of the two, the last one given applies.
fn negation(flag: &Flag) -> Arg {
    let aliases: Vec<String> = flag.aliases.iter().map(|alias| format!("no-{alias}")).collect();
    Arg::new(format!("no-{}", flag.id))
        .long(format!("no-{}", flag.long))
        .aliases(aliases)
        .action(ArgAction::SetTrue)
        .overrides_with(flag.id)
        .hide(true)
}

/// Returns the help as text.
pub(crate) fn help_text(long: bool) -> String {
    let mut command = run_command();
    let text = if long { command.render_long_help() } else { command.render_help() };
    text.to_string()
}

/// Returns the names of a flag with its value, as in a usage line: `--timeout D|P%`.
pub(crate) fn usage_of(long: &str) -> Option<String> {
    let flag = FLAGS.iter().find(|flag| flag.long == long || flag.aliases.contains(&long))?;
    match flag.takes {
        Takes::Value(name) | Takes::Values(name) => Some(format!("--{long} {name}")),
        Takes::Optional(name) => Some(format!("--{long}, --{long}={name}")),
        Takes::Nothing | Takes::Once => Some(format!("--{long}")),
    }
}

/// Returns the long names that may be typed, the most likely first.
pub(crate) fn long_names() -> impl Iterator<Item = &'static str> {
    FLAGS
        .iter()
        .flat_map(|flag| std::iter::once(flag.long).chain(flag.aliases.iter().copied()))
        .filter(|name| !name.is_empty())
}

/// Returns an empty value list, for flags that were not given.
pub(crate) fn no_values() -> std::iter::Empty<OsString> {
    std::iter::empty()
}

/// Writes the examples as a section of the man page.
pub(crate) fn render_examples(out: &mut impl std::io::Write) -> std::io::Result<()> {
    let examples = EXAMPLES.split_once("Examples:\n").map_or("", |(_, examples)| examples);
    render_section(out, "EXAMPLES", examples)
}

/// Writes inputs, replacement strings and values as sections of the man page.
pub(crate) fn render_replacements(out: &mut impl std::io::Write) -> std::io::Result<()> {
    render_section(out, "INPUTS", SOURCES.split_once('\n').map_or("", |(_, table)| table))?;
    render_section(out, "REPLACEMENT STRINGS", REPLACEMENTS.split_once('\n').map_or("", |(_, table)| table))?;
    render_section(out, "VALUES, EXIT CODE AND SIGNALS", VALUES)
}

/// Writes the other commands as a section of the man page; none has a page of its own.
pub(crate) fn render_commands(out: &mut impl std::io::Write) -> std::io::Result<()> {
    writeln!(out, ".SH \"COMMANDS\"")?;
    for command in whole_command().get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let values = command.get_arguments().map(|arg| match arg.get_long() {
            Some(long) => format!(" [\\-\\-{long}]"),
            None => format!(" {}", arg.get_id().as_str().to_uppercase()),
        });
        let values: String = values.collect();
        writeln!(out, ".TP\n\\fBpsmith {}\\fR{values}\n{about}", command.get_name())?;
    }
    Ok(())
}

/// Writes text as it is, in a section of its own.
fn render_section(out: &mut impl std::io::Write, title: &str, text: &str) -> std::io::Result<()> {
    writeln!(out, ".SH \"{title}\"\n.nf")?;
    for line in text.lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // A point or an apostrophe at the beginning of a line would be a request to the formatter.
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        writeln!(out, "{guard}{line}")?;
    }
    writeln!(out, ".fi")
}
