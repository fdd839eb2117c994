//! Tests of joblogs: the rows, byte for byte, and the treatment of a torn or busy file.

use std::fs;
use std::time::Duration;

use psmith_core::outcome::{Cause, LimitKind, SpawnFailure, SpawnStep};

use super::*;
use crate::record::sample;

const HEAD: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

fn log_of(causes: &[Option<Cause>]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.log");
    let mut log = JobLog::open(&path, JobLogMode::Replace).unwrap();
    for (job, cause) in (1..).zip(causes) {
        let outcome = cause.clone().map_or_else(sample::succeeded, sample::failed);
        log.append(&sample::record(job, &outcome, b"gzip 'a b'")).unwrap();
    }
    log.finish().unwrap();
    fs::read_to_string(&path).unwrap()
}

fn spawn(step: SpawnStep, errno: i32) -> Option<Cause> {
    Some(Cause::SpawnFailed(SpawnFailure { step, errno, detail: String::new(), permanent: false }))
}

#[test]
fn rows_are_byte_for_byte_those_of_gnu_parallel() {
    // `sleep 5` under `--timeout 1` as GNU parallel 20221122 writes it, but for the times:
    assert_eq!(
        log_of(&[Some(Cause::Timeout(Duration::from_secs(1)))]),
        format!("{HEAD}1\t:\t1767225600.250\t     1.867\t0\t3\t-1\t15\tgzip 'a b'\n")
    );
}

#[test]
fn exitval_and_signal_tell_how_a_job_ended() {
    let log = log_of(&[
        None,
        Some(Cause::Exit(200)),
        Some(Cause::Signal { signal: 9, core_dumped: false }),
        Some(Cause::OutOfMemory { limit_bytes: Some(1), kills: 1 }),
        Some(Cause::Limit(LimitKind::Processes(3))),
        Some(Cause::Leaked(1)),
        Some(Cause::Lost),
        Some(Cause::Cancelled),
        spawn(SpawnStep::Lookup, 2),
        spawn(SpawnStep::Lookup, 13),
        spawn(SpawnStep::Exec, 13),
        spawn(SpawnStep::Exec, 2),
        spawn(SpawnStep::WorkingDirectory, 2),
        spawn(SpawnStep::Prepare, 0),
    ]);
    let columns: Vec<(&str, &str, &str)> = log
        .lines()
        .skip(1)
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            (columns[0], columns[6], columns[7])
        })
        .collect();
    assert_eq!(
        columns,
        [
            ("1", "0", "0"),
            ("2", "200", "0"),
            ("3", "0", "9"),
            ("4", "-1", "9"),
            ("5", "-1", "0"),
            ("6", "-1", "0"),
            ("7", "-1", "0"),
            // 8 was cancelled
            ("9", "127", "0"),
            ("10", "126", "0"),
            ("11", "126", "0"),
            ("12", "127", "0"),
            ("13", "126", "0"),
            ("14", "126", "0"),
        ]
    );
}

#[test]
fn second_run_on_a_joblog_is_refused_and_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.log");
    let outcome = sample::succeeded();
    let mut first = JobLog::open(&path, JobLogMode::Replace).unwrap();
    first.append(&sample::record(1, &outcome, b"true")).unwrap();
    first.tick(Time::ZERO).unwrap();
    let before = fs::read(&path).unwrap();
    for mode in [JobLogMode::Replace, JobLogMode::Append] {
        let refused = JobLog::open(&path, mode).unwrap_err();
        assert_eq!(refused.kind(), RecordErrorKind::InUse);
        assert_eq!(refused.to_string(), format!("{} is in use by another run", path.display()));
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    first.finish().unwrap();
    JobLog::open(&path, JobLogMode::Append).unwrap();
}

#[test]
fn append_keeps_rows_and_replace_drops_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.log");
    let outcome = sample::succeeded();
    for (mode, rows) in [(JobLogMode::Replace, 1), (JobLogMode::Append, 2), (JobLogMode::Replace, 1)] {
        let mut log = JobLog::open(&path, mode).unwrap();
        log.append(&sample::record(1, &outcome, b"true")).unwrap();
        log.finish().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(HEAD));
        assert_eq!(text.lines().count(), 1 + rows, "{mode:?}: {text}");
    }
}

#[test]
fn joblog_cut_at_any_byte_goes_on_with_whole_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.log");
    let whole = format!(
        "{HEAD}1\t:\t1.000\t     0.001\t0\t0\t0\t0\techo 1\n2\t:\t1.000\t     0.001\t0\t0\t0\t0\techo 10\n"
    );
    let outcome = sample::succeeded();
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let mut log = JobLog::open(&path, JobLogMode::Append).unwrap();
        log.append(&sample::record(3, &outcome, b"echo 3")).unwrap();
        log.finish().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let commands: Vec<&[u8]> =
            text.lines().filter_map(|line| parse_row(line.as_bytes())).map(|row| row.command).collect();
        let kept = whole[..length].matches('\n').count().saturating_sub(1);
        let mut expected: Vec<&[u8]> = [b"echo 1".as_slice(), b"echo 10"][..kept].to_vec();
        expected.push(b"echo 3");
        assert_eq!(commands, expected, "cut at {length}: {text:?}");
    }
}

#[test]
fn rows_reach_the_file_at_each_tick_and_the_disk_each_second() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jobs.log");
    let outcome = sample::succeeded();
    let mut log = JobLog::open(&path, JobLogMode::Replace).unwrap();
    log.tick(Time(SYNC_EVERY)).unwrap();
    assert_eq!(log.next_tick(), None);
    log.append(&sample::record(1, &outcome, b"true")).unwrap();
    let due = log.next_tick().unwrap();
    assert_eq!(due, Time(2 * SYNC_EVERY));
    log.tick(Time(SYNC_EVERY)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    assert_eq!(log.next_tick(), Some(due));
    log.tick(due).unwrap();
    assert_eq!(log.next_tick(), None);
}

#[test]
fn joblog_that_cannot_be_written_names_itself() {
    let nowhere = JobLog::open(Path::new("/nodir/x"), JobLogMode::Replace).unwrap_err();
    assert_eq!(nowhere.kind(), RecordErrorKind::NotWritable);
    assert_eq!(nowhere.to_string(), "cannot write /nodir/x: no such directory");
    let full = JobLog::open(Path::new("/dev/full"), JobLogMode::Replace).unwrap_err();
    assert_eq!(full.to_string(), "cannot write /dev/full: no space left on device");
}

#[test]
fn control_bytes_in_a_command_never_break_a_row() {
    let mut line = Vec::new();
    let outcome = sample::succeeded();
    write_row(&mut line, &sample::record(1, &outcome, b"a\tb\nc"));
    assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert_eq!(parse_row(line.trim_ascii_end()).unwrap().command, b"a b c");
}

#[test]
fn a_pipe_takes_rows_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read_to_string(path).unwrap()
    });
    let mut log = JobLog::open(&path, JobLogMode::Append).unwrap();
    let outcome = sample::succeeded();
    log.append(&sample::record(1, &outcome, b"true")).unwrap();
    log.finish().unwrap();
    assert_eq!(reader.join().unwrap().lines().count(), 2);
}
