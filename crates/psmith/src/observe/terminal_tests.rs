//! Golden screens: recorded events of a run, applied and painted on an emulated terminal.

use std::num::NonZeroU16;

use psmith_core::outcome::{Cause, Outcome};

use super::*;
use crate::observe::observer::FinishedJob;
use psmith_board::{Cursor, Painter};
use psmith_engine::handler::AttemptOutput;

/// Step of a record.
enum BoardStep {
    Began(u64, u32, u32),
    Wrote(u64, &'static str),
    Progressed(u64, u64, u64),
    Used(u64, u64, u64),
    Retried(u64),
    Ended(u64, Result<(), Cause>),
}

use BoardStep::{Began, Progressed, Retried, Used, Wrote};

/// Record of a run of five jobs: the second of each step, and the step.
const RECORD: [(u64, BoardStep); 14] = [
    (0, Began(0, 1, 0)),
    (0, Began(1, 1, 1)),
    (1, Wrote(0, "page 1 of 20\n")),
    (2, Used(1, 410 << 20, 1_700)),
    (3, Progressed(1, 3, 8)),
    (4, Wrote(1, "half\r\x1b[31mred\n")),
    (5, BoardStep::Ended(0, Ok(()))),
    (5, Began(2, 1, 0)),
    (9, Retried(2)),
    (9, Began(3, 1, 0)),
    (10, BoardStep::Ended(3, Err(Cause::Exit(7)))),
    (11, Began(2, 2, 0)),
    (12, Used(2, 980 << 10, 10)),
    (60, Wrote(2, "again")),
];

fn at(seconds: u64) -> Time {
    Time(Duration::from_secs(seconds))
}

fn job(index: u64, slot: u32) -> JobRef {
    let label = (index != 3).then(|| format!("scan-{index:03}.tif"));
    JobRef { index, label, slot, pid: 1000 + u32::try_from(index).unwrap(), name: None, input: None }
}

/// Applies the record up to this second.
fn state_at(until: u64) -> BoardJobsState {
    let mut state = BoardJobsState::new();
    let run = state.begin(Some(5));
    for (second, step) in RECORD.iter().take_while(|(second, _)| *second <= until) {
        let now = at(*second);
        match step {
            Began(index, attempt, slot) => {
                state.on_event(run, &ObserverEvent::Began(&job(*index, *slot), *attempt), now);
            }
            Wrote(index, text) => state.on_event(run, &ObserverEvent::Wrote(*index, text.as_bytes()), now),
            Progressed(index, done, target) => {
                state.on_event(run, &ObserverEvent::Progressed(*index, *done, *target), now);
            }
            Used(index, memory_bytes, cpu_ms) => {
                let of = state.jobs[&(run, *index)].id;
                state.on_used(of, *memory_bytes, Duration::from_millis(*cpu_ms), now);
            }
            Retried(index) => state.on_event(run, &ObserverEvent::Retried(*index), now),
            BoardStep::Ended(index, verdict) => {
                let outcome = Outcome {
                    verdict: verdict.clone(),
                    attempts: 1,
                    tries: 1,
                    last: None,
                    quarantined: false,
                    earlier: Vec::new(),
                };
                let (job, output) = (job(*index, 0), AttemptOutput::default());
                state.on_event(
                    run,
                    &ObserverEvent::Ended(FinishedJob {
                        job: &job,
                        outcome: &outcome,
                        refused: None,
                        output: &output,
                    }),
                    now,
                );
            }
        }
    }
    state
}

/// Returns the contents of a screen of this size at this second.
fn screen(second: u64, columns: u16, rows: u16, rows_max: usize) -> Vec<String> {
    let mut state = state_at(second);
    state.rows_max = rows_max;
    let size = Size { columns: columns.into(), rows: rows.into() };
    let room = size.board_rows();
    let layout = state.layout(size.columns, room).0;
    let lines = state.lines(size.columns, room, layout, at(second));
    let of = |number| NonZeroU16::new(number).unwrap();
    let mut terminal = vt100::Parser::new(of(rows), of(columns), 0);
    terminal.process(Painter::new(false).paint(&lines, size, Cursor::Margin).as_bytes());
    terminal.screen().contents().lines().map(str::to_owned).collect()
}

// proves: live-board: golden screens from recorded events
#[test]
fn recorded_events_give_the_same_screens() {
    assert_eq!(
        screen(4, 80, 24, 8),
        [
            "  slot  job   try   time    rss   cpu   last line",
            "     1  #1      1     4s      -     -   scan-000.tif: page 1 of 20",
            "     2  #2      1     4s   410M   85%   scan-001.tif: 3/8  \\x1b[31mred",
            " 0/5  ok 0  running 2",
        ]
    );
    // A job between its attempts has no row.
    assert_eq!(
        screen(9, 80, 24, 8),
        [
            "  slot  job   try   time    rss   cpu   last line",
            "     2  #2      1     9s   410M   85%   scan-001.tif: 3/8  \\x1b[31mred",
            "     1  #4      1     0s      -     -   job #4",
            " 1/5  ok 1  running 2  7/min  eta 36s",
        ]
    );
    assert_eq!(
        screen(60, 80, 24, 8),
        [
            "  slot  job   try   time    rss   cpu   last line",
            "     2  #2      1  1m00s   410M   85%   scan-001.tif: 3/8  \\x1b[31mred",
            "     1  #3      2    49s   980K    1%   scan-002.tif: again",
            " 2/5  ok 1  failed 1  running 2",
        ]
    );
}

// proves: live-board: no more rows than the screen has, or than were asked for, the longest running first
#[test]
fn rows_are_bounded_by_the_screen() {
    assert_eq!(screen(4, 40, 3, 8), [" ... and 2 more", " 0/5  ok 0  running 2"]);
    assert_eq!(
        screen(4, 50, 24, 1),
        ["  slot  job    time   last line", " ... and 2 more", " 0/5  ok 0  running 2"][1..]
    );
    assert_eq!(screen(4, 40, 24, 0), [" 0/5  ok 0  running 2"]);
    assert_eq!(screen(4, 12, 1, 8), [" 0/5  ok ..."]);
}

// proves: live-board: the same record as data
#[test]
fn recorded_events_give_the_same_snapshot() {
    let snapshot = state_at(9).snapshot(at(9));
    assert_eq!(
        snapshot.to_json(),
        concat!(
            r#"{"elapsed_ms":9000,"total":5,"ok":1,"flaky":0,"failed":0,"cancelled":0,"jobs":["#,
            r#"{"job":2,"label":"scan-001.tif","phase":"running","attempt":1,"slot":2,"pid":1001,"elapsed_ms":9000,"#,
            r#""memory_bytes":429916160,"cpu_ms":1700,"progress":[3,8],"message":"\\x1b[31mred"},"#,
            r##"{"job":4,"label":"job #4","phase":"running","attempt":1,"slot":1,"pid":1003,"elapsed_ms":0,"##,
            r#""memory_bytes":null,"cpu_ms":null,"progress":null,"message":""},"#,
            r#"{"job":3,"label":"scan-002.tif","phase":"waiting","attempt":1,"slot":null,"pid":null,"#,
            r#""elapsed_ms":null,"memory_bytes":null,"cpu_ms":null,"progress":null,"message":""}]}"#,
        )
    );
    assert_eq!(serde_json::from_str::<Snapshot>(&snapshot.to_json()).unwrap(), snapshot);
}

#[test]
fn the_time_of_a_process_that_served_others_is_not_the_jobs() {
    let mut state = BoardJobsState::new();
    let run = state.begin(None);
    let mut of = job(0, 0);
    state.on_event(run, &ObserverEvent::Began(&of, 1), at(0));
    of.index = 1;
    state.on_event(run, &ObserverEvent::Began(&of, 1), at(10));
    for (second, seconds_of_cpu) in [(11, 10), (12, 11)] {
        state.on_used(JobId(2), 1, Duration::from_secs(seconds_of_cpu), at(second));
    }
    let row = state.board.get(JobId(2)).unwrap();
    assert_eq!((row.cpu, row.cpu_percent), (Some(Duration::from_secs(1)), Some(100)));
}

// A run that is given up leaves no rows behind, and none of another run's goes.
#[test]
fn a_run_that_is_over_leaves_no_rows() {
    let mut state = BoardJobsState::new();
    let (first, second) = (state.begin(Some(1)), state.begin(None));
    state.on_event(first, &ObserverEvent::Began(&job(0, 0), 1), at(0));
    state.on_event(second, &ObserverEvent::Began(&job(0, 0), 1), at(0));
    state.end(first, at(1));
    let now = state.snapshot(at(1));
    assert_eq!((now.jobs.len(), now.jobs[0].job, now.cancelled, now.total), (1, 2, 1, None));
}
