//! Outcomes and records to test with.

use std::time::Duration;

use psmith_core::outcome::{AttemptReport, Cause, Exit, Outcome, Usage};

use crate::{JobRecord, Status};

pub fn report(exit: Option<Exit>) -> AttemptReport {
    AttemptReport {
        number: 1,
        pid: 4242,
        wall: Duration::from_millis(1867),
        exit,
        usage: Usage {
            user: Duration::from_millis(100),
            system: Duration::ZERO,
            max_rss_bytes: 4_194_304,
            whole_group: false,
        },
        leaked: 0,
    }
}

pub fn succeeded() -> Outcome {
    Outcome {
        verdict: Ok(()),
        attempts: 1,
        tries: 1,
        last: Some(report(Some(Exit::Code(0)))),
        quarantined: false,
        earlier: Vec::new(),
    }
}

pub fn failed(cause: Cause) -> Outcome {
    let exit = match &cause {
        Cause::Exit(code) => Some(Exit::Code(*code)),
        Cause::Signal { signal, core_dumped } => {
            Some(Exit::Signal { signal: *signal, core_dumped: *core_dumped })
        }
        Cause::Timeout(_) => Some(Exit::Signal { signal: 15, core_dumped: false }),
        Cause::Leaked(_) => Some(Exit::Code(0)),
        Cause::OutOfMemory { .. } => Some(Exit::Signal { signal: 9, core_dumped: false }),
        _ => None,
    };
    Outcome { verdict: Err(cause), last: Some(report(exit)), ..succeeded() }
}

pub fn record<'a>(job: u64, outcome: &'a Outcome, command: &'a [u8]) -> JobRecord<'a> {
    JobRecord {
        job,
        outcome,
        status: Status::of(outcome),
        command,
        argv: &[],
        inputs: &[],
        started_epoch: 1_767_225_600.25,
        slot: 1,
        stdout_bytes: 3,
        stderr_bytes: 0,
        stderr_tail: b"",
    }
}
