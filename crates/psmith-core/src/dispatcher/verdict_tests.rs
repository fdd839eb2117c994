//! Tests of the table of precedence, one for each cell: each row wins over all below it.

use alloc::string::String;

use super::*;
use crate::outcome::SpawnStep;

const LIMIT: Duration = Duration::from_secs(5);

/// Facts in which everything is true that can be true at once of an attempt that ended with `exit`.
fn everything(exit: Exit) -> AttemptFacts {
    let usage = Usage { user: Duration::from_secs(4), system: Duration::from_secs(3), ..Usage::default() };
    let evidence = Evidence { oom_kills: 2, pids_refused: 3 };
    AttemptFacts {
        cut: Some(CutReason::Timeout(LIMIT)),
        end: ObservedEnd::Exited { exit, usage, evidence },
        leaked: 4,
        reported: None,
    }
}

fn signal(signal: i32) -> Exit {
    Exit::Signal { signal, core_dumped: false }
}

fn limits() -> Limits {
    Limits {
        memory_bytes: Some(1 << 20),
        cpu_time: Some(LIMIT),
        file_size_bytes: Some(4096),
        processes: Some(7),
        ..Limits::default()
    }
}

/// The verdict where everything is limited and a leak is a failure.
fn judge(facts: &AttemptFacts) -> Result<(), Cause> {
    verdict(facts, Leak::Fail, &limits())
}

fn without_oom(exit: Exit) -> AttemptFacts {
    let usage = Usage { user: Duration::from_secs(4), system: Duration::from_secs(3), ..Usage::default() };
    AttemptFacts {
        cut: None,
        end: ObservedEnd::Exited { exit, usage, evidence: Evidence { oom_kills: 0, pids_refused: 3 } },
        leaked: 4,
        reported: None,
    }
}

#[test]
fn what_a_worker_reported_stands_whatever_becomes_of_its_process() {
    for exit in [Exit::Code(0), Exit::Code(1), signal(9), signal(SIGXCPU)] {
        let mut facts = everything(exit);
        facts.reported = Some(Err(Cause::Error("no".into())));
        assert_eq!(judge(&facts), Err(Cause::Error("no".into())));
        facts.reported = Some(Ok(()));
        assert_eq!(judge(&facts), Err(Cause::Leaked(4)));
        facts.leaked = 0;
        assert_eq!(judge(&facts), Ok(()));
        facts.end = ObservedEnd::Nothing;
        assert_eq!(judge(&facts), Ok(()), "what has finished is not lost with its worker");
    }
}

#[test]
fn what_psmith_did_comes_first() {
    for exit in [Exit::Code(0), Exit::Code(1), signal(9), signal(SIGXCPU)] {
        let mut facts = everything(exit);
        assert_eq!(judge(&facts), Err(Cause::Timeout(LIMIT)));
        facts.cut = Some(CutReason::Cancelled);
        assert_eq!(judge(&facts), Err(Cause::Cancelled));
        facts.cut = Some(CutReason::Preempted);
        assert_eq!(judge(&facts), Err(Cause::Cancelled));
    }
}

#[test]
fn a_start_that_was_cut_short_is_no_spawn_failure() {
    let failure = SpawnFailure { step: SpawnStep::Exec, errno: 2, detail: String::new(), permanent: false };
    let mut facts =
        AttemptFacts { cut: None, end: ObservedEnd::StartFailed(failure.clone()), leaked: 0, reported: None };
    assert_eq!(judge(&facts), Err(Cause::SpawnFailed(failure)));
    facts.cut = Some(CutReason::Cancelled);
    assert_eq!(judge(&facts), Err(Cause::Cancelled));
}

#[test]
fn an_end_that_nobody_saw_is_lost() {
    let mut facts = AttemptFacts { cut: None, end: ObservedEnd::Nothing, leaked: 0, reported: None };
    assert_eq!(judge(&facts), Err(Cause::Lost));
    facts.cut = Some(CutReason::Timeout(LIMIT));
    assert_eq!(judge(&facts), Err(Cause::Timeout(LIMIT)));
}

