//! The leak check, which compares what a test leaves behind with what was there before. Taken at the start of every
//! test that starts processes, checked when it goes out of scope.
//!
//! A process is found by a nonce in its environment, which every descendant inherits; one that was started
//! with a cleared environment is found by the file in which it wrote its pid. The check never kills first and
//! asks later: it waits a bounded time for what goes away asynchronously, names what is left, and only then
//! kills it, so that one failing test does not disturb the next.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::proc;

/// The variable that marks every process of a test.
pub const NONCE: &str = "PSMITH_TEST_NONCE";

/// The time that things may take to vanish after their end was promised. P-4 names one second; a loaded machine gets
/// more, because the suite asserts order and the times are measured elsewhere.
pub const SETTLE: Duration = Duration::from_secs(5);

/// Tests that compare the whole process (descriptors, threads, children) must be alone in it.
static ALONE: RwLock<()> = RwLock::new(());

#[expect(dead_code, reason = "held for the time it locks")]
enum Hold {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// The fixture: what was there at the start, compared at the end.
pub struct LeakGuard {
    nonce: String,
    groups: BTreeSet<PathBuf>,
    own: Option<OwnProcess>,
    empty_dirs: Vec<PathBuf>,
    pid_files: Vec<PathBuf>,
    hosts: Vec<i32>,
    settle: Duration,
    checked: bool,
    _hold: Hold,
}

struct OwnProcess {
    descriptors: Vec<(i32, String)>,
    threads: BTreeSet<i32>,
    children: BTreeSet<i32>,
    thread_name: String,
}

impl LeakGuard {
    /// Creates a guard for tests that run commands: processes with this guard's nonce, control groups, files.
    #[must_use]
    pub fn new() -> LeakGuard {
        LeakGuard::with(Hold::Shared(ALONE.read().unwrap_or_else(PoisonError::into_inner)), false)
    }

    /// Creates a guard for tests that use the library in this very process: also its descriptors, threads and
    /// children. No other guarded test runs in this process meanwhile.
    #[must_use]
    pub fn alone() -> LeakGuard {
        LeakGuard::with(Hold::Alone(ALONE.write().unwrap_or_else(PoisonError::into_inner)), true)
    }

    fn with(hold: Hold, alone: bool) -> LeakGuard {
        let mut random = [0_u8; 12];
        fs::File::open("/dev/urandom")
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut random))
            .expect("/dev/urandom gives bytes");
        LeakGuard {
            nonce: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            groups: psmith_groups(),
            own: alone.then(OwnProcess::now),
            empty_dirs: Vec::new(),
            pid_files: Vec::new(),
            hosts: Vec::new(),
            settle: SETTLE,
            checked: false,
            _hold: hold,
        }
    }

    /// Returns the value of [`NONCE`] for the processes of this test.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Returns `NAME=VALUE`, as it stands in the environment of this test's processes.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{NONCE}={}", self.nonce)
    }

    /// Returns the live processes of this test.
    #[must_use]
    pub fn survivors(&self) -> Vec<i32> {
        let mut found = proc::with_environment(&self.mark());
        for file in &self.pid_files {
            found.extend(
                pids_in_file(file)
                    .into_iter()
                    .filter(|(pid, start)| {
                        proc::is_alive(*pid) && proc::stat(*pid).is_some_and(|stat| stat.start == *start)
                    })
                    .map(|(pid, _)| pid),
            );
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Waits until no process of this test is alive, at most this long; returns those that are left.
    #[must_use]
    pub fn survivors_after(&self, limit: Duration) -> Vec<i32> {
        let deadline = Instant::now() + limit;
        loop {
            let left = self.survivors();
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sets another time than [`SETTLE`] for what vanishes asynchronously.
    pub fn settle_within(&mut self, limit: Duration) {
        self.settle = limit;
    }

    /// Adds a directory that must be empty at the end.
    pub fn expect_empty(&mut self, dir: impl Into<PathBuf>) {
        self.empty_dirs.push(dir.into());
    }

    /// Adds a file in which processes write `PID START` lines; none of them may be alive at the end. For programs that
    /// are started with a cleared environment.
    pub fn track(&mut self, file: impl Into<PathBuf>) {
        self.pid_files.push(file.into());
    }

    /// Adds the pid of a psmith that this test started: control groups named after it are this test's.
    pub fn host(&mut self, pid: i32) {
        self.hosts.push(pid);
    }

    /// Kills what is left of this test without complaint: for a test that proves a documented miss.
    pub fn forgive(&self) {
        let deadline = Instant::now() + SETTLE;
        loop {
            let left = self.survivors();
            if left.is_empty() || Instant::now() >= deadline {
                return;
            }
            left.iter().for_each(|pid| kill(*pid));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Compares and panics with what is left.
    ///
    /// # Panics
    /// If anything is left after [`SETTLE`].
    pub fn check(&mut self) {
        self.checked = true;
        let deadline = Instant::now() + self.settle;
        let mut left = self.left();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
            left = self.left();
        }
        if left.is_empty() {
            return;
        }
        self.survivors().into_iter().for_each(kill);
        panic!("left behind by this test ({}):\n  {}", self.mark(), left.join("\n  "));
    }

    fn left(&self) -> Vec<String> {
        let mut left: Vec<String> =
            self.survivors().into_iter().map(|pid| format!("process {}", proc::describe(pid))).collect();
        for group in psmith_groups().difference(&self.groups) {
            if self.hosts.iter().any(|host| names_pid(group, *host)) {
                left.push(format!("control group {}", group.display()));
            }
        }
        for dir in &self.empty_dirs {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                left.push(format!("temporary file {}", entry.path().display()));
            }
        }
        if let Some(own) = &self.own {
            own.compare(&mut left);
        }
        left
    }
}

impl Default for LeakGuard {
    fn default() -> LeakGuard {
        LeakGuard::new()
    }
}

impl Drop for LeakGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has failed already; its processes must not disturb the next one.
            self.survivors().into_iter().for_each(kill);
        } else if !self.checked {
            self.check();
        }
    }
}

