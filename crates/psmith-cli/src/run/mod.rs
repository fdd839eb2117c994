//! `psmith run`: from a resolved configuration to one exit status.
//!
//! Four threads: the engine's (this one), the `producer`, which reads input, the `writer`, which writes output and
//! records, and, where asked for, the one that writes `events`. Only the last three may block on the outside world.

mod board;
mod events;
mod handler;
mod job;
mod keys;
mod pressure;
mod producer;
mod signals;
mod ticks;
mod tty;
mod watchers;
mod writer;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use psmith_board::Size;
use psmith_core::board::Rate;
use psmith_core::outcome::Limits;
use psmith_core::policy::RunPolicy;
use psmith_core::{JobPolicy, Time};
use psmith_engine::handler::Streams;
use psmith_engine::limits::{LimitName, LimitRefused, LimitsInForce, WhyRefused};
use psmith_engine::{Engine, Level, Setup, Surroundings};
use psmith_sys::eventfd::Waker;
use psmith_sys::rlimit::{self, Resource};

use crate::config::{Color, Config, EventsTo, OutputMode, Progress, Slots, StdinMode};
use crate::error::CliError;
use crate::exit_code::ExitStatus;
use crate::plan::{self, Plan};
use crate::record::events::{EventLog, RunEvent};
use crate::record::joblog::{JobLog, JobLogMode};
use crate::record::json::{Bytes, BytesList};
use crate::record::results::Results;
use crate::record::resume::{Identity, ResumeSet};
use crate::report::failure_line::FailureLines;
use crate::report::plain::CountLines;
use crate::report::standing::Standing;
use crate::report::summary::{self, Resumed, SummaryFacts, SummaryForm};
use crate::report::tally::{Tally, TallyRules};
use board::Display;
use events::{EventWriter, Finished};
use handler::{RunHandler, Telling, record_error};
use keys::Keys;
use pressure::Pressure;
use producer::Producer;
use signals::Signals;
use tty::Terminal;
use watchers::Watchers;
use writer::{Lines, Writer};

/// The width of lines where no terminal sets it.
const COLUMNS_DEFAULT: usize = 240;

/// At least so many outcomes may wait for their turn with `-k`.
const WINDOW_MIN: u32 = 256;

/// Slots times this may wait as well.
const WINDOW_PER_SLOT: u32 = 16;

/// Jobs accepted ahead of their start, beyond the slots.
const QUEUE_AHEAD: usize = 64;

/// What psmith finds wrong before the first job, or at the end; and how it ends.
pub type Ending = Result<ExitStatus, CliError>;

