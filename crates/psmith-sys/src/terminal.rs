//! The foreground process group of a terminal: reading it, taking it, and handing it on. Its modes, to be put back.
//!
//! A group that was made outside of this PID namespace has no number here: the kernel returns 0 (a container's first
//! process, `docker exec`, `unshare --pid`). Such a group is reported as an error instead of as a number that means
//! "every process of mine" elsewhere.

use std::io;
use std::os::fd::AsFd;

use rustix::process::Pid;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, tcgetattr,
    tcsetattr,
};

use crate::raw;

/// The control characters, and the two numbers that are kept among them.
const CODES: [SpecialCodeIndex; 17] = [
    SpecialCodeIndex::VINTR,
    SpecialCodeIndex::VQUIT,
    SpecialCodeIndex::VERASE,
    SpecialCodeIndex::VKILL,
    SpecialCodeIndex::VEOF,
    SpecialCodeIndex::VTIME,
    SpecialCodeIndex::VMIN,
    SpecialCodeIndex::VSWTC,
    SpecialCodeIndex::VSTART,
    SpecialCodeIndex::VSTOP,
    SpecialCodeIndex::VSUSP,
    SpecialCodeIndex::VEOL,
    SpecialCodeIndex::VREPRINT,
    SpecialCodeIndex::VDISCARD,
    SpecialCodeIndex::VWERASE,
    SpecialCodeIndex::VLNEXT,
    SpecialCodeIndex::VEOL2,
];

/// The modes of a terminal, as numbers that can be sent to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalModes {
    /// Those of input, of output, of the line, and local ones.
    pub flags: [u32; 4],
    /// The control characters.
    pub codes: [u8; CODES.len()],
}

impl TerminalModes {
    /// Returns the present modes of `terminal`.
    ///
    /// # Errors
    /// `ENOTTY` if it is none, `EIO` if it is gone.
    pub fn of(terminal: impl AsFd) -> io::Result<TerminalModes> {
        let now = tcgetattr(terminal)?;
        let modes = [
            now.input_modes.bits(),
            now.output_modes.bits(),
            now.control_modes.bits(),
            now.local_modes.bits(),
        ];
        Ok(TerminalModes { flags: modes, codes: CODES.map(|code| now.special_codes[code]) })
    }

    /// Sets these modes. For a call from the background, the kernel sends `SIGTTOU`: block it before.
    ///
    /// # Errors
    /// As for [`TerminalModes::of`].
    pub fn set(&self, terminal: impl AsFd) -> io::Result<()> {
        let mut modes = tcgetattr(&terminal)?;
        modes.input_modes = InputModes::from_bits_retain(self.flags[0]);
        modes.output_modes = OutputModes::from_bits_retain(self.flags[1]);
        modes.control_modes = ControlModes::from_bits_retain(self.flags[2]);
        modes.local_modes = LocalModes::from_bits_retain(self.flags[3]);
        for (code, value) in CODES.into_iter().zip(self.codes) {
            modes.special_codes[code] = value;
        }
        Ok(tcsetattr(terminal, OptionalActions::Now, &modes)?)
    }
}

/// Returns the number of this process's group; `None` if it is outside of this PID namespace.
#[must_use]
pub fn own_group_number() -> Option<u32> {
    own_group().ok().map(|group| group.as_raw_nonzero().get().cast_unsigned())
}

/// Returns whether this process's group is in the foreground of `terminal`.
///
/// # Errors
/// `ENOTTY` if it is not this process's controlling terminal; `EOPNOTSUPP` if the foreground group, or this process's
/// own, is outside of this PID namespace.
pub fn is_foreground(terminal: impl AsFd) -> io::Result<bool> {
    Ok(rustix::termios::tcgetpgrp(terminal)? == own_group()?)
}

/// Returns the group that has the foreground of `terminal`; it may have ended already.
///
/// # Errors
/// As for [`is_foreground`].
pub fn foreground_group(terminal: impl AsFd) -> io::Result<u32> {
    Ok(rustix::termios::tcgetpgrp(terminal)?.as_raw_nonzero().get().cast_unsigned())
}

/// Puts another group of this session into the foreground of `terminal`. For a call from the background, the kernel
/// sends `SIGTTOU`: block it before.
///
/// # Errors
/// `EPERM` if there is no such group in this session (any more); else as for [`is_foreground`].
pub fn give_foreground(terminal: impl AsFd, group: u32) -> io::Result<()> {
    let group = Pid::from_raw(group.cast_signed()).ok_or(rustix::io::Errno::PERM)?;
    Ok(rustix::termios::tcsetpgrp(terminal, group)?)
}

/// Puts this process's group into the foreground of `terminal`. For a call from the background, the kernel sends
/// `SIGTTOU`: block it before.
///
/// # Errors
/// As for [`is_foreground`].
pub fn take_foreground(terminal: impl AsFd) -> io::Result<()> {
    Ok(rustix::termios::tcsetpgrp(terminal, own_group()?)?)
}

/// Returns this process's group. rustix's `getpgrp` assumes that the result is not 0.
fn own_group() -> io::Result<Pid> {
    // SAFETY: getpgid(2) takes a process number, 0 for the caller, and no pointer.
    let result = unsafe { raw::call(libc::SYS_getpgid, [0; 6]) };
    Pid::from_raw(result as i32).ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}
