//! Jobs that crash, or kill others.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, getpid, getppid, kill_process};

use crate::descendants::{self, parent_of};
use crate::{become_program, fail};

/// Runs `kill-self NAME`: dies from that signal. Twice for SEGV and BUS, whose first delivery only takes off the
/// handler that Rust's runtime has put there.
pub(crate) fn die_from(name: &str) -> ExitCode {
    let signal = match name {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "ILL" => Signal::ILL,
        "ABRT" => Signal::ABORT,
        "BUS" => Signal::BUS,
        "FPE" => Signal::FPE,
        "KILL" => Signal::KILL,
        "USR1" => Signal::USR1,
        "SEGV" => Signal::SEGV,
        "USR2" => Signal::USR2,
        "ALRM" => Signal::ALARM,
        "TERM" => Signal::TERM,
        "XCPU" => Signal::XCPU,
        "XFSZ" => Signal::XFSZ,
        other => return fail(&format!("no signal {other:?}")),
    };
    for _ in 0..3 {
        let _ = kill_process(getpid(), signal);
    }
    // A signal to oneself may arrive a moment later; then this never returns.
    descendants::wait()
}

/// Runs `segv`, `ill`, `fpe`: a real fault of the processor, not a signal that was sent: this becomes a program of a
/// few bytes, written by hand, that writes to address 0, meets an undefined instruction, or divides by zero.
pub(crate) fn real_fault(name: &str) -> ExitCode {
    let code: &[u8] = match name {
        "SEGV" => &[0x31, 0xc0, 0x89, 0x00],
        "ILL" => &[0x0f, 0x0b],
        _ => &[0x31, 0xc9, 0xf7, 0xf1],
    };
    if cfg!(not(target_arch = "x86_64")) {
        return die_from(name);
    }
    match program_of(code) {
        Ok(image) => {
            // Not close-on-exec: it is opened by this path.
            become_program(Command::new(format!("/proc/self/fd/{}", image.as_raw_fd())))
        }
        Err(error) => fail(&format!("image: {error}")),
    }
}

/// Returns a static executable of one segment, in memory: ELF header, one program header, the code.
fn program_of(code: &[u8]) -> std::io::Result<std::fs::File> {
    const BASE: u64 = 0x0040_0000;
    const HEADERS: u64 = 64 + 56;
    let length = HEADERS + code.len() as u64;
    let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // Executable, x86-64, version 1; entry; program headers at 64, no sections; sizes.
    image.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    image.extend((BASE + HEADERS).to_le_bytes());
    image.extend(64_u64.to_le_bytes());
    image.extend(0_u64.to_le_bytes());
    image.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    // One segment to load, readable and executable, the whole file.
    image.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for field in [0, BASE, BASE, length, length, 0x1000] {
        image.extend(field.to_le_bytes());
    }
    image.extend(code);
    let mut file = std::fs::File::from(rustix::fs::memfd_create("fault", rustix::fs::MemfdFlags::empty())?);
    file.write_all(&image)?;
    // The kernel refuses to run a file that is open for writing.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let image = rustix::fs::open(path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())?;
    Ok(image.into())
}

/// Runs `stack-overflow`: Rust's own, which reports itself on stderr and aborts.
#[expect(unconditional_recursion, reason = "that is the hazard")]
pub(crate) fn stack_overflow() -> ExitCode {
    fn deeper(page: [u8; 4096]) -> u8 {
        let next = std::hint::black_box(page);
        deeper(next).wrapping_add(next[0])
    }
    ExitCode::from(deeper([1; 4096]))
}

/// Runs `stop-self`: stops, and exits 0 when it is continued.
pub(crate) fn stop_self() -> ExitCode {
    let _ = kill_process(getpid(), Signal::STOP);
    println!("continued");
    ExitCode::SUCCESS
}

/// Runs `kill-parent`: SIGKILL to its parent.
pub(crate) fn kill_parent() -> ExitCode {
    let Some(parent) = getppid() else { return fail("no parent") };
    let _ = kill_process(parent, Signal::KILL);
    descendants::wait()
}

/// Runs `kill-neighbours`: SIGKILL to the other children of its parent, then exits 0.
pub(crate) fn kill_neighbours() -> ExitCode {
    let Some(parent) = getppid() else { return fail("no parent") };
    let parent = parent.as_raw_nonzero().to_string();
    let own = std::process::id().to_string();
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| name.parse::<u32>().is_ok()) else { continue };
        if pid != own
            && parent_of(pid).is_some_and(|other| other == parent)
            && let Some(pid) = pid.parse().ok().and_then(Pid::from_raw)
            && kill_process(pid, Signal::KILL).is_ok()
        {
            killed += 1;
        }
    }
    println!("{killed}");
    ExitCode::SUCCESS
}

/// Runs `exec-fail`: a job that itself fails to exec, and says so as a shell would, with 127. That is the job's exit.
pub(crate) fn exec_fail() -> ExitCode {
    let _ = become_program(Command::new(Path::new("/nonexistent/program")));
    ExitCode::from(127)
}
