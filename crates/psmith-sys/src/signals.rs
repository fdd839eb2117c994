//! Signals: sets, masks, dispositions, names, and a descriptor that reads them.
//!
//! Installs no handler, ever: signals are either blocked and read through [`SignalFd`], ignored, or left to their
//! default. Masks belong to the calling thread; dispositions to the whole process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::raw;

/// The highest signal number of Linux on the supported machines.
pub const SIGNAL_MAX: i32 = 64;
/// The first real-time signal that programs may use; the C library keeps 32 and 33 (glibc) or up to 34 (musl).
const REAL_TIME_FIRST: i32 = 34;

const DISPOSITION_DEFAULT: usize = 0;
const DISPOSITION_IGNORE: usize = 1;

/// A set of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    /// The empty set.
    pub const EMPTY: SignalSet = SignalSet(0);
    /// The set of all signals but 32 and 33, which the C library uses among its threads (`setuid` would hang).
    pub const ALL: SignalSet = SignalSet(!(0b11 << 31));

    /// Returns the set of these signals; numbers that do not exist are skipped.
    #[must_use]
    pub fn of(signals: &[i32]) -> Self {
        signals.iter().fold(SignalSet::EMPTY, |set, signal| set.with(*signal))
    }

    /// Returns this set and `signal`.
    #[must_use]
    pub fn with(self, signal: i32) -> Self {
        SignalSet(self.0 | bit(signal))
    }

    /// Returns whether `signal` is in it.
    #[must_use]
    pub fn contains(self, signal: i32) -> bool {
        self.0 & bit(signal) != 0
    }

    /// Returns the signals in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        SignalSet(self.0 | other.0)
    }

    /// Returns whether it is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the signals in it, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = i32> {
        (1..=SIGNAL_MAX).filter(move |signal| self.contains(*signal))
    }
}

fn bit(signal: i32) -> u64 {
    if (1..=SIGNAL_MAX).contains(&signal) { 1 << (signal - 1) } else { 0 }
}

/// Blocks every signal that can be blocked, in this thread; returns what was blocked before.
pub fn block_all() -> SignalSet {
    change_mask(libc::SIG_SETMASK, SignalSet::ALL)
}

/// Blocks these signals too, in this thread; returns what was blocked before.
pub fn block(set: SignalSet) -> SignalSet {
    change_mask(libc::SIG_BLOCK, set)
}

/// Unblocks these signals, in this thread; returns what was blocked before.
pub fn unblock(set: SignalSet) -> SignalSet {
    change_mask(libc::SIG_UNBLOCK, set)
}

/// Makes `old` the mask of this thread.
pub fn restore(old: SignalSet) {
    change_mask(libc::SIG_SETMASK, old);
}

/// Returns the signals that are blocked in this thread.
#[must_use]
pub fn blocked() -> SignalSet {
    change_mask(libc::SIG_BLOCK, SignalSet::EMPTY)
}

fn change_mask(how: i32, set: SignalSet) -> SignalSet {
    let mut old = 0_u64;
    let pointers = (std::ptr::from_ref(&set.0) as usize, std::ptr::from_mut(&mut old) as usize);
    // SAFETY: rt_sigprocmask(2) reads and writes one mask of the 8 bytes that the last argument states.
    let result =
        unsafe { raw::call(libc::SYS_rt_sigprocmask, [how as usize, pointers.0, pointers.1, 8, 0, 0]) };
    debug_assert_eq!(result, 0, "rt_sigprocmask fails only for a wrong size or operation");
    SignalSet(old)
}

/// Returns the signals that are pending for this thread or process because they are blocked.
#[must_use]
pub fn pending() -> SignalSet {
    let mut set = 0_u64;
    let place = std::ptr::from_mut(&mut set) as usize;
    // SAFETY: rt_sigpending(2) writes one mask of the 8 bytes that the last argument states.
    unsafe { raw::call(libc::SYS_rt_sigpending, [place, 8, 0, 0, 0, 0]) };
    SignalSet(set)
}

/// Ignores `signal`. The state survives `execve`; a start by [`crate::spawn`] undoes it in the child.
///
/// # Errors
/// `EINVAL` for KILL, STOP and numbers that do not exist.
pub fn ignore(signal: i32) -> io::Result<()> {
    set_disposition(signal, DISPOSITION_IGNORE)?;
    TOUCHED.fetch_or(bit(signal), Ordering::Relaxed);
    Ok(())
}

/// Gives `signal` its default disposition.
///
/// # Errors
/// `EINVAL` for KILL, STOP and numbers that do not exist.
pub fn default(signal: i32) -> io::Result<()> {
    set_disposition(signal, DISPOSITION_DEFAULT)
}

