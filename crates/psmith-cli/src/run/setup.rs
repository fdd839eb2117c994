//! Setup of a run: makes of its configuration a handler that is ready, with its threads started and its files opened,
//! and the engine's settings. Every error that can be known before the run is reported here.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use psmith_board::Size;
use psmith_core::JobPolicy;
use psmith_core::outcome::Limits;
use psmith_core::policy::RunPolicy;
use psmith_engine::handler::Streams;
use psmith_engine::limits::{LimitName, LimitRefused, LimitsInForce, WhyRefused};
use psmith_engine::{Setup, Surroundings};
use psmith_sys::eventfd::Waker;
use psmith_sys::rlimit::{self, Resource};

use super::controls::{Controls, SlotControl};
use super::event_writer::EventWriter;
use super::kernel;
use super::keys::Keys;
use super::observers::Observers;
use super::pressure::Pressure;
use super::producer::Producer;
use super::records::{RecordFiles, Records};
use super::reporting::{ProgressForm, Reporting};
use super::run_handler::RunHandler;
use super::run_inputs::RunInputs;
use super::signal_requests::Signals;
use super::stop::{Stop, record_error};
use super::tty::JobTerminal;
use super::writer::{Lines, WriterHandle};
use crate::config::{Color, Config, OutputMode, ProgressMode, SlotsSpec, StdinMode};
use crate::error::CliError;
use crate::plan::{self, RunPlan};

/// The width of lines if no terminal sets it.
const COLUMNS_DEFAULT: usize = 240;

/// The number of outcomes that may always wait for their turn with `-k`.
const WINDOW_MIN: u32 = 256;

/// The further number of outcomes that may wait, for each slot.
const WINDOW_PER_SLOT: u32 = 16;

/// The number of jobs accepted ahead of their start, beyond the slots.
const QUEUE_AHEAD: usize = 64;

/// A run that is ready to begin.
pub(super) struct Prepared {
    pub(super) handler: RunHandler,
    pub(super) setup: Setup,
    /// Notes for the summary on limits that are enforced by weaker means than requested.
    pub(super) notes: Vec<String>,
}

impl Prepared {
    pub(super) fn new(config: Config, began: Instant) -> Result<Prepared, CliError> {
        // Before any other thread exists.
        let signals = Signals::take().map_err(kernel("signalfd4", "to take signals"))?;
        let wake = Arc::new(Waker::new().map_err(kernel("eventfd2", "to wake the engine"))?);
        let (plan, jobs) = RunPlan::new(&config)?;
        let plan = Arc::new(plan);
        let run = run_name();
        let files = RecordFiles::open(&config, &plan)?;
        let slots = if config.tty { 1 } else { config.pace.slots.resolve(plan::cpus(), slots_most())? };
        let tty = terminal(&config)?;
        let (surroundings, limits, notes) = surroundings(&config, tty.as_ref())?;
        let policy = Arc::new(JobPolicy { limits, ..config.policy.clone() });

        let lines = if config.output.mode == OutputMode::Lines { Lines::Whole } else { Lines::Raw };
        let (joblog, results) = (files.joblog, files.results);
        let writer =
            WriterHandle::start(lines, colors(&config), joblog, results, run.clone(), Arc::clone(&wake))
                .map_err(kernel("clone3", "for a thread"))?;
        let events = files.events.map(|log| EventWriter::start(log, run.clone(), Arc::clone(&wake)));
        let events = events.transpose().map_err(kernel("clone3", "for a thread"))?;
        first_messages(&config, slots, &files.warnings, &writer);
        let producer = Producer::start(Arc::clone(&plan), jobs, files.resume, Arc::clone(&wake))
            .map_err(kernel("clone3", "for a thread"))?;
        // A job that waits holds its block.
        let queue_max = if plan.holds_blocks() { 1 } else { slots as usize + QUEUE_AHEAD };
        let mut setup = setup(&config, slots, queue_max, surroundings, &run)?;

        let reporting = Reporting::new(&config, progress(&config), columns(), began);
        let keys = keys(&config, &plan, &reporting, &wake);
        let found = keys.as_ref().and_then(Keys::found);
        setup.surroundings.found_terminal = found.or_else(|| tty.as_ref().and_then(JobTerminal::found));
        let observers = Observers::open(&config, &run, began).map_err(|error| record_error(&error))?;
        let pressure = Pressure::new(config.pace.load, config.pace.memfree, plan::cpus());
        let slots = SlotControl::new(config.pace.slots.clone(), slots);
        let handler = RunHandler {
            inputs: RunInputs::new(producer, &plan),
            reporting,
            records: Records::new(events, config.records.events_output, files.names, observers),
            controls: Controls::new(wake, signals, keys, pressure, slots, tty),
            stop: Stop::default(),
            writer,
            plan,
            policy,
            run,
            config: Box::new(config),
        };
        Ok(Prepared { handler, setup, notes })
    }
}

/// Writes the messages known before the first job.
fn first_messages(config: &Config, slots: u32, warnings: &[String], writer: &WriterHandle) {
    if config.pace.slots == SlotsSpec::Most && !config.report.quiet {
        writer.message(format!("psmith: {slots} slots, as many as descriptors and process ids allow\n"));
    }
    for warning in warnings {
        writer.message(format!("psmith: warning: {warning}\n"));
    }
}

