//! Everything that host and worker say to each other, in one file.
//!
//! A message is the head of a frame; values travel in the frame's body. The worker speaks first, unless it is a copy of a
//! warden that the host has agreed with: then the host's hello and the job lie there already. No job is read before the
//! worker has seen the host's magic, protocol, build and nonce, and no answer is heard before the host has seen its own.

#![expect(
    missing_docs,
    reason = "each message says what it is, and its fields are named after what they carry"
)]

use psmith_core::Cause;
use serde::{Deserialize, Serialize};

use crate::function::registry::Function;

/// In both hellos.
pub const MAGIC: u32 = 0x7073_7766;

/// Raised with every change of a message.
pub const PROTOCOL: u16 = 5;

/// Who speaks, and for which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub magic: u32,
    pub protocol: u16,
    /// Which build of which program: functions travel as places in its image.
    pub build: u64,
    /// Which start: drawn by the host, told to the worker by the warden.
    pub nonce: u64,
}

impl Credentials {
    pub fn new(nonce: u64) -> Credentials {
        Credentials { magic: MAGIC, protocol: PROTOCOL, build: psmith_sys::executable::build_id(), nonce }
    }

    /// Whether the other side's are ours; if not, how they differ.
    pub fn check(self, theirs: Credentials) -> Result<(), String> {
        if theirs.magic != self.magic {
            Err("the other end is no psmith".into())
        } else if theirs.protocol != self.protocol {
            Err(format!("the other end speaks protocol {}, this one {}", theirs.protocol, self.protocol))
        } else if theirs.build != self.build {
            Err("the other end is another build of the program".into())
        } else if theirs.nonce != self.nonce {
            Err("the other end belongs to another start".into())
        } else {
            Ok(())
        }
    }
}

/// Host to worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The answer to the worker's hello, or in the channel before it is spawned.
    Hello {
        credentials: Credentials,
        /// The longest frame either side sends.
        frame_bytes_max: u64,
        /// What is called once before the first job.
        set_up: Vec<Function>,
        /// What makes the codes of values; `None` where there was none to be had.
        #[cfg(feature = "authenticated")]
        secret: Option<crate::function::authenticated::Secret>,
    },
    /// A job. Body: its input, encoded.
    Job(JobRequest),
    /// So many jobs, one after the other, of which the first is told of. Body: the input of each after its length (4
    /// bytes, little end first). How far it may go, and what came of it, is in the region.
    Batch(JobRequest, u32),
    /// There are no more jobs: it leaves, in good order.
    Leave,
    /// A message to this job, which has said that it listens. Body: encoded by the default codec.
    Message { job: u64 },
    /// All that was sent to this job so far is on its way before this. `last`: and nobody can send any more.
    UpToDate { job: u64, last: bool },
}

/// Which job, and what its function can ask about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    pub job: u64,
    /// Place in the order of submission, from 0.
    pub index: u64,
    pub attempt: u32,
    pub slot: u32,
    pub function: Function,
    /// There will be no other: the worker leaves when it has answered.
    pub last: bool,
    /// Where it may make a directory for itself.
    pub scratch: Option<Vec<u8>>,
}

/// Worker to host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The first message. `pid`: as it sees itself.
    Hello { credentials: Credentials, pid: u32 },
    /// Instead of a hello: it could not become a process of its own, at this step of a start.
    SetUpFailed { step: u8, errno: i32 },
    /// The job's function is called now. Not said by a worker that was given its only job.
    Began { job: u64 },
    /// The job is over. Body: the value, if there is one. `pid` is asked for anew: a copy of the worker that the job
    /// forked has its channel, but must not answer for it.
    Done { job: u64, pid: u32, how: CallEnd },
    /// The batch that begins with this job is over: so many values are in the region, and then one job was not of that
    /// kind, if there is more to tell. Body: its value, if it has one. What comes after it was not begun. `nanos`: how
    /// long all of it took.
    BatchDone { job: u64, pid: u32, values: u32, then: Option<CallEnd>, nanos: u64 },
    /// How far it is; `total` 0: unknown.
    Progress { job: u64, done: u64, total: u64 },
    /// A message of the job's. Body: encoded by the default codec.
    Message { job: u64 },
    /// What the worker calls itself from now on.
    Named { name: String },
    /// A job has begun a run of its own, which has use for workers that the host's run does not need.
    Nests,
    /// It lives.
    Heartbeat { job: u64 },
    /// Its stack has overflowed: the next that is heard of it is its end.
    Overflowed,
    /// It asks for messages: those that wait, and all that come.
    Listens { job: u64 },
    /// It has taken the oldest message that it was sent.
    Took { job: u64 },
}

impl FromWorker {
    /// The one job that this is about; `None` where it is about none, or several.
    pub fn job(&self) -> Option<u64> {
        match self {
            FromWorker::Began { job }
            | FromWorker::Done { job, .. }
            | FromWorker::Progress { job, .. }
            | FromWorker::Message { job }
            | FromWorker::Heartbeat { job }
            | FromWorker::Listens { job }
            | FromWorker::Took { job } => Some(*job),
            FromWorker::Hello { .. }
            | FromWorker::SetUpFailed { .. }
            | FromWorker::BatchDone { .. }
            | FromWorker::Named { .. }
            | FromWorker::Nests
            | FromWorker::Overflowed => None,
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEnd {
    Value,
    /// In words. `itself`: the body is the error.
    Error {
        text: String,
        itself: bool,
    },
    Panic {
        message: String,
        location: String,
        backtrace: String,
    },
    /// The input could not be decoded, or the function not be found.
    Undecodable(String),
    /// The input is not from the host.
    Forged(String),
    /// The result could not be encoded, or is too long.
    Unencodable(String),
}

impl CallEnd {
    /// Whether the message's body is a value, or an error.
    pub fn has_body(&self) -> bool {
        matches!(self, CallEnd::Value | CallEnd::Error { itself: true, .. })
    }

    /// The verdict over the attempt.
    pub fn verdict(self) -> Result<(), Cause> {
        Err(match self {
            CallEnd::Value => return Ok(()),
            CallEnd::Error { text, .. } => Cause::Error(text),
            CallEnd::Panic { message, location, backtrace } => Cause::Panic { message, location, backtrace },
            CallEnd::Forged(text) => Cause::Protocol(format!("its input: {text}")),
            CallEnd::Undecodable(text) => Cause::Undecodable(format!("its input: {text}")),
            CallEnd::Unencodable(text) => Cause::Undecodable(format!("its result: {text}")),
        })
    }
}

/// A message as the head of a frame.
pub fn written<L: Serialize>(message: &L) -> Vec<u8> {
    // Writing to memory does not fail, and no message holds what postcard cannot carry.
    postcard::to_allocvec(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: P-11
    #[test]
    fn credentials_must_agree_in_each_part() {
        let ours = Credentials::new(7);
        assert_eq!(ours.check(Credentials::new(7)), Ok(()));
        for (theirs, word) in [
            (Credentials { magic: 1, ..ours }, "no psmith"),
            (Credentials { protocol: 99, ..ours }, "protocol 99"),
            (Credentials { build: ours.build ^ 1, ..ours }, "another build"),
            (Credentials { nonce: 8, ..ours }, "another start"),
        ] {
            let refusal = ours.check(theirs).unwrap_err();
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}
