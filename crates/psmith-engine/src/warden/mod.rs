//! The warden: the small process that starts, contains and reaps all others.
//!
//! - [`messages`]: all messages between host and warden
//! - [`link`]: one end of the socket between them
//! - [`server`], [`orphans`]: the warden's own side
//! - [`terminal`]: the terminal that a dead host left changed
//! - [`stack_samples`]: stack samples of a job's process
//! - [`workers`]: function workers, which are forked instead of executed
//! - [`client`]: the host's side
//! - [`image`]: the program that is executed as the warden
//! - [`probe`]: probes that test whether a warden can run here
//!
//! The warden is this same program image started again. The link-time hook ([`crate::entry`]) finds the marker in its
//! environment and calls [`main`], so the program's own `main` never runs in it. It never decides about jobs.

pub(crate) mod client;
pub(crate) mod image;
pub(crate) mod link;
pub(crate) mod messages;
mod orphans;
mod places;
pub(crate) mod probe;
mod profile;
mod server;
mod stack_samples;
mod terminal;
mod workers;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use psmith_core::outcome::SpawnStep;
use psmith_core::policy::SIGKILL;
use psmith_sys::forbid::{self, KernelFacility};
use psmith_sys::spawn::ChildStep;
use psmith_sys::{cgroup, executable, pidfd, proc_tree, rlimit, signals, socket, subreaper, wait};
use rustix::process::{Pid, Signal};

use crate::refused::refused;
use crate::{descendants, scratch};
use link::{Link, Packet, ReceivedPacket};
use messages::{Holding, MAGIC, PROTOCOL, ToHost, ToWarden};
use server::{ServeEnd, WardenServer};

/// The variable that makes this program image a warden; its value is the nonce of the run.
pub(crate) const MARKER: &str = "PSMITH_WARDEN";

/// The time that the final cleanup may take; after it the warden exits anyway.
const FINAL_CLEANUP_MAX: Duration = Duration::from_secs(5);

/// Runs the warden, from the end of the program's own start-up to its exit.
pub(crate) fn main(nonce: &str) -> ! {
    let code = match serve_host(nonce) {
        Ok(()) => 0,
        Err(error) => {
            // Standard error is a pipe to the host, which attaches the text to its report.
            let _ = writeln!(io::stderr(), "psmith: error: {error}");
            125
        }
    };
    psmith_sys::exit::now(code)
}

fn serve_host(nonce: &str) -> io::Result<()> {
    let nonce = u64::from_str_radix(nonce, 16).map_err(|_| no_host())?;
    // Standard input is the socket to the host; only the parent may be at its other end.
    let stdin = io::stdin();
    let peer = socket::peer_pid(stdin.as_fd()).map_err(|_| no_host())?;
    if peer != subreaper::parent() {
        // Either the marker was set by another program, or the host was killed before this process reached this point;
        // then nothing else removes what it had made for the run by then.
        sweep_after(peer);
        return Err(no_host());
    }
    signals::block_all();
    signals::reset_dispositions();
    // A host whose limit was lowered meanwhile, or that could not raise it, is no reason to have few here.
    let _ = rlimit::raise_nofile();
    psmith_sys::exit::close_inherited_descriptors()?;
    let socket = take_stdin(stdin.as_fd())?;
    let mut link = Link::new(socket);
    let (hello, mut fds) = wait_for_hello(&mut link).inspect_err(|_| {
        // A host that was killed before its first message may have made its group already.
        sweep_after(peer);
    })?;
    let ToWarden::Hello {
        magic: MAGIC,
        protocol: PROTOCOL,
        nonce: theirs,
        marker,
        holding,
        group_dirs,
        scratch,
        again,
    } = postcard::from_bytes::<ToWarden<'_>>(hello.messages()).map_err(io::Error::other)?
    else {
        return Err(io::Error::other("the host speaks another version of the protocol"));
    };
    let host = fds.pop().filter(|_| theirs == nonce).ok_or_else(no_host)?;
    if holding != Holding::Group {
        subreaper::set_subreaper(true).map_err(|error| {
            refused("prctl(PR_SET_CHILD_SUBREAPER)", "to be given what jobs leave behind", error)
        })?;
    }
    let swept = if again { descendants::kill_marked(marker) } else { 0 };
    let scratch = scratch.map(|dir| PathBuf::from(OsStr::from_bytes(dir)));
    let group_dirs = group_dirs.into_iter().map(<[u8]>::to_vec).collect();
    let mut server = WardenServer::new(link, host, holding, marker, group_dirs)?;
    let hello = ToHost::Hello {
        magic: MAGIC,
        protocol: PROTOCOL,
        nonce,
        pid: std::process::id(),
        swept,
        build: executable::build_id(),
        forks: server.forks(),
    };
    // A host that was killed before it received this has made its groups by now: they are removed all the same.
    let end = if server.send(&hello).is_ok() { server.serve() } else { ServeEnd::HostGone };
    if let ServeEnd::Failed(error) = &end {
        // Now: the host ends this process as soon as the socket closes.
        let _ = writeln!(io::stderr(), "psmith: error: {error}");
    }
    final_cleanup(&mut server, &end);
    if let Some(scratch) = scratch
        && server.is_alone(&end)
    {
        // Last: no process is left that could write there.
        scratch::remove(&scratch);
    }
    Ok(())
}

