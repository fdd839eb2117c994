//! The records of a run: events and joblog. Fails loudly on anything that is not their format.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scene::OUTER_LIMIT;

/// The events of a run, one JSON object a line.
#[derive(Clone, Debug)]
pub struct RecordedEvents(Vec<Value>);

impl RecordedEvents {
    /// Parses a file's text and checks the four common fields of each line.
    ///
    /// # Panics
    /// If a line is no event.
    #[must_use]
    #[track_caller]
    pub fn parse(text: &str) -> RecordedEvents {
        assert!(text.is_empty() || text.ends_with('\n'), "the last event is torn: {text:?}");
        let events: Vec<Value> = text
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in event {line:?}"))
            })
            .collect();
        for event in &events {
            assert_eq!(event["v"], 1, "version of {event}");
            assert!(event["t"].is_f64(), "time of {event}");
            assert!(event["run"].is_string(), "run of {event}");
            assert!(event["event"].is_string(), "name of {event}");
        }
        RecordedEvents(events)
    }

    /// Waits until a run that still goes on has written this event `count` times; a thread of its own writes the
    /// events.
    ///
    /// # Panics
    /// If it does not within the outer limit.
    #[must_use]
    #[track_caller]
    pub fn wait_for(path: &Path, name: &str, count: usize) -> RecordedEvents {
        let deadline = Instant::now() + OUTER_LIMIT;
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            // The last line may be incomplete.
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            let events = RecordedEvents::parse(&text[..whole]);
            if events.named(name).len() >= count {
                return events;
            }
            assert!(Instant::now() < deadline, "{count} of {name} never come: {text}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Returns the events of one name, in order.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<&Value> {
        self.0.iter().filter(|event| event["event"] == name).collect()
    }

    /// Returns the `job_end` of one job.
    ///
    /// # Panics
    /// If there is not exactly one.
    #[must_use]
    #[track_caller]
    pub fn end_of(&self, job: u64) -> &Value {
        let ends: Vec<&Value> =
            self.named("job_end").into_iter().filter(|event| event["job"] == job).collect();
        assert_eq!(ends.len(), 1, "job {job} has exactly one end: {ends:?}");
        ends[0]
    }

    /// Returns the `run_end`.
    ///
    /// # Panics
    /// If it is not the one last event.
    #[must_use]
    #[track_caller]
    pub fn run_end(&self) -> &Value {
        assert_eq!(self.named("run_end").len(), 1, "one run_end: {:?}", self.0);
        let last = self.0.last().expect("one event at least");
        assert_eq!(last["event"], "run_end", "run_end is last");
        last
    }

    /// Asserts the rules of every finished run: each job started has one end, after its start, and the totals agree.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn assert_whole(&self) {
        let mut started = std::collections::BTreeSet::new();
        let mut ended = std::collections::BTreeMap::new();
        for event in &self.0 {
            let job = event["job"].as_u64();
            match event["event"].as_str() {
                Some("job_start") => {
                    let job = job.expect("a start names its job");
                    assert!(!ended.contains_key(&job), "job {job} started after its end");
                    started.insert(job);
                }
                Some("job_end") => {
                    let job = job.expect("an end names its job");
                    let status = event["status"].as_str().expect("an end has a status").to_owned();
                    assert_eq!(
                        status == "ok",
                        event["cause"].is_null(),
                        "cause is null exactly if ok: {event}"
                    );
                    assert!(ended.insert(job, status).is_none(), "job {job} ended twice");
                }
                _ => {}
            }
        }
        for job in &started {
            assert!(ended.contains_key(job), "job {job} started and never ended");
        }
        let end = self.run_end();
        for (field, status) in [("ok", "ok"), ("failed", "failed")] {
            let count = ended.values().filter(|value| *value == status).count() as u64;
            assert_eq!(end[field], count, "{field} in {end}");
        }
    }
}

/// The header of a joblog, as GNU parallel writes it.
pub const JOBLOG_HEADER: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand";

/// A row of a joblog.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedRow {
    /// Job number.
    pub seq: u64,
    /// Bytes on stdout.
    pub receive: u64,
    /// The code, 0 with a signal, -1 if psmith killed it, -2 if skipped.
    pub exitval: i32,
    /// The signal it died from, or 0.
    pub signal: i32,
    /// The command, quoted.
    pub command: String,
}

/// Parses a joblog and checks its form, byte for byte where the form is fixed.
///
/// # Panics
/// If it has another form.
#[must_use]
#[track_caller]
pub fn joblog(text: &str) -> Vec<RecordedRow> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(JOBLOG_HEADER), "the header of {text:?}");
    assert!(text.ends_with('\n'), "the last row is torn: {text:?}");
    lines
        .map(|line| {
            let fields: Vec<&str> = line.splitn(9, '\t').collect();
            assert_eq!(fields.len(), 9, "nine columns: {line:?}");
            assert_eq!(fields[1], ":", "host: {line:?}");
            let (_, millis) = fields[2].split_once('.').unwrap_or_else(|| panic!("start time: {line:?}"));
            assert_eq!(millis.len(), 3, "start time with three decimals: {line:?}");
            assert!(fields[3].len() >= 10, "run time is %10.3f: {line:?}");
            assert_eq!(fields[4], "0", "send: {line:?}");
            let number = |index: usize| -> i64 {
                fields[index].parse().unwrap_or_else(|_| panic!("column {} of {line:?}", index + 1))
            };
            RecordedRow {
                seq: number(0).unsigned_abs(),
                receive: number(5).unsigned_abs(),
                exitval: i32::try_from(number(6)).expect("an exit value fits"),
                signal: i32::try_from(number(7)).expect("a signal fits"),
                command: fields[8].to_owned(),
            }
        })
        .collect()
}