/// Runs what was asked for, and tells how it ended.
///
/// # Errors
/// If psmith itself failed: before the first job, or so that the run could not go on. Everything else, the failure
/// of jobs included, is a status.
pub fn run(config: Config) -> Ending {
    let began = Instant::now();
    let signals = Signals::take().map_err(kernel)?;
    let wake = Arc::new(Waker::new().map_err(kernel)?);
    let (plan, jobs) = Plan::new(&config)?;
    let plan = Arc::new(plan);
    let run = run_name();
    let records = Records::open(&config, &plan)?;
    let cpus = plan::cpus();
    let slots = if config.tty { 1 } else { config.pace.slots.resolve(cpus, slots_most())? };
    let tty = terminal(&config)?;
    let (surroundings, limits, notes) = surroundings(&config, tty.as_ref())?;
    let policy = Arc::new(JobPolicy { limits, ..config.policy.clone() });
    let writer = {
        let lines = if config.output.mode == OutputMode::Lines { Lines::Whole } else { Lines::Raw };
        Writer::start(lines, colors(&config), records.joblog, records.results, run.clone(), Arc::clone(&wake))
            .map_err(kernel)?
    };
    let events = records.events.map(|log| EventWriter::start(log, run.clone(), Arc::clone(&wake)));
    let events = events.transpose().map_err(kernel)?;
    if config.pace.slots == Slots::Most && !config.report.quiet {
        writer.message(format!("psmith: {slots} slots, as many as descriptors and process ids allow\n"));
    }
    for warning in &records.warnings {
        writer.message(format!("psmith: warning: {warning}\n"));
    }
    let producer =
        Producer::start(Arc::clone(&plan), jobs, records.resume, Arc::clone(&wake)).map_err(kernel)?;
    let setup = setup(&config, slots, surroundings, &run)?;
    let telling = telling(&config);
    let display = (telling == Telling::Board).then(|| Display::new(config.report.rows, policy.tries));
    // Where stdin is the jobs', or the input, keys would be theirs.
    let has_keys = display.is_some() && config.stdin != StdinMode::Inherit && !plan.waits_for_terminal();
    let keys = has_keys.then(|| Keys::take(Arc::clone(&wake))).flatten();
    let columns = columns();
    let rules = TallyRules { flaky: config.flaky, leak: config.policy.leak, tries: config.policy.tries };
    let watchers = Watchers::open(&config, &run, began).map_err(|error| record_error(&error))?;
    let handler = RunHandler {
        watchers: Box::new(watchers),
        pressure: Pressure::new(config.pace.load, config.pace.memfree, cpus),
        tty,
        plan: Arc::clone(&plan),
        policy,
        producer,
        writer,
        signals,
        wake,
        events,
        events_hold: false,
        names: records.names,
        tally: Tally::new(rules),
        telling,
        failure_lines: if telling == Telling::Plain {
            FailureLines::all()
        } else {
            FailureLines::first_few()
        },
        rate: Rate::default(),
        counts: CountLines::default(),
        columns,
        began,
        end: None,
        held: None,
        stopped_by: None,
        halted_on: None,
        rungs: 0,
        failure: None,
        input_failure: None,
        output_failed: false,
        left_at_once: false,
        said_waiting: false,
        running: BTreeMap::new(),
        display,
        keys,
        is_paused: false,
        width_by_key: false,
        ended_seen: 0,
        width: slots,
        run,
        config: Box::new(config),
    };
    let mut engine = Engine::new(handler, setup).map_err(|error| CliError::new(error.to_string()))?;
    let level = engine.level();
    if engine.slots() < slots {
        let told = engine.slots();
        engine
            .handler()
            .warn(&format!("{slots} slots need more descriptors than ulimit -n allows: {told} slots"));
    }
    let slots = engine.slots();
    engine.handler().tell_start(slots, level);
    let (handler, end) = engine.run();
    finish(handler, end, &notes)
}

/// Everything that is written besides output.
struct Records {
    joblog: Option<JobLog>,
    results: Option<Results>,
    names: Option<Results>,
    events: Option<EventLog>,
    resume: Option<ResumeSet>,
    warnings: Vec<String>,
}

impl Records {
    fn open(config: &Config, plan: &Plan) -> Result<Records, CliError> {
        let told = |error: crate::record::RecordError| record_error(&error);
        let spec = &config.records;
        let mut warnings = Vec::new();
        let resumes = config.resume.is_some();
        let mut joblog = None;
        let mut resume = None;
        if let Some(log) = &spec.joblog {
            let mode = if log.append || resumes { JobLogMode::Append } else { JobLogMode::Replace };
            // Opened first: it is locked from here on, so what is read next stays true.
            let opened = JobLog::open(&log.path, mode).map_err(told)?;
            if opened.dropped_torn_row() {
                warnings.push(format!("{}: its last row was cut short, and is dropped", log.path.display()));
            }
            joblog = Some(opened);
            if let Some(mode) = config.resume {
                let identity = if plan.names_slot() { Identity::TextInSlot } else { Identity::Text };
                resume =
                    Some(ResumeSet::read(&log.path, mode, identity, &plan.command_start()).map_err(told)?);
            }
        }
        let open = || spec.results.as_ref().map(|place| Results::open(place, resumes)).transpose();
        let results = open().map_err(told)?;
        // A second one for the names alone: a name is claimed before its job starts, while the writer may be busy.
        let names =
            if results.as_ref().is_some_and(Results::needs_path) { open().map_err(told)? } else { None };
        let events = match &spec.events {
            None => None,
            Some(EventsTo::File(path)) => Some(EventLog::create(path).map_err(told)?),
            Some(EventsTo::Descriptor(number)) => Some(EventLog::descriptor(*number).map_err(told)?),
        };
        Ok(Records { joblog, results, names, events, resume, warnings })
    }
}

