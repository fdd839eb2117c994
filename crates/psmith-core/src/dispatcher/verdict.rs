//! The table of precedence of causes: of all that is true of an attempt, the one that its outcome reports. Looks at no
//! job and changes nothing.
//!
//! The first row that holds wins:
//!
//! | | holds when | verdict |
//! |---|---|---|
//! | 0 | its worker reported how its function ended, before psmith cut it short | the reported result; `Leaked` if that is success and row 10 holds |
//! | 1 | psmith cut it short | `Timeout`, `Idle`, `Cancelled` |
//! | 2 | it never ran its program | `SpawnFailed` |
//! | 3 | its end was not observed | `Lost` |
//! | 4 | it failed, and the kernel killed in its group because memory ran out | `OutOfMemory` |
//! | 5 | `SIGXCPU`, or `SIGKILL` at the hard limit of its own CPU time, with a limit of CPU time set | `Limit` |
//! | 6 | `SIGXFSZ`, with a limit of file size set | `Limit` |
//! | 7 | an exit code other than 0 and refused forks, with a limit of processes set | `Limit` |
//! | 8 | a signal | `Signal` |
//! | 9 | an exit code other than 0 | `Exit` |
//! | 10 | descendants outlived it, and that was declared a failure | `Leaked` |
//! | 11 | anything else: it exited with 0 | success, also if a child of it ran out of memory |

use core::time::Duration;

use crate::outcome::{Cause, Evidence, Exit, LimitKind, Limits, SpawnFailure, Usage};
use crate::policy::{CPU_TIME_HARD_AFTER, Leak, SIGKILL, SIGXCPU, SIGXFSZ};

/// The facts about an attempt.
#[derive(Clone, Debug)]
pub(super) struct AttemptFacts {
    /// The reason for which psmith began to end it before it ended.
    pub(super) cut: Option<CutReason>,
    pub(super) end: ObservedEnd,
    pub(super) leaked: u32,
    /// The result that its worker reported for its function, before psmith began to end it.
    pub(super) reported: Option<Result<(), Cause>>,
}

/// The reason for which psmith ends an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutReason {
    /// The attempt ran longer than this.
    Timeout(Duration),
    /// The attempt gave no sign of life for this long.
    Idle(Duration),
    /// The end of the job was requested.
    Cancelled,
    /// The attempt gives way, and its job will run again.
    Preempted,
}

/// The observed end of an attempt.
#[derive(Clone, Debug)]
pub(super) enum ObservedEnd {
    /// The process ended.
    Exited { exit: Exit, usage: Usage, evidence: Evidence },
    /// The program was never executed.
    StartFailed(SpawnFailure),
    /// The end was not observed: the warden was lost, or the process cannot be killed.
    Nothing,
}

/// Returns the verdict over an attempt of which `facts` are true.
pub(super) fn verdict(facts: &AttemptFacts, leak: Leak, limits: &Limits) -> Result<(), Cause> {
    match &facts.reported {
        Some(Ok(())) => return unless_leaked(facts, leak),
        Some(Err(cause)) => return Err(cause.clone()),
        None => {}
    }
    match facts.cut {
        Some(CutReason::Timeout(limit)) => return Err(Cause::Timeout(limit)),
        Some(CutReason::Idle(limit)) => return Err(Cause::Idle(limit)),
        Some(CutReason::Cancelled | CutReason::Preempted) => return Err(Cause::Cancelled),
        None => {}
    }
    match &facts.end {
        ObservedEnd::StartFailed(failure) => Err(Cause::SpawnFailed(failure.clone())),
        ObservedEnd::Nothing => Err(Cause::Lost),
        ObservedEnd::Exited { exit: Exit::Code(0), .. } => unless_leaked(facts, leak),
        ObservedEnd::Exited { exit, usage, evidence } => Err(failure_of(*exit, usage, evidence, limits)),
    }
}

fn unless_leaked(facts: &AttemptFacts, leak: Leak) -> Result<(), Cause> {
    match (leak, facts.leaked) {
        (Leak::Fail, leaked @ 1..) => Err(Cause::Leaked(leaked)),
        (Leak::Fail, 0) | (Leak::Kill | Leak::Wait | Leak::Allow, _) => Ok(()),
    }
}

fn failure_of(exit: Exit, usage: &Usage, evidence: &Evidence, limits: &Limits) -> Cause {
    if evidence.oom_kills > 0 {
        return Cause::OutOfMemory { limit_bytes: limits.memory_bytes, kills: evidence.oom_kills };
    }
    match exit {
        Exit::Signal { signal, core_dumped } => {
            if let Some(limit) = limits.cpu_time
                && (signal == SIGXCPU || (signal == SIGKILL && used_up(usage, limit)))
            {
                return Cause::Limit(LimitKind::CpuTime(limit));
            }
            if let (SIGXFSZ, Some(bytes)) = (signal, limits.file_size_bytes) {
                return Cause::Limit(LimitKind::FileSize(bytes));
            }
            Cause::Signal { signal, core_dumped }
        }
        Exit::Code(code) => match limits.processes {
            Some(processes) if evidence.pids_refused > 0 => Cause::Limit(LimitKind::Processes(processes)),
            Some(_) | None => Cause::Exit(code),
        },
    }
}

/// Returns whether a process got to the hard limit, where the kernel kills it. The sum of a whole group proves
/// nothing: the limit applies to each process.
fn used_up(usage: &Usage, limit: Duration) -> bool {
    !usage.whole_group && usage.user.saturating_add(usage.system) >= limit.saturating_add(CPU_TIME_HARD_AFTER)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
