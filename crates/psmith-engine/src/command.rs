//! A command as the engine starts it: a program, its words, and the variables it adds to the environment.
//!
//! Everything is bytes, kept in the form in which the kernel wants it; nothing here interprets a word. The program's
//! path is resolved already: this module never searches `PATH`.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use psmith_core::outcome::{SpawnFailure, SpawnStep};

use crate::warden::messages::START_BYTES_MAX;

/// The longest single word (argument or environment entry) that Linux passes to a program, its final NUL
/// included: `MAX_ARG_STRLEN`, 32 pages of 4 KiB.
pub const WORD_BYTES_MAX: usize = 128 * 1024;

/// A program, its arguments and its surroundings.
#[derive(Clone, Debug)]
pub struct Command {
    program: Vec<u8>,
    argv: Vec<u8>,
    env: Vec<u8>,
    dir: Option<Vec<u8>>,
    stdin: Option<Stdin>,
    numbers: Numbers,
}

/// A job's own standard input.
#[derive(Clone, Debug)]
pub(crate) enum Stdin {
    /// These bytes.
    Bytes(Arc<Vec<u8>>),
    /// An open file.
    File(Arc<OwnedFd>),
}

/// The numbers that a job sees of itself where its user counts otherwise than the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The job's number.
    pub job: Option<u64>,
    /// The job's slot, from 0, and the number of the attempt.
    pub place: Option<(u32, u32)>,
}

impl Command {
    /// Returns a command that executes `program` (a path with a slash in it) with the words `argv`, the first of which
    /// is the name the program sees of itself.
    ///
    /// ```
    /// use psmith_engine::command::Command;
    /// assert!(Command::new(b"/bin/echo", &["echo", "two words"]).is_ok());
    /// assert!(Command::new(b"/bin/echo", &["echo", "a\0b"]).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// A permanent [`SpawnFailure`] if a word holds a NUL byte or is longer than [`WORD_BYTES_MAX`].
    pub fn new<W: AsRef<[u8]>>(program: &[u8], argv: &[W]) -> Result<Command, SpawnFailure> {
        if program.contains(&0) {
            return Err(refused("the program's name holds a NUL byte, which no path can".into()));
        }
        check_words(argv)?;
        let mut words = Vec::with_capacity(argv.iter().map(|word| word.as_ref().len() + 1).sum());
        for word in argv {
            words.extend_from_slice(word.as_ref());
            words.push(0);
        }
        let program = program.to_vec();
        Ok(Command {
            program,
            argv: words,
            env: Vec::new(),
            dir: None,
            stdin: None,
            numbers: Numbers::default(),
        })
    }

    /// Sets `key` to `value` in the job's environment, over what it inherits.
    ///
    /// ```
    /// let mut command = psmith_engine::command::Command::new(b"/bin/env", &["env"]).unwrap();
    /// assert!(command.env(b"LANG", b"C").is_ok());
    /// assert!(command.env(b"A=B", b"C").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// A permanent [`SpawnFailure`] if the key is empty or holds `=` or NUL, or the value holds NUL.
    pub fn env(&mut self, key: &[u8], value: &[u8]) -> Result<&mut Command, SpawnFailure> {
        if key.is_empty() || key.contains(&b'=') || key.contains(&0) || value.contains(&0) {
            return Err(refused(format!(
                "environment entry '{}' is not of the form NAME=VALUE without NUL",
                String::from_utf8_lossy(key)
            )));
        }
        self.env.extend_from_slice(key);
        self.env.push(b'=');
        self.env.extend_from_slice(value);
        self.env.push(0);
        Ok(self)
    }

    /// Starts the job in this directory; a relative one is taken from the host's.
    ///
    /// ```
    /// let mut command = psmith_engine::command::Command::new(b"/bin/pwd", &["pwd"]).unwrap();
    /// command.dir(b"/");
    /// ```
    pub fn dir(&mut self, dir: &[u8]) -> &mut Command {
        self.dir = Some(dir.to_vec());
        self
    }