/// Gives every ignored signal its default disposition; handlers stay. Returns which ones were ignored.
pub fn reset_dispositions() -> SignalSet {
    let ignored = ignored();
    for signal in ignored.iter() {
        // Every signal that can be ignored can be set to default.
        let _ = default(signal);
    }
    ignored
}

/// Returns the signals that are ignored now. Called before anything else runs (in a link-time entry), it returns what
/// the parent of this process had ignored, as `nohup` does with HUP; std itself ignores PIPE before `main`.
#[must_use]
pub fn ignored_at_start() -> SignalSet {
    ignored()
}

/// Returns the signals that are ignored now.
#[must_use]
pub fn ignored() -> SignalSet {
    with_disposition(|handler| handler == DISPOSITION_IGNORE)
}

/// Returns the signals that are ignored or have a handler.
pub(crate) fn not_default() -> SignalSet {
    with_disposition(|handler| handler != DISPOSITION_DEFAULT)
}

/// Returns the signals that [`ignore`] was ever called for: a start resets them in its child without a system call for
/// each of the 64.
pub(crate) fn touched() -> SignalSet {
    SignalSet(TOUCHED.load(Ordering::Relaxed))
}

static TOUCHED: AtomicU64 = AtomicU64::new(0);

fn with_disposition(wanted: impl Fn(usize) -> bool) -> SignalSet {
    (1..=SIGNAL_MAX).fold(SignalSet::EMPTY, |set, signal| {
        let mut action = KernelSigaction::default();
        let place = std::ptr::from_mut(&mut action) as usize;
        // SAFETY: rt_sigaction(2) with a null new action only writes the old one, with a mask of 8 bytes.
        let result = unsafe { raw::call(libc::SYS_rt_sigaction, [signal as usize, 0, place, 8, 0, 0]) };
        if result == 0 && wanted(action.handler) { set.with(signal) } else { set }
    })
}

fn set_disposition(signal: i32, handler: usize) -> io::Result<()> {
    let action = KernelSigaction { handler, ..KernelSigaction::default() };
    let place = std::ptr::from_ref(&action) as usize;
    // SAFETY: rt_sigaction(2) reads one action with a mask of 8 bytes; ignoring and default need no restorer.
    let result = unsafe { raw::call(libc::SYS_rt_sigaction, [signal as usize, place, 0, 8, 0, 0]) };
    raw::check(result).map(drop)
}

/// The kernel's own `struct sigaction`, not libc's: same layout on x86_64 and aarch64.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct KernelSigaction {
    pub(crate) handler: usize,
    pub(crate) flags: usize,
    pub(crate) restorer: usize,
    pub(crate) mask: u64,
}

/// Ends this process by `signal`, so that its parent sees the true status: default disposition, unblocked, raised.
/// Returns only where the signal does not end a process: its default is something else, or this is PID 1 of a
/// namespace; the caller then exits with 128 + `signal`.
pub fn raise_default(signal: i32) {
    let _ = default(signal);
    unblock(SignalSet::of(&[signal]));
    let pid = std::process::id() as usize;
    let thread = rustix::thread::gettid().as_raw_nonzero().get() as usize;
    // SAFETY: tgkill(2) takes no pointer.
    unsafe { raw::call(libc::SYS_tgkill, [pid, thread, signal as usize, 0, 0, 0]) };
}

/// A signal that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo {
    /// The signal's number.
    pub signo: i32,
    /// The process that sent it; 0 from the kernel.
    pub pid: u32,
    /// The sender's real user.
    pub uid: u32,
}

/// A descriptor that is readable while one of its signals is pending. The signals must be blocked, in every thread.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Creates a descriptor for `set`, which the caller has blocked.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new(set: SignalSet) -> io::Result<Self> {
        let flags = (libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) as usize;
        let place = std::ptr::from_ref(&set.0) as usize;
        // SAFETY: signalfd4(2) reads one mask of 8 bytes.
        let result = unsafe { raw::call(libc::SYS_signalfd4, [usize::MAX, place, 8, flags, 0, 0]) };
        let number = raw::check(result)?;
        // SAFETY: the kernel has just returned this descriptor, so no other value owns it.
        Ok(SignalFd { fd: unsafe { OwnedFd::from_raw_fd(number as i32) } })
    }

    /// Returns the next pending signal, if any. Never blocks.
    ///
    /// # Errors
    /// None is expected.
    pub fn read(&self) -> io::Result<Option<SignalInfo>> {
        // The kernel writes whole records of 128 bytes: signo, errno, code, pid and uid are its first five words.
        let mut record = [0_u8; 128];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut record)) {
            Ok(_) => {
                let word = |index: usize| {
                    let at = index * 4;
                    u32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
                };
                Ok(Some(SignalInfo { signo: word(0) as i32, pid: word(3), uid: word(4) }))
            }
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// Other names of the same signals.
const ALIASES: [(&str, i32); 3] = [("IOT", libc::SIGABRT), ("CLD", libc::SIGCHLD), ("POLL", libc::SIGIO)];

/// Returns the name of a signal without `SIG`, as `KILL`; `None` for real-time signals and numbers that do not exist.
#[must_use]
pub fn name(signal: i32) -> Option<&'static str> {
    NAMES.iter().find(|(_, number)| *number == signal).map(|(name, _)| *name)
}

