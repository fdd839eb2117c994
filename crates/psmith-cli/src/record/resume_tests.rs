//! Tests of resuming: the jobs that an earlier run has done, by its joblog.

use std::path::PathBuf;

use super::*;

fn row(seq: u64, exitval: i32, command: &str) -> String {
    format!("{seq}\t:\t1767225600.000\t     0.001\t0\t2\t{exitval}\t0\t{command}\n")
}

struct Log(tempfile::TempDir);

impl Log {
    fn of(text: &str) -> Log {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("jobs.log"), text).unwrap();
        Log(dir)
    }
    fn path(&self) -> PathBuf {
        self.0.path().join("jobs.log")
    }
    fn read(&self, mode: ResumeMode) -> ResumeSet {
        ResumeSet::read(&self.path(), mode, Identity::Text, b"").unwrap()
    }
}

fn skips(set: &mut ResumeSet, commands: &[&str]) -> Vec<bool> {
    commands.iter().map(|command| set.should_skip(1, command.as_bytes())).collect()
}

#[test]
fn a_row_costs_24_bytes() {
    assert_eq!(BYTES_PER_ROW, 24);
    let log = Log::of(&(1..=100).map(|seq| row(seq, 0, &format!("echo {seq}"))).collect::<String>());
    assert_eq!(log.read(ResumeMode::Resume).done.capacity(), 100);
}

#[test]
fn jobs_with_a_row_are_skipped_wherever_they_stand_now() {
    let log = Log::of(&[row(1, 0, "echo a"), row(2, 1, "echo b")].concat());
    let mut set = log.read(ResumeMode::Resume);
    assert_eq!(skips(&mut set, &["echo c", "echo b", "echo a"]), [false, true, true]);
    assert_eq!(set.unmatched(), 0);
}

#[test]
fn a_command_given_twice_is_skipped_as_often_as_it_has_rows() {
    let log = Log::of(&[row(1, 0, "echo a"), row(3, 0, "echo a")].concat());
    let mut set = log.read(ResumeMode::Resume);
    assert_eq!(skips(&mut set, &["echo a", "echo a", "echo a"]), [true, true, false]);
}

#[test]
fn resume_failed_goes_by_the_last_row() {
    let text = [
        row(1, 0, "echo a"),
        row(2, 1, "echo b"),
        row(3, -1, "echo c"),
        row(4, 0, "echo d"),
        row(2, 0, "echo b"),
        row(4, 7, "echo d"),
    ]
    .concat();
    let mut set = Log::of(&text).read(ResumeMode::ResumeFailed);
    assert_eq!(skips(&mut set, &["echo a", "echo b", "echo c", "echo d"]), [true, true, false, false]);
    assert_eq!(set.rows(), 6);
}

#[test]
fn resume_failed_runs_as_many_twins_as_failed() {
    let text = [row(1, 0, "echo a"), row(2, 1, "echo a"), row(3, 0, "echo a")].concat();
    let mut set = Log::of(&text).read(ResumeMode::ResumeFailed);
    assert_eq!(skips(&mut set, &["echo a", "echo a", "echo a"]), [true, true, false]);
}

#[test]
fn a_job_ended_by_a_signal_has_not_succeeded() {
    let text = "1\t:\t1.000\t     0.001\t0\t0\t0\t9\techo a\n";
    assert!(!Log::of(text).read(ResumeMode::ResumeFailed).should_skip(1, b"echo a"));
    assert!(Log::of(text).read(ResumeMode::Resume).should_skip(1, b"echo a"));
}

#[test]
fn rows_that_match_nothing_are_counted() {
    let mut set = Log::of(&[row(1, 0, "echo a"), row(2, 0, "echo b")].concat()).read(ResumeMode::Resume);
    assert_eq!(skips(&mut set, &["echo b", "echo x"]), [true, false]);
    assert_eq!(set.unmatched(), 1);
}

#[test]
fn joblogs_of_gnu_parallel_are_read() {
    // Written by GNU parallel 20221122: header, a command with a TAB, one that continues in a second line.
    let text = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n\
        1\t:\t1795329422.644\t     0.000\t0\t4\t0\t0\tprintf \"%s\\n\" 'a\tb'\n\
        2\tserver\t1795329417.273\t     1.867\t0\t0\t-1\t15\tsleep 5\n\
        3\t:\t1795329418.000\t     0.001\t0\t0\t0\t0\techo 'a\nb'\n";
    let log = Log::of(text);
    let mut set = log.read(ResumeMode::ResumeFailed);
    assert_eq!(set.rows(), 3);
    assert_eq!(skips(&mut set, &["printf \"%s\\n\" 'a\tb'", "sleep 5"]), [true, false]);
    assert!(!set.torn());
}

