//! The scene of one test: a directory to work in, a TMPDIR that must be empty at the end, the leak guard.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};

use crate::cmd::Cmd;
use crate::leak::{LeakGuard, SETTLE};
use crate::proc;

/// The outer limit of every wait in a test. Reaching it is a failure, never a result.
pub const OUTER_LIMIT: Duration = Duration::from_secs(60);

/// The surroundings of one test. Declare it first, so that it is dropped, and checks for leaks, last.
pub struct Scene {
    psmith: PathBuf,
    // Before the directory: the guard looks into it when dropped.
    guard: Mutex<LeakGuard>,
    dir: tempfile::TempDir,
}

/// Creates a scene for the command of the package under test.
#[macro_export]
macro_rules! scene {
    () => {
        $crate::Scene::new(env!("CARGO_BIN_EXE_psmith"))
    };
}

impl Scene {
    /// Creates a scene in which [`Scene::psmith`] runs this program.
    ///
    /// # Panics
    /// If no temporary directory can be made.
    #[must_use]
    pub fn new(psmith: impl Into<PathBuf>) -> Scene {
        let dir = tempfile::Builder::new().prefix("psmith-scene-").tempdir().expect("a temporary directory");
        let mut guard = LeakGuard::new();
        for name in ["cwd", "tmp"] {
            fs::create_dir(dir.path().join(name)).expect("a directory in a fresh directory");
        }
        guard.expect_empty(dir.path().join("tmp"));
        Scene { psmith: psmith.into(), guard: Mutex::new(guard), dir }
    }

    /// Returns the command under test with these arguments.
    pub fn psmith<I: IntoIterator<Item = A>, A: AsRef<OsStr>>(&self, args: I) -> Cmd<'_> {
        Cmd::new(self, self.psmith.clone()).contained().args(args)
    }

    /// Returns a command for another program, in the same surroundings and under the same leak check.
    pub fn program(&self, path: impl Into<PathBuf>) -> Cmd<'_> {
        Cmd::new(self, path.into())
    }

    /// Returns a command for a script of `/bin/sh`, in which `$PSMITH` is the command under test.
    pub fn shell(&self, script: &str) -> Cmd<'_> {
        Cmd::new(self, "/bin/sh".into()).args(["-c", script]).env("PSMITH", &self.psmith)
    }

    /// Returns the path of the command under test.
    #[must_use]
    pub fn psmith_path(&self) -> &Path {
        &self.psmith
    }

    /// Returns the working directory of everything that the scene starts.
    #[must_use]
    pub fn cwd(&self) -> PathBuf {
        self.dir.path().join("cwd")
    }

    /// Returns the TMPDIR of everything that the scene starts.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// Returns a path in the working directory.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.cwd().join(name)
    }

    /// Writes a file in the working directory and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }

    /// Reads a file in the working directory.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// Reads a file in the working directory as text.
    ///
    /// # Panics
    /// If it cannot be read or is not UTF-8.
    #[must_use]
    pub fn text(&self, name: impl AsRef<Path>) -> String {
        String::from_utf8(self.read(name)).expect("the file is UTF-8")
    }

    /// Makes a FIFO in the working directory through which jobs report that they have come to a point.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn ready(&self, name: &str) -> Ready {
        Ready::new(self.path(name))
    }

    /// Asserts that every process of the scene has ended, or does so soon.
    ///
    /// # Panics
    /// If one is alive; it is named.
    #[track_caller]
    pub fn assert_no_survivors(&self) {
        let left = self.guard(|guard| guard.survivors_after(SETTLE));
        assert!(left.is_empty(), "{:?}", left.into_iter().map(proc::describe).collect::<Vec<_>>());
    }

    /// Gives access to the leak guard, to track pid files or to ask for survivors.
    pub fn guard<T>(&self, with: impl FnOnce(&mut LeakGuard) -> T) -> T {
        with(&mut self.guard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The reading end of a FIFO, open from the start, so that a writer never waits for it.
pub struct Ready {
    path: PathBuf,
    fifo: File,
}

impl Ready {
    fn new(path: PathBuf) -> Ready {
        rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("a FIFO in a fresh directory");
        // Read and write: Linux then opens it at once, and writers that come and go never mean end of file.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag fits");
        let fifo = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&path)
            .expect("our FIFO opens");
        Ready { path, fifo }
    }

    /// Returns the path for the writers: `echo > PATH` counts as two bytes with its newline, `printf x > PATH` as one.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path as text, for scripts.
    ///
    /// # Panics
    /// Never: the scene's own path is UTF-8 unless TMPDIR is not.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.path.to_str().expect("the scene's path is UTF-8")
    }

    /// Waits for `count` lines and returns them.
    ///
    /// # Panics
    /// If they do not come within the outer limit.
    pub fn lines(&mut self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + OUTER_LIMIT;
        let mut text = Vec::new();
        loop {
            let lines = text.iter().filter(|byte| **byte == b'\n').count();
            if lines >= count {
                return String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{lines} of {count} readiness lines came: {}",
                String::from_utf8_lossy(&text)
            );
            let limit =
                Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            // An interrupted poll is repeated; a spurious one reads nothing.
            let _ = poll(&mut [PollFd::new(&self.fifo, PollFlags::IN)], Some(&limit));
            let mut buffer = [0; 4096];
            if let Ok(read) = self.fifo.read(&mut buffer) {
                text.extend_from_slice(&buffer[..read]);
            }
        }
    }

    /// Waits for one line.
    ///
    /// # Panics
    /// If it does not come within the outer limit.
    pub fn wait(&mut self) {
        self.lines(1);
    }
}
