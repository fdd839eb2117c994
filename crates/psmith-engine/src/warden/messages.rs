//! The messages between host and warden, all in one file.
//!
//! A packet of the socket pair between them holds one message or several; their descriptors come with it, in the order
//! that each message's comment gives. Both ends are the same program image, yet neither trusts the other's bytes: a
//! packet that does not decode ends the connection.

use serde::{Deserialize, Serialize};

/// The variable that names the attempt that a process belongs to, as `JOB.ATTEMPT` in the engine's own counting.
pub(crate) const KEY_VARIABLE: &str = "PSMITH_KEY";

/// The variable that names the run that a process belongs to. Long and random, unlike the name of a run, because
/// processes that carry it may be killed.
pub(crate) const NONCE_VARIABLE: &str = "PSMITH_NONCE";

/// The first bytes of both hellos.
pub(crate) const MAGIC: u32 = 0x7073_6d31;

/// The version of the protocol, raised with every change of a message.
pub(crate) const PROTOCOL: u16 = 6;

/// The length above which a message is sent in a sealed memory file instead of the packet.
pub(crate) const PACKET_BYTES_MAX: usize = 48 * 1024;

/// The size of a buffer for any packet and the few bytes of its envelope.
pub(crate) const PACKET_BUFFER: usize = PACKET_BYTES_MAX + 1024;

/// The most bytes of a message in a memory file: the kernel takes at most 6 MiB of words for one program.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most bytes of a job's words, environment and directory together; the rest of a message is for what is psmith's
/// own in it.
pub(crate) const START_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 64 * 1024;

/// The most threads of a process that are sampled.
pub const THREADS_MAX: usize = 64;

/// The most bytes of a stack that are read: deeper callers are not named.
pub(crate) const STACK_BYTES_MAX: usize = 512 * 1024;

/// The most bytes of a process's mappings that are read.
pub(crate) const MAPS_BYTES_MAX: usize = 512 * 1024;

/// The attempt that a message is about. The same key never names two attempts of one warden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) job: u64,
    pub(crate) number: u32,
}

/// The way in which a job's descendants are held together, from the warden's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Holding {
    /// Control groups: the host kills them, and the warden only once the host is gone.
    Groups,
    /// A sweep: the warden is a subreaper, and kills orphans.
    Sweep,
    /// The process group alone.
    Group,
}

/// A message from host to warden.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWarden<'a> {
    /// The first message. Descriptor: a pidfd of the host; with `Holding::Groups` also the run's directories.
    Hello {
        magic: u32,
        protocol: u16,
        nonce: u64,
        /// The marker `PSMITH_NONCE=..`, which every job of this run has in its environment.
        #[serde(borrow)]
        marker: &'a [u8],
        holding: Holding,
        /// Paths of the run's groups, to be removed if the host dies.
        group_dirs: Vec<&'a [u8]>,
        /// The run's scratch directory, to be removed if the host dies.
        scratch: Option<&'a [u8]>,
        /// True if a warden of this run was lost: what it left behind is to be killed first.
        again: bool,
    },
    /// The settings that all later starts share, until the next profile.
    Profile {
        /// The whole environment, `K=V` and NUL, back to back.
        #[serde(borrow)]
        env: &'a [u8],
        umask: Option<u32>,
        rlimits: Vec<(u8, u64, u64)>,
        nice: i32,
        no_new_privs: bool,
        /// True if the job shares the session of the host and is given its terminal. Descriptor: the terminal.
        foreground: bool,
    },
    /// The modes of the run's terminal, to be put back if the host is gone, and the host's group. Descriptor: the
    /// terminal.
    Terminal {
        flags: [u32; 4],
        #[serde(borrow)]
        codes: &'a [u8],
        group: u32,
    },
    /// The directories of the run's groups, now that there are more than the hello named.
    Groups { dirs: Vec<&'a [u8]> },
    /// A cgroup slot for attempts. Descriptors: with `unified`, the directory of a group of the second version; then
    /// the `cgroup.procs` files to join, that group's first.
    AddCgroupSlot { number: u32, unified: bool },
    /// Forget this slot, which is no longer used.
    ForgetCgroupSlot { number: u32 },
    /// Start a command.
    Start(Start<'a>),
    /// Signal the process group of an attempt that has not been reaped (where the kernel cannot do it by pidfd).
    SignalGroup { key: Key, signal: i32 },
    /// Kill what is left of an attempt, running or ended. Answer: `Swept`.
    Sweep { key: Key },
    /// Let the remains of an ended attempt run on until the end of the run. Answer: `Swept`.
    Release { key: Key },
    /// Sample the stacks of an attempt's process. Answer: `StackSampled`.
    SampleStack { key: Key },
    /// A ping. Answer: `Pong`.
    Ping { count: u64 },
    /// The run is over: kill unowned orphans and leave.
    Bye,
}

/// The parts of a start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start<'a> {
    pub(crate) key: Key,
    pub(crate) cgroup_slot: Option<u32>,
    /// True if it is started by a keeper: a small subreaper of its own, which uses this protocol too. Last descriptor:
    /// its socket.
    pub(crate) keeper: bool,
    /// The worker's part of the start, for a function worker. Descriptor after the streams: its channel.
    pub(crate) worker: Option<WorkerSpawn>,
    /// The streams that come as descriptors (0, 1, 2 by bits 0 to 2), in this order. The others are `/dev/null`.
    pub(crate) streams: u8,
    #[serde(borrow)]
    pub(crate) program: &'a [u8],
    pub(crate) argv: &'a [u8],
    /// The environment in place of the profile's.
    pub(crate) own_env: Option<&'a [u8]>,
    /// What is added to the environment.
    pub(crate) env: &'a [u8],
    pub(crate) dir: Option<&'a [u8]>,
    /// The start's own limits, each in place of the profile's of the same resource.
    pub(crate) rlimits: Vec<(u8, u64, u64)>,
}