impl OwnProcess {
    fn now() -> OwnProcess {
        OwnProcess {
            descriptors: proc::own_descriptors(),
            threads: proc::own_threads().into_iter().map(|(number, _)| number).collect(),
            children: own_children(),
            thread_name: name_thread(),
        }
    }

    fn compare(&self, left: &mut Vec<String>) {
        for (number, target) in proc::own_descriptors() {
            if !self.descriptors.contains(&(number, target.clone())) {
                left.push(format!("descriptor {number} -> {target}"));
            }
        }
        for (number, name) in proc::own_threads() {
            // The test harness starts threads of its own, each named after its test. Ours are named after
            // psmith, or, unnamed, after the thread that started them.
            let ours = name.starts_with("psmith") || name == self.thread_name;
            if ours && !self.threads.contains(&number) {
                left.push(format!("thread {number} ({name})"));
            }
        }
        for child in own_children().difference(&self.children) {
            left.push(format!("child {}", proc::describe(*child)));
        }
    }
}

/// Gives the calling thread a name that no other has: the harness cuts the names of its tests, so that those of one
/// module may look alike. The thread is the test's own, and ends with it.
fn name_thread() -> String {
    static NAMED: AtomicU32 = AtomicU32::new(0);
    let name = format!("test-{}", NAMED.fetch_add(1, Ordering::Relaxed));
    let short = CString::new(name.clone()).expect("it holds no NUL");
    rustix::thread::set_name(&short).expect("a thread may name itself");
    name
}

fn own_children() -> BTreeSet<i32> {
    let own = i32::try_from(std::process::id()).expect("a pid fits");
    proc::children(own).into_iter().collect()
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // An error means that it is gone already, which is as good.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn pids_in_file(file: &Path) -> Vec<(i32, u64)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (pid, start) = line.split_once(' ')?;
            Some((pid.parse().ok()?, start.parse().ok()?))
        })
        .collect()
}

/// Returns whether a component of the path from its first `psmith-` part on holds this number as a whole word.
fn names_pid(group: &Path, pid: i32) -> bool {
    let pid = pid.to_string();
    group
        .iter()
        .filter_map(|part| part.to_str())
        .filter(|part| part.starts_with("psmith-"))
        .any(|part| part.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == pid))
}

/// Returns the directories `psmith-*` below a control group mount.
#[must_use]
pub fn psmith_groups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for mount in group_mounts() {
        collect_groups(&mount, 0, &mut found);
    }
    found
}

/// The depth below a mount to which psmith's groups are searched: systemd's user slices lie five deep.
const GROUP_DEPTH_MAX: usize = 7;

fn collect_groups(dir: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b"psmith-") {
            found.insert(entry.path());
        }
        if depth < GROUP_DEPTH_MAX {
            collect_groups(&entry.path(), depth + 1, found);
        }
    }
}

/// Returns where control group hierarchies are mounted, v1 and v2.
#[must_use]
pub fn group_mounts() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (_, dir, kind) = (fields.next()?, fields.next()?, fields.next()?);
            (kind == "cgroup" || kind == "cgroup2").then(|| PathBuf::from(dir))
        })
        .collect()
}
