//! Terminal of a run under `--tty`: its owner, the job or psmith, and the reaction to its loss (Ctrl-Z, a run in the
//! background).
//!
//! As in a shell, the job has the foreground while it runs, and psmith has it in between; a process that uses it from
//! the background is stopped until the user types `fg`. Never takes it from any group but its own jobs.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use psmith_sys::signals::{self, SignalSet};
use psmith_sys::terminal::{self, TerminalModes};
use rustix::process::{Signal, kill_current_process_group};

/// The number of tries of a stop that has no effect: a group without a parent in its session cannot be continued by
/// `fg`, so the kernel does not stop it, and psmith can only continue.
const STOPS_MAX: usize = 100;

/// The terminal that jobs are given, one after the other.
#[derive(Debug)]
pub(super) struct JobTerminal {
    tty: File,
    /// The group of the job that has it, or had it last.
    job: Option<u32>,
    /// True if the job was stopped by the terminal, and everything stops with it.
    pub(super) job_stopped: bool,
}

impl JobTerminal {
    /// Opens the terminal of this session.
    ///
    /// # Errors
    /// Fails if there is none.
    pub(super) fn open() -> io::Result<JobTerminal> {
        let tty = File::options().read(true).write(true).open("/dev/tty")?;
        Ok(JobTerminal { tty, job: None, job_stopped: false })
    }

    /// Returns a descriptor of it, for the jobs.
    pub(super) fn for_jobs(&self) -> io::Result<File> {
        self.tty.try_clone()
    }

    /// Returns the terminal and its modes, unless another group has it.
    pub(super) fn found(&self) -> Option<(OwnedFd, TerminalModes)> {
        if !terminal::is_foreground(&self.tty).unwrap_or(false) {
            return None;
        }
        Some((self.tty.try_clone().ok()?.into(), TerminalModes::of(&self.tty).ok()?))
    }

    /// Stops the run until it is in the foreground, if it is not: psmith can pass on only what it has.
    pub(super) fn await_foreground(&self) {
        for _ in 0..STOPS_MAX {
            self.take_back();
            if terminal::is_foreground(&self.tty).unwrap_or(true) {
                return;
            }
            let _ = kill_current_process_group(Signal::TTOU);
        }
    }

    /// Notes that the job with this process, which leads a group, has been given the foreground.
    pub(super) fn on_started(&mut self, pid: u32) {
        self.job = Some(pid);
        self.job_stopped = false;
    }

    /// Takes the foreground back from a job; from any other group it is not taken.
    pub(super) fn take_back(&self) {
        let holder = terminal::foreground_group(&self.tty).ok();
        if holder.is_some() && holder == self.job {
            with_ttou_blocked(|| terminal::take_foreground(&self.tty));
        }
    }

    /// Stops this process, and all of its group, as the terminal stopped the job; returns when it continues.
    pub(super) fn stop_here(&mut self) {
        self.take_back();
        // A process that waits for psmith (a script) is in its group, and must stop too, or the user's shell never gets
        // the terminal. Ctrl-Z reached only the job's group.
        let _ = kill_current_process_group(Signal::TSTP);
        let stop = SignalSet::of(&[Signal::TSTP.as_raw()]);
        let _ = signals::default(Signal::TSTP.as_raw());
        // Here it stops. Raised once more, it would stop a second time.
        signals::unblock(stop);
        signals::block(stop);
        self.job_stopped = false;
        // In the foreground the job continues where it was; in the background it has to do without the terminal, and is
        // stopped again if it cannot.
        if let Some(job) = self.job
            && terminal::is_foreground(&self.tty).unwrap_or(false)
        {
            with_ttou_blocked(|| terminal::give_foreground(&self.tty, job));
        }
    }
}

/// Changes the terminal with TTOU blocked: to the kernel, the caller is a background process.
fn with_ttou_blocked(change: impl FnOnce() -> io::Result<()>) {
    let old = signals::block(SignalSet::of(&[Signal::TTOU.as_raw()]));
    // The terminal may be gone by now, or the job: then there is nothing to change.
    let _ = change();
    signals::restore(old);
}