/// The part of a start that only function workers have.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct WorkerSpawn {
    /// The secret by which the host identifies it.
    pub(crate) nonce: u64,
    /// True if its only job is in its channel already, after the host's hello: only for a worker that is forked from a
    /// warden whose hello the host has checked.
    pub(crate) has_job: bool,
}

/// A message from warden (or keeper) to host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToHost<'a> {
    /// The answer to `Hello`.
    ///
    /// `build`: the build of the program; `forks`: true if workers are forked copies of the warden.
    Hello { magic: u32, protocol: u16, nonce: u64, pid: u32, swept: u32, build: u64, forks: bool },
    /// The warden has this many threads, which something started before `main`, so workers are executed, not forked.
    /// Sent once.
    HasThreads { count: u32 },
    /// The process exists. Descriptor: its pidfd.
    Started { key: Key, pid: u32 },
    /// The start failed; no program ran. `refused`: for lack of processes, memory or descriptors.
    Failed { key: Key, step: u8, errno: i32, refused: bool },
    /// The process ended and was reaped.
    Ended { key: Key, ended: Ended },
    /// The tree of an ended attempt is empty; this many of its processes were killed or released.
    Swept { key: Key, killed: u32 },
    /// An orphan that belongs to no known job was killed.
    Orphan {
        pid: u32,
        #[serde(borrow)]
        command: &'a [u8],
    },
    /// The answer to `Ping`.
    Pong { count: u64 },
    /// The process was stopped by this signal.
    Stopped { key: Key, signal: i32 },
    /// The process goes on after a stop.
    Continued { key: Key },
    /// A sample of a thread of the process, or the error why it cannot be sampled. `first`: it is the first one;
    /// `more`: another thread was seized, and its sample follows.
    StackSampled {
        key: Key,
        first: bool,
        more: bool,
        #[serde(borrow)]
        seen: Result<SampledThread<'a>, i32>,
    },
}

/// A thread's registers and stack at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SampledThread<'a> {
    /// The thread's number, and below it its name.
    pub(crate) thread: u32,
    pub(crate) name: &'a [u8],
    /// The registers: instruction, stack, frame, link.
    pub(crate) registers: [u64; 4],
    /// The bytes of the stack from the stack pointer on, at most [`STACK_BYTES_MAX`].
    pub(crate) stack: &'a [u8],
    /// The mappings, as in `/proc/PID/maps`, at most [`MAPS_BYTES_MAX`]. Empty where they came with another thread.
    pub(crate) maps: &'a [u8],
}

/// Decodes the messages of a packet, one after the other; the last item is an error if it does not decode.
pub(crate) fn decode_all(mut packet: &[u8]) -> impl Iterator<Item = postcard::Result<ToHost<'_>>> {
    std::iter::from_fn(move || {
        if packet.is_empty() {
            return None;
        }
        let taken = postcard::take_from_bytes::<ToHost<'_>>(packet);
        packet = taken.as_ref().map_or(&[], |(_, rest)| rest);
        Some(taken.map(|(message, _)| message))
    })
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// The exit code, or `-signal`.
    pub(crate) status: i32,
    pub(crate) core_dumped: bool,
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
    pub(crate) max_rss_bytes: u64,
    /// The number of live descendants, where the warden can tell.
    pub(crate) alive: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_survives_the_wire_byte_for_byte() {
        let start = ToWarden::Start(Start {
            key: Key { job: u64::MAX, number: 7 },
            cgroup_slot: Some(3),
            keeper: false,
            worker: Some(WorkerSpawn { nonce: 9, has_job: true }),
            streams: 0b110,
            program: b"/bin/\xff",
            argv: b"a\0\0b\0",
            own_env: Some(b"A=B\0"),
            env: b"K=V\0",
            dir: Some(b"/tmp"),
            rlimits: vec![(7, 50, 60)],
        });
        let bytes = postcard::to_allocvec(&start).unwrap();
        let back: ToWarden<'_> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{start:?}"), format!("{back:?}"));
    }

    #[test]
    fn a_truncated_packet_is_an_error_at_every_length() {
        let message = ToHost::Orphan { pid: 77, command: b"sleep 60" };
        let bytes = postcard::to_allocvec(&message).unwrap();
        for length in 0..bytes.len() {
            assert!(postcard::from_bytes::<ToHost<'_>>(&bytes[..length]).is_err(), "cut at {length}");
        }
    }
}
