//! Keys that a person presses while the board is up.
//!
//! A thread of its own reads them, because a terminal that belongs to another group must not be read, and the engine
//! must not wait for it. Only echo and line mode are turned off, so Ctrl-C and Ctrl-Z stay what they are; and they are
//! turned on again whenever psmith leaves the terminal: at a stop, and at every end; at a KILL the warden does it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use psmith_sys::eventfd::Waker;
use psmith_sys::signals::{self, SignalSet};
use psmith_sys::terminal::{self, TerminalModes};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// A command given by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyCommand {
    /// `t`: the running jobs with their last lines.
    Running,
    /// `+`: one slot more.
    Wider,
    /// `-`: one slot less.
    Narrower,
    /// `p`: start nothing; again: continue.
    Pause,
    /// `d`: start nothing any more.
    Drain,
    /// `f`: the failures so far.
    Failures,
    /// `?`: list the keys.
    Help,
}

impl KeyCommand {
    /// Returns the command of a key; other keys have none.
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

/// The terminal on standard input, while it belongs to psmith.
#[derive(Debug)]
pub(super) struct Keys {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when the terminal belongs to psmith again, or all is over.
    changed: Condvar,
    /// The waker of the thread while it waits for a key.
    nudge: Waker,
    /// The waker of the engine, for a key.
    wake: Arc<Waker>,
}

#[derive(Debug, Default)]
struct State {
    /// The modes to be restored. `Some` while the terminal belongs to psmith.
    before: Option<Termios>,
    /// The same for who puts them back if this process cannot any more.
    found: Option<TerminalModes>,
    pressed: Vec<KeyCommand>,
    is_over: bool,
}

impl Keys {
    /// Takes the terminal for keys, if a person can press them: standard input is a terminal. Not if standard output is
    /// a pipe: its reader may use the keys (`| less`).
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

    /// Returns the terminal and its modes before it was taken, unless that was not possible yet.
    pub(super) fn found(&self) -> Option<(OwnedFd, TerminalModes)> {
        let before = self.shared.lock().found?;
        Some((io::stdin().as_fd().try_clone_to_owned().ok()?, before))
    }

    /// Returns the keys that have been pressed since the last call.
    pub(super) fn pressed(&self) -> Vec<KeyCommand> {
        std::mem::take(&mut self.shared.lock().pressed)
    }

    /// Takes the terminal, if this process may: in the background it belongs to another group.
    pub(super) fn take_again(&mut self) {
        let mut state = self.shared.lock();
        if !terminal::is_foreground(io::stdin()).unwrap_or(false) {
            // The owner has set the modes as needed.
            state.before = None;
            return;
        }
        let found = TerminalModes::of(io::stdin()).ok();
        let Ok(now) = tcgetattr(io::stdin()) else { return };
        if state.before.is_none() || now.local_modes.contains(LocalModes::ICANON) {
            let mut modes = now.clone();
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // A read takes what is there and never waits.
            modes.special_codes[SpecialCodeIndex::VMIN] = 0;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            if set_modes(&modes).is_ok() {
                state.found = found;
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
        // Its thread ends by itself; nothing waits for it.
        self.shared.give_back(true);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The lock guards one push or one change of modes.
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
                // Hung up, or in the background: not ours until it is taken again.
                Ok(_) | Err(_) => state.before = None,
            }
        }
    }
}

/// Sets the modes, also while the kernel counts the process as in the background: it was in the foreground a moment
/// ago.
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
