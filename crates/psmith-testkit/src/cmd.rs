//! The runner of a command under test: a clean environment, captured output, one generous outer limit that reports
//! where everything hung.
//!
//! Streams are pipes, so that rules for "a pipe or a file" hold; see [`crate::pty`] for a terminal.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

pub use crate::ended::EndedCommand;
use crate::leak::NONCE;
use crate::proc;
use crate::scene::{OUTER_LIMIT, Scene};

/// The time that a process's output may stay open after its end before that is a failure of the test.
const OUTPUT_LINGER_MAX: Duration = Duration::from_secs(10);

/// The first words with which psmith runs no jobs, and takes none of their options.
const NO_RUNS: &[&str] =
    &["doctor", "help", "--help", "-h", "--version", "-V", "--generate", "queue", "work"];

/// A command to be run in a [`Scene`].
#[derive(Clone)]
pub struct Cmd<'s> {
    scene: &'s Scene,
    program: PathBuf,
    args: Vec<OsString>,
    contain: Option<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    stdin: StdinSource,
    stdout: OutputTarget,
    stderr: OutputTarget,
    limit: Duration,
}

#[derive(Clone)]
enum StdinSource {
    Null,
    Bytes(Vec<u8>),
    Held,
    File(PathBuf),
}

#[derive(Clone)]
enum OutputTarget {
    Captured,
    File(PathBuf),
}

impl<'s> Cmd<'s> {
    pub(crate) fn new(scene: &'s Scene, program: PathBuf) -> Cmd<'s> {
        Cmd {
            scene,
            program,
            args: Vec::new(),
            contain: None,
            env: Vec::new(),
            stdin: StdinSource::Null,
            stdout: OutputTarget::Captured,
            stderr: OutputTarget::Captured,
            limit: OUTER_LIMIT,
        }
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Appends one argument.
    #[must_use]
    pub fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Demands the level of containment that `PSMITH_TEST_CONTAIN` names for the whole suite, unless the command
    /// names one itself, later.
    pub(crate) fn contained(mut self) -> Self {
        self.contain = std::env::var_os("PSMITH_TEST_CONTAIN").filter(|level| !level.is_empty());
        self
    }

    /// Demands no level, whatever the whole suite demands: for a hazard that is one at some levels only.
    #[must_use]
    pub fn at_any_level(mut self) -> Self {
        self.contain = None;
        self
    }

    /// Forbids psmith the better levels of containment: `cgroup`, or `cgroup,subreaper`; empty forbids none,
    /// whatever the whole suite runs with.
    #[must_use]
    pub fn forbid(mut self, facilities: &str) -> Self {
        self.contain = None;
        if facilities.is_empty() {
            self.env_remove("PSMITH_FORBID")
        } else {
            self.env("PSMITH_FORBID", facilities)
        }
    }

    /// Passes these bytes on stdin, through a pipe.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = StdinSource::Bytes(bytes.into());
        self
    }

    /// Opens a pipe on stdin that stays open until [`RunningCommand::close_stdin`].
    #[must_use]
    pub fn stdin_held(mut self) -> Self {
        self.stdin = StdinSource::Held;
        self
    }

    /// Passes this file on stdin.
    #[must_use]
    pub fn stdin_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdin = StdinSource::File(path.into());
        self
    }