fn setup(config: &Config, slots: u32, surroundings: Surroundings, run: &str) -> Result<Setup, CliError> {
    let window = config.output.window.unwrap_or(WINDOW_MIN.max(slots.saturating_mul(WINDOW_PER_SLOT)));
    let inherits = config.output.mode == OutputMode::Ungrouped || config.tty;
    let own = |fd: &dyn AsFd| fd.as_fd().try_clone_to_owned().map_err(kernel);
    let stdin = config.stdin == StdinMode::Inherit || config.tty;
    let mut seed = [0; 8];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| kernel(e.into()))?;
    Ok(Setup {
        policy: RunPolicy {
            slots,
            window: window.max(1),
            order: config.output.order,
            queue_max: slots as usize + QUEUE_AHEAD,
            halt: config.halt,
            breaker: 0,
            start_gap: config.pace.start_gap,
            slow: config.slow,
            seed: u64::from_ne_bytes(seed),
        },
        contain: config.contain,
        streams: Streams {
            stdin: stdin.then(|| own(&io::stdin())).transpose()?,
            inherit: if inherits { Some((own(&io::stdout())?, own(&io::stderr())?)) } else { None },
        },
        surroundings,
        spool_dir: std::env::temp_dir(),
        run: run.to_owned(),
    })
}

/// What all jobs have in common, the limits that causes may have to name, and what the summary has to say of a
/// limit that is held by weaker means than asked for.
fn surroundings(
    config: &Config,
    tty: Option<&Terminal>,
) -> Result<(Surroundings, Limits, Vec<String>), CliError> {
    let LimitsInForce { rlimits, tree, named } =
        config.limits.in_force().map_err(|refused| limit_error(&refused))?;
    let mut notes = Vec::new();
    if let Some(bytes) = named.address_space_bytes {
        let size = crate::report::duration::size(bytes);
        notes
            .push(format!("--mem {size}: no control group here, so it is the address space of each process"));
    }
    let env = plan::environment_block(&config.surroundings);
    let terminal = tty.map(Terminal::for_jobs).transpose().map_err(kernel)?.map(Into::into);
    let nice = config.pace.nice;
    Ok((Surroundings { env, rlimits, nice, tree, terminal, ..Surroundings::default() }, named, notes))
}

/// A limit that cannot be held, by the flag that asked for it.
fn limit_error(refused: &LimitRefused) -> CliError {
    let flag = match refused.limit {
        LimitName::Memory => "--mem",
        LimitName::CpuTime => "--cpu-time",
        LimitName::FileSize => "--fsize",
        LimitName::OpenFiles => "--nofile",
        LimitName::Core => "--core",
        LimitName::Processes => "--pids",
        _ => "--cpus",
    };
    match &refused.why {
        WhyRefused::Below(least) => CliError::new(format!(
            "{flag}: too little memory to start a program in (without a unit these are bytes)"
        ))
        .hint(format!("{flag} 512M; at least {}", crate::report::duration::size(*least))),
        WhyRefused::Above(now) => {
            CliError::new(format!("{flag}: {}", refused.why)).hint(format!("{flag} {now}"))
        }
        WhyRefused::NoGroup(_) => CliError::new(format!("{flag} {}", refused.why))
            .hint("psmith doctor shows what can, and what it takes"),
        _ => CliError::new(format!("{flag}: {}", refused.why)),
    }
}

/// The terminal, where a job is to have it.
fn terminal(config: &Config) -> Result<Option<Terminal>, CliError> {
    if !config.tty {
        return Ok(None);
    }
    Terminal::open().map(Some).map_err(|_| {
        CliError::new("--tty: there is no terminal here")
            .hint("leave out --tty, or run psmith from a terminal")
    })
}

