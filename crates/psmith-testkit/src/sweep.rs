//! Sweeps of many points, each in a process of its own: a sample in CI, all of them with `PSMITH_TEST_LONG=1`.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

/// The limits of descriptors in a sweep.
const LIMITS: [u64; 9] = [16, 32, 48, 64, 128, 240, 512, 1024, 4096];

/// The numbers of workers in a sweep.
const WIDTHS: [u32; 6] = [1, 16, 64, 300, 600, 2000];

/// The points that are looked at, at the same time.
const AT_ONCE: usize = 4;

/// A level of containment with the facilities that must be taken away (`PSMITH_FORBID`), so that it is no better one.
pub const LEVELS: [(&str, &str); 4] =
    [("cgroup", ""), ("keeper", "cgroup"), ("sweep", "cgroup"), ("group", "cgroup,subreaper")];

/// A number of workers, and what their host may open.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    /// The soft limit of descriptors.
    pub soft: u64,
    /// The hard limit of descriptors.
    pub hard: u64,
    /// The number of workers asked for.
    pub workers: u32,
}

/// Returns whether the whole sweep is asked for.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os("PSMITH_TEST_LONG").is_some_and(|value| value == "1")
}

/// Returns these widths, or in the whole sweep all.
#[must_use]
pub fn widths(sample: &[(u64, u64, u32)]) -> Vec<Width> {
    if !is_long() {
        return sample.iter().map(|&(soft, hard, workers)| Width { soft, hard, workers }).collect();
    }
    let mut widths = Vec::new();
    for soft in LIMITS {
        for hard in LIMITS.into_iter().filter(|hard| *hard >= soft) {
            widths.extend(WIDTHS.map(|workers| Width { soft, hard, workers }));
        }
    }
    widths
}

/// Looks at each point.
///
/// # Panics
/// If `look` says that something is wrong at one of them: with all of these.
pub fn assert_all<P: Debug + Send>(points: Vec<P>, look: impl Fn(&P) -> Result<(), String> + Sync) {
    let count = points.len();
    let left = Mutex::new(points);
    let wrong = Mutex::new(Vec::new());
    let look_on = || {
        while let Some(point) = { left.lock().unwrap_or_else(PoisonError::into_inner).pop() } {
            if let Err(trouble) = look(&point) {
                let trouble = format!("{point:?}: {trouble}");
                println!("{trouble}");
                wrong.lock().unwrap_or_else(PoisonError::into_inner).push(trouble);
            }
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(look_on))));
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(wrong.is_empty(), "{} of {count} points:\n{}", wrong.len(), wrong.join("\n"));
}