    /// Redirects stdout to this file, which must exist.
    #[must_use]
    pub fn stdout_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout = OutputTarget::File(path.into());
        self
    }

    /// Redirects stderr to this file, which must exist.
    #[must_use]
    pub fn stderr_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stderr = OutputTarget::File(path.into());
        self
    }

    /// Sets another outer limit, for tests of real size.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it cannot be started, or does not end within the outer limit.
    #[must_use]
    #[track_caller]
    pub fn run(&self) -> EndedCommand {
        self.start().wait()
    }

    /// Starts it and returns at once.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(&self) -> RunningCommand {
        let mut command = self.command();
        command.stdin(match &self.stdin {
            StdinSource::Null => Stdio::null(),
            StdinSource::Bytes(_) | StdinSource::Held => Stdio::piped(),
            StdinSource::File(path) => File::open(path).expect("the input file opens").into(),
        });
        command.stdout(self.stdout.stdio()).stderr(self.stderr.stdio());
        let started = Instant::now();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        let pid = i32::try_from(child.id()).expect("a pid fits");
        let mark = self.scene.guard(|guard| {
            guard.host(pid);
            guard.mark()
        });
        let stdin = child.stdin.take();
        let (held, fed) = match &self.stdin {
            StdinSource::Held => (stdin, None),
            StdinSource::Bytes(bytes) => (None, stdin.map(|pipe| (pipe, bytes.clone()))),
            StdinSource::Null | StdinSource::File(_) => (None, None),
        };
        let shared = Arc::new(PumpShared::default());
        let pump =
            Pump { child, fed, shared: Arc::clone(&shared), deadline: started + self.limit, started, mark };
        let thread = std::thread::Builder::new()
            .name(format!("pump {pid}"))
            .spawn(move || pump.run())
            .expect("a thread starts");
        RunningCommand { pid, stdin: held, shared, thread }
    }

    /// Returns the command with directory and environment set, streams not yet.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let is_run = !self.args.first().is_some_and(|word| NO_RUNS.iter().any(|other| word == other));
        let (subcommand, rest) = match self.args.split_first() {
            Some((first, rest)) if first == "run" => (Some(first), rest),
            _ => (None, &self.args[..]),
        };
        command.args(subcommand);
        if let Some(level) = self.contain.as_ref().filter(|_| is_run) {
            command.arg("--contain").arg(level);
        }
        command.args(rest).current_dir(self.scene.cwd()).env_clear();
        let keep = ["PATH", "LLVM_PROFILE_FILE", "PSMITH_FORBID", "CARGO", "RUSTUP_HOME", "CARGO_HOME"];
        for name in keep {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", self.scene.cwd()).env("TMPDIR", self.scene.tmp()).env("LC_ALL", "C");
        command.env(NONCE, self.scene.guard(|guard| guard.nonce().to_owned()));
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Removes a variable that would be set.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }
}

impl OutputTarget {
    fn stdio(&self) -> Stdio {
        match self {
            OutputTarget::Captured => Stdio::piped(),
            OutputTarget::File(path) => {
                File::options().write(true).open(path).expect("the output file opens for writing").into()
            }
        }
    }
}

/// A started program.
pub struct RunningCommand {
    pid: i32,
    stdin: Option<ChildStdin>,
    shared: Arc<PumpShared>,
    thread: JoinHandle<EndedCommand>,
}

#[derive(Default)]
struct PumpShared {
    streams: Mutex<OutputStreams>,
    changed: Condvar,
}

#[derive(Default)]
struct OutputStreams {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    ended: bool,
}

impl PumpShared {
    fn lock(&self) -> MutexGuard<'_, OutputStreams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningCommand {
    /// Returns its pid; not yet reaped before [`RunningCommand::wait`] has returned, so it is safe to signal.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal. If it has ended already, nothing happens.
    pub fn signal(&self, signal: Signal) {
        // The pump reaps on its own, so only signal while it has not.
        let streams = self.shared.lock();
        if !streams.ended
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// Returns whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.lock().ended
    }

    /// Writes to the held stdin.
    ///
    /// # Panics
    /// If stdin is not held, or the program has closed it.
    pub fn write_stdin(&mut self, bytes: impl AsRef<[u8]>) {
        let pipe = self.stdin.as_mut().expect("started with a held stdin");
        pipe.write_all(bytes.as_ref()).expect("the program reads its stdin");
    }

    /// Closes the held stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until stdout contains this.
    ///
    /// # Panics
    /// If it ends, or the outer limit passes, without that.
    #[track_caller]
    pub fn wait_for_out(&self, text: &str) {
        self.wait_for(|streams| contains(&streams.stdout, text.as_bytes()), text);
    }

    /// Waits until stderr contains this.
    ///
    /// # Panics
    /// If it ends, or the outer limit passes, without that.
    #[track_caller]
    pub fn wait_for_err(&self, text: &str) {
        self.wait_for(|streams| contains(&streams.stderr, text.as_bytes()), text);
    }

    /// Waits until stdout has this number of whole lines.
    ///
    /// # Panics
    /// If it ends, or the outer limit passes, without that.
    #[track_caller]
    pub fn wait_for_lines(&self, count: usize) {
        let lines = |streams: &OutputStreams| streams.stdout.iter().filter(|byte| **byte == b'\n').count();
        self.wait_for(|streams| lines(streams) >= count, &format!("{count} lines"));
    }

    #[track_caller]
    fn wait_for(&self, is_there: impl Fn(&OutputStreams) -> bool, what: &str) {
        let deadline = Instant::now() + OUTER_LIMIT;
        let mut streams = self.shared.lock();
        while !is_there(&streams) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !streams.ended && !left.is_zero(),
                "{what:?} never came\n--- stdout\n{}\n--- stderr\n{}",
                String::from_utf8_lossy(&streams.stdout),
                String::from_utf8_lossy(&streams.stderr)
            );
            streams =
                self.shared.changed.wait_timeout(streams, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns what is on stdout so far.
    #[must_use]
    pub fn out_so_far(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().stdout).into_owned()
    }

