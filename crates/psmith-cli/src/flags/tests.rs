//! Tests of parsing: every flag, alias and refusal. Nothing is resolved here.

use super::*;
use crate::config::{Config, OutputMode, ProgressMode, SlotsSpec};
use crate::invocation::{Invocation, parse};

pub(crate) fn config(args: &[&str]) -> Config {
    match parse(args.iter().map(Into::into)) {
        Ok(Invocation::Run(config)) => *config,
        other => panic!("{args:?}: {other:?}"),
    }
}

pub(crate) fn error(args: &[&str]) -> String {
    match parse(args.iter().map(Into::into)) {
        Err(error) => error.message,
        Ok(other) => panic!("{args:?}: {other:?}"),
    }
}

#[test]
fn values_may_be_attached_or_stand_apart() {
    for args in [
        &["-j2", "x"][..],
        &["-j", "2", "x"],
        &["-P2", "x"],
        &["--jobs=2", "x"],
        &["--max-procs", "2", "x"],
        &["-kj2", "x"],
    ] {
        assert_eq!(config(args).pace.slots, SlotsSpec::Number(2), "{args:?}");
    }
    assert_eq!(config(&["-j", "-1", "x"]).pace.slots, SlotsSpec::Relative(-1));
    assert_eq!(config(&["-j-1", "x"]).pace.slots, SlotsSpec::Relative(-1));
}

#[test]
fn options_end_at_the_command() {
    let config = config(&["-k", "echo", "-k", "--retires", "-h", "--", ":::", "a"]);
    assert_eq!(config.command.words, ["echo", "-k", "--retires", "-h", "--"]);
    assert_eq!(self::config(&["--", "-x"]).command.words, ["-x"]);
    assert_eq!(self::config(&["run", "tail", "-n1"]).command.words, ["tail", "-n1"]);
    assert_eq!(self::config(&["-k", "tail"]).command.words, ["tail"]);
}

#[test]
fn the_last_one_wins() {
    assert_eq!(config(&["-j2", "-j3", "x"]).pace.slots, SlotsSpec::Number(3));
    assert!(!config(&["--tag", "--no-tag", "x"]).report.quiet);
    assert!(config(&["--tag", "--no-tag", "x"]).output.tag.is_none());
    assert!(config(&["--no-tag", "--tag", "x"]).output.tag.is_some());
    assert_eq!(config(&["--lb", "-u", "x"]).output.mode, OutputMode::Ungrouped);
    assert_eq!(config(&["-u", "--line-buffer", "x"]).output.mode, OutputMode::Lines);
    assert_eq!(config(&["--lb", "--group", "x"]).output.mode, OutputMode::Group);
    assert!(config(&["--dry-run=json", "--no-dry-run", "x"]).dry_run.is_none());
    assert_eq!(config(&["--eta", "x"]).report.progress, ProgressMode::Board);
}

#[test]
fn the_web_board_listens_at_the_given_address_and_else_on_this_machine_alone() {
    let listens = |flag: &str| config(&[flag, "x"]).report.web.map(|address| address.to_string());
    assert_eq!(config(&["x"]).report.web, None);
    assert_eq!(listens("--web").unwrap(), "127.0.0.1:0");
    assert_eq!(listens("--web=8080").unwrap(), "127.0.0.1:8080");
    assert_eq!(listens("--web=:8080").unwrap(), "127.0.0.1:8080");
    assert_eq!(listens("--web=localhost:81").unwrap(), "127.0.0.1:81");
    assert_eq!(listens("--web=192.0.2.1").unwrap(), "192.0.2.1:0");
    assert_eq!(listens("--web=[::1]:82").unwrap(), "[::1]:82");
    assert!(error(&["--web=example.org", "x"]).contains("is not an address"));
    assert!(error(&["--web=99999", "x"]).contains("is not an address"));
}

#[test]
fn what_is_not_here_says_so() {
    for flag in ["--jsonl", "--queue=a", "--priority=1", "--jobserver=auto", "--no-record", "--resume=7k2m"] {
        assert!(error(&[flag, "x"]).ends_with("not in this version"), "{flag}");
    }
    for flag in ["--tmux", "--fifo", "-E", "-p", "--rpl=x", "-S", "--sqlmaster=x", "--trc=x", "-i", "-x"] {
        assert!(error(&[flag, "x"]).ends_with("is left out of psmith"), "{flag}");
    }
    for flag in absent::ABSENT {
        // What is left out has a pointer, and what is of a later version promises nothing.
        assert!(!matches!(flag.why, absent::Why::Instead("")), "{}", flag.long);
    }
    for command in table::RESERVED_COMMANDS {
        assert_eq!(error(&[command]), format!("{command}: not in this version"));
    }
    assert_eq!(config(&["rm", "x"]).command.words, ["rm", "x"]);
    assert_eq!(error(&["-L", "2", "x"]), "-L without --pipe is left out of psmith");
    let ignored = ["--will-cite", "--no-notice", "--gnu", "--plus", "--noswap", "-q", "--compress", "x"];
    assert_eq!(config(&ignored).command.words, ["x"]);
}

#[test]
fn other_commands() {
    let parse = |args: &[&str]| parse(args.iter().map(Into::into));
    assert!(matches!(parse(&["doctor", "--json"]), Ok(Invocation::Doctor { json: true })));
    assert!(matches!(parse(&["--generate", "man"]), Ok(Invocation::Man)));
    for kind in help::GENERATED.iter().skip(1) {
        assert!(matches!(parse(&["--generate", kind]), Ok(Invocation::Completions(_))), "{kind}");
    }
    assert!(matches!(
        parse(&["--generate=complete-bash"]),
        Ok(Invocation::Completions(clap_complete::Shell::Bash))
    ));
    assert!(error(&["--generate", "roff"]).contains("is nothing that is known"));
    for program in ["man", "completions"] {
        assert_eq!(config(&[program, "x"]).command.words, [program, "x"]);
    }
    for (args, start) in [
        (&["-V"][..], "psmith "),
        (&["-h"], "Runs a command"),
        (&["--help"], "Runs a command"),
        (&["help"], "Runs a command"),
    ] {
        assert!(matches!(parse(args), Ok(Invocation::Print { text }) if text.starts_with(start)), "{args:?}");
    }
}

#[test]
fn the_help_has_every_heading_and_flag() {
    let help = help::help_text(true);
    for flag in table::FLAGS {
        assert!(help.contains(flag.heading.title()), "{}", flag.heading.title());
        assert!(
            flag.long.is_empty() || flag.long == "h" || help.contains(&format!("--{}", flag.long)),
            "{}",
            flag.long
        );
    }
    assert!(help.contains("{+..}") && !help.contains("--sqlmaster"));
}

#[test]
fn the_parser_holds_together() {
    help::whole_command().debug_assert();
    let mut page = Vec::new();
    crate::manual::man_page(&mut page).unwrap();
    assert!(String::from_utf8(page).unwrap().contains("REPLACEMENT STRINGS"));
    let mut script = Vec::new();
    crate::manual::completions(clap_complete::Shell::Bash, &mut script).unwrap();
    assert!(String::from_utf8(script).unwrap().contains("--keep-order"));
}
