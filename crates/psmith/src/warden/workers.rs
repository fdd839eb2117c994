//! Function workers: born here as copies of this process, which has one thread and little memory, so that is sound and
//! cheap. Where it has more threads (a constructor of some library started them) the image is executed anew instead.
//!
//! From its birth on a worker is a child like any other: reaped, swept and killed the same way.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use psmith_sys::forbid::{Facility, is_forbidden};
use psmith_sys::fork::{self, ForkResult};
use psmith_sys::image;
use psmith_sys::spawn::{StartError, Step};
use rustix::io::Errno;

use super::messages::{Start, ToHost};
use super::server::{Child, Server, failed, streams_of};
use crate::worker::{self, set_up};

impl Server {
    /// Bears a worker that tells `nonce` over the channel which comes after its streams.
    pub(super) fn start_worker(&mut self, start: &Start<'_>, fds: &[OwnedFd], nonce: u64) -> io::Result<()> {
        if is_forbidden(Facility::Fork) {
            return self.execute_worker(start, fds, nonce);
        }
        // Before the fork, so that every worker inherits the answers.
        let _ = image::build_id();
        match self.fork_worker(start, fds, nonce) {
            Err(error) if error.errno == Errno::DEADLK.raw_os_error() => {
                static TOLD: AtomicBool = AtomicBool::new(false);
                if !TOLD.swap(true, Ordering::Relaxed) {
                    self.say(&ToHost::HasThreads { count: fork::threads_count().unwrap_or(0) as u32 })?;
                }
                self.execute_worker(start, fds, nonce)
            }
            Err(error) => self.say(&failed(start.key, error)),
            Ok((pid, pidfd)) => {
                self.children.insert(pid, Child { key: Some(start.key), ticket: None, timed_out: false });
                self.link.hold(&ToHost::Started { key: start.key, pid }, pidfd)
            }
        }
    }

    fn fork_worker(
        &mut self,
        start: &Start<'_>,
        fds: &[OwnedFd],
        nonce: u64,
    ) -> Result<(u32, OwnedFd), StartError> {
        let refused = |errno: Errno, step| StartError { step, errno: errno.raw_os_error() };
        let channel = fds.get(start.streams.count_ones() as usize);
        let channel = channel.ok_or(refused(Errno::BADF, Step::Descriptors))?;
        let groups = self.places.joins(start.place)?;
        let parent = std::process::id();
        match fork::fork_single() {
            Ok(ForkResult::Parent(pid, pidfd)) => Ok((pid, pidfd)),
            Err(error) => Err(StartError { step: Step::Clone, errno: error.raw_os_error().unwrap_or(0) }),
            Ok(ForkResult::Child) => {
                // From here on this is the worker, which never returns into the warden's code.
                let profile = &self.profile;
                let plan = set_up::Plan {
                    parent,
                    terminal: profile.terminal.as_ref().map(AsFd::as_fd),
                    groups: &groups,
                    rlimits: &profile.rlimits,
                    nice: profile.nice,
                    dir: start.dir.map(|dir| Path::new(OsStr::from_bytes(dir))),
                    umask: profile.umask,
                    streams: streams_of(start, fds),
                    env: [profile.env.words(), start.env].concat(),
                    no_new_privs: profile.no_new_privs,
                };
                worker::born(plan, channel.as_fd(), nonce)
            }
        }
    }

    /// The image, executed with a marker and its channel as standard input.
    fn execute_worker(&mut self, start: &Start<'_>, fds: &[OwnedFd], nonce: u64) -> io::Result<()> {
        let streams = start.streams.count_ones() as usize;
        let has_stdin = start.streams & 1 != 0;
        let Some(channel) = fds.get(streams) else {
            let missing = StartError { step: Step::Descriptors, errno: Errno::BADF.raw_os_error() };
            return self.say(&failed(start.key, missing));
        };
        let mut given = vec![channel.try_clone()?];
        for fd in &fds[usize::from(has_stdin)..streams] {
            given.push(fd.try_clone()?);
        }
        let mut env = start.env.to_vec();
        env.extend_from_slice(format!("{}={nonce:x}\0", worker::MARKER).as_bytes());
        let executed = Start {
            key: start.key,
            place: start.place,
            keeper: start.keeper,
            worker: None,
            streams: start.streams | 1,
            program: b"/proc/self/exe",
            argv: b"psmith-worker\0",
            env: &env,
            dir: start.dir,
        };
        self.start_command(&executed, &given)
    }
}