/// Returns the name of a real-time signal: `RTMIN`, `RTMIN+2`; `None` for all others.
#[must_use]
pub fn real_time_name(signal: i32) -> Option<String> {
    match signal - REAL_TIME_FIRST {
        0 => Some("RTMIN".to_owned()),
        distance if (1..=SIGNAL_MAX - REAL_TIME_FIRST).contains(&distance) => {
            Some(format!("RTMIN+{distance}"))
        }
        _ => None,
    }
}

/// Parses a signal as people write it: `TERM`, `SIGTERM`, `term`, `15`, `RTMIN`, `RTMIN+2`, `RTMAX-1`.
#[must_use]
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=SIGNAL_MAX).contains(&number).then_some(number);
    }
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix("SIG").unwrap_or(&text);
    let known = NAMES.iter().chain(&ALIASES).find(|(name, _)| *name == text);
    known.map(|(_, number)| *number).or_else(|| parse_real_time(text))
}

fn parse_real_time(text: &str) -> Option<i32> {
    let (base, offset) = match (text.strip_prefix("RTMIN"), text.strip_prefix("RTMAX")) {
        (Some(rest), _) => (REAL_TIME_FIRST, rest),
        (_, Some(rest)) => (SIGNAL_MAX, rest),
        _ => return None,
    };
    let digits = offset.strip_prefix(['+', '-']).unwrap_or(offset);
    let size = match (offset.is_empty(), digits.bytes().all(|byte| byte.is_ascii_digit())) {
        (true, _) => 0,
        (false, true) if digits.len() < offset.len() => digits.parse::<i32>().ok()?,
        _ => return None,
    };
    let signal = if offset.starts_with('-') { base.checked_sub(size)? } else { base.checked_add(size)? };
    (REAL_TIME_FIRST..=SIGNAL_MAX).contains(&signal).then_some(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        for (text, signal) in [("TERM", 15), ("SIGTERM", 15), ("sigkill", 9), ("15", 15), ("POLL", 29)] {
            assert_eq!(parse(text), Some(signal), "{text}");
        }
        for (text, signal) in [("RTMIN", 34), ("SIGRTMIN+2", 36), ("RTMAX", 64), ("RTMAX-1", 63)] {
            assert_eq!(parse(text), Some(signal), "{text}");
        }
        for text in
            ["", "SIG", "0", "65", "-1", "NOPE", "RTMIN+31", "RTMIN2", "RTMIN++2", "RTMAX+1", "RTMIN+"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(name(9), Some("KILL"));
        assert_eq!(name(40), None);
        for signal in 1..=31 {
            assert_eq!(parse(name(signal).unwrap()), Some(signal));
        }
        for signal in REAL_TIME_FIRST..=SIGNAL_MAX {
            assert_eq!((name(signal), parse(&real_time_name(signal).unwrap())), (None, Some(signal)));
        }
        assert_eq!(
            (real_time_name(34).unwrap(), real_time_name(36).unwrap()),
            ("RTMIN".into(), "RTMIN+2".into())
        );
        assert_eq!((real_time_name(33), real_time_name(65)), (None, None));
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = SignalSet::of(&[1, 64, 0, 65]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 64]);
        assert!(!set.is_empty() && SignalSet::EMPTY.is_empty());
        assert!(!SignalSet::ALL.contains(32) && !SignalSet::ALL.contains(33));
        assert!(SignalSet::ALL.contains(31) && SignalSet::ALL.contains(34));
    }

    #[test]
    fn a_blocked_signal_is_read_with_its_sender() {
        let old = block(SignalSet::of(&[libc::SIGUSR2]));
        assert!(blocked().contains(libc::SIGUSR2));
        let reader = SignalFd::new(SignalSet::of(&[libc::SIGUSR2])).unwrap();
        assert_eq!(reader.read().unwrap(), None);
        let thread = rustix::thread::gettid().as_raw_nonzero().get() as usize;
        let pid = std::process::id();
        // SAFETY: tgkill(2) takes no pointer; the signal is blocked in this thread.
        unsafe { raw::call(libc::SYS_tgkill, [pid as usize, thread, libc::SIGUSR2 as usize, 0, 0, 0]) };
        let info = reader.read().unwrap().expect("pending");
        assert_eq!((info.signo, info.pid), (libc::SIGUSR2, pid));
        assert_eq!(reader.read().unwrap(), None);
        restore(old);
        assert!(!blocked().contains(libc::SIGUSR2));
    }
}
