//! The Linux facilities that psmith is built on, one file each.
//!
//! This is the only crate of psmith with unsafe code: everything above it sees safe functions, owned descriptors and
//! plain values. It **has no notion of a job**: there are no attempts, outcomes or slots of work here; it starts
//! processes, waits for them, holds them together and carries bytes. It starts no thread, installs nothing unasked and
//! prints nothing.
//!
//! Every descriptor that it makes is opened close-on-exec. Calls are repeated after `EINTR` where the wait has no
//! other meaning. Where an old kernel or a seccomp profile lacks a call, the fallback is beside it, and
//! [`forbid`] lets a test force it.
//!
//! Linux on x86_64 and aarch64; another Unix would implement the same functions.
#![expect(unsafe_code, reason = "the one crate that talks to the kernel; each block is one system call wide")]

#[cfg(not(target_os = "linux"))]
compile_error!("psmith-sys speaks to Linux only");

pub mod abort;
pub mod byte_locks;
pub mod c_strings;
pub mod cgroup;
pub mod clock;
pub mod credentials;
pub mod entry;
pub mod environment;
pub mod epoll;
pub mod eventfd;
pub mod executable;
pub mod exit;
pub mod farewell;
pub mod filter;
pub mod forbid;
pub mod fork;
pub mod generation;
pub mod last_words;
pub mod memfd;
pub mod pidfd;
pub mod pipe;
pub mod probe;
pub mod proc_memory;
pub mod proc_tree;
mod raw;
pub mod rlimit;
pub mod shared;
pub mod signal_handler;
pub mod signals;
pub mod socket;
pub mod spawn;
mod stack;
pub mod stack_overflow;
pub mod subreaper;
pub mod terminal;
pub mod trace;
pub mod usage;
pub mod wait;