#[test]
fn memory_comes_before_other_limits_and_signals() {
    for exit in [Exit::Code(1), signal(9), signal(6), signal(SIGXCPU), signal(SIGXFSZ)] {
        let facts = AttemptFacts { cut: None, ..everything(exit) };
        assert_eq!(judge(&facts), Err(Cause::OutOfMemory { limit_bytes: Some(1 << 20), kills: 2 }));
    }
    let unlimited =
        verdict(&AttemptFacts { cut: None, ..everything(signal(9)) }, Leak::Kill, &Limits::default());
    assert_eq!(unlimited, Err(Cause::OutOfMemory { limit_bytes: None, kills: 2 }));
}

#[test]
fn a_success_stands_although_a_child_ran_out_of_memory() {
    let facts = AttemptFacts { cut: None, ..everything(Exit::Code(0)) };
    assert_eq!(verdict(&facts, Leak::Kill, &limits()), Ok(()));
}

#[test]
fn cpu_time_is_named_by_its_signal_or_at_the_hard_limit() {
    let cpu = Err(Cause::Limit(LimitKind::CpuTime(LIMIT)));
    assert_eq!(judge(&without_oom(signal(SIGXCPU))), cpu);
    assert_eq!(judge(&without_oom(signal(SIGKILL))), cpu);
    assert_eq!(judge(&without_oom(signal(6))), Err(Cause::Signal { signal: 6, core_dumped: false }));
}

#[test]
fn a_kill_before_the_hard_limit_is_a_signal() {
    let killed = Err(Cause::Signal { signal: SIGKILL, core_dumped: false });
    let short = Usage { user: Duration::from_millis(5_999), ..Usage::default() };
    let group = Usage { user: Duration::from_secs(60), whole_group: true, ..Usage::default() };
    for usage in [short, group] {
        let end = ObservedEnd::Exited { exit: signal(SIGKILL), usage, evidence: Evidence::default() };
        assert_eq!(judge(&AttemptFacts { cut: None, end, leaked: 0, reported: None }), killed);
    }
}

#[test]
fn limits_that_were_not_set_are_not_named() {
    for number in [SIGXCPU, SIGXFSZ, SIGKILL] {
        let unlimited = verdict(&without_oom(signal(number)), Leak::Fail, &Limits::default());
        assert_eq!(unlimited, Err(Cause::Signal { signal: number, core_dumped: false }));
    }
    assert_eq!(verdict(&without_oom(Exit::Code(254)), Leak::Fail, &Limits::default()), Err(Cause::Exit(254)));
}

#[test]
fn file_size_is_named_by_its_signal() {
    assert_eq!(judge(&without_oom(signal(SIGXFSZ))), Err(Cause::Limit(LimitKind::FileSize(4096))));
}

#[test]
fn refused_forks_explain_an_exit_code_but_no_signal() {
    assert_eq!(judge(&without_oom(Exit::Code(254))), Err(Cause::Limit(LimitKind::Processes(7))));
    assert_eq!(judge(&without_oom(signal(11))), Err(Cause::Signal { signal: 11, core_dumped: false }));
}

#[test]
fn a_leak_comes_last() {
    let exit =
        ObservedEnd::Exited { exit: Exit::Code(3), usage: Usage::default(), evidence: Evidence::default() };
    assert_eq!(judge(&AttemptFacts { cut: None, end: exit, leaked: 4, reported: None }), Err(Cause::Exit(3)));
    assert_eq!(judge(&without_oom(Exit::Code(0))), Err(Cause::Leaked(4)));
    for leak in [Leak::Kill, Leak::Wait, Leak::Allow] {
        assert_eq!(verdict(&without_oom(Exit::Code(0)), leak, &limits()), Ok(()));
    }
    let clean = AttemptFacts { leaked: 0, ..without_oom(Exit::Code(0)) };
    assert_eq!(judge(&clean), Ok(()), "refused forks and a CPU time near its limit are no failure");
}