/// Removes the groups of a host that is gone and has sent no introduction.
fn sweep_after(host: u32) {
    // Its socket closes some time before its end: while it still counts as alive, its groups are its own.
    if let Ok(host) = pidfd::open(host) {
        let timeout = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut fds = [rustix::event::PollFd::new(&host, rustix::event::PollFlags::IN)];
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
    }
    let _ = cgroup::sweep_stale();
    scratch::sweep_stale(&std::env::temp_dir());
}

fn no_host() -> io::Error {
    io::Error::other(format!("{MARKER} is set, but no psmith waits for this process: unset it"))
}

/// Moves the socket away from descriptor 0, where no job may ever find it, and opens `/dev/null` there.
fn take_stdin(stdin: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let socket = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty());
    let null =
        null.map_err(|error| refused("open of /dev/null", "for the standard input of jobs", error.into()))?;
    rustix::stdio::dup2_stdin(&null)?;
    drop(null);
    Ok(socket)
}

fn wait_for_hello(link: &mut Link) -> io::Result<(Packet, Vec<OwnedFd>)> {
    loop {
        match link.receive()? {
            ReceivedPacket::Message(fds) => return Ok((link.lend(), fds)),
            ReceivedPacket::Closed => return Err(io::Error::other("the host left without a word")),
            ReceivedPacket::Nothing => {
                let mut wait = [rustix::event::PollFd::new(link, rustix::event::PollFlags::IN)];
                rustix::event::poll(&mut wait, None)?;
            }
        }
    }
}

/// Ends everything that this warden (or keeper) has started. Groups are the host's as long as it lives: it kills and keeps
/// them where only this warden has failed.
fn final_cleanup(server: &mut WardenServer, end: &ServeEnd) {
    let jobs: Vec<u32> = server.children.keys().copied().collect();
    if server.is_alone(end) {
        for dir in &server.group_dirs {
            let _ = cgroup::kill_dir(Path::new(OsStr::from_bytes(dir)));
        }
    }
    let deadline = Instant::now() + FINAL_CLEANUP_MAX;
    for &pid in server.children.keys() {
        let _ = kill_group(pid, SIGKILL);
        let _ = kill(pid, SIGKILL);
    }
    if server.holding != Holding::Groups && !server.keeper {
        // Processes that left their session and their parents, but not their environment. Other keepers' jobs carry the
        // marker too, so only the warden, at the end of the run, may kill by it.
        descendants::kill_marked(server.orphans.marker());
    }
    // Every round reaps what has died; processes orphaned by that have become children of this process meanwhile.
    loop {
        while let Ok(Some(peeked)) = wait::peek_any() {
            if wait::reap(peeked.pid).is_err() {
                break;
            }
        }
        let left = proc_tree::children(std::process::id()).unwrap_or_default();
        if left.is_empty() || Instant::now() > deadline {
            break;
        }
        descendants::signal_descendants(std::process::id(), None, SIGKILL);
        server.wait_for_exit(Duration::from_millis(5));
    }
    if server.is_alone(end)
        && let Some(terminal) = &server.terminal
    {
        terminal.put_back(&jobs);
    }
    if server.is_alone(end) {
        for dir in std::mem::take(&mut server.group_dirs) {
            let dir = Path::new(OsStr::from_bytes(&dir));
            while cgroup::remove_dir(dir).is_err() && dir.exists() && Instant::now() < deadline {
                server.wait_for_exit(Duration::from_millis(2));
            }
        }
    }
}

/// Signals an own, unreaped child by its number, which is not reused until this process reaps it.
fn kill(pid: u32, signal: i32) -> io::Result<()> {
    let (pid, signal) = named(pid, signal)?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// Signals the process group that such a child leads.
fn kill_group(pid: u32, signal: i32) -> io::Result<()> {
    let (pid, signal) = named(pid, signal)?;
    Ok(rustix::process::kill_process_group(pid, signal)?)
}

fn named(pid: u32, signal: i32) -> io::Result<(Pid, Signal)> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.zip(Signal::from_named_raw(signal)).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Returns whether the kernel (6.9 and later) signals a process group by pidfd, found by sending signal 0.
pub(crate) fn pidfds_signal_groups() -> bool {
    !forbid::is_forbidden(KernelFacility::PidfdGroup)
        && pidfd::open(std::process::id()).is_ok_and(|own| match pidfd::signal_group(&own, 0) {
            Ok(()) => true,
            Err(error) => !pidfd::is_unsupported(&error),
        })
}

/// Returns the step of a start, as the core names it.
pub(crate) fn step_of_number(number: u8) -> Option<SpawnStep> {
    Some(match ChildStep::from_code(number)? {
        ChildStep::Clone => SpawnStep::Clone,
        ChildStep::Session => SpawnStep::Session,
        ChildStep::Terminal => SpawnStep::Terminal,
        ChildStep::ParentDeath => SpawnStep::ParentDeath,
        ChildStep::JoinGroup => SpawnStep::JoinGroup,
        ChildStep::Limits => SpawnStep::Limits,
        ChildStep::Nice => SpawnStep::Nice,
        ChildStep::WorkingDirectory => SpawnStep::WorkingDirectory,
        ChildStep::Descriptors => SpawnStep::Descriptors,
        ChildStep::Signals | ChildStep::Privileges => SpawnStep::Signals,
        ChildStep::Exec => SpawnStep::Exec,
    })
}