    /// Sets the number that the job sees of itself (`PSMITH_JOB`), where the user counts otherwise than the engine.
    ///
    /// ```
    /// let mut command = psmith_engine::command::Command::new(b"/bin/env", &["env"]).unwrap();
    /// // It finds PSMITH_JOB=7.
    /// command.number(7);
    /// ```
    pub fn number(&mut self, number: u64) -> &mut Command {
        self.numbers.job = Some(number);
        self
    }

    /// Sets what the job reads from its standard input: a file in memory, made anew for each attempt, that no process
    /// can write to. Without it the job inherits the run's standard input.
    ///
    /// ```
    /// use std::sync::Arc;
    /// let mut command = psmith_engine::command::Command::new(b"/bin/cat", &["cat"]).unwrap();
    /// command.stdin(Arc::new(b"input".to_vec()));
    /// ```
    pub fn stdin(&mut self, bytes: Arc<Vec<u8>>) -> &mut Command {
        self.stdin = Some(Stdin::Bytes(bytes));
        self
    }

    /// Gives the job this open file as its standard input, from where it stands: a pipe, or a file of its own.
    ///
    /// ```
    /// use std::sync::Arc;
    /// let mut command = psmith_engine::command::Command::new(b"/bin/cat", &["cat"]).unwrap();
    /// let file = std::fs::File::open("/dev/null").unwrap();
    /// command.stdin_file(Arc::new(file.into()));
    /// ```
    pub fn stdin_file(&mut self, file: Arc<OwnedFd>) -> &mut Command {
        self.stdin = Some(Stdin::File(file));
        self
    }

    /// Sets the numbers that a job of this command sees of itself.
    pub fn set_numbers(&mut self, numbers: Numbers) -> &mut Command {
        self.numbers = numbers;
        self
    }

    /// Returns the numbers that a job of this command sees of itself.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        self.numbers
    }

    /// Returns its own standard input, if it was given one.
    pub(crate) fn own_stdin(&self) -> Option<&Stdin> {
        self.stdin.as_ref()
    }

    /// Returns the program, as it was named.
    #[must_use]
    pub fn program(&self) -> &[u8] {
        &self.program
    }

    /// Returns its arguments, each with a zero byte behind it.
    #[must_use]
    pub fn argv_block(&self) -> &[u8] {
        &self.argv
    }

    /// Returns its environment, each entry with a zero byte behind it.
    #[must_use]
    pub fn env_block(&self) -> &[u8] {
        &self.env
    }

    /// Returns its working directory, if one was named.
    #[must_use]
    pub fn dir_bytes(&self) -> Option<&[u8]> {
        self.dir.as_deref()
    }
}

/// The surroundings that an attempt has in place of the run's: those of the host when its job was handed in, if they had
/// changed since the run began.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OwnSurroundings {
    /// The environment: `K=V` and NUL, back to back.
    pub env: Option<Vec<u8>>,
    /// The working directory, in which a relative one of the job's own is looked up.
    pub dir: Option<Vec<u8>>,
}

impl OwnSurroundings {
    /// Returns the directory of a job that asks for `dir`.
    pub(crate) fn dir_of(&self, dir: Option<&[u8]>) -> Option<Vec<u8>> {
        match (&self.dir, dir) {
            (Some(base), Some(dir)) if !dir.starts_with(b"/") => Some([base, &b"/"[..], dir].concat()),
            (Some(base), None) => Some(base.clone()),
            (_, dir) => dir.map(<[u8]>::to_vec),
        }
    }
}

/// The program that the engine starts for an attempt.
#[derive(Debug)]
pub enum Launch {
    /// A program.
    Command(Command),
    /// A worker for job functions: a copy of this program that waits for jobs.
    Worker(WorkerStart),
}

