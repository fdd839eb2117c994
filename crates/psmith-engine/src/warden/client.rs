//! The host's side of the warden: starts it, exchanges messages with it, notices its end.
//!
//! Never decides what a lost warden means for the attempts in flight: the core does.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use psmith_sys::{executable, pidfd, socket};
use serde::Serialize;

use crate::descendants;
use crate::refused::refused;
use crate::warden::MARKER;
use crate::warden::image::WardenImage;
use crate::warden::link::{Link, ReceivedPacket};
use crate::warden::messages::{Holding, MAGIC, PROTOCOL, ToHost, ToWarden};

/// The time between two pings.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(1);

/// The time after which a warden that owes an answer is given up (unless a debugger holds it).
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The most bytes that are kept of a dying warden's standard error.
const STDERR_BYTES_MAX: u64 = 8 * 1024;

/// A running warden, as its host sees it.
#[derive(Debug)]
pub(crate) struct Warden {
    link: Link,
    pidfd: OwnedFd,
    process: Child,
    stderr: ChildStderr,
    nonce: u64,
    /// True for a program that was named, which need not be of this build: it runs no functions.
    is_named: bool,
    pings: u64,
    unanswered_since: Option<Instant>,
}

/// The introduction that a host sends to its warden.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) marker: Vec<u8>,
    pub(crate) holding: Holding,
    pub(crate) group_dirs: Vec<Vec<u8>>,
    pub(crate) scratch: Option<PathBuf>,
    /// True if a warden of this run was lost before: what it left is to be killed first.
    pub(crate) again: bool,
}

impl Warden {
    /// Starts a warden, which waits for its introduction. The warden removes all that the host makes for the run from
    /// here on, if the host is gone. `has_arguments`: its arguments are the host's own, and so are those of the workers
    /// that are copies of it.
    pub(crate) fn launch(has_arguments: bool) -> io::Result<Warden> {
        let image = WardenImage::find()?;
        let (ours, theirs) =
            socket::pair().map_err(|error| refused("socketpair", "to talk with the warden", error))?;
        let nonce = nonce()?;
        let spawn = |has_arguments: bool| {
            std::process::Command::new(image.path())
                .arg0("psmith-warden")
                .args(std::env::args_os().skip(1).filter(|_| has_arguments))
                .env(MARKER, format!("{nonce:x}"))
                .stdin(Stdio::from(theirs.try_clone()?))
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                // Outside the terminal's foreground group: Ctrl-C goes to the host first.
                .process_group(0)
                .spawn()
        };
        let spawned = match spawn(has_arguments) {
            // The marker was the one word too many: jobs do without.
            Err(error) if has_arguments && error.kind() == io::ErrorKind::ArgumentListTooLong => spawn(false),
            spawned => spawned,
        };
        let mut process = spawned.map_err(|error| image.not_started(error))?;
        drop(theirs);
        let stderr = process.stderr.take().ok_or_else(|| io::Error::other("the warden has no stderr"))?;
        rustix::io::ioctl_fionbio(&stderr, true)?;
        let pidfd = pidfd::open(process.id()).map_err(|error| {
            let _ = process.kill();
            let _ = process.wait();
            refused("pidfd_open", "to watch the warden, which starts all jobs", error)
        })?;
        let is_named = image.is_named();
        let link = Link::new(ours);
        Ok(Warden { link, pidfd, process, stderr, nonce, is_named, pings: 0, unanswered_since: None })
    }

    /// Sends the introduction: the host that it serves, and how. Its answer comes later, as a message.
    pub(crate) fn introduce(&mut self, introduction: &Introduction) -> io::Result<()> {
        let host = pidfd::open(std::process::id())?;
        let hello = ToWarden::Hello {
            magic: MAGIC,
            protocol: PROTOCOL,
            nonce: self.nonce,
            marker: &introduction.marker,
            holding: introduction.holding,
            group_dirs: introduction.group_dirs.iter().map(Vec::as_slice).collect(),
            scratch: introduction.scratch.as_ref().map(|dir| dir.as_os_str().as_bytes()),
            again: introduction.again,
        };
        unless_gone(self.link.send(&hello, &[host.as_fd()]))
    }

    /// Returns its pidfd, which is readable once the warden has ended.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn has_ended(&self) -> bool {
        pidfd::has_ended(&self.pidfd).unwrap_or(true)
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    pub(crate) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Sends the message, or queues it. A warden that is gone is no error here: its pidfd tells.
    pub(crate) fn send<M: Serialize>(&mut self, message: &M, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        unless_gone(self.link.send(message, fds))
    }

    pub(crate) fn receive(&mut self) -> io::Result<ReceivedPacket> {
        self.link.receive()
    }

    /// Checks the warden's answer to the introduction.
    pub(crate) fn is_ours(&self, hello: &ToHost<'_>) -> bool {
        matches!(hello, ToHost::Hello { magic: MAGIC, protocol: PROTOCOL, nonce, pid, build, .. }
            if *nonce == self.nonce
                && *pid == self.process.id()
                && (*build == executable::build_id() || self.is_named))
    }