#[test]
fn a_torn_last_row_does_not_count_whatever_is_left_of_it() {
    let whole = [row(1, 0, "echo 1"), row(2, 0, "echo 10")].concat();
    let first = row(1, 0, "echo 1").len();
    for length in first..whole.len() {
        let mut set = Log::of(&whole[..length]).read(ResumeMode::Resume);
        assert_eq!(set.torn(), length > first);
        assert_eq!(
            skips(&mut set, &["echo 1", "echo 1", "echo 10"]),
            [true, false, false],
            "cut at {length}"
        );
    }
}

#[test]
fn rubbish_is_no_row() {
    let set = Log::of("\n\0\u{1}\t\t\t\n-1\t:\tx\t\t\t\t\t\t\nnot a log\n").read(ResumeMode::Resume);
    assert_eq!(set.rows(), 0);
}

#[test]
fn a_joblog_that_is_not_there_is_empty() {
    let set =
        ResumeSet::read(Path::new("/nodir/jobs.log"), ResumeMode::Resume, Identity::Text, b"echo").unwrap();
    assert_eq!(set.rows(), 0);
}

#[test]
fn a_joblog_of_another_command_is_refused() {
    let log = Log::of(&[row(1, 0, "gzip -1 a"), row(2, 0, "gzip -1 b")].concat());
    let refusal =
        |start: &[u8]| ResumeSet::read(&log.path(), ResumeMode::Resume, Identity::Text, start).unwrap_err();
    let error = refusal(b"convert ");
    let file = log.path();
    let file = file.display();
    assert_eq!(error.kind(), RecordErrorKind::OtherCommand);
    assert_eq!(
        error.to_string(),
        format!("{file} is of another command: its rows begin 'gzip', this one 'convert'")
    );
    assert_eq!(error.hint(), Some(format!("another --joblog, or +{file} to append").as_str()));
    assert_eq!(
        refusal(b"gzip -9 ").to_string(),
        format!("{file} is of another command: its rows begin 'gzip -1', this one 'gzip -9'")
    );
    ResumeSet::read(&log.path(), ResumeMode::Resume, Identity::Text, b"gzip ").unwrap();
    ResumeSet::read(&log.path(), ResumeMode::Resume, Identity::Text, b"").unwrap();
}

fn in_slots(log: &Log, mode: ResumeMode) -> ResumeSet {
    ResumeSet::read(&log.path(), mode, Identity::TextInSlot, b"").unwrap()
}

#[test]
fn where_the_text_depends_on_the_slot_the_position_counts_too() {
    let log = Log::of(&[row(1, 0, "echo 1 a"), row(2, 0, "echo 2 b"), row(11, 0, "echo 111")].concat());
    let mut set = in_slots(&log, ResumeMode::Resume);
    assert!(!set.should_skip(2, b"echo 1 b"), "not the slot that it had");
    assert!(set.should_skip(2, b"echo 2 b"));
    assert!(!set.should_skip(2, b"echo 2 b"), "one row, one job");
    // `echo {%}{}`: 1 in slot 11 is not 11 in slot 1.
    assert!(!set.should_skip(1, b"echo 111"));
    assert!(set.should_skip(11, b"echo 111"));
    assert_eq!((set.may_skip(1), set.may_skip(3)), (true, false));
    assert_eq!(set.unmatched(), 1);
}

#[test]
fn the_last_row_of_a_position_counts_whatever_its_slot() {
    let rows = [row(1, 0, "echo 1 a"), row(2, 1, "echo 2 b"), row(1, 1, "echo 2 a"), row(2, 0, "echo 1 b")];
    let mut set = in_slots(&Log::of(&rows.concat()), ResumeMode::ResumeFailed);
    assert!(!set.should_skip(1, b"echo 1 a") && !set.should_skip(1, b"echo 2 a"), "it failed at last");
    assert!(!set.should_skip(2, b"echo 2 b") && set.should_skip(2, b"echo 1 b"), "it succeeded at last");
}
