//! The keys that a person presses while the board is up.
//!
//! A thread of its own reads them, because a terminal in the hands of another group must not be read, nor waited for
//! by the engine. Only echo and the gathering into lines are turned off, so Ctrl-C and Ctrl-Z stay what they are; and
//! they are turned on again whenever psmith leaves the terminal: at a stop, and at every end but a KILL.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use psmith_sys::eventfd::Waker;
use psmith_sys::signals::{self, SignalSet};
use psmith_sys::terminal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// The command that a key gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyCommand {
    /// `t`: the running jobs with their last lines.
    Running,
    /// `+`: one slot more.
    Wider,
    /// `-`: one slot less.
    Narrower,
    /// `p`: start nothing; again: go on.
    Pause,
    /// `d`: start nothing any more.
    Drain,
    /// `f`: the failures so far.
    Failures,
    /// `?`: what the keys are.
    Help,
}

impl KeyCommand {
    /// Other keys mean nothing.
    fn of(byte: u8) -> Option<KeyCommand> {
        Some(match byte {
            b't' => KeyCommand::Running,
            b'+' => KeyCommand::Wider,
            b'-' => KeyCommand::Narrower,
            b'p' => KeyCommand::Pause,
            b'd' => KeyCommand::Drain,
            b'f' => KeyCommand::Failures,
            b'?' => KeyCommand::Help,
            _ => return None,
        })
    }
}

/// The terminal on standard input, while it is ours.
#[derive(Debug)]
pub(super) struct Keys {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The terminal is ours again, or all is over.
    changed: Condvar,
    /// Ends the thread's wait for a key.
    nudge: Waker,
    /// Tells the engine of a key.
    wake: Arc<Waker>,
}

#[derive(Debug, Default)]
struct State {
    /// The modes to be set again. `Some` while the terminal is ours.
    before: Option<Termios>,
    pressed: Vec<KeyCommand>,
    is_over: bool,
}

impl Keys {
    /// Takes the keys, if there is somebody to press them: standard input is a terminal. Not where standard output
    /// is a pipe: its reader may want the keys (`| less`).
    pub(super) fn take(wake: Arc<Waker>) -> Option<Keys> {
        let is_pipe = rustix::fs::fstat(io::stdout()).is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo
        });
        if is_pipe || !rustix::termios::isatty(io::stdin()) {
            return None;
        }
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            nudge: Waker::new().ok()?,
            wake,
        });
        let mut keys = Keys { shared: Arc::clone(&shared) };
        keys.take_again();
        let reader = std::thread::Builder::new().name("psmith-keys".into());
        reader.spawn(move || shared.read()).ok()?;
        Some(keys)
    }

    /// The keys that have been pressed since the last time.
    pub(super) fn pressed(&self) -> Vec<KeyCommand> {
        std::mem::take(&mut self.shared.lock().pressed)
    }

    /// Takes the terminal, if it is there for this process to take: in the background it is somebody else's.
    pub(super) fn take_again(&mut self) {
        let mut state = self.shared.lock();
        if !terminal::is_foreground(io::stdin()).unwrap_or(false) {
            // Whose it is now has set the modes as needed there.
            state.before = None;
            return;
        }
        let Ok(now) = tcgetattr(io::stdin()) else { return };
        if state.before.is_none() || now.local_modes.contains(LocalModes::ICANON) {
            let mut modes = now.clone();
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // A read takes what is there and never waits.
            modes.special_codes[SpecialCodeIndex::VMIN] = 0;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            if set_modes(&modes).is_ok() {
                state.before = Some(now);
            }
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Gives the terminal back as it was found.
    pub(super) fn give_back(&mut self) {
        self.shared.give_back(false);
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // Its thread ends by itself; nobody waits for it.
        self.shared.give_back(true);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is guarded is one push or one change of modes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, is_over: bool) {
        let mut state = self.lock();
        if let Some(before) = state.before.take()
            && terminal::is_foreground(io::stdin()).unwrap_or(false)
        {
            // A terminal that is gone has no modes.
            let _ = set_modes(&before);
        }
        state.is_over |= is_over;
        drop(state);
        self.nudge.wake();
        self.changed.notify_one();
    }

    fn read(&self) {
        // In the background a read is an error, not a stop of the whole process.
        signals::block(SignalSet::of(&[Signal::TTIN.as_raw(), Signal::TTOU.as_raw()]));
        loop {
            let mut state = self.lock();
            while state.before.is_none() && !state.is_over {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.is_over {
                return;
            }
            drop(state);
            let stdin = io::stdin();
            let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&self.nudge, PollFlags::IN)];
            let polled = poll(&mut fds, None);
            let (key, nudged) = (fds[0].revents(), !fds[1].revents().is_empty());
            if nudged {
                self.nudge.drain();
            }
            if polled.is_err() || key.is_empty() {
                continue;
            }
            // Under the lock the modes stay as they are: in any other the read could wait for a whole line.
            let mut state = self.lock();
            if state.before.is_none() {
                continue;
            }
            let mut bytes = [0; 64];
            match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
                Ok(count) if count > 0 => {
                    state.pressed.extend(bytes[..count].iter().filter_map(|&byte| KeyCommand::of(byte)));
                    drop(state);
                    self.wake.wake();
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                // Hung up, or in the background: not ours until somebody takes it again.
                Ok(_) | Err(_) => state.before = None,
            }
        }
    }
}

/// Sets the modes, also for the kernel's idea of a background process: it was in the foreground a moment ago.
fn set_modes(modes: &Termios) -> io::Result<()> {
    let old = signals::block(SignalSet::of(&[Signal::TTOU.as_raw()]));
    let set = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, modes);
    signals::restore(old);
    Ok(set?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_key() {
        let keys: Vec<KeyCommand> = (0..=u8::MAX).filter_map(KeyCommand::of).collect();
        assert_eq!(keys.len(), 7);
        assert_eq!(KeyCommand::of(b'q'), None);
    }
}