/// As many slots as descriptors and process ids allow.
pub(super) fn slots_most() -> u32 {
    let files = rlimit::get(Resource::OpenFiles).map_or(1024, |limit| limit.hard);
    let pids = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    let pids: u64 = pids.and_then(|text| text.trim().parse().ok()).unwrap_or(32_768);
    let processes = rlimit::get(Resource::Processes).map_or(u64::MAX, |limit| limit.soft);
    // Half of the numbers stay free for what else the machine does.
    let by_pids = u32::try_from(pids.min(processes) / 2).unwrap_or(u32::MAX);
    psmith_engine::engine::slots_by_descriptors(files).min(by_pids).max(1)
}

/// How progress is told: as asked, or as fits where stderr leads.
fn telling(config: &Config) -> Telling {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let writes_itself = config.tty || config.output.mode == OutputMode::Ungrouped;
    match config.report.progress {
        Progress::None => Telling::Failures,
        Progress::Plain => Telling::Plain,
        // Jobs that write to the terminal themselves would write into the board.
        Progress::Board if io::stderr().is_terminal() && !writes_itself => Telling::Board,
        Progress::Board => Telling::Plain,
        Progress::Auto if config.report.quiet => Telling::Failures,
        Progress::Auto if dumb || set("CI") => Telling::Plain,
        Progress::Auto if writes_itself => Telling::Failures,
        Progress::Auto if io::stderr().is_terminal() => Telling::Board,
        Progress::Auto => Telling::Failures,
    }
}

/// Whether there are colours, where there is a terminal to show them.
fn colors(config: &Config) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match config.report.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    }
}

fn columns() -> usize {
    if io::stderr().is_terminal() { Size::of(io::stderr()).columns } else { COLUMNS_DEFAULT }
}

impl RunHandler {
    fn tell_start(&mut self, slots: u32, level: Level) {
        let template: Vec<Vec<u8>> =
            self.plan.template().iter().map(|word| word.as_bytes().to_vec()).collect();
        let cwd = std::env::current_dir().unwrap_or_default();
        let event = RunEvent::RunStart {
            psmith: env!("CARGO_PKG_VERSION"),
            template: BytesList(&template),
            shell: self.config.command.shell.is_some(),
            slots,
            total: self.plan.total(),
            contain: level.word(),
            cwd: Bytes(cwd.as_os_str().as_bytes()),
            resumed_from: None,
        };
        self.note(&event);
        if let Some(url) = self.watchers.web_url() {
            self.writer.message(format!("psmith: web board at {url}\n"));
            if self.config.report.web.is_some_and(|address| !address.ip().is_loopback()) {
                self.warn("--web: the network can reach the board; its token and all it shows go there in the clear");
            }
        }
        self.watchers.on_run(slots, level, template.iter().map(Vec::as_slice), self.plan.total());
    }
}

