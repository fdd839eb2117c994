//! Spans of `tracing`: one for each job, and within it one for each of its attempts.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use psmith_core::outcome::SpawnFailure;
use psmith_core::policy::{Halt, Order as DeliveryOrder};
use psmith_core::{JobId, JobPolicy, RunPolicy};
use psmith_engine::command::Launch;
use psmith_engine::handler::{
    AttemptSlot, Delivery, EngineCommand, EngineEvent, Handler, Live, Pull, Streams, Taken, View,
};
use psmith_engine::spool::Spool;
use psmith_engine::{Command, Engine, Setup, Surroundings};
use psmith_testkit::leak::LeakGuard;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A recorded span.
#[derive(Debug, Default)]
struct RecordedSpan {
    name: &'static str,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, String>,
    closed: bool,
}

/// A subscriber that records every span of psmith's.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<RecordedSpan>>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "psmith"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut spans = self.0.lock().unwrap();
        let parent = attributes.parent().map(Id::into_u64);
        let mut span = RecordedSpan { name: attributes.metadata().name(), parent, ..RecordedSpan::default() };
        attributes.record(&mut Fields(&mut span.fields));
        spans.push(span);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.0.lock().unwrap();
        values.record(&mut Fields(&mut spans[span.into_u64() as usize - 1].fields));
    }

    fn try_close(&self, span: Id) -> bool {
        self.0.lock().unwrap()[span.into_u64() as usize - 1].closed = true;
        true
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A producer that runs each script by `sh -c`.
struct Scripts(std::vec::IntoIter<&'static str>, Arc<JobPolicy>);

impl Handler for Scripts {
    type Job = &'static str;

    fn pull(&mut self) -> Pull<&'static str> {
        self.0.next().map_or(Pull::Ended, |script| Pull::Job(script, Arc::clone(&self.1)))
    }

    fn launch(&mut self, job: &mut &'static str, _: AttemptSlot) -> Result<Launch, SpawnFailure> {
        Command::new(b"/bin/sh", &["sh", "-c", job]).map(Launch::Command)
    }

    fn live(&mut self, _: &&'static str, _: bool) -> Live {
        Live::Nothing
    }

    fn output(&mut self, _: JobId, _: &mut &'static str, _: u8, _: &mut Vec<u8>, _: usize) {}

    fn backlog(&mut self, _: JobId, _: &mut &'static str, _: u8, _: Spool) {}

    fn takes_output(&self) -> bool {
        true
    }

    fn on_event(&mut self, _: &View<'_>, _: EngineEvent<'_, &'static str>) {}

    fn deliver(&mut self, _: &View<'_>, _: Delivery<&'static str>) -> Taken {
        Taken::Now
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn woken(&mut self, _: &View<'_>, _: &mut Vec<EngineCommand>) {}

    fn tick(&mut self, _: &View<'_>, _: &mut Vec<EngineCommand>) -> Option<Duration> {
        None
    }
}

#[test]
fn every_job_has_a_span_and_every_attempt_one_within_it() {
    psmith_engine::init();
    let _guard = LeakGuard::alone();
    let policy = JobPolicy { tries: 2, ..JobPolicy::default() };
    let setup = Setup {
        policy: RunPolicy {
            slots: 1,
            window: 8,
            order: DeliveryOrder::Completion,
            queue_max: 8,
            halt: Halt::Never,
            breaker: 0,
            start_gap: Duration::ZERO,
            slow: None,
            seed: 1,
        },
        contain: None,
        streams: Streams { stdin: None, inherit: None, captures_values: false },
        surroundings: Surroundings::default(),
        spool_dir: PathBuf::from("/tmp"),
        run: format!("spans-{}", std::process::id()),
    };
    let spans = Recorder::default();
    tracing::subscriber::with_default(spans.clone(), || {
        let scripts = vec!["exit 0", "exit 7"].into_iter();
        let engine = Engine::new(Scripts(scripts, Arc::new(policy)), setup).expect("an engine");
        engine.run().1.expect("a run");
    });
    let spans = spans.0.lock().unwrap();
    assert!(spans.iter().all(|span| span.closed), "{spans:?}");
    let text = |span: &RecordedSpan, field: &str| span.fields.get(field).cloned().unwrap_or_default();
    let jobs: Vec<(u64, &RecordedSpan)> =
        (1..).zip(spans.iter()).filter(|(_, span)| span.name == "job").collect();
    assert_eq!(jobs.len(), 2);
    let ends: Vec<[String; 3]> =
        jobs.iter().map(|(_, span)| ["attempts", "status", "cause"].map(|field| text(span, field))).collect();
    assert_eq!(ends, [["1", "\"ok\"", ""], ["2", "\"failed\"", "\"exit\""]]);
    for (id, attempts, cause) in [(jobs[0].0, 1, ""), (jobs[1].0, 2, "\"exit\"")] {
        let within: Vec<&RecordedSpan> = spans.iter().filter(|span| span.parent == Some(id)).collect();
        assert_eq!(within.len(), attempts);
        for (number, attempt) in (1..).zip(within) {
            assert_eq!((attempt.name, text(attempt, "number")), ("attempt", format!("{number}")));
            assert_eq!((text(attempt, "slot"), text(attempt, "cause")), ("1".into(), cause.into()));
            assert!(text(attempt, "pid").parse::<u32>().unwrap() > 1);
        }
    }
}
