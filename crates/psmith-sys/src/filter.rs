//! A filter of system calls for this process and all that it starts, for good: an aid for tests of what psmith does where
//! a container's profile refuses calls.

use std::io;

use crate::raw;

/// The numbers of calls by name, those that tests refuse.
const CALLS: [(&str, libc::c_long); 5] = [
    ("clone3", libc::SYS_clone3),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    ("prctl", libc::SYS_prctl),
    ("signalfd4", libc::SYS_signalfd4),
];

/// Has the kernel refuse the call of this name with this error from now on.
///
/// # Errors
/// `EINVAL` for a name that is not known here; those of seccomp(2).
pub fn refuse(call: &str, errno: u16) -> io::Result<()> {
    let number = CALLS.iter().find(|(name, _)| *name == call).map(|(_, number)| *number as u32);
    let number = number.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let equals =
        libc::sock_filter { jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number) };
    let mut program = [
        // The call's number is the first word of what the filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        equals,
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | u32::from(errno)),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    rustix::thread::set_no_new_privs(true)?;
    let words = [libc::SECCOMP_SET_MODE_FILTER as usize, 0, std::ptr::from_ref(&filter) as usize, 0, 0, 0];
    // SAFETY: seccomp(2) reads a program of this length at this place.
    raw::check(unsafe { raw::call(libc::SYS_seccomp, words) }).map(drop)
}
