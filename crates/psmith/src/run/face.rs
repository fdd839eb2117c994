//! The faces: the defaults of each, and the settings that it does not serve. Data alone.

use psmith_core::policy::Order;

use crate::run::options::{Isolation, OnError, Output};

/// Defaults and limits of a face.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Face {
    /// The name under which the caller knows it.
    pub(crate) name: &'static str,
    /// `None`: as many as there are processors.
    pub(crate) workers: Option<u32>,
    /// `None`: as many as the number of workers asks for.
    pub(crate) window: Option<u32>,
    pub(crate) isolation: Isolation,
    pub(crate) on_error: OnError,
    pub(crate) order: Order,
    pub(crate) output: Output,
    pub(crate) unserved: &'static [&'static str],
}

pub(crate) const MAP: Face = Face {
    name: "map",
    workers: None,
    window: None,
    isolation: Isolation::Reuse,
    on_error: OnError::Continue,
    order: Order::Submission,
    output: Output::Whole,
    unserved: &["logger"],
};

pub(crate) const RUN_JOBS: Face = Face { name: "run_jobs", ..MAP };

/// Face of `each`, `any`, `all` and `map_until`.
pub(crate) const REDUCE: Face =
    Face { name: "each, any, all, map_until", on_error: OnError::Stop, order: Order::Completion, ..MAP };

pub(crate) const POOL: Face = Face { name: "Pool", order: Order::Completion, unserved: &[], ..MAP };

pub(crate) const SERVER: Face =
    Face { name: "Server", workers: Some(4), isolation: Isolation::PerJob, ..POOL };

/// Number of workers beyond what any machine has descriptors for; the engine takes as many as the limit of descriptors
/// allows.
pub(crate) const WORKERS_MAX: u32 = 1 << 16;

/// Face of `Scheduler`, whose strategy limits the jobs that run.
pub(crate) const SCHEDULER: Face = Face {
    name: "Scheduler",
    workers: Some(WORKERS_MAX),
    window: Some(u32::MAX),
    isolation: Isolation::PerJob,
    unserved: &["workers", "window", "isolation"],
    ..POOL
};

pub(crate) const PROCESS_MANAGER: Face = Face { name: "ProcessManager", ..SCHEDULER };

/// Face of a `Supervisor` of this many processes. It outlives each of them, and restarts them itself.
pub(crate) const fn supervisor(n: u32) -> Face {
    Face {
        name: "Supervisor",
        output: Output::Lines,
        workers: Some(if n == 0 { 1 } else { n }),
        unserved: &["workers", "window", "isolation", "total_timeout", "retry", "on_error", "breaker"],
        ..SCHEDULER
    }
}

/// Face of `run_workers` with this many workers.
pub(crate) const fn run_workers(n: u32) -> Face {
    Face {
        name: "run_workers",
        output: Output::Lines,
        workers: Some(n),
        window: Some(if n == 0 { 1 } else { n }),
        unserved: &["workers", "window", "isolation", "logger"],
        ..SCHEDULER
    }
}
