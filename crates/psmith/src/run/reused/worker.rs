//! One worker's life, as its host sees it: passive, told what happened, decides nothing.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use psmith_core::{AttemptId, Time};
use psmith_sys::shared::Shared;

use psmith_engine::channel::shared_region::{REGION_WORDS, Region};
use psmith_engine::handler::{Output, TAIL_BYTES_MAX};
use psmith_engine::spool::{MEMORY_BYTES_MAX, Spool};

/// A worker between its start and its end.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) stage: Stage,
    pub(crate) pid: u32,
    pub(crate) name: Option<String>,
    /// Jobs that it has been given.
    pub(crate) jobs: u64,
    /// Its resident memory after its first job, where growth is watched.
    pub(crate) rss_first: Option<u64>,
    /// It is being ended: no further job for it.
    pub(crate) doomed: bool,
    /// An earlier job of it has broken the protocol: the one that it has now goes with it, and is not to blame.
    pub(crate) betrayed: bool,
    /// When it was given the job, or batch, that it had last.
    pub(crate) given: Time,
    /// The memory that it shares with us. Without it, it gets one job at a time.
    pub(crate) region: Option<Region>,
    /// By which it finds that memory, until it is started.
    pub(crate) region_file: Option<Arc<OwnedFd>>,
    /// It is no worker, but the process of a command, and this is all that it wrote.
    pub(crate) command: Option<Output>,
    written: [Spool; 2],
    tail: Vec<u8>,
}

/// What a worker is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has not introduced itself.
    Starting,
    /// It waits for a job, since then.
    Idle(Time),
    /// It was given a job. `began`: it has said that it calls the function.
    Busy { attempt: AttemptId, began: bool },
    /// It was told that there are no more jobs; by then it must be gone.
    Leaving(Time),
}

impl Life {
    pub(crate) fn new() -> Life {
        // Where the machine has none to give the worker does without.
        let shared = Shared::create("psmith-region", REGION_WORDS).ok();
        let (region, file) = shared.map(|(shared, file)| (Region::new(shared), Arc::new(file))).unzip();
        Life { region, region_file: file, ..Life::at(Stage::Starting) }
    }

    /// The process of a command, on its way.
    pub(crate) fn of_command(attempt: AttemptId) -> Life {
        Life { command: Some(Output::default()), ..Life::at(Stage::Busy { attempt, began: true }) }
    }

    fn at(stage: Stage) -> Life {
        Life {
            stage,
            pid: 0,
            name: None,
            jobs: 0,
            rss_first: None,
            doomed: false,
            betrayed: false,
            given: Time::ZERO,
            region: None,
            region_file: None,
            command: None,
            written: [Spool::default(), Spool::default()],
            tail: Vec::new(),
        }
    }

    /// The attempt that it was given, if there is one.
    pub(crate) fn attempt(&self) -> Option<AttemptId> {
        match self.stage {
            Stage::Busy { attempt, .. } => Some(attempt),
            Stage::Starting | Stage::Idle(_) | Stage::Leaving(_) => None,
        }
    }

    /// It wrote this to standard output (1) or error (2).
    pub(crate) fn wrote(&mut self, stream: u8, bytes: &[u8], dir: &Path) {
        // A spool that cannot keep its bytes says so to whoever reads it.
        let place = usize::from(stream == 2);
        let _ = self.written[place].append(bytes, &mut MEMORY_BYTES_MAX.clone(), dir);
        if stream == 2 {
            self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..]);
            let surplus = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
            self.tail.drain(..surplus);
        }
    }

    /// What it wrote since this was asked for last.
    pub(crate) fn take_output(&mut self) -> Output {
        if let Some(output) = &mut self.command {
            return std::mem::take(output);
        }
        let [stdout, stderr] = std::mem::take(&mut self.written);
        let (stdout_bytes, stderr_bytes) = (stdout.len(), stderr.len());
        let stderr_tail = std::mem::take(&mut self.tail);
        Output { stdout, stderr, passed: [0; 2], stdout_bytes, stderr_bytes, stderr_tail }
    }
}