    /// Sends a ping. At most one is unanswered at a time.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        if self.unanswered_since.is_none() {
            self.pings += 1;
            self.unanswered_since = Some(Instant::now());
            let count = self.pings;
            return self.link.send(&ToWarden::Ping { count }, &[]);
        }
        Ok(())
    }

    pub(crate) fn on_pong(&mut self) {
        self.unanswered_since = None;
    }

    /// Restarts the time that the warden has to answer, after the host itself was stopped.
    pub(crate) fn reset_silence(&mut self) {
        if let Some(since) = &mut self.unanswered_since {
            *since = Instant::now();
        }
    }

    /// Returns whether it owes an answer for too long and no debugger holds it.
    pub(crate) fn is_silent(&self) -> bool {
        self.unanswered_since.is_some_and(|since| since.elapsed() > SILENCE_MAX)
            && !descendants::is_traced(self.process.id())
    }

    /// Leaves the warden to itself: its socket closes, so it kills everything and ends. Waits for that at most for
    /// `patience`, if there is one.
    pub(crate) fn abandon(mut self, patience: Option<Duration>) {
        drop(self.link);
        if let Some(patience) = patience {
            wait_for(self.pidfd.as_fd(), rustix::event::PollFlags::IN, patience);
            let _ = self.process.try_wait();
        }
    }

    /// Waits a moment for the end of a warden that has closed its socket before it ever answered, and most often says why;
    /// then as [`Warden::reap`].
    pub(crate) fn last_words(self) -> String {
        wait_for(self.pidfd.as_fd(), rustix::event::PollFlags::IN, Duration::from_secs(1));
        self.reap()
    }

    /// Makes sure that it has ended, and returns the last text on its standard error.
    pub(crate) fn reap(self) -> String {
        let Warden { link, mut process, mut stderr, .. } = self;
        let _ = process.kill();
        // A host that has another user by now may not kill it, and it ends when the host is gone from the socket.
        drop(link);
        let _ = process.wait();
        let mut words = Vec::new();
        let _ = stderr.by_ref().take(STDERR_BYTES_MAX).read_to_end(&mut words);
        String::from_utf8_lossy(&words).trim().to_owned()
    }

    /// Says goodbye and waits until it has exited, after it has ended whatever its jobs left behind.
    pub(crate) fn dismiss(mut self, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let _ = self.link.send(&ToWarden::Bye, &[]);
        while self.link.has_queued() && Instant::now() < deadline {
            if self.link.flush().is_err() {
                break;
            }
            wait_for(self.link.as_fd(), rustix::event::PollFlags::OUT, Duration::from_millis(10));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        wait_for(self.pidfd.as_fd(), rustix::event::PollFlags::IN, left);
        self.reap()
    }
}

fn unless_gone(sent: io::Result<()>) -> io::Result<()> {
    match sent {
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
            Ok(())
        }
        sent => sent,
    }
}

fn wait_for(fd: BorrowedFd<'_>, flags: rustix::event::PollFlags, patience: Duration) {
    let timeout = rustix::event::Timespec::try_from(patience).ok();
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(fd, flags)];
    let _ = rustix::event::poll(&mut fds, timeout.as_ref());
}

/// Returns a number that cannot be guessed.
pub(crate) fn nonce() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    let taken = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    taken.map_err(|error| refused("getrandom", "for the secret of a run", error.into()))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Warns, once per process, why its workers start slowly. It could not be found out otherwise: the threads are gone
/// with the image that the program itself is.
pub(crate) fn warn_of_threads(count: u32) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        // A closed standard error is no failure of the run.
        let _ = writeln!(
            io::stderr(),
            "psmith: warning: before main this program has {count} threads already (a library's constructor starts \
             them), so workers are executed instead of forked, which takes longer"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of the warden gets a job before it has sent anything, so the warden must be the one that was started, of
    /// this very build.
    // proves: P-11
    #[test]
    fn a_warden_must_agree_in_each_part() {
        crate::init();
        let warden = Warden::launch(false).unwrap();
        let (nonce, pid, build) = (warden.nonce, warden.process.id(), executable::build_id());
        let hello = |magic, protocol, nonce, pid, build| {
            warden.is_ours(&ToHost::Hello { magic, protocol, nonce, pid, build, swept: 0, forks: true })
        };
        assert!(hello(MAGIC, PROTOCOL, nonce, pid, build));
        assert!(!hello(MAGIC ^ 1, PROTOCOL, nonce, pid, build));
        assert!(!hello(MAGIC, PROTOCOL + 1, nonce, pid, build));
        assert!(!hello(MAGIC, PROTOCOL, nonce ^ 1, pid, build));
        assert!(!hello(MAGIC, PROTOCOL, nonce, pid + 1, build));
        assert!(!hello(MAGIC, PROTOCOL, nonce, pid, build ^ 1));
        assert!(!warden.is_ours(&ToHost::Pong { count: 1 }));
        warden.reap();
    }
}
