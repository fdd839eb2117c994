//! Signals to the command: those that are taken over, and the request that each makes of the run.
//!
//! Signals that were ignored when psmith was started (`nohup`, a background job of a plain shell) stay ignored.

use std::io;

use psmith_sys::signals::{self, SignalFd, SignalSet};
use rustix::process::Signal;

/// The signals that psmith takes over.
const TAKEN: [Signal; 9] = [
    Signal::INT,
    Signal::TERM,
    Signal::QUIT,
    Signal::HUP,
    Signal::TSTP,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::CONT,
];

/// The request that a signal makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalRequest {
    /// The next step of the interrupt ladder: end the run, harder with each request.
    End(i32),
    /// Kill at once.
    Kill(i32),
    /// Start no more, let the running finish.
    Drain,
    /// Suspend everything until it is continued.
    Suspend,
    /// List the running jobs.
    List,
    /// Reap the children that this process was given as the first one of a container.
    Reap,
    /// Draw again: the terminal has another size, or psmith continues after a stop.
    Redraw,
}

/// The taken signals, blocked in every thread and read one by one.
#[derive(Debug)]
pub(super) struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Takes the signals over. Must be called while the process has a single thread.
    pub(super) fn take() -> io::Result<Signals> {
        let ignored = signals::ignored_at_start();
        let mut numbers: Vec<i32> =
            TAKEN.iter().map(|signal| signal.as_raw()).filter(|&signal| !ignored.contains(signal)).collect();
        // Children of other processes whose parents have ended are the first process's: nobody else reaps them.
        if std::process::id() == 1 {
            numbers.push(Signal::CHILD.as_raw());
        }
        let set = SignalSet::of(&numbers);
        signals::block(set);
        Ok(Signals { fd: SignalFd::new(set)? })
    }

    pub(super) fn fd(&self) -> &SignalFd {
        &self.fd
    }

    /// Returns the next one that arrived, if any.
    pub(super) fn next(&self) -> Option<SignalRequest> {
        while let Ok(Some(info)) = self.fd.read() {
            let request = match Signal::from_named_raw(info.signo)? {
                Signal::INT | Signal::TERM => SignalRequest::End(info.signo),
                Signal::QUIT => SignalRequest::Kill(info.signo),
                Signal::HUP => SignalRequest::Drain,
                Signal::TSTP => SignalRequest::Suspend,
                Signal::USR1 => SignalRequest::List,
                // Continued, also after a stop that was not requested of us (SIGSTOP): the terminal may have been used
                // since.
                Signal::WINCH | Signal::CONT => SignalRequest::Redraw,
                Signal::CHILD => SignalRequest::Reap,
                // USR2 is reserved.
                _ => continue,
            };
            return Some(request);
        }
        None
    }

    /// Stops this process as the terminal requested; returns when it continues.
    pub(super) fn stop_here() {
        let stop = Signal::TSTP.as_raw();
        signals::raise_default(stop);
        signals::block(SignalSet::of(&[stop]));
    }
}
