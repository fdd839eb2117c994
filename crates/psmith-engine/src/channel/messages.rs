//! The messages between host and worker, all in one file.
//!
//! A message is the head of a frame; values travel in the frame's body. The worker sends first, unless it is a copy of
//! a warden whose hello the host has checked: then the host's hello and the job are in the channel already. The worker
//! reads no job before it has checked the host's magic, protocol, build and nonce, and the host reads no result before
//! it has checked the worker's.

#![expect(
    missing_docs,
    reason = "each message says what it is, and its fields are named after what they carry"
)]

use std::time::Duration;

use psmith_core::Cause;
use psmith_core::outcome::Usage;
use serde::{Deserialize, Serialize};

use crate::function::registry::Function;

/// The magic number in both hellos.
pub const MAGIC: u32 = 0x7073_7766;

/// The version of the protocol, raised with every change of a message.
pub const PROTOCOL: u16 = 8;

/// The most bytes of a text that a worker sends: what a job failed with, or the worker's name. A longer one is cut.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// The identity of a sender, and the run that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerIdentity {
    pub magic: u32,
    pub protocol: u16,
    /// The build of the program: functions are sent as offsets in its image.
    pub build: u64,
    /// The identity of this start: drawn by the host, passed to the worker by the warden.
    pub nonce: u64,
}

impl PeerIdentity {
    pub fn new(nonce: u64) -> PeerIdentity {
        PeerIdentity { magic: MAGIC, protocol: PROTOCOL, build: psmith_sys::executable::build_id(), nonce }
    }

    /// Checks that the other side's credentials are these; the error says how they differ.
    pub fn check(self, theirs: PeerIdentity) -> Result<(), String> {
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

/// A message from host to worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The answer to the worker's hello, or the first message in the channel before the worker is spawned.
    Hello {
        credentials: PeerIdentity,
        /// The longest frame that either side sends.
        frame_bytes_max: u64,
        /// The secret that authenticates values; `None` where there is none.
        #[cfg(feature = "authenticated")]
        secret: Option<crate::function::authenticated::Secret>,
    },
    /// A function to be called once before the first job, after those of which messages came before. Body: the value
    /// that it is given, encoded, if it takes one.
    First(Function),
    /// A job. Body: its input, encoded.
    Job(JobRequest),
    /// A batch of this many jobs, one after the other; the request is the first one's. Body: the input of each after
    /// its length (4 bytes, little-endian). The shared region says how many may be begun, and takes their results.
    Batch(JobRequest, u32),
    /// The end of the jobs: the worker exits cleanly.
    Leave,
    /// A message to this job, which has asked for messages. Body: encoded by the default codec.
    Message { job: u64 },
    /// A mark after all messages sent to this job so far. `last`: and no more can be sent.
    UpToDate { job: u64, last: bool },
    /// Room for this many messages of the job, and this many bytes of them; for none where nobody takes them.
    Room { job: u64, messages: u32, bytes: u64 },
}

/// The receiver of the messages that a job sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receiver {
    /// Nobody: a message is refused where it is sent.
    Nobody,
    /// The host, which takes all of them.
    Host,
    /// The job's handle. Whether it has room for them is to be asked.
    Handle,
}

/// The identity of a job, and what its function can ask about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    pub job: u64,
    /// Place in the order of submission, from 0.
    pub index: u64,
    pub attempt: u32,
    pub slot: u32,
    pub function: Function,
    /// True if no other job follows: the worker leaves when it has answered.
    pub last: bool,
    /// The path at which the job may make a scratch directory.
    pub scratch: Option<Vec<u8>>,
    /// The receiver of the messages that it sends.
    pub receiver: Receiver,
}