impl Launch {
    /// Checks that the warden can be told of it: one job that is too large for a message fails alone.
    pub(crate) fn check_size(&self) -> Result<(), SpawnFailure> {
        let parts: [&[u8]; 4] = match self {
            Launch::Command(command) => {
                [&command.program, &command.argv, &command.env, command.dir.as_deref().unwrap_or_default()]
            }
            Launch::Worker(start) => [b"", b"", &start.env, start.dir.as_deref().unwrap_or_default()],
        };
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if bytes <= START_BYTES_MAX {
            return Ok(());
        }
        Err(refused(format!(
            "its words, environment and directory have {bytes} bytes together, more than the limit of \
             {START_BYTES_MAX}"
        )))
    }
}

/// A worker, and how its surroundings differ from the run's.
#[derive(Clone, Debug)]
pub struct WorkerStart {
    /// The environment besides the run's: `K=V` and NUL, back to back.
    pub env: Vec<u8>,
    /// The working directory, if not the host's.
    pub dir: Option<Vec<u8>>,
    /// The longest frame on the worker's channel.
    pub frame_bytes_max: u64,
    /// The functions that the worker calls before its first job.
    pub first_calls: Vec<crate::function::first_call::FirstCall>,
    /// True if it has one job, which is known already.
    pub single: bool,
    /// The memory that it shares with its host.
    pub region: Option<std::sync::Arc<std::os::fd::OwnedFd>>,
}

/// Checks that the kernel can take these words at all: none holds a NUL byte, none is too long.
///
/// ```
/// use psmith_engine::command::{WORD_BYTES_MAX, check_words};
/// assert!(check_words(&["echo", "a"]).is_ok());
/// assert!(check_words(&["x".repeat(WORD_BYTES_MAX)]).is_err());
/// ```
///
/// # Errors
///
/// The permanent [`SpawnFailure`] of a job that has such words; argument 0 is the program's name.
pub fn check_words<W: AsRef<[u8]>>(words: &[W]) -> Result<(), SpawnFailure> {
    for (index, word) in words.iter().enumerate() {
        let word = word.as_ref();
        if word.len() >= WORD_BYTES_MAX {
            let most = WORD_BYTES_MAX / 1024;
            return Err(refused(format!(
                "argument {index} is {} KiB, the kernel takes {most} KiB",
                word.len().div_ceil(1024).max(most + 1),
            )));
        }
        if word.contains(&0) {
            return Err(refused("input holds a NUL byte, which no argument can".into()));
        }
    }
    Ok(())
}

fn refused(detail: String) -> SpawnFailure {
    SpawnFailure { step: SpawnStep::Prepare, errno: 0, detail, permanent: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_byte_for_byte() {
        let command = Command::new(b"/bin/echo", &[&b"echo"[..], b"", b"a b\n", b"\xff"]).unwrap();
        assert_eq!(command.argv_block(), b"echo\0\0a b\n\0\xff\0");
    }

    #[test]
    fn what_the_kernel_cannot_take_is_refused_for_good() {
        let nul = Command::new(b"/bin/echo", &[&b"echo"[..], b"a\0b"]).unwrap_err();
        assert!(nul.permanent && nul.detail.contains("NUL"), "{nul:?}");
        let long = Command::new(b"/bin/echo", &[&b"echo"[..], &vec![b'x'; 140 * 1024]]).unwrap_err();
        assert_eq!(long.detail, "argument 1 is 140 KiB, the kernel takes 128 KiB");
        assert!(Command::new(b"/bin/echo", &[&b"e"[..], &vec![b'x'; WORD_BYTES_MAX - 1]]).is_ok());
    }

    #[test]
    fn environment_entries_must_have_a_name() {
        let mut command = Command::new(b"/bin/echo", &[b"echo"]).unwrap();
        assert!(command.env(b"", b"x").is_err());
        assert!(command.env(b"A=B", b"x").is_err());
        assert_eq!(command.env(b"A", b"=x").unwrap().env_block(), b"A==x\0");
    }
}