/// After the last job: what is left to say, and the status.
fn finish(mut handler: RunHandler, end: Result<(), psmith_engine::EngineError>, notes: &[String]) -> Ending {
    let mut failure = handler.failure.take().or_else(|| handler.input_failure.take());
    if let Err(error) = end {
        let told = CliError::new(error.to_string());
        match error {
            // What the writer then found missing only follows from it.
            psmith_engine::EngineError::Spool(..) => failure = Some(told),
            _ => drop(failure.get_or_insert(told)),
        }
    }
    if handler.left_at_once {
        // The writer may be stuck for good; nobody waits for it.
        return Ok(ExitStatus::Signal(handler.stopped_by.unwrap_or(15)));
    }
    let known = handler.plan.total().or(handler.end.as_ref().map(|end| end.jobs));
    let skipped = handler.end.as_ref().map_or(0, |end| end.skipped);
    if let Some(total) = known {
        handler.tally.add_left(total.saturating_sub(handler.tally.jobs() + skipped));
    }
    let wall = handler.began.elapsed();
    let halted = handler.halted_on.filter(|_| handler.stopped_by.is_none());
    let run_end = handler.tally.run_end(handler.stopped_by, failure.is_some(), halted);
    let mut status = run_end.status(handler.config.exit);
    if let Some(error) = &failure
        && handler.stopped_by.is_none()
    {
        status = ExitStatus::Code(error.exit_code);
    }
    let stopped_by = handler.stopped_by.and_then(psmith_sys::signals::name);
    if let Some(error) = &mut failure {
        say_what_is_left(error, &handler);
    }
    let event = handler.tally.run_end_event(wall, stopped_by, status.shell_code());
    handler.note(&RunEvent::RunEnd(event));
    if let Some(events) = &mut handler.events {
        events.hand_over();
    }
    match handler.watchers.finish(event) {
        Ok(warnings) => warnings.iter().for_each(|warning| handler.warn(warning)),
        Err(error) => drop(failure.get_or_insert_with(|| record_error(&error))),
    }
    let standing = Standing { over: true, ..handler.tally.standing(known, 0, None) };
    let rate = handler.rate.per_second(Time(wall));
    drop(handler.keys.take());
    let board_was_up = handler.telling == Telling::Board && wall > board::BOARD_AFTER;
    if handler.telling == Telling::Board {
        handler.writer.leave_board(standing.line(rate, handler.columns));
    }
    // Whoever closed the pipe wants to hear nothing more.
    let quiet =
        handler.config.report.quiet || handler.stopped_by == Some(rustix::process::Signal::PIPE.as_raw());
    let summary = summary::form(handler.config.report.summary, &handler.tally, board_was_up, quiet);
    let resumed = handler
        .config
        .resume
        .map(|_| Resumed { skipped, unmatched: handler.end.as_ref().map_or(0, |end| end.unmatched) });
    let mut notes = notes.to_vec();
    if handler.tally.own_ends() > 0 {
        notes.extend(summary::limits_in_force(&handler.config.limits));
    }
    match summary {
        None => {}
        Some(SummaryForm::Text) => {
            let facts = SummaryFacts {
                wall,
                joblog: handler.config.records.joblog.as_ref().map(|log| log.path.as_path()),
                resumed,
                leak: handler.config.policy.leak,
                notes: &notes,
                columns: handler.columns,
            };
            handler.writer.last_message(summary::text(&handler.tally, &facts));
        }
        Some(SummaryForm::Json) => {
            let mut line = Vec::new();
            RunEvent::RunEnd(event).write_line(&mut line, epoch_now(), &handler.run);
            handler.writer.last_message(String::from_utf8_lossy(&line).into_owned());
        }
    }
    let desk = handler.writer.finish();
    if let Some(joblog) = desk.and_then(|desk| desk.joblog)
        && let Err(error) = joblog.finish()
    {
        failure.get_or_insert_with(|| record_error(&error));
    }
    match handler.events.take().map(|events| events.finish(&handler.signals)) {
        None | Some(Finished::Written(None)) => {}
        Some(Finished::Written(Some(error))) => drop(failure.get_or_insert_with(|| record_error(&error))),
        Some(Finished::Left(signal)) => return Ok(ExitStatus::Signal(signal)),
    }
    match failure {
        Some(error) if handler.stopped_by.is_none() => Err(error),
        _ => Ok(status),
    }
}

/// Adds to an error that ended the run what it cost, and how to go on.
fn say_what_is_left(error: &mut CliError, handler: &RunHandler) {
    let (stopped, left) = (handler.tally.cancelled(), handler.tally.left());
    if stopped + left == 0 {
        return;
    }
    let ending = if stopped == 1 { "" } else { "s" };
    error.message.push_str(&format!("; {stopped} job{ending} stopped, {left} left"));
    if !error.hints.is_empty() {
        return;
    }
    if handler.config.records.joblog.is_some() {
        error.hints.push("add --resume to the same command, and it goes on from here".to_owned());
    } else if handler.output_failed {
        error
            .hints
            .push("--joblog FILE from the start, and --resume goes on where a run broke off".to_owned());
    }
}

/// Four characters that people can say; unique enough to tell the runs of a day apart.
fn run_name() -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut random = [0_u8; 4];
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    random.iter().map(|&byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

/// Now, in seconds since 1970.
pub(super) fn epoch_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn kernel(error: io::Error) -> CliError {
    CliError::new(crate::report::display::os_text(&error))
}
