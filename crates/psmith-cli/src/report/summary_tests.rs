//! Tests of the summary at the end of a run, word for word.

use psmith_core::outcome::{Cause, Outcome};

use super::super::tally::TallyRules;
use super::*;
use psmith_report::{JobRecord, sample};

fn facts() -> SummaryFacts<'static> {
    SummaryFacts {
        wall: Duration::from_secs(62),
        joblog: None,
        resumed: None,
        leak: Leak::Kill,
        notes: &[],
        columns: 120,
    }
}

fn outcome(verdict: Result<(), Cause>, tries: u32, wall_ms: u64, leaked: u32) -> Outcome {
    let mut outcome = verdict.map_or_else(sample::failed, |()| sample::succeeded());
    (outcome.tries, outcome.attempts) = (tries, tries);
    let last = outcome.last.as_mut().unwrap();
    (last.wall, last.leaked) = (Duration::from_millis(wall_ms), leaked);
    outcome
}

#[test]
fn the_summary_has_the_form_of_the_manual() {
    let mut tally = Tally::new(TallyRules { tries: 3, ..TallyRules::default() });
    let mut on = |job: u64, outcome: &Outcome, command: &str, stderr: &str| {
        let record =
            JobRecord { stderr_tail: stderr.as_bytes(), ..sample::record(job, outcome, command.as_bytes()) };
        tally.on_end(&record);
    };
    let timeout = outcome(Err(Cause::Timeout(Duration::from_secs(10))), 3, 10_000, 0);
    let exit = outcome(Err(Cause::Exit(2)), 3, 432, 0);
    let oom = outcome(Err(Cause::OutOfMemory { limit_bytes: Some(512 << 20), kills: 1 }), 1, 900, 0);
    let quick = outcome(Ok(()), 1, 30, 0);
    on(17, &timeout, "convert scan-017.tif out/scan-017.png", "page 8 of 20\n");
    on(90, &exit, "convert scan-090.tif out/scan-090.png", "scan-090.tif: not a TIFF file\n");
    on(311, &oom, "convert scan-311.tif out/scan-311.png", "");
    for job in [12, 44, 45, 300] {
        on(job, &outcome(Ok(()), 2, 100, 0), "convert", "");
    }
    on(71, &outcome(Ok(()), 1, 100, 1), "convert", "");
    on(5, &outcome(Ok(()), 1, 30_000, 0), "convert", "");
    on(8, &outcome(Ok(()), 1, 11_500, 0), "convert", "");
    for job in 1001..=1989 {
        on(job, &quick, "convert", "");
    }
    tally.add_left(1);
    let facts = SummaryFacts { joblog: Some(Path::new("jobs.log")), ..facts() };
    let text = text(&tally, &facts);
    assert_eq!(
        text,
        "\
psmith: 1000 jobs in 1m02s: 996 ok, 3 failed, 1 left; 4 flaky, 1 leaked
  #17   timeout after 10s, 3 tries   convert scan-017.tif out/scan-017.png
        | page 8 of 20
  #90   exit 2, 3 tries, 0.4s        convert scan-090.tif out/scan-090.png
        | scan-090.tif: not a TIFF file
  #311  oom at 512M, 1 try           convert scan-311.tif out/scan-311.png
  flaky: #12 #44 #45 #300   leaked: #71 (1 process killed)   slowest: #5 30s, #8 11s, #17 10s
  resume: add --resume-failed to the same command (joblog jobs.log)
"
    );
}

#[test]
fn a_run_that_was_stopped_says_what_is_left_and_how_to_go_on() {
    let mut tally = Tally::new(TallyRules::default());
    let ok = outcome(Ok(()), 1, 100, 0);
    let cut_short = outcome(Err(Cause::Cancelled), 0, 100, 0);
    let cut_short = Outcome { attempts: 1, ..cut_short };
    tally.on_end(&sample::record(1, &ok, b"x"));
    tally.on_end(&sample::record(2, &cut_short, b"x"));
    tally.add_left(2);
    let resumed = Some(Resumed { skipped: 12, unmatched: 1 });
    let notes = ["--mem is held for each process, not for the whole job".to_owned()];
    let facts = SummaryFacts { joblog: Some(Path::new("jobs.log")), resumed, notes: &notes, ..facts() };
    assert_eq!(
        text(&tally, &facts),
        "\
psmith: 4 jobs in 1m02s: 1 ok, 1 cancelled, 2 left
  --mem is held for each process, not for the whole job
  resumed: 12 jobs done before, 1 row of the joblog matched no job
  resume: add --resume to the same command (joblog jobs.log)
"
    );
}

#[test]
fn more_than_ten_of_a_kind_are_counted() {
    let mut tally = Tally::new(TallyRules::default());
    for job in 1..=12 {
        tally.on_end(&sample::record(job, &outcome(Err(Cause::Exit(1)), 1, 100, 2), b"false"));
    }
    let text = text(&tally, &facts());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "psmith: 12 jobs in 1m02s: 0 ok, 12 failed; 12 leaked");
    assert_eq!(lines[1], "  #1   exit 1, 0.1s   false");
    assert_eq!(lines[10], "  #10  exit 1, 0.1s   false");
    assert_eq!(lines[11], "  and 2 more");
    assert!(lines[12].starts_with("  leaked: #1 (2 processes killed) #2 (2 processes killed)"));
    assert!(lines[12].ends_with("#10 (2 processes killed) and 2 more"));
    assert_eq!(lines.len(), 13);
}

#[test]
fn what_a_job_said_is_harmless_and_cut_at_the_width() {
    let mut tally = Tally::new(TallyRules::default());
    let failed = outcome(Err(Cause::Exit(1)), 1, 100, 0);
    let record = JobRecord {
        stderr_tail: b"one\ntwo\nthree\n\x1b]52;c;Zm9v\x07 and far too much to fit in here\n\n",
        ..sample::record(1, &failed, b"false with a rather long command")
    };
    tally.on_end(&record);
    assert_eq!(
        text(&tally, &SummaryFacts { columns: 40, ..facts() }),
        "\
psmith: 1 job in 1m02s: 0 ok, 1 failed
  #1  exit 1, 0.1s   false with a rat...
      | two
      | three
      | \\x1b]52;c;Zm9v\\x07 and far to...
"
    );
}

#[test]
fn auto_speaks_when_there_is_something_to_say() {
    let empty = Tally::default();
    let mut failed = Tally::default();
    failed.on_end(&sample::record(1, &outcome(Err(Cause::Exit(1)), 1, 1, 0), b"x"));
    let mut left = Tally::default();
    left.add_left(1);
    assert_eq!(form(SummaryMode::Auto, &empty, false, false), None);
    assert_eq!(form(SummaryMode::Auto, &empty, true, false), Some(SummaryForm::Text));
    assert_eq!(form(SummaryMode::Auto, &failed, false, false), Some(SummaryForm::Text));
    assert_eq!(form(SummaryMode::Auto, &left, false, false), Some(SummaryForm::Text));
    assert_eq!(form(SummaryMode::Auto, &failed, true, true), None);
    assert_eq!(form(SummaryMode::Text, &empty, false, true), Some(SummaryForm::Text));
    assert_eq!(form(SummaryMode::Json, &empty, false, false), Some(SummaryForm::Json));
    assert_eq!(form(SummaryMode::None, &failed, true, false), None);
}
