//! A command as a job: a program with its arguments, whose value is its standard output. Never starts a process.

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use psmith_core::outcome::{Cause, SpawnFailure, SpawnStep};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

use crate::job::callee::Callee;
use crate::job::job::{Job, Request};
use psmith_engine::command::{Command, Numbers};
use psmith_engine::function::codec::CodecError;
use psmith_engine::handler::{AttemptOutput, LossReason};

/// Directories in which programs are looked up when `PATH` is not set.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Builder of a [`Job`] that is a command; made by [`Job::command`].
#[derive(Clone, Debug)]
#[must_use = "a command is no job before `job` or `read_by`"]
pub struct CommandJob {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    stdin: Vec<u8>,
}

impl Job<Vec<u8>> {
    /// Begins a command that runs a program, looked up in `PATH` if its name has no slash; there is no shell. The value
    /// of the job is what the program writes to standard output; the job has failed when the program exits with another
    /// code than 0 ([`Cause::Exit`]) or is ended by a signal. Output of more than
    /// [`max_message_bytes`](crate::PoolBuilder::max_message_bytes) (by default 1 GiB) is its failure. Its standard
    /// input is that of [`CommandJob::stdin`], or empty.
    ///
    /// Commands and functions may be mixed wherever jobs are taken ([`Pool`](crate::Pool),
    /// [`Scheduler`](crate::Scheduler), [`ProcessManager`](crate::ProcessManager), [`Server`](crate::Server)), with the
    /// same limits, timeouts, retries, handles and outcomes. A command always has a process of its own; reused workers
    /// ([`Isolation::Reuse`](crate::Isolation::Reuse)) stay beside it, idle or not. Commands take and send no messages.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Job, Pool};
    ///
    /// let double = |n: u32| n.to_string().repeat(2).into_bytes();
    /// let jobs = [Job::command("tr").args(["a-z", "A-Z"]).stdin("loud").job(), Job::new(double, 7)];
    /// let pool = Pool::builder().workers(2).build().unwrap();
    /// let handles = jobs.map(|job| pool.submit(job).unwrap());
    /// assert_eq!(handles.map(|handle| handle.wait().unwrap()), [b"LOUD", &b"77"[..]]);
    /// // proves: functions-and-commands
    /// ```
    pub fn command(program: impl AsRef<OsStr>) -> CommandJob {
        CommandJob {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            stdin: Vec::new(),
        }
    }
}

