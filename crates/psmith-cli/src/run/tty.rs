//! The terminal of a run under `--tty`: whose it is, the job's or psmith's own, and what happens when somebody takes
//! it away (Ctrl-Z, a run in the background).
//!
//! As a shell does: the job has the foreground while it runs, psmith has it in between, and whoever wants it from the
//! background is stopped until the user says `fg`. Never takes it from anybody but its own jobs.

use std::fs::File;
use std::io;

use psmith_sys::signals::{self, SignalSet};
use psmith_sys::terminal;
use rustix::process::{Signal, kill_current_process_group};

/// Tries of a stop that stops nobody: nobody can `fg` a group without a parent in its session, so the kernel
/// does not stop it, and going on is all that is left.
const STOPS_MAX: usize = 100;

/// The terminal that jobs are given, one after the other.
#[derive(Debug)]
pub(super) struct Terminal {
    tty: File,
    /// The group of the job that has it, or had it last.
    job: Option<u32>,
    /// The job was stopped by the terminal, and everything stops with it.
    pub(super) job_stopped: bool,
}

impl Terminal {
    /// The terminal of this session.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn open() -> io::Result<Terminal> {
        let tty = File::options().read(true).write(true).open("/dev/tty")?;
        Ok(Terminal { tty, job: None, job_stopped: false })
    }

    /// A descriptor of it, for the jobs.
    pub(super) fn for_jobs(&self) -> io::Result<File> {
        self.tty.try_clone()
    }

    /// Stops the run until it is in the foreground, where it is not: what a job is given must be ours.
    pub(super) fn await_foreground(&self) {
        for _ in 0..STOPS_MAX {
            self.take_back();
            if terminal::is_foreground(&self.tty).unwrap_or(true) {
                return;
            }
            let _ = kill_current_process_group(Signal::TTOU);
        }
    }

    /// The job with this process, which leads a group, has been given the foreground.
    pub(super) fn on_started(&mut self, pid: u32) {
        self.job = Some(pid);
        self.job_stopped = false;
    }

    /// Takes the foreground back from a job; from anybody else it is not taken.
    pub(super) fn take_back(&self) {
        let holder = terminal::foreground_group(&self.tty).ok();
        if holder.is_some() && holder == self.job {
            with_ttou_blocked(|| terminal::take_foreground(&self.tty));
        }
    }

    /// Stops this process, and all of its group, as the terminal stopped the job; returns when it goes on.
    pub(super) fn stop_here(&mut self) {
        self.take_back();
        // Whoever waits for psmith (a script) is in its group, and must stop too, or the user's shell never gets the
        // terminal. Ctrl-Z reached only the job's group.
        let _ = kill_current_process_group(Signal::TSTP);
        let stop = SignalSet::of(&[Signal::TSTP.as_raw()]);
        let _ = signals::default(Signal::TSTP.as_raw());
        // Here it stops. Raised once more, it would stop a second time.
        signals::unblock(stop);
        signals::block(stop);
        self.job_stopped = false;
        // In the foreground the job goes on where it was; in the background it has to do without, and is stopped
        // again if it cannot.
        if let Some(job) = self.job
            && terminal::is_foreground(&self.tty).unwrap_or(false)
        {
            with_ttou_blocked(|| terminal::give_foreground(&self.tty, job));
        }
    }
}

/// For the kernel it is a background process that asks.
fn with_ttou_blocked(change: impl FnOnce() -> io::Result<()>) {
    let old = signals::block(SignalSet::of(&[Signal::TTOU.as_raw()]));
    // The terminal may be gone by now, or the job: then there is nothing to change.
    let _ = change();
    signals::restore(old);
}