/// A message from worker to host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The first message. `pid`: the worker's own process id as it sees it.
    Hello { credentials: PeerIdentity, pid: u32 },
    /// A failed start, sent instead of a hello: the worker could not become a process of its own, at this step.
    SetUpFailed { step: u8, errno: i32 },
    /// The start of the job's function. Not sent by a worker that was given its only job.
    Began { job: u64 },
    /// The end of the job. Body: the value, if there is one. `pid` is read anew: a copy of the worker that the job
    /// forked has its channel, but must not answer for it.
    /// `usage`: what a job that failed has used, where that is known; of an only job the kernel tells it.
    Done { job: u64, pid: u32, how: CallEnd, usage: Option<CallUsage> },
    /// The end of the batch that begins with this job: this many values are in the region; `then` is the end of one job
    /// more that did not end with a plain value in the region, if there was one. Body: its value, if it has one. The
    /// jobs after it were not begun. `nanos`: the time that the whole batch took.
    /// `usage`: what `then` has used, where that is known.
    BatchDone { job: u64, pid: u32, values: u32, then: Option<CallEnd>, nanos: u64, usage: Option<CallUsage> },
    /// The job's progress; `total` 0: unknown.
    Progress { job: u64, done: u64, total: u64 },
    /// A message from the job. Body: encoded by the default codec.
    Message { job: u64 },
    /// The worker's new name.
    Named { name: String },
    /// The start of a nested run by a job, which can use workers that the host's run does not need.
    Nests,
    /// A heartbeat.
    Heartbeat { job: u64 },
    /// A stack overflow: the next event of this worker is its end.
    Overflowed,
    /// A panic that ends the process: the next event of this worker is its end.
    Panicked { message: String, location: String, backtrace: String },
    /// A request for messages: those that wait, and all that follow.
    Listens { job: u64 },
    /// The job has taken the oldest message that it was sent.
    Took { job: u64 },
    /// A request for room for messages, of which the next has this many bytes.
    AsksRoom { job: u64, bytes: u64 },
}

impl FromWorker {
    /// Returns the message of a worker's new name.
    pub fn named(name: &str) -> FromWorker {
        FromWorker::Named { name: cut_text(name.to_owned(), TEXT_BYTES_MAX) }
    }

    /// Returns the one job that the message is about; `None` if it is about none, or about several.
    pub fn job(&self) -> Option<u64> {
        match self {
            FromWorker::Began { job }
            | FromWorker::Done { job, .. }
            | FromWorker::Progress { job, .. }
            | FromWorker::Message { job }
            | FromWorker::Heartbeat { job }
            | FromWorker::Listens { job }
            | FromWorker::Took { job }
            | FromWorker::AsksRoom { job, .. } => Some(*job),
            FromWorker::Hello { .. }
            | FromWorker::SetUpFailed { .. }
            | FromWorker::BatchDone { .. }
            | FromWorker::Named { .. }
            | FromWorker::Nests
            | FromWorker::Overflowed
            | FromWorker::Panicked { .. } => None,
        }
    }
}

/// The resources that a call has used, of those that end with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallUsage {
    pub user_us: u64,
    pub system_us: u64,
    pub max_rss_bytes: u64,
}

impl CallUsage {
    pub(crate) fn of(user: Duration, system: Duration, max_rss_bytes: u64) -> CallUsage {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        CallUsage { user_us: micros(user), system_us: micros(system), max_rss_bytes }
    }

    pub fn usage(self) -> Usage {
        Usage {
            user: Duration::from_micros(self.user_us),
            system: Duration::from_micros(self.system_us),
            max_rss_bytes: self.max_rss_bytes,
            whole_group: false,
        }
    }
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEnd {
    Value,
    /// An error, in words. `itself`: the body is the error.
    Error {
        text: String,
        itself: bool,
    },
    Panic {
        message: String,
        location: String,
        backtrace: String,
    },
    /// A failure: the input could not be decoded, or the function was not found.
    Undecodable(String),
    /// A failure: the input is not from the host.
    Forged(String),
    /// A failure: the result could not be encoded, or is too long.
    Unencodable(String),
}

impl CallEnd {
    /// Returns whether the message's body is a value or an error.
    pub fn has_body(&self) -> bool {
        matches!(self, CallEnd::Value | CallEnd::Error { itself: true, .. })
    }

