//! Tests of flags, once they are resolved. Nothing is opened or started here.

use super::*;
use crate::flags::tests::{config, error};

#[test]
fn records_by_the_look_of_their_path() {
    let results = |path: &str| config(&["--results", path, "x"]).records.results.unwrap();
    assert_eq!(results("a.jsonl"), ResultsPlace::JsonLines("a.jsonl".into()));
    assert_eq!(results("a.json"), ResultsPlace::JsonLines("a.json".into()));
    assert_eq!(results("a.csv"), ResultsPlace::Csv("a.csv".into()));
    assert_eq!(results("out/{/.}.txt"), ResultsPlace::Files("out/{/.}.txt".into()));
    assert_eq!(results("out"), ResultsPlace::Directory("out".into()));
    let joblog = |args: &[&str]| config(args).records.joblog.unwrap();
    assert_eq!(joblog(&["--joblog", "f", "x"]), Joblog { path: "f".into(), append: false });
    assert_eq!(joblog(&["--joblog", "+f", "x"]), Joblog { path: "f".into(), append: true });
    assert_eq!(joblog(&["--joblog", "f", "--resume", "x"]), Joblog { path: "f".into(), append: true });
    let events = |to: &str| config(&["--events", to, "x"]).records.events.unwrap();
    assert_eq!(events("3"), EventsTo::Descriptor(3));
    assert_eq!(events("./3"), EventsTo::File("./3".into()));
    assert_eq!(error(&["--events", "1", "x"]), "--events: descriptor 1 is not 3 or above");
    assert_eq!(error(&["--events-output", "x"]), "--events-output needs --events");
}

#[test]
fn resuming_needs_a_joblog() {
    assert_eq!(config(&["--joblog", "f", "--resume", "x"]).resume, Some(ResumeMode::Resume));
    assert_eq!(config(&["--joblog", "f", "--resume-failed", "x"]).resume, Some(ResumeMode::ResumeFailed));
    assert_eq!(config(&["x"]).resume, None);
    assert_eq!(error(&["--resume", "x"]), "--resume without --joblog: not in this version");
}

#[test]
fn pace_and_policy() {
    let config = config(&[
        "--delay",
        "1",
        "--rate",
        "2/s",
        "--load",
        "80%",
        "--memfree",
        "1G",
        "--nice",
        "-5",
        "--retries",
        "0",
        "--leak",
        "wait",
        "--slow",
        "0",
        "x",
    ]);
    assert_eq!(config.pace.start_gap, Duration::from_secs(1));
    assert_eq!(config.pace.load, Some(Load::Percent(80.0)));
    assert_eq!((config.pace.memfree, config.pace.nice), (Some(1 << 30), -5));
    assert_eq!((config.policy.tries, config.slow), (0, None));
    assert_eq!(config.policy.leak, psmith_core::policy::Leak::Wait);
    assert_eq!(self::config(&["-j9", "--tty", "x"]).pace.slots, SlotsSpec::Number(1));
}

#[test]
fn contradictions_are_refused() {
    assert_eq!(error(&["--stdin", "inherit", "x"]), "--stdin inherit: stdin is where the inputs come from");
    assert_eq!(config(&["--stdin", "inherit", "x", ":::", "a"]).stdin, StdinMode::Inherit);
    assert_eq!(error(&["-s", "echo", "{}", ":::", "a"]), "-s takes one word, the script, not 2");
    assert_eq!(error(&["--shell", "fish", "-s", "x"]), "--shell: 'fish' is not of the sh family");
    assert_eq!(error(&["x", "::::", "-", "-"]), "stdin is named twice as a source");
    assert_eq!(error(&["x", "::::"]), ":::: names no file");
    assert_eq!(error(&["x", ":::+", "a"]), "the first source has none before it to be zipped with");
    assert_eq!(error(&["--csv", "-0", "x"]), "--csv knows where its records end");
    assert_eq!(error(&["--contain", "jail", "x"]), "--contain: 'jail' is none of its words");
    assert_eq!(error(&["-C", "(", "x"]), "--colsep: '(' is not a regular expression");
}
