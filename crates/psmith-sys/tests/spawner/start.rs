//! A start with the settings of a test, and its result. Tests nothing itself.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use psmith_sys::rlimit::Rlimit;
use psmith_sys::spawn::{
    ChildStep, Dir, EnvBlock, Session, SpawnProgress, SpawnRequest, Spawner, StartError, Started,
};
use psmith_sys::wait::{ExitStatusRaw, Reaped};
use psmith_sys::{pidfd, wait};

/// A start with the usual settings, whose output is caught.
pub(crate) struct Start<'a> {
    pub(crate) program: CString,
    pub(crate) argv: Vec<u8>,
    pub(crate) env: EnvBlock,
    pub(crate) env_extra: Vec<u8>,
    pub(crate) dir: Option<CString>,
    pub(crate) dir_fd: Option<BorrowedFd<'a>>,
    pub(crate) umask: Option<u32>,
    pub(crate) rlimits: Vec<Rlimit>,
    pub(crate) nice: i32,
    pub(crate) groups: Vec<BorrowedFd<'a>>,
    pub(crate) foreground: Option<BorrowedFd<'a>>,
    pub(crate) no_new_privs: bool,
    pub(crate) parent_death: Option<i32>,
    pub(crate) null_output: bool,
}

pub(crate) struct End {
    pub(crate) pid: u32,
    pub(crate) status: ExitStatusRaw,
    pub(crate) usage: Reaped,
    pub(crate) progress: SpawnProgress,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl<'a> Start<'a> {
    pub(crate) fn program(program: &CStr) -> Self {
        Start {
            program: program.to_owned(),
            argv: b"program\0".to_vec(),
            env: EnvBlock::new(b"PATH=/usr/bin:/bin\0".to_vec()),
            env_extra: Vec::new(),
            dir: None,
            dir_fd: None,
            umask: None,
            rlimits: Vec::new(),
            nice: 0,
            groups: Vec::new(),
            foreground: None,
            no_new_privs: false,
            parent_death: None,
            null_output: false,
        }
    }

    pub(crate) fn sh(script: &str) -> Self {
        let argv = format!("sh\0-c\0{script}\0").into_bytes();
        Start { argv, ..Start::program(c"/bin/sh") }
    }

    pub(crate) fn myself(part: &str) -> Self {
        if part == "status" {
            // A program whose runtime changes no signal: std would ignore PIPE and handle SEGV in this one.
            return Start { argv: b"cat\0/proc/self/status\0".to_vec(), ..Start::program(c"/bin/cat") };
        }
        let argv = format!("spawner\0--child\0{part}\0").into_bytes();
        Start { argv, ..Start::program(&path(&std::env::current_exe().unwrap())) }
    }

    pub(crate) fn request<'r>(program: &'r CStr, argv: &'r [u8], env: &'r EnvBlock) -> SpawnRequest<'r> {
        SpawnRequest {
            program,
            argv,
            env,
            env_extra: b"",
            fds: [None; 3],
            dir: None,
            umask: None,
            rlimits: &[],
            nice: 0,
            group: None,
            groups: &[],
            session: Session::New,
            no_new_privs: false,
            parent_death: None,
        }
    }

    pub(crate) fn start_onto(
        &self,
        spawner: &mut Spawner,
        fds: [Option<BorrowedFd<'_>>; 3],
    ) -> Result<Started, StartError> {
        let by_path = self.dir.as_deref().map(Dir::Path);
        spawner.start(&SpawnRequest {
            program: &self.program,
            argv: &self.argv,
            env: &self.env,
            env_extra: &self.env_extra,
            fds,
            dir: by_path.or(self.dir_fd.map(Dir::Fd)),
            umask: self.umask,
            rlimits: &self.rlimits,
            nice: self.nice,
            group: None,
            groups: &self.groups,
            session: self.foreground.map_or(Session::New, Session::Foreground),
            no_new_privs: self.no_new_privs,
            parent_death: self.parent_death,
        })
    }

    pub(crate) fn start(&self, spawner: &mut Spawner) -> Result<Started, StartError> {
        let stderr = std::io::stderr();
        let err = if self.null_output { None } else { Some(stderr.as_fd()) };
        self.start_onto(spawner, [None, None, err])
    }

    pub(crate) fn run(&self) -> End {
        self.run_with(&mut Spawner::new().unwrap())
    }

    pub(crate) fn run_with(&self, spawner: &mut Spawner) -> End {
        self.try_run_with(spawner).unwrap()
    }

    pub(crate) fn try_run_with(&self, spawner: &mut Spawner) -> Result<End, StartError> {
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let (out, err) = (pipe(), pipe());
        let started = self.start_onto(spawner, [None, Some(out.1.as_fd()), Some(err.1.as_fd())])?;
        drop((out.1, err.1));
        let (out, err) = (text_of(out.0), text_of(err.0));
        wait_for(&started.pidfd);
        let progress = spawner.progress_at_end(&started.ticket);
        let usage = wait::reap(started.pid).unwrap();
        spawner.release(started.ticket);
        assert_eq!(spawner.pending_count(), 0);
        Ok(End { pid: started.pid, status: usage.status, usage, progress, out, err })
    }
}

pub(crate) fn expect(start: Start<'_>, step: ChildStep, errno: i32) {
    let wanted = StartError { step, errno };
    let found = match start.try_run_with(&mut Spawner::new().unwrap()) {
        Err(error) => error,
        Ok(end) => match end.progress {
            SpawnProgress::Failed(error) => {
                assert_eq!(end.status, ExitStatusRaw::Code(127));
                error
            }
            other => panic!("expected {wanted}, the start was {other:?}"),
        },
    };
    assert_eq!(found, wanted, "expected {wanted}, found {found}");
}

pub(crate) fn text_of(reader: OwnedFd) -> String {
    let mut text = String::new();
    fs::File::from(reader).read_to_string(&mut text).unwrap();
    text
}

/// Gives the processor away until the start is at this step.
pub(crate) fn reaches(spawner: &Spawner, started: &Started, step: ChildStep) {
    while spawner.progress(&started.ticket) != SpawnProgress::Pending(step) {
        assert!(!pidfd::has_ended(&started.pidfd).unwrap(), "ended before {}", step.name());
        std::thread::yield_now();
    }
}

pub(crate) fn fill(writer: &OwnedFd) {
    let size = rustix::pipe::fcntl_getpipe_size(writer).unwrap();
    assert_eq!(rustix::io::write(writer, &vec![0; size]).unwrap(), size);
}

/// Waits until the process has ended; a generous limit turns a hang into a failure.
pub(crate) fn wait_for(process: &OwnedFd) {
    let limit = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
    let mut polled = [rustix::event::PollFd::new(process, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut polled, Some(&limit)), Ok(1), "the process did not end");
}

pub(crate) fn descriptors() -> Vec<i32> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

pub(crate) fn mapped_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').next().unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

pub(crate) fn path(path: &Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}