impl CommandJob {
    /// Adds an argument.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let jobs = [Job::command("echo").arg("two words").arg("*").job()];
    /// assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap(), b"two words *\n");
    /// ```
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> CommandJob {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let jobs = [Job::command("expr").args(["6", "*", "7"]).job()];
    /// assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap(), b"42\n");
    /// ```
    pub fn args<W: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = W>) -> CommandJob {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment, on top of this program's environment.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let jobs = [Job::command("sh").args(["-c", "echo $GREETING"]).env("GREETING", "hello").job()];
    /// assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap(), b"hello\n");
    /// ```
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> CommandJob {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets its working directory; a relative one is resolved in the working directory that this program has when the job
    /// is handed in, which is the command's otherwise.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::Job;
    /// let jobs = [Job::command("pwd").dir("/").job()];
    /// assert_eq!(psmith::run_jobs(jobs).into_iter().next().unwrap().unwrap(), b"/\n");
    /// ```
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> CommandJob {
        self.dir = Some(dir.into());
        self
    }

    /// Sets its standard input, which each attempt reads from the beginning: a file in memory, so the program may seek
    /// in it, and need not read all of it. Counts against [`max_message_bytes`](crate::Server::max_message_bytes).
    ///
    /// ```
    /// # psmith::init();
    /// # use psmith::{Job, Server};
    /// let mut jobs = vec![Job::command("wc").arg("-c").stdin(vec![0; 100_000]).job()].into_iter();
    /// let mut counted = Vec::new();
    /// Server::new(move || jobs.next()).consumer(|_, value| counted = value.unwrap()).run().unwrap();
    /// assert_eq!(counted, b"100000\n");
    /// ```
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> CommandJob {
        self.stdin = bytes.into();
        self
    }

    /// Makes the job. A fault of the command (no such program, a NUL byte) is its failure when it is run.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::{Cause, Job};
    /// let jobs = [Job::command("true").job(), Job::command("no-such-program").job()];
    /// let ends: Vec<_> = psmith::run_jobs(jobs).collect();
    /// assert!(ends[0].is_ok());
    /// assert!(matches!(ends[1].as_ref().unwrap_err().cause, Cause::SpawnFailed(_)));
    /// ```
    pub fn job(self) -> Job<Vec<u8>> {
        self.read_by(|stdout| Ok(stdout.to_vec()))
    }

    /// Makes the job, with a value that `decode` reads from the program's standard output.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::codec::CodecError;
    /// use psmith::{Job, Server};
    ///
    /// fn number(stdout: &[u8]) -> Result<u32, CodecError> {
    ///     let text = String::from_utf8_lossy(stdout);
    ///     text.trim().parse().map_err(|error| CodecError::new(format!("{text:?}: {error}")))
    /// }
    /// let mut jobs = vec![Job::command("echo").arg("42").read_by(number)].into_iter();
    /// let mut got = 0;
    /// Server::new(move || jobs.next()).consumer(|_, value| got = value.unwrap()).run().unwrap();
    /// assert_eq!(got, 42);
    /// ```
    pub fn read_by<R>(mut self, decode: fn(&[u8]) -> Result<R, CodecError>) -> Job<R> {
        let label = self.to_string();
        let input = Arc::new(std::mem::take(&mut self.stdin));
        let (command, refused) = match self.made() {
            Ok(command) => (Some(Box::new(command)), None),
            Err(failure) => (None, Some(Cause::SpawnFailed(failure))),
        };
        let callee = Callee {
            function: Err("a command is no function".into()),
            judge: None,
            decode_input: |_| None::<Box<dyn Any>>,
            errors: None,
            described: false,
        };
        let request = Request::of_encoded(&Arc::new(callee), Vec::new());
        Job { request: Request { input, refused, label: Some(label), command, ..request }, decode }
    }

    fn made(self) -> Result<Command, SpawnFailure> {
        let program = self.found()?;
        let mut words = vec![self.program.as_bytes()];
        words.extend(self.args.iter().map(|arg| arg.as_bytes()));
        let mut command = Command::new(program.as_os_str().as_bytes(), &words)?;
        for (key, value) in &self.env {
            command.env(key.as_bytes(), value.as_bytes())?;
        }
        if let Some(dir) = &self.dir {
            command.dir(dir.as_os_str().as_bytes());
        }
        Ok(command)
    }

    fn found(&self) -> Result<PathBuf, SpawnFailure> {
        let missing = |errno: Errno| SpawnFailure {
            step: SpawnStep::Lookup,
            errno: errno.raw_os_error(),
            detail: self.program.to_string_lossy().into_owned(),
            permanent: true,
        };
        if self.program.as_bytes().contains(&b'/') {
            // If the program cannot be executed, the kernel reports that at the start.
            return Ok(PathBuf::from(&self.program));
        }
        if self.program.is_empty() {
            return Err(missing(Errno::NOENT));
        }
        let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let mut found =
            std::env::split_paths(&path).map(|dir| dir.join(&self.program)).filter(|at| at.is_file());
        let mut nearest = Errno::NOENT;
        let runs = found.find(|at| {
            // The effective user counts, as it does for the kernel.
            let may_run = rustix::fs::accessat(CWD, at.as_path(), Access::EXEC_OK, AtFlags::EACCESS).is_ok();
            if !may_run {
                nearest = Errno::ACCESS;
            }
            may_run
        });
        runs.map(|at| std::path::absolute(&at).unwrap_or(at)).ok_or_else(|| missing(nearest))
    }
}

impl Request {
    /// Returns the command of an attempt that gets these numbers, if the job is a command.
    pub(crate) fn command_of(&self, numbers: Numbers) -> Option<Command> {
        let mut command = self.command.as_deref()?.clone();
        if !self.input.is_empty() {
            command.stdin(Arc::clone(&self.input));
        }
        command.set_numbers(numbers);
        Some(command)
    }
}

impl fmt::Display for CommandJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.to_string_lossy())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.to_string_lossy()))
    }
}

/// Returns a command as an attempt starts it: with a directory of its own, where jobs have one.
pub(crate) fn attempted(mut command: Command, scratch: Option<Vec<u8>>) -> Result<Command, SpawnFailure> {
    if let Some(dir) = scratch {
        // A directory within one that psmith made: the engine does not have to wait for this.
        match psmith_engine::scratch::make(Path::new(OsStr::from_bytes(&dir))) {
            // An earlier start of this attempt that failed has made it.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(SpawnFailure {
                    step: SpawnStep::Prepare,
                    errno: error.raw_os_error().unwrap_or(0),
                    detail: format!("no scratch directory {}", String::from_utf8_lossy(&dir)),
                    permanent: false,
                });
            }
            Ok(()) | Err(_) => {}
        }
        command.env(psmith_engine::scratch::VARIABLE.as_bytes(), &dir)?;
    }
    Ok(command)
}

/// Reads the value of a command: its whole standard output.
pub(crate) fn value(written: &mut AttemptOutput, bytes_max: u64) -> Result<Vec<u8>, String> {
    use std::io::Read;
    if written.stdout_bytes > bytes_max {
        return Err(format!(
            "{} bytes are more than the limit of {bytes_max} (max_message_bytes)",
            written.stdout_bytes
        ));
    }
    if let (1.., Some(LossReason::Kept(why))) = (written.lost[0], &written.lost_why) {
        return Err(format!("{} bytes could not be kept: {why}", written.lost[0]));
    }
    let mut bytes = Vec::new();
    let stdout = std::mem::take(&mut written.stdout);
    stdout.into_reader().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