/// Returns the keys, for a run with a board. If stdin belongs to the jobs, or to the input, keys would be theirs.
fn keys(config: &Config, plan: &RunPlan, reporting: &Reporting, wake: &Arc<Waker>) -> Option<Keys> {
    let has_keys =
        reporting.board.is_some() && config.stdin != StdinMode::Inherit && !plan.waits_for_terminal();
    has_keys.then(|| Keys::take(Arc::clone(wake))).flatten()
}

fn setup(
    config: &Config,
    slots: u32,
    queue_max: usize,
    surroundings: Surroundings,
    run: &str,
) -> Result<Setup, CliError> {
    let window = config.output.window.unwrap_or(WINDOW_MIN.max(slots.saturating_mul(WINDOW_PER_SLOT)));
    let inherits = config.output.mode == OutputMode::Ungrouped || config.tty;
    let own = |fd: &dyn AsFd| {
        fd.as_fd().try_clone_to_owned().map_err(kernel("fcntl", "to give jobs a standard stream"))
    };
    let stdin = config.stdin == StdinMode::Inherit || config.tty;
    let mut seed = [0; 8];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| kernel("getrandom", "for the order of retries")(error.into()))?;
    Ok(Setup {
        policy: RunPolicy {
            slots,
            window: window.max(1),
            order: config.output.order,
            queue_max,
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
            captures_values: false,
        },
        surroundings,
        spool_dir: std::env::temp_dir(),
        run: run.to_owned(),
    })
}

/// Makes the settings that all jobs share, the limits that causes may have to name, and notes for the summary on a
/// limit that is enforced by weaker means than requested.
fn surroundings(
    config: &Config,
    tty: Option<&JobTerminal>,
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
    let terminal = tty.map(JobTerminal::for_jobs).transpose();
    let terminal = terminal.map_err(kernel("fcntl", "to give jobs the terminal"))?.map(Into::into);
    let nice = config.pace.nice;
    Ok((Surroundings { env, rlimits, nice, tree, terminal, ..Surroundings::default() }, named, notes))
}

/// Makes the error of a limit that cannot be enforced, by its flag.
fn limit_error(refused: &LimitRefused) -> CliError {
    let flag = match refused.limit {
        LimitName::Memory => "--mem",
        LimitName::CpuTime => "--cpu-time",
        LimitName::FileSize => "--fsize",
        LimitName::OpenFiles => "--nofile",
        LimitName::Core => "--core",
        LimitName::Processes => "--pids",
        LimitName::Cpus => "--cpus",
        // One that has no flag yet; never the flag of another.
        _ => "the limit",
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

/// Opens the terminal, if a job is to have it.
fn terminal(config: &Config) -> Result<Option<JobTerminal>, CliError> {
    if !config.tty {
        return Ok(None);
    }
    JobTerminal::open().map(Some).map_err(|_| {
        CliError::new("--tty: there is no terminal here")
            .hint("leave out --tty, or run psmith from a terminal")
    })
}

/// Returns the number of slots that descriptors and process ids allow.
pub(super) fn slots_most() -> u32 {
    let files = rlimit::get(Resource::OpenFiles).map_or(1024, |limit| limit.hard);
    let pids = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    let pids: u64 = pids.and_then(|text| text.trim().parse().ok()).unwrap_or(32_768);
    let processes = rlimit::get(Resource::Processes).map_or(u64::MAX, |limit| limit.soft);
    // Half of the numbers stay free for the machine's other processes.
    let by_pids = u32::try_from(pids.min(processes) / 2).unwrap_or(u32::MAX);
    psmith_engine::engine::slots_by_descriptors(files).min(by_pids).max(1)
}

/// Returns the form of progress: as requested, or as suits stderr.
fn progress(config: &Config) -> ProgressForm {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let writes_itself = config.tty || config.output.mode == OutputMode::Ungrouped;
    match config.report.progress {
        ProgressMode::None => ProgressForm::Failures,
        ProgressMode::Plain => ProgressForm::Plain,
        // Jobs that write to the terminal themselves would write into the board.
        ProgressMode::Board if io::stderr().is_terminal() && !writes_itself => ProgressForm::Board,
        ProgressMode::Board => ProgressForm::Plain,
        ProgressMode::Auto if config.report.quiet => ProgressForm::Failures,
        ProgressMode::Auto if dumb || set("CI") => ProgressForm::Plain,
        ProgressMode::Auto if writes_itself => ProgressForm::Failures,
        ProgressMode::Auto if io::stderr().is_terminal() => ProgressForm::Board,
        ProgressMode::Auto => ProgressForm::Failures,
    }
}

/// Returns whether there are colours, if there is a terminal to show them.
fn colors(config: &Config) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match config.report.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    }
}

pub(super) fn columns() -> usize {
    if io::stderr().is_terminal() { Size::of(io::stderr()).columns } else { COLUMNS_DEFAULT }
}

/// Returns a name of four characters that can be spoken; unique enough among the runs of a day.
fn run_name() -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut random = [0_u8; 4];
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    random.iter().map(|&byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}
