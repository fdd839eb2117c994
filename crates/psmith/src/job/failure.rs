//! A job that did not succeed, as its caller gets it. Never decides whether a job failed.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use psmith_core::outcome::{AttemptSummary, Cause, Exit, Outcome, SpawnFailure, Usage};

use crate::job::lost_output::LostOutput;
use psmith_engine::EngineError;
use psmith_engine::error::text_of;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::show;

/// Limit of the characters of an input in the line of a failure.
const INPUT_CHARS_MAX: usize = 60;

/// The failure of a job, with everything that is known about it: the fields are those of [`FailureDetails`].
///
/// Its `Display` is one line: which job, counted from 1 as people count, what happened, and after how many attempts.
///
/// ```
/// # psmith::init();
/// # // proves: failure-in-one-line
/// let check = |text: String| text.parse::<u8>();
/// let failure = psmith::try_map(["300".to_owned()], check).into_iter().next().unwrap().unwrap_err();
/// assert_eq!(failure.to_string(), r##"job #1 ("300"): number too large to fit in target type"##);
/// assert!(matches!(failure.cause, psmith::Cause::Error(_)));
/// assert_eq!(failure.input::<String>().as_deref(), Some("300"));
/// ```
#[derive(Clone, Debug)]
pub struct Failure(Box<FailureDetails>);

/// Details of a failed job. Read them through [`Failure`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailureDetails {
    /// The cause of the failure.
    pub cause: Cause,
    /// The index of the job in the order of submission, from 0.
    pub index: u64,
    /// The number of attempts that were started.
    pub attempts: u32,
    /// The end of the last attempt's process, if it was observed.
    pub exit: Option<Exit>,
    /// The process of the last attempt, as it was; 0 if there was none.
    pub pid: u32,
    /// The resources that the last attempt used, as far as that is known: with reused workers
    /// ([`Isolation::Reuse`](crate::Isolation::Reuse)) those between its begin and its end, the CPU time to a
    /// millisecond. `None` where there was no process, and for a short job that a worker was given together with others.
    pub usage: Option<Usage>,
    /// The attempts before the last one, oldest first.
    pub earlier: Vec<AttemptSummary>,
    /// The last bytes that the last attempt wrote to standard output, where they are kept
    /// ([`Output::Keep`](crate::Output::Keep)).
    pub stdout_tail: Vec<u8>,
    /// The last bytes that the last attempt wrote to standard error.
    pub stderr_tail: Vec<u8>,
    /// Output of the last attempt that was neither kept nor passed on although it should have been.
    pub lost_output: Option<LostOutput>,
    /// True for a job that had tries left and was not tried again: it had crashed as often as it may
    /// ([`Retry::crash_tries`](crate::Retry::crash_tries)).
    pub quarantined: bool,
    /// Where the run was ended before its source: the number of items that were taken from that and not begun. This one
    /// failure stands for all of them, behind the outcomes of the jobs that had begun; its cause is the end's.
    pub left: Option<u64>,
    /// The job's name, if it was given one.
    pub label: Option<String>,
    /// The error of psmith itself, if that failed, and this job with it.
    pub trouble: Option<Arc<EngineError>>,
    pub(crate) input: Option<KeptInput>,
    pub(crate) itself: Option<KeptError>,
}

/// The error of a job, kept encoded.
#[derive(Clone)]
pub(crate) struct KeptError {
    pub(crate) bytes: Vec<u8>,
    pub(crate) decode: fn(&[u8]) -> Option<Box<dyn Any>>,
}

impl fmt::Debug for KeptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// The input of a job, kept encoded.
#[derive(Clone)]
pub(crate) struct KeptInput {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) decode: fn(&[u8]) -> Option<Box<dyn Any>>,
    /// True if the bytes describe themselves.
    pub(crate) described: bool,
}

impl fmt::Debug for KeptInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shown() {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} bytes", self.bytes.len()),
        }
    }
}

impl PartialEq for KeptInput {
    fn eq(&self, other: &KeptInput) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for KeptInput {}

impl KeptInput {
    /// Keeps an input of a job that has no process; `None` if it cannot be encoded.
    pub(crate) fn of<A: 'static, C: Codec<A>>(input: &A) -> Option<KeptInput> {
        let mut bytes = Vec::new();
        let encoded = catch_unwind(AssertUnwindSafe(|| C::encode(input, &mut bytes)));
        let is_encoded = encoded.is_ok_and(|encoded| encoded.is_ok());
        is_encoded.then(|| KeptInput {
            bytes: Arc::new(bytes),
            decode: |bytes| C::decode(bytes).ok().map(|input: A| Box::new(input) as Box<dyn Any>),
            described: C::is_described(),
        })
    }

    /// Decodes the input; `None` if it is of another type.
    pub(crate) fn decoded<A: 'static>(&self) -> Option<A> {
        (self.decode)(&self.bytes)?.downcast::<A>().ok().map(|input| *input)
    }

    fn shown(&self) -> Option<String> {
        self.described.then(|| show(&self.bytes, INPUT_CHARS_MAX))
    }
}

impl Failure {
    pub(crate) fn new(cause: Cause, index: u64) -> Failure {
        Failure(Box::new(FailureDetails {
            cause,
            index,
            attempts: 0,
            exit: None,
            pid: 0,
            usage: None,
            earlier: Vec::new(),
            stdout_tail: Vec::new(),
            stderr_tail: Vec::new(),
            lost_output: None,
            quarantined: false,
            left: None,
            label: None,
            trouble: None,
            input: None,
            itself: None,
        }))
    }

