//! Signal handlers that count: each holder of a signal learns that it came, and the handler before them is still
//! called, and is restored at the end.
//!
//! The handler does nothing else: it adds to a number and wakes the waiting threads; where it stands for nobody but a
//! board that has rows on a terminal, it leaves that well and ends the program as the signal would have. There is one for each signal,
//! however many holders it has, so the order in which they release it does not matter. A signal that is ignored is
//! never taken.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::thread::futex;

use crate::signals::SIGNAL_MAX;

const SLOTS: usize = SIGNAL_MAX as usize + 1;

/// The number of times that each signal has come while it was taken.
static ARRIVED: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];

/// A number that changes with each signal and each nudge.
static CHANGES: AtomicU32 = AtomicU32::new(0);

/// The handler that each signal had before, and its calling convention, for the handler to read.
static FORMER: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
static FORMER_FLAGS: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];

/// The numbers of all holders of each signal, and of those who hold it only for the program's end, for the handler to
/// read.
static HOLDERS: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];
static FOR_THE_END: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];

/// The number of holders of each signal, and the action to restore after them.
static TAKEN: Mutex<[Option<(u32, SigAction)>; SLOTS]> = Mutex::new([None; SLOTS]);

#[derive(Clone, Copy)]
struct SigAction(libc::sigaction);

/// A signal that was taken; dropping it releases it.
#[derive(Debug)]
#[must_use = "dropped, it lets the signal go"]
pub struct HandledSignal {
    signal: i32,
    for_the_end: bool,
}

/// Takes `signal`; returns `None` if it is ignored, as a parent like `nohup` wants it to be.
///
/// # Errors
/// `EINVAL` for KILL, STOP and numbers that do not exist.
pub fn take(signal: i32) -> io::Result<Option<HandledSignal>> {
    take_as(signal, false)
}

/// Takes `signal` so that the terminal is left well ([`crate::farewell`]) where it ends the program. It still does, unless
/// somebody else holds it, too.
///
/// # Errors
/// As [`take`].
pub fn take_to_end(signal: i32) -> io::Result<Option<HandledSignal>> {
    take_as(signal, true)
}

fn take_as(signal: i32, for_the_end: bool) -> io::Result<Option<HandledSignal>> {
    let at = usize::try_from(signal).ok().filter(|at| (1..SLOTS).contains(at));
    let at = at.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((holders, _)) = &mut taken[at] {
        *holders += 1;
        note(at, *holders, for_the_end, 1);
        return Ok(Some(HandledSignal { signal, for_the_end }));
    }
    let former = current(signal)?;
    if former.sa_sigaction == libc::SIG_IGN {
        return Ok(None);
    }
    FORMER[at].store(former.sa_sigaction, Ordering::SeqCst);
    FORMER_FLAGS[at].store(former.sa_flags as usize, Ordering::SeqCst);
    let mut own = former;
    own.sa_sigaction = count as *const () as usize;
    own.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | (former.sa_flags & libc::SA_ONSTACK);
    note(at, 1, for_the_end, 1);
    if let Err(error) = change(signal, &own) {
        note(at, 0, for_the_end, -1);
        return Err(error);
    }
    taken[at] = Some((1, SigAction(former)));
    Ok(Some(HandledSignal { signal, for_the_end }))
}

/// Notes, for the handler, how many hold a signal, and a change of those who do for the end alone.
fn note(at: usize, holders: u32, for_the_end: bool, change: i32) {
    if for_the_end {
        FOR_THE_END[at].fetch_add(change as u32, Ordering::SeqCst);
    }
    HOLDERS[at].store(holders, Ordering::SeqCst);
}

impl Drop for HandledSignal {
    fn drop(&mut self) {
        let at = self.signal as usize;
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((holders, former)) = taken[at] else { return };
        note(at, holders - 1, self.for_the_end, -1);
        if holders > 1 {
            taken[at] = Some((holders - 1, former));
            return;
        }
        taken[at] = None;
        // A handler that other code has put in its place meanwhile stays.
        let is_ours = current(self.signal).is_ok_and(|now| now.sa_sigaction == count as *const () as usize);
        if is_ours {
            let _ = change(self.signal, &former.0);
        }
    }
}

/// Returns how often `signal` has come while it was taken; wraps around.
#[must_use]
pub fn arrived(signal: i32) -> u32 {
    usize::try_from(signal)
        .ok()
        .and_then(|at| ARRIVED.get(at))
        .map_or(0, |count| count.load(Ordering::SeqCst))
}

/// Returns whether `signal`, which is taken, had no handler before.
#[must_use]
pub fn was_default(signal: i32) -> bool {
    let former = usize::try_from(signal).ok().and_then(|at| FORMER.get(at));
    former.is_some_and(|former| former.load(Ordering::SeqCst) == libc::SIG_DFL)
}

