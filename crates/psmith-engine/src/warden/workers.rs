//! Function workers: forked here as copies of this process, which has one thread and little memory, so that is sound
//! and cheap. If it had more threads at its start (a constructor of some library began them) the image is executed anew
//! instead.
//!
//! From its start on a worker is a child like any other: reaped, swept and killed the same way. Never returns into the
//! warden's code in the forked copy.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use psmith_sys::forbid::{KernelFacility, is_forbidden};
use psmith_sys::fork::{self, ForkResult};
use psmith_sys::spawn::{ChildStep, StartError};
use rustix::io::Errno;

use crate::warden::messages::{Start, ToHost, WorkerSpawn};
use crate::warden::server::{Child, WardenServer, failed, streams_of};
use crate::worker::{self, set_up};

impl WardenServer {
    /// Returns whether workers are forked copies of this process.
    pub(super) fn forks(&self) -> bool {
        self.forker.is_some() && !is_forbidden(KernelFacility::Fork)
    }

    /// Starts a worker whose channel comes after its streams.
    pub(super) fn start_worker(
        &mut self,
        start: &Start<'_>,
        fds: &[OwnedFd],
        spawn: WorkerSpawn,
    ) -> io::Result<()> {
        if !self.forks() {
            if spawn.has_job {
                // The job in the channel is for a copy of this process, which the host trusts without a hello; an image
                // executed anew must not find it.
                let error = StartError { step: ChildStep::Clone, errno: Errno::DEADLK.raw_os_error() };
                return self.send(&failed(start.key, error));
            }
            static REPORTED: AtomicBool = AtomicBool::new(false);
            if self.forker.is_none() && !REPORTED.swap(true, Ordering::Relaxed) {
                self.send(&ToHost::HasThreads { count: fork::threads_count().unwrap_or(0) as u32 })?;
            }
            return self.execute_worker(start, fds, spawn.nonce);
        }
        worker::prepare();
        match self.fork_worker(start, fds, spawn) {
            Err(error) => self.send(&failed(start.key, error)),
            Ok((pid, pidfd, forked_into)) => {
                let key = Some(start.key);
                self.children.insert(pid, Child { key, ticket: None, timed_out: false, forked_into });
                self.link.hold(&ToHost::Started { key: start.key, pid }, pidfd)
            }
        }
    }

    fn fork_worker(
        &mut self,
        start: &Start<'_>,
        fds: &[OwnedFd],
        spawn: WorkerSpawn,
    ) -> Result<(u32, OwnedFd, bool), StartError> {
        let refused = |errno: Errno, step| StartError { step, errno: errno.raw_os_error() };
        let channel = fds.get(start.streams.count_ones() as usize);
        let channel = channel.ok_or(refused(Errno::BADF, ChildStep::Descriptors))?;
        let forker = self.forker.as_ref().ok_or(refused(Errno::DEADLK, ChildStep::Clone))?;
        let mut join = self.slots.plan(start.cgroup_slot)?;
        if !forker.spawns_in_groups() {
            join = self.slots.joins(start.cgroup_slot)?;
        }
        let parent = std::process::id();
        let filled = self.environment.fill(&self.profile.env_of(start), start.env);
        filled.map_err(|_| refused(Errno::INVAL, ChildStep::Exec))?;
        match join.group.map_or_else(|| forker.fork(), |group| forker.fork_into(group)) {
            Ok(ForkResult::Parent(pid, pidfd)) => Ok((pid, pidfd, join.group.is_some())),
            Err(error) => {
                Err(StartError { step: ChildStep::Clone, errno: error.raw_os_error().unwrap_or(0) })
            }
            Ok(ForkResult::Child(alone)) => {
                // From here on this is the worker, which never returns into the warden's code.
                let profile = &self.profile;
                let plan = set_up::SetUpPlan {
                    parent,
                    terminal: profile.terminal.as_ref().map(AsFd::as_fd),
                    groups: &join.groups,
                    rlimits: &profile.rlimits_with(&start.rlimits),
                    nice: profile.nice,
                    dir: start.dir.map(|dir| Path::new(OsStr::from_bytes(dir))),
                    umask: profile.umask,
                    streams: streams_of(start, fds).map(|stream| stream.unwrap_or(self.spawner.null())),
                    env: std::mem::take(&mut self.environment),
                    no_new_privs: profile.no_new_privs,
                    alone,
                };
                worker::forked(plan, channel.as_fd(), spawn.nonce, spawn.has_job)
            }
        }
    }

    /// Executes the image as a worker, with a marker and its channel as standard input.
    fn execute_worker(&mut self, start: &Start<'_>, fds: &[OwnedFd], nonce: u64) -> io::Result<()> {
        let streams = start.streams.count_ones() as usize;
        let has_stdin = start.streams & 1 != 0;
        let Some(channel) = fds.get(streams) else {
            let missing = StartError { step: ChildStep::Descriptors, errno: Errno::BADF.raw_os_error() };
            return self.send(&failed(start.key, missing));
        };
        let mut given = vec![channel.try_clone()?];
        for fd in &fds[usize::from(has_stdin)..streams] {
            given.push(fd.try_clone()?);
        }
        let mut env = start.env.to_vec();
        env.extend_from_slice(format!("{}={nonce:x}\0", worker::MARKER).as_bytes());
        let mut argv = b"psmith-worker\0".to_vec();
        for argument in std::env::args_os().skip(1) {
            argv.extend_from_slice(argument.as_bytes());
            argv.push(0);
        }
        let executed = Start {
            key: start.key,
            cgroup_slot: start.cgroup_slot,
            keeper: start.keeper,
            worker: None,
            streams: start.streams | 1,
            program: b"/proc/self/exe",
            argv: &argv,
            own_env: start.own_env,
            env: &env,
            dir: start.dir,
            rlimits: start.rlimits.clone(),
        };
        self.start_command(&executed, &given)
    }
}