    /// Returns this end with texts that have room in `bytes_max` bytes together, and none above [`TEXT_BYTES_MAX`].
    #[must_use]
    pub fn cut_to(self, bytes_max: usize) -> CallEnd {
        let cut = |text: String, bytes: usize| cut_text(text, bytes.min(TEXT_BYTES_MAX));
        match self {
            CallEnd::Value => CallEnd::Value,
            CallEnd::Error { text, itself } => CallEnd::Error { text: cut(text, bytes_max), itself },
            CallEnd::Panic { message, location, backtrace } => {
                // The place is short. The backtrace gets what the message leaves.
                let location = cut(location, bytes_max / 4);
                let message = cut(message, bytes_max / 2);
                let left = bytes_max.saturating_sub(location.len() + message.len());
                CallEnd::Panic { message, location, backtrace: cut(backtrace, left) }
            }
            CallEnd::Undecodable(text) => CallEnd::Undecodable(cut(text, bytes_max)),
            CallEnd::Forged(text) => CallEnd::Forged(cut(text, bytes_max)),
            CallEnd::Unencodable(text) => CallEnd::Unencodable(cut(text, bytes_max)),
        }
    }

    /// Returns the length of its texts together.
    pub fn text_bytes(&self) -> usize {
        match self {
            CallEnd::Value => 0,
            CallEnd::Panic { message, location, backtrace } => {
                message.len() + location.len() + backtrace.len()
            }
            CallEnd::Error { text, .. }
            | CallEnd::Undecodable(text)
            | CallEnd::Forged(text)
            | CallEnd::Unencodable(text) => text.len(),
        }
    }

    /// Returns the verdict on the attempt.
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

/// Returns a text with at most this many bytes: of a longer one the beginning and the end, where an error's first cause
/// stands, and between them how much is missing.
#[must_use]
pub fn cut_text(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let told = |left: usize| format!(" [.. {left} of {} bytes left out ..] ", text.len());
    // Not longer than this, whatever is left out.
    let room = bytes_max.saturating_sub(told(text.len()).len());
    let (mut head, mut tail) = (room - room / 4, text.len() - room / 4);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    if room == 0 {
        return text[..head].to_owned();
    }
    format!("{}{}{}", &text[..head], told(tail - head), &text[tail..])
}

/// Encodes a message as the head of a frame.
pub fn written<L: Serialize>(message: &L) -> Vec<u8> {
    // Writing to memory does not fail, and no message holds what postcard cannot carry.
    postcard::to_allocvec(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_how_much_is_missing() {
        assert_eq!(cut_text("short".into(), 5), "short");
        for most in [0, 40, 100, 1001, 4000] {
            let text = format!("first {} last", "\u{fc}".repeat(5000));
            let cut = cut_text(text.clone(), most);
            assert!(cut.len() <= most, "{most}: {} bytes", cut.len());
            if most >= 100 {
                let (head, rest) = cut.split_once(" [.. ").unwrap();
                let (told, tail) = rest.split_once(" ..] ").unwrap();
                assert!(text.starts_with(head) && text.ends_with(tail) && tail.ends_with(" last"));
                let left = text.len() - head.len() - tail.len();
                assert_eq!(told, format!("{left} of {} bytes left out", text.len()));
            }
        }
    }

    #[test]
    fn the_texts_of_a_panic_fit_together_and_keep_the_place() {
        let text = |bytes| "x".repeat(bytes);
        for most in [300, 5000, 1 << 20, 1 << 30] {
            let (message, backtrace) = (text(3 << 20), text(5 << 20));
            let panic = CallEnd::Panic { message, location: "src/a.rs:1:2".into(), backtrace };
            let cut = panic.cut_to(most);
            assert!(cut.text_bytes() <= most.min(3 * TEXT_BYTES_MAX));
            let CallEnd::Panic { message, location, .. } = cut else { panic!("{cut:?}") };
            assert_eq!(location, "src/a.rs:1:2");
            assert!(message.contains("of 3145728 bytes left out"));
        }
    }

    // proves: P-11
    #[test]
    fn credentials_must_agree_in_each_part() {
        let ours = PeerIdentity::new(7);
        assert_eq!(ours.check(PeerIdentity::new(7)), Ok(()));
        for (theirs, word) in [
            (PeerIdentity { magic: 1, ..ours }, "no psmith"),
            (PeerIdentity { protocol: 99, ..ours }, "protocol 99"),
            (PeerIdentity { build: ours.build ^ 1, ..ours }, "another build"),
            (PeerIdentity { nonce: 8, ..ours }, "another start"),
        ] {
            let refusal = ours.check(theirs).unwrap_err();
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}