/// Returns a number that changes with each signal that comes and each [`nudge`].
#[must_use]
pub fn arrivals() -> u32 {
    CHANGES.load(Ordering::SeqCst)
}

/// Sleeps until [`arrivals`] is not `seen` any more.
pub fn wait(seen: u32) {
    while arrivals() == seen {
        // Interrupted, or changed by now: the loop checks.
        let _ = futex::wait(&CHANGES, futex::Flags::PRIVATE, seen, None);
    }
}

/// Wakes all threads that wait.
pub fn nudge() {
    CHANGES.fetch_add(1, Ordering::SeqCst);
    let _ = futex::wake(&CHANGES, futex::Flags::PRIVATE, i32::MAX as u32);
}

/// Handles the signal. May interrupt anything at any place: it touches atomics, and makes one system call that leaves
/// `errno` alone.
extern "C" fn count(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let at = signal as usize;
    let is_default = FORMER[at].load(Ordering::SeqCst) == libc::SIG_DFL;
    if is_default && FOR_THE_END[at].load(Ordering::SeqCst) >= HOLDERS[at].load(Ordering::SeqCst) {
        // Nobody handles it.
        crate::farewell::say();
        return crate::last_words::die_of(signal);
    }
    ARRIVED[at].fetch_add(1, Ordering::SeqCst);
    nudge();
    let former = FORMER[at].load(Ordering::SeqCst);
    if former == libc::SIG_DFL || former == libc::SIG_IGN {
        return;
    }
    if FORMER_FLAGS[at].load(Ordering::SeqCst) & libc::SA_SIGINFO as usize != 0 {
        // SAFETY: sigaction(2): with SA_SIGINFO the stored word is the address of a function of this type.
        let former: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
            unsafe { std::mem::transmute(former) };
        former(signal, info, context);
    } else {
        // SAFETY: sigaction(2): without SA_SIGINFO the stored word is the address of a function of this type.
        let former: extern "C" fn(i32) = unsafe { std::mem::transmute(former) };
        former(signal);
    }
}

fn current(signal: i32) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction(2) with a null new action only writes the old one.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it has written it; and zeroes are a valid one, too.
    Ok(unsafe { action.assume_init() })
}

fn change(signal: i32, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: sigaction(2) reads one action; its handler is `count`, which does only what a handler may, or the one
    // that was there before.
    let result = unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw;

    fn raise(signal: i32) {
        let thread = rustix::thread::gettid().as_raw_nonzero().get() as usize;
        // SAFETY: tgkill(2) takes no pointer; the signal is taken.
        unsafe {
            raw::call(libc::SYS_tgkill, [std::process::id() as usize, thread, signal as usize, 0, 0, 0])
        };
    }

    static FORMER_HEARD: AtomicU32 = AtomicU32::new(0);

    extern "C" fn former(_: i32) {
        FORMER_HEARD.fetch_add(1, Ordering::SeqCst);
    }

    // O-26
    #[test]
    fn the_previous_handler_is_called_and_restored_whatever_the_order_of_release() {
        let signal = libc::SIGUSR1;
        let before = current(signal).unwrap();
        let mut own = before;
        own.sa_sigaction = former as *const () as usize;
        own.sa_flags = 0;
        change(signal, &own).unwrap();
        let seen = (arrivals(), arrived(signal));
        let first = take(signal).unwrap().unwrap();
        let second = take(signal).unwrap().unwrap();
        raise(signal);
        wait(seen.0);
        assert_eq!((arrived(signal), FORMER_HEARD.load(Ordering::SeqCst)), (seen.1 + 1, 1));
        drop(first);
        raise(signal);
        assert_eq!((arrived(signal), FORMER_HEARD.load(Ordering::SeqCst)), (seen.1 + 2, 2));
        drop(second);
        assert_eq!(current(signal).unwrap().sa_sigaction, former as *const () as usize);
        raise(signal);
        assert_eq!((arrived(signal), FORMER_HEARD.load(Ordering::SeqCst)), (seen.1 + 2, 3));
        change(signal, &before).unwrap();
    }

    #[test]
    fn what_is_ignored_and_what_cannot_be_is_not_taken() {
        let signal = libc::SIGWINCH;
        crate::signals::ignore(signal).unwrap();
        assert!(take(signal).unwrap().is_none());
        crate::signals::default(signal).unwrap();
        for impossible in [0, -1, 65, libc::SIGKILL, libc::SIGSTOP] {
            assert_eq!(take(impossible).unwrap_err().raw_os_error(), Some(libc::EINVAL), "{impossible}");
        }
    }
}
