//! The faces: what each does where nothing was said, and which settings it does not serve yet.

use psmith_core::policy::Order;

use crate::run::options::{Isolation, OnError};

/// What a face says of the settings that it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Face {
    /// What the caller calls it.
    pub(crate) name: &'static str,
    /// `None`: as many as there are processors.
    pub(crate) workers: Option<u32>,
    /// `None`: as many as the number of workers asks for.
    pub(crate) window: Option<u32>,
    pub(crate) isolation: Isolation,
    pub(crate) on_error: OnError,
    pub(crate) order: Order,
    pub(crate) unserved: &'static [&'static str],
}

pub(crate) const MAP: Face = Face {
    name: "map",
    workers: None,
    window: None,
    isolation: Isolation::Reuse,
    on_error: OnError::Continue,
    order: Order::Submission,
    unserved: &["logger"],
};

pub(crate) const RUN_JOBS: Face = Face { name: "run_jobs", ..MAP };

/// `each`, `any`, `all` and `map_until`.
pub(crate) const REDUCE: Face =
    Face { name: "each, any, all, map_until", on_error: OnError::Stop, order: Order::Completion, ..MAP };

pub(crate) const POOL: Face = Face { name: "Pool", order: Order::Completion, unserved: &[], ..MAP };

pub(crate) const SERVER: Face =
    Face { name: "Server", workers: Some(4), isolation: Isolation::PerJob, ..POOL };

/// More than any machine has descriptors for; the engine takes fewer, as the limit of descriptors says.
const WORKERS_MAX: u32 = 1 << 16;

/// A strategy bounds it.
pub(crate) const SCHEDULER: Face = Face {
    name: "Scheduler",
    workers: Some(WORKERS_MAX),
    window: Some(u32::MAX),
    isolation: Isolation::PerJob,
    unserved: &["workers", "window", "isolation"],
    ..POOL
};

pub(crate) const PROCESS_MANAGER: Face = Face { name: "ProcessManager", ..SCHEDULER };

/// Of so many processes. It lives longer than any of them, and starts each again itself.
pub(crate) const fn supervisor(n: u32) -> Face {
    Face {
        name: "Supervisor",
        workers: Some(if n == 0 { 1 } else { n }),
        unserved: &["workers", "window", "isolation", "total_timeout", "retry", "on_error", "breaker"],
        ..SCHEDULER
    }
}

/// Of so many workers.
pub(crate) const fn run_workers(n: u32) -> Face {
    Face {
        name: "run_workers",
        workers: Some(n),
        window: Some(if n == 0 { 1 } else { n }),
        unserved: &["workers", "window", "isolation", "logger"],
        ..SCHEDULER
    }
}
