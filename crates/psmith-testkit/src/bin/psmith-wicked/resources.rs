//! Jobs that use up resources: memory, CPU time, disk, descriptors.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use crate::{become_program, fail, number, text};

/// Runs `eat-memory BYTES`: touches that much, then prints `ate` and exits 0.
pub(crate) fn eat_memory(args: &[OsString]) -> ExitCode {
    const PORTION: usize = 1 << 20;
    let mut left = number(args, 0);
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    while left > 0 {
        // Not zeroes: the kernel would map those without a page of their own.
        eaten.push(std::hint::black_box(vec![1; PORTION]));
        left = left.saturating_sub(PORTION as u64);
    }
    println!("ate {}", eaten.len());
    ExitCode::SUCCESS
}

/// Runs `burn-cpu`: computes until a limit ends it.
pub(crate) fn burn_cpu() -> ExitCode {
    let mut state = 1_u64;
    loop {
        state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        if state == 0 {
            return ExitCode::FAILURE;
        }
    }
}

/// Runs `write-file BYTES PATH`: writes that much. Without a handler for SIGXFSZ the kernel ends it at the limit.
pub(crate) fn write_file(args: &[OsString]) -> ExitCode {
    let path = text(args, 1);
    let Ok(mut file) = File::create(&path) else { return fail(&format!("cannot create {path}")) };
    let block = [b'w'; 4096];
    let mut left = number(args, 0);
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        if let Err(error) = file.write_all(&block[..part]) {
            return fail(&format!("write: {error}"));
        }
        left -= part as u64;
    }
    ExitCode::SUCCESS
}

/// Runs `open-files N`: opens up to N descriptors, prints how many it got, exits 0 if all, else 24 (EMFILE).
pub(crate) fn open_files(args: &[OsString]) -> ExitCode {
    let wanted = number(args, 0);
    let mut open = Vec::new();
    while (open.len() as u64) < wanted {
        match File::open("/dev/null") {
            Ok(file) => open.push(file),
            Err(error) => {
                println!("{}", open.len());
                return ExitCode::from(u8::try_from(error.raw_os_error().unwrap_or(1)).unwrap_or(1));
            }
        }
    }
    println!("{}", open.len());
    ExitCode::SUCCESS
}

/// Runs `refuse CALL ERRNO PROGRAM ARGS..`: becomes the program, in which the kernel refuses this call.
pub(crate) fn refuse(args: &[OsString]) -> ExitCode {
    let [_, _, program, rest @ ..] = args else { return fail("refuse CALL ERRNO PROGRAM ARGS..") };
    let errno = u16::try_from(number(args, 1)).unwrap_or(u16::MAX);
    if let Err(error) = psmith_sys::filter::refuse(&text(args, 0), errno) {
        return fail(&format!("refuse: {error}"));
    }
    let mut command = std::process::Command::new(program);
    command.args(rest);
    become_program(command)
}