    /// Returns what is on stderr so far.
    #[must_use]
    pub fn err_so_far(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().stderr).into_owned()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end within the outer limit.
    #[must_use]
    #[track_caller]
    pub fn wait(mut self) -> EndedCommand {
        self.close_stdin();
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}

/// Moves bytes between a child and the test until the child has ended and its output is closed.
struct Pump {
    child: Child,
    fed: Option<(ChildStdin, Vec<u8>)>,
    shared: Arc<PumpShared>,
    deadline: Instant,
    started: Instant,
    mark: String,
}

impl Pump {
    fn run(mut self) -> EndedCommand {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        let feeder = self.fed.take().map(|(mut pipe, bytes)| {
            // A thread of its own: the child may fill its output before it has read its input. It may also leave
            // without reading all.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)))
        });
        let stdout = self.child.stdout.take().map(OwnedFd::from);
        let stderr = self.child.stderr.take().map(OwnedFd::from);
        let raw = Pid::from_raw(pid).expect("a child has a pid");
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).expect("an unreaped child has a pidfd");
        let mut streams = [(stdout.map(File::from), false), (stderr.map(File::from), true)];
        let mut ended_at: Option<Instant> = None;
        while ended_at.is_none() || streams.iter().any(|(stream, _)| stream.is_some()) {
            let now = Instant::now();
            if ended_at.is_some_and(|at| now > at + OUTPUT_LINGER_MAX) {
                self.give_up("its output is still open after its end");
            }
            if now >= self.deadline && ended_at.is_none() {
                self.give_up("the outer limit has passed");
            }
            for is_stderr in self.readable(pidfd.as_fd(), &streams, ended_at.is_none(), &mut ended_at) {
                let (stream, _) = &mut streams[usize::from(is_stderr)];
                self.read_some(stream, is_stderr);
            }
        }
        let status = self.child.wait().expect("the child can be waited for");
        let wall = ended_at.map_or(Duration::ZERO, |at| at - self.started);
        // A feeder whose reader is gone gets EPIPE at once.
        feeder.map(|thread| thread.join());
        let mut streams = self.shared.lock();
        streams.ended = true;
        self.shared.changed.notify_all();
        EndedCommand {
            status,
            stdout: std::mem::take(&mut streams.stdout),
            stderr: std::mem::take(&mut streams.stderr),
            pid,
            wall,
        }
    }

    /// Returns which streams can be read; notes the child's end.
    fn readable(
        &self,
        pidfd: BorrowedFd<'_>,
        streams: &[(Option<File>, bool)],
        watch_end: bool,
        ended_at: &mut Option<Instant>,
    ) -> Vec<bool> {
        let mut which = Vec::new();
        let mut polled = Vec::new();
        for (stream, is_stderr) in streams {
            if let Some(stream) = stream {
                which.push(*is_stderr);
                polled.push(PollFd::new(stream, PollFlags::IN));
            }
        }
        if watch_end {
            polled.push(PollFd::from_borrowed_fd(pidfd, PollFlags::IN));
        }
        // Woken twice a second to check the deadlines.
        let limit = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
        if poll(&mut polled, Some(&limit)).is_err() {
            return Vec::new();
        }
        if watch_end && polled.last().is_some_and(|end| !end.revents().is_empty()) {
            *ended_at = Some(Instant::now());
        }
        which
            .into_iter()
            .zip(&polled)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(which, _)| which)
            .collect()
    }

    fn read_some(&self, stream: &mut Option<File>, is_stderr: bool) {
        let Some(file) = stream else { return };
        let mut buffer = vec![0; 65_536];
        match file.read(&mut buffer) {
            Ok(0) => *stream = None,
            Ok(count) => {
                let mut streams = self.shared.lock();
                let into = if is_stderr { &mut streams.stderr } else { &mut streams.stdout };
                into.extend_from_slice(&buffer[..count]);
                self.shared.changed.notify_all();
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("cannot read the child's output: {error}"),
        }
    }

    fn give_up(&mut self, why: &str) -> ! {
        let mut report = String::new();
        for pid in proc::with_environment(&self.mark) {
            report.push_str(&format!("\n  {}", proc::dump(pid)));
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut streams = self.shared.lock();
        streams.ended = true;
        self.shared.changed.notify_all();
        panic!(
            "{why}\n--- processes of this test{report}\n--- stdout\n{}\n--- stderr\n{}",
            String::from_utf8_lossy(&streams.stdout),
            String::from_utf8_lossy(&streams.stderr)
        );
    }
}
