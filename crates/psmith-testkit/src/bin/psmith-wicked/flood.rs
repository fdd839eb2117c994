//! Jobs whose output is the hazard.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, ExitCode};

use crate::{become_program, fail, number, text};

/// Runs `flood BYTES [stderr]`: lines of 64 bytes.
pub(crate) fn flood(args: &[OsString]) -> ExitCode {
    let line = format!("{:063}\n", 7);
    write_bytes(number(args, 0), line.as_bytes(), text(args, 1) == "stderr")
}

/// Runs `no-newline BYTES [stderr]`: one endless line.
pub(crate) fn no_newline(args: &[OsString]) -> ExitCode {
    write_bytes(number(args, 0), b"x", text(args, 1) == "stderr")
}

fn write_bytes(bytes: u64, pattern: &[u8], to_stderr: bool) -> ExitCode {
    let block: Vec<u8> =
        pattern.iter().copied().cycle().take(pattern.len() * (65_536 / pattern.len())).collect();
    let mut out: Box<dyn Write> = if to_stderr { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        if let Err(error) = out.write_all(&block[..part]) {
            return fail(&format!("write: {error}"));
        }
        left -= part as u64;
    }
    match out.flush() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("flush: {error}")),
    }
}

/// Runs `escape-sequences`: what a terminal would obey (title, clipboard, colours left on, alternate screen), NUL and
/// bytes that are no UTF-8, on both streams.
pub(crate) fn escape_sequences() -> ExitCode {
    let text = b"\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[31mred\x1b[?1049h\x9b31m\0\xff\xfe\n";
    if io::stdout().write_all(text).and_then(|()| io::stderr().write_all(text)).is_err() {
        return fail("write");
    }
    ExitCode::SUCCESS
}

/// Runs `close-stdio`: closes all three standard descriptors and waits. The shell does it, and stays.
pub(crate) fn close_stdio() -> ExitCode {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg("exec <&- >&- 2>&-; exec sleep 300");
    become_program(shell)
}