    /// Makes the failure of a job that ended with this outcome.
    pub(crate) fn of(outcome: Outcome, cause: Cause, index: u64) -> Failure {
        let mut failure = Failure::new(cause, index);
        failure.attempts = outcome.attempts;
        failure.quarantined = outcome.quarantined;
        failure.earlier = outcome.earlier;
        if let Some(last) = outcome.last {
            failure.exit = last.exit;
            failure.pid = last.pid;
            failure.usage = Some(last.usage).filter(|usage| *usage != Usage::default());
        }
        failure
    }

    /// Makes the failure that tells what a run has left that was ended before its source.
    pub(crate) fn of_left(left: u64, broken: Option<u32>, index: u64) -> Failure {
        let mut failure = Failure::new(broken.map_or(Cause::Cancelled, Cause::CircuitBroken), index);
        failure.left = Some(left);
        failure
    }

    /// Makes the failure of a job that failed because psmith itself did.
    pub(crate) fn ours(error: Arc<EngineError>, index: u64) -> Failure {
        let failure = SpawnFailure {
            step: psmith_core::outcome::SpawnStep::Prepare,
            errno: 0,
            detail: error.to_string(),
            permanent: true,
        };
        let mut ours = Failure::new(Cause::SpawnFailed(failure), index);
        ours.trouble = Some(error);
        ours
    }

    /// Returns the cause alone.
    ///
    /// ```
    /// # psmith::init();
    /// let refuse = |n: u32| Err::<(), _>(format!("no {n}"));
    /// let failure = psmith::try_map([7_u32], refuse).into_iter().next().unwrap().unwrap_err();
    /// assert_eq!(failure.into_cause(), psmith::Cause::Error("no 7".into()));
    /// ```
    #[must_use]
    pub fn into_cause(self) -> Cause {
        self.0.cause
    }

    /// Decodes the input of the job; `None` if it was of another type, or the job ran inline, where nothing is kept.
    ///
    /// ```
    /// # psmith::init();
    /// let refuse = |n: u32| Err::<(), _>(format!("no {n}"));
    /// let failure = psmith::try_map([7_u32], refuse).into_iter().next().unwrap().unwrap_err();
    /// assert_eq!(failure.input::<u32>(), Some(7));
    /// assert_eq!(failure.input::<String>(), None);
    /// ```
    #[must_use]
    pub fn input<A: 'static>(&self) -> Option<A> {
        self.input.as_ref()?.decoded()
    }

    /// What happened, without which job it happened to.
    pub(crate) fn without_number(&self) -> String {
        if let Some(trouble) = &self.trouble {
            return format!("psmith: {}", one_line(&trouble.to_string()));
        }
        let what = one_line(&text_of(&self.cause));
        match (self.attempts, self.quarantined) {
            (0 | 1, false) => what,
            (attempts, false) => format!("{what} (after {attempts} attempts)"),
            (1, true) => format!("{what} (not tried again: it may crash once)"),
            (attempts, true) => {
                format!("{what} (after {attempts} attempts: it has crashed as often as it may)")
            }
        }
    }

    /// Decodes the error value that the function returned; its text is in the [`cause`](FailureDetails::cause). `None`
    /// where that was not asked for ([`Map::error_type`](crate::Map::error_type),
    /// [`codec::WithErrors`](crate::codec::WithErrors)), the job failed otherwise, the error could not be encoded, or
    /// it is of another type.
    ///
    /// ```
    /// # psmith::init();
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// struct Odd(u32);
    /// # impl std::fmt::Display for Odd {
    /// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{} is odd", self.0) }
    /// # }
    /// impl std::error::Error for Odd {}
    ///
    /// let halve = |n: u32| if n % 2 == 0 { Ok(n / 2) } else { Err(Odd(n)) };
    /// let failure = psmith::try_map([3], halve).error_type::<Odd>().into_iter().next().unwrap().unwrap_err();
    /// assert_eq!(failure.error::<Odd>(), Some(Odd(3)));
    /// assert!(failure.error::<std::io::Error>().is_none());
    /// ```
    #[must_use]
    pub fn error<E: 'static>(&self) -> Option<E> {
        let error = self.itself.as_ref()?;
        (error.decode)(&error.bytes)?.downcast::<E>().ok().map(|error| *error)
    }
}

impl Deref for Failure {
    type Target = FailureDetails;

    fn deref(&self) -> &FailureDetails {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut FailureDetails {
        &mut self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.trouble.is_some() {
            return f.write_str(&self.without_number());
        }
        match self.left {
            None => write!(f, "job #{}", self.index + 1)?,
            Some(0) => return write!(f, "from job #{} on: {}", self.index + 1, self.without_number()),
            Some(left) => {
                let cause = self.without_number();
                return write!(f, "from job #{} on: {cause} (taken and not begun: {left})", self.index + 1);
            }
        }
        let shown = self.label.clone().or_else(|| self.input.as_ref().and_then(KeptInput::shown));
        if let Some(shown) = shown {
            write!(f, " ({})", one_line(&shown))?;
        }
        write!(f, ": {}", self.without_number())
    }
}

impl std::error::Error for Failure {}

/// Returns a cause as one line.
#[cfg(feature = "board")]
pub(crate) fn cause_line(cause: &Cause) -> String {
    one_line(&text_of(cause))
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}
