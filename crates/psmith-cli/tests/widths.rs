//! Many slots under every limit of descriptors: each job begins once and ends well, or there is one clear error before
//! the first. And a job that is too large for a message.
//!
//! With `PSMITH_TEST_LONG=1` the whole sweep: soft and hard limits of 16 to 4096, 1 to 2,000 slots, every level of
//! containment.

use std::collections::BTreeSet;

use psmith_testkit::scene;
use psmith_testkit::sweep::{self, LEVELS, Width};

/// A point of the sweep.
#[derive(Clone, Copy, Debug)]
struct Point {
    width: Width,
    level: &'static str,
    forbid: &'static str,
}

/// Runs half as many jobs again as there are slots; the error is what is wrong there.
fn look(point: &Point) -> Result<(), String> {
    let scene = scene!();
    let Width { soft, hard, workers } = point.width;
    let jobs = workers + workers / 2 + 3;
    let script = format!(
        "ulimit -Sn {soft}; ulimit -Hn {hard}; \
         exec \"$PSMITH\" --contain {} -j{workers} sh -c 'echo $0 >> ran; sleep 0.2; echo $0'",
        point.level
    );
    let ended =
        scene.shell(&script).env("PSMITH_FORBID", point.forbid).stdin(psmith_testkit::numbers(jobs)).run();
    let ran = std::fs::read_to_string(scene.path("ran")).unwrap_or_default();
    let lines: Vec<&str> = ran.lines().collect();
    let distinct: BTreeSet<&str> = lines.iter().copied().collect();
    let err = ended.err();
    let told = err.matches("more descriptors than ulimit -n allows").count();
    let jobs = jobs as usize;
    let whole = (distinct.len(), lines.len(), ended.out().lines().count()) == (jobs, jobs, jobs);
    // For one job there is room below 50.
    let refused =
        hard < 50 && ended.code() == 125 && ran.is_empty() && err.matches("psmith: error: ").count() == 1;
    let is_told = told == 1 || (told == 0 && u64::from(workers) * 8 < hard);
    if (ended.code() == 0 && whole && is_told) || refused {
        return Ok(());
    }
    Err(format!("{} of {jobs} jobs begun, {} times: {}: {err}", distinct.len(), lines.len(), ended.code()))
}

// proves: F-39, F-62
#[test]
fn each_job_begins_once_or_there_is_one_clear_error() {
    let mut points = Vec::new();
    for width in sweep::widths(&[(16, 512, 40), (24, 4096, 60), (40, 40, 20), (20, 20, 2)]) {
        points.extend(LEVELS.map(|(level, forbid)| Point { width, level, forbid }));
    }
    sweep::assert_all(points, look);
}

// The warden broke the connection over it, and its end took all others along.
// proves: F-64
#[test]
fn a_job_too_large_for_a_message_fails_alone() {
    let scene = scene!();
    // Jobs of 180 words; only the first one's are long.
    let input = format!("{}\nx\n", "w".repeat(100_000));
    let words = ["-j2", "-k", "sh", "-c", "echo $#"].into_iter().chain(std::iter::repeat_n("{}", 180));
    let ended = scene.psmith(words).stdin(input).run();
    ended.assert_code(1).assert_out("179\n");
    ended.assert_err_has("bytes together, more than the limit of ");
}
