//! Resolution of the flags, as typed, into a [`Config`].

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use psmith_core::policy::{Backoff, Halt, JobPolicy, Leak, Order, RetryOn, TermSeq, Timeout};
use psmith_engine::ResourceLimits;

use super::{
    Color, CommandSpec, Config, Containment, DryRun, EventsTo, ExitScheme, Flaky, Joblog, Load, OutputMode,
    OutputSpec, PaceSpec, ProgressMode, RecordsSpec, ReportSpec, ResultsPlace, ResumeMode, Show, SlotsSpec,
    StdinMode, SummaryMode, SurroundingsSpec, Tag,
};
use crate::batch_size::{BatchSize, Fill};
use crate::error::CliError;
use crate::flags::{RawFlags, named};
use crate::input::spec::{self, InputSpec};
use crate::pipe;
use crate::quote::{self, shown};
use crate::values;

/// The time after which a running job is named as slow, unless the user sets another.
const SLOW: Duration = Duration::from_secs(60);

/// The shells for which `-s` can quote.
const SHELLS: [&str; 9] = ["sh", "dash", "bash", "ash", "ksh", "ksh93", "mksh", "zsh", "yash"];

impl Config {
    /// Resolves the flags.
    pub(crate) fn resolve(mut raw: RawFlags) -> Result<Config, CliError> {
        let words = std::mem::take(&mut raw.words);
        let (words, groups) = spec::split_sources(words)?;
        let command = command(&raw, words)?;
        let input = spec::input(&raw, groups)?;
        let tty = raw.is_set("tty");
        let pipe = pipe::pipe(&raw, &input)?;
        if pipe.is_some() && command.shell.is_some() && command.words.is_empty() {
            return Err(CliError::new("--pipe needs a command that reads the blocks")
                .hint("psmith --pipe sh: each block is a script"));
        }
        let config = Config {
            batch: if pipe.is_some() { BatchSize::One } else { batch(&raw)? },
            require_input: raw.is_set("require-input"),
            stdin: stdin(&raw, &input, tty, pipe.is_some())?,
            pipe,
            tty,
            pace: pace(&raw, tty)?,
            limits: limits(&raw)?,
            contain: option(&raw, "contain", |flag, value| {
                values::choice(flag, value, &Containment::ALL.map(|level| (level.word(), level)))
            })?,
            surroundings: surroundings(&raw)?,
            policy: policy(&raw)?,
            slow: Some(option(&raw, "slow", values::duration)?.unwrap_or(SLOW))
                .filter(|slow| !slow.is_zero()),
            flaky: choice(&raw, "flaky", &[("ok", Flaky::Ok), ("fail", Flaky::Fail)])?,
            halt: option(&raw, "halt", values::halt)?.unwrap_or(Halt::Never),
            exit: choice(&raw, "exit", &ExitScheme::ALL.map(|scheme| (scheme.word(), scheme)))?,
            output: output(&raw)?,
            records: records(&raw)?,
            resume: resume(&raw)?,
            report: report(&raw)?,
            dry_run: dry_run(&raw)?,
            command,
            input,
        };
        if config.records.events_output && config.records.events.is_none() {
            return Err(CliError::new("--events-output needs --events").hint("--events FILE --events-output"));
        }
        Ok(config)
    }
}

/// Returns the value of a flag, parsed, if the flag was given. The message names the flag by its long name.
fn option<T>(
    raw: &RawFlags,
    id: &str,
    parse: impl Fn(&str, &OsStr) -> Result<T, CliError>,
) -> Result<Option<T>, CliError> {
    raw.value(id).map(|value| parse(&named(id), value)).transpose()
}

/// Returns a choice of several words, the first of which is the default.
fn choice<T: Copy>(raw: &RawFlags, id: &str, choices: &[(&str, T)]) -> Result<T, CliError> {
    Ok(option(raw, id, |flag, value| values::choice(flag, value, choices))?.unwrap_or(choices[0].1))
}

fn command(raw: &RawFlags, words: Vec<OsString>) -> Result<CommandSpec, CliError> {
    let (literal, plus) = (raw.literal, raw.is_set("plus"));
    let replace = raw.value("replace").map(|text| text.as_bytes().to_vec());
    if replace.as_ref().is_some_and(Vec::is_empty) {
        return Err(CliError::new("-I: the replacement string is empty").hint("-I ,,"));
    }
    if !raw.is_set("s") {
        if words.is_empty() {
            return Err(CliError::new("no command given")
                .hint("psmith gzip ::: *.txt, or psmith -s < file-of-commands"));
        }
        return Ok(CommandSpec {
            words,
            shell: None,
            replace: replace.filter(|text| text != b"{}"),
            literal,
            plus,
        });
    }
    if words.len() > 1 {
        let mistake = format!("-s takes one word, the script, not {}", words.len());
        if words[1].as_bytes().starts_with(b"-") {
            // Typed last, as most commands allow it.
            let options = quote::command_line(words[1..].iter().map(|word| word.as_bytes()));
            return Err(CliError::new(mistake).hint(format!(
                "options stand before the script: psmith {options} -s {}",
                quote::word(words[0].as_bytes())
            )));
        }
        if words[0].as_bytes().iter().all(u8::is_ascii_digit) {
            return Err(CliError::new(mistake).hint("-n N limits a command line; -s is the shell"));
        }
        let joined = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&b' ');
        return Err(CliError::new(mistake).hint(format!("psmith -s {}", quote::word(&joined))));
    }
    let shell = raw.value("shell").map_or_else(|| PathBuf::from(DEFAULT_SHELL), PathBuf::from);
    let name = shell.file_name().unwrap_or_default();
    if !SHELLS.iter().any(|known| name == *known) {
        return Err(CliError::new(format!(
            "--shell: '{}' is not of the sh family",
            shown(shell.as_os_str().as_bytes())
        ))
        .hint("sh, dash, bash, ksh, zsh"));
    }
    Ok(CommandSpec {
        words,
        shell: Some(shell),
        replace: replace.filter(|text| text != b"{}"),
        literal,
        plus,
    })
}

/// The shell of `-s`, unless the user sets another.
pub(crate) const DEFAULT_SHELL: &str = "/bin/sh";

fn batch(raw: &RawFlags) -> Result<BatchSize, CliError> {
    let count =
        |id, min| option(raw, id, |flag, value| values::number(flag, value, min, u64::from(u32::MAX)));
    let plain = count("max-args", 0)?;
    let repeated = count("max-replace-args", 0)?;
    let max = plain.or(repeated);
    let fill = if raw.is_set("context-replace") {
        Some(Fill::Repeat)
    } else if raw.is_set("xargs") {
        Some(Fill::Join)
    } else {
        None
    };
    Ok(match (fill, max) {
        (_, Some(0)) => BatchSize::CountOnly,
        (Some(fill), max) => BatchSize::Fit { fill, max },
        (None, Some(max)) if repeated.is_some() => BatchSize::UpTo { fill: Fill::Repeat, max },
        (None, Some(max)) => BatchSize::UpTo { fill: Fill::Join, max },
        (None, None) => BatchSize::One,
    })
}

fn stdin(raw: &RawFlags, input: &InputSpec, tty: bool, pipe: bool) -> Result<StdinMode, CliError> {
    const MODES: [(&str, StdinMode); 3] =
        [("none", StdinMode::Null), ("inherit", StdinMode::Inherit), ("item", StdinMode::Item)];
    if pipe && tty {
        return Err(pipe::refuse_with_pipe("--tty"));
    }
    let Some(value) = raw.value("stdin") else { return Ok(StdinMode::Null) };
    let mode = values::choice("--stdin", value, &MODES)?;
    if pipe && mode != StdinMode::Null {
        return Err(pipe::refuse_with_pipe("--stdin"));
    }
    if mode == StdinMode::Inherit && input.reads_stdin() {
        return Err(
            CliError::new("--stdin inherit: stdin is where the inputs come from").hint("-a FILE, or ::: A..")
        );
    }
    if mode != StdinMode::Null && tty {
        let flag = format!("--stdin {}", value.to_string_lossy());
        return Err(
            CliError::new(format!("{flag} and --tty: a job has but one stdin")).hint("leave out one of them")
        );
    }
    Ok(mode)
}

fn pace(raw: &RawFlags, tty: bool) -> Result<PaceSpec, CliError> {
    let slots = option(raw, "jobs", values::slots)?.unwrap_or(SlotsSpec::Percent(100.0));
    let delay = option(raw, "delay", |flag, value| {
        if value.as_bytes().ends_with(b"auto") {
            return Err(
                CliError::new("--delay ..auto is left out of psmith").hint("--load 100%, --memfree SIZE")
            );
        }
        values::duration(flag, value)
    })?;
    let gap = option(raw, "rate", values::rate_gap)?;
    Ok(PaceSpec {
        slots: if tty { SlotsSpec::Number(1) } else { slots },
        start_gap: delay.unwrap_or_default().max(gap.unwrap_or_default()),
        load: option(raw, "load", load)?,
        memfree: option(raw, "memfree", values::size)?,
        nice: option(raw, "nice", nice)?.unwrap_or(0),
    })
}

fn load(flag: &str, value: &OsStr) -> Result<Load, CliError> {
    let text = values::text(flag, value)?;
    let (number, percent) = text.strip_suffix('%').map_or((text, false), |number| (number, true));
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => {
            Ok(if percent { Load::Percent(number) } else { Load::Number(number) })
        }
        _ => {
            Err(CliError::new(format!("{flag}: '{}' is not a load", shown(text.as_bytes())))
                .hint("4, 1.5, 80%"))
        }
    }
}

fn nice(flag: &str, value: &OsStr) -> Result<i32, CliError> {
    let text = values::text(flag, value)?;
    match text.parse::<i32>() {
        Ok(nice) if (-39..=39).contains(&nice) => Ok(nice),
        _ => Err(CliError::new(format!("{flag}: '{}' is not a niceness", shown(text.as_bytes())))
            .hint("10, or -5")),
    }
}

fn limits(raw: &RawFlags) -> Result<ResourceLimits, CliError> {
    let count = |flag: &str, value: &OsStr| values::number(flag, value, 1, u64::MAX);
    Ok(ResourceLimits {
        memory_bytes: option(raw, "mem", values::size)?,
        cpu_time: option(raw, "cpu-time", values::duration)?,
        file_size_bytes: option(raw, "fsize", values::size)?,
        open_files: option(raw, "nofile", count)?,
        core_bytes: option(raw, "core", values::size)?,
        processes: option(raw, "pids", count)?,
        cpus: option(raw, "cpus", |flag, value| {
            let text = values::text(flag, value)?;
            match text.parse::<f64>() {
                Ok(cpus) if cpus.is_finite() && cpus >= 0.01 => Ok(cpus),
                _ => Err(CliError::new(format!(
                    "{flag}: '{}' is not a number of CPUs",
                    shown(text.as_bytes())
                ))
                .hint("1, or 0.5")),
            }
        })?,
    })
}

fn surroundings(raw: &RawFlags) -> Result<SurroundingsSpec, CliError> {
    let mut env = Vec::new();
    for setting in raw.values("env") {
        let bytes = setting.as_bytes();
        match memchr::memchr(b'=', bytes) {
            Some(at) if at > 0 => {
                env.push((
                    OsString::from_vec(bytes[..at].to_vec()),
                    OsString::from_vec(bytes[at + 1..].to_vec()),
                ));
            }
            Some(_) => {
                return Err(CliError::new(format!("--env: '{}' is not NAME=VALUE", shown(bytes)))
                    .hint("--env LANG=C, or --env LANG to pass ours on"));
            }
            None => env.push(inherited(setting)?),
        }
    }
    Ok(SurroundingsSpec {
        env,
        env_clear: raw.is_set("env-clear"),
        workdir: raw.value("workdir").map(OsStr::to_os_string),
        slot_variable: raw.value("process-slot-var").map(slot_variable).transpose()?,
    })
}

/// Returns a variable of psmith's own environment, or a function that bash has exported.
fn inherited(name: &OsStr) -> Result<(OsString, OsString), CliError> {
    let function = OsString::from_vec([b"BASH_FUNC_", name.as_bytes(), b"%%"].concat());
    [name.to_os_string(), function]
        .into_iter()
        .find_map(|name| Some((name.clone(), std::env::var_os(&name)?)))
        .ok_or_else(|| {
            CliError::new(format!("--env: {} is not set", shown(name.as_bytes())))
                .hint(format!("export {0}, or --env {0}=VALUE", shown(name.as_bytes())))
        })
}

fn slot_variable(name: &OsStr) -> Result<OsString, CliError> {
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        return Err(CliError::new(format!("--process-slot-var: '{}' is no name", shown(name.as_bytes())))
            .hint("--process-slot-var SLOT"));
    }
    Ok(name.to_os_string())
}

fn policy(raw: &RawFlags) -> Result<JobPolicy, CliError> {
    const LEAKS: [(&str, Leak); 4] =
        [("kill", Leak::Kill), ("fail", Leak::Fail), ("wait", Leak::Wait), ("allow", Leak::Allow)];
    let tries = option(raw, "retries", |flag, value| values::number(flag, value, 0, u64::from(u32::MAX)))?
        .unwrap_or(1);
    Ok(JobPolicy {
        timeout: option(raw, "timeout", values::timeout)?.unwrap_or(Timeout::Never),
        idle: None,
        tries: u32::try_from(tries).unwrap_or(u32::MAX),
        crash_tries: 0,
        grow_memory_percent: 0,
        backoff: option(raw, "retry-delay", values::backoff)?
            .unwrap_or(Backoff { first: Duration::ZERO, max: None }),
        retry_on: option(raw, "retry-on", values::retry_on)?.unwrap_or(RetryOn::Any),
        term_seq: option(raw, "term-seq", values::term_seq)?.unwrap_or_else(TermSeq::default),
        leak: choice(raw, "leak", &LEAKS)?,
        limits: psmith_core::outcome::Limits::default(),
    })
}

fn output(raw: &RawFlags) -> Result<OutputSpec, CliError> {
    let mode = if raw.is_set("lb") {
        OutputMode::Lines
    } else if raw.is_set("ungroup") {
        OutputMode::Ungrouped
    } else {
        OutputMode::Group
    };
    let tag = match raw.value("tagstring") {
        Some(text) => Some(Tag::Text(text.to_os_string())),
        None => raw.is_set("tag").then_some(Tag::Inputs),
    };
    Ok(OutputSpec {
        mode,
        order: if raw.is_set("keep-order") { Order::Submission } else { Order::Completion },
        window: option(raw, "window", |flag, value| values::number(flag, value, 1, u64::from(u32::MAX)))?
            .map(|window| u32::try_from(window).unwrap_or(u32::MAX)),
        show: choice(raw, "show", &[("all", Show::All), ("fail", Show::Fail), ("none", Show::None)])?,
        tag,
    })
}

fn records(raw: &RawFlags) -> Result<RecordsSpec, CliError> {
    let resuming = raw.value("resume").is_some() || raw.is_set("resume-failed");
    let joblog = raw.value("joblog").map(|value| match value.as_bytes().strip_prefix(b"+") {
        Some(path) if !path.is_empty() => {
            Joblog { path: PathBuf::from(OsStr::from_bytes(path)), append: true }
        }
        _ => Joblog { path: PathBuf::from(value), append: resuming },
    });
    Ok(RecordsSpec {
        results: raw.value("results").map(results).transpose()?,
        joblog,
        events: raw.value("events").map(events).transpose()?,
        events_output: raw.is_set("events-output"),
        report: raw.value("report").map(PathBuf::from),
        trace: raw.value("trace").map(PathBuf::from),
    })
}

fn results(value: &OsStr) -> Result<ResultsPlace, CliError> {
    if value.is_empty() {
        return Err(
            CliError::new("--results: the path is empty").hint("--results out.jsonl, or --results DIR")
        );
    }
    let replaced = crate::template::mentions_replacement(value.as_bytes());
    Ok(ResultsPlace::of(value.as_bytes(), replaced))
}

fn events(value: &OsStr) -> Result<EventsTo, CliError> {
    let digits = value.to_str().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let Some(digits) = digits else { return Ok(EventsTo::File(PathBuf::from(value))) };
    match digits.parse::<i32>() {
        Ok(descriptor) if descriptor >= 3 => Ok(EventsTo::Descriptor(descriptor)),
        _ => Err(CliError::new(format!("--events: descriptor {digits} is not 3 or above"))
            .hint("psmith --events 3 .. 3>file")),
    }
}

fn resume(raw: &RawFlags) -> Result<Option<ResumeMode>, CliError> {
    let joblog = raw.value("joblog").is_some();
    let flag = if raw.is_set("resume-failed") { "--resume-failed" } else { "--resume" };
    match raw.value("resume") {
        Some(run) if !run.is_empty() => return Err(CliError::new("--resume=RUN: not in this version")),
        None if !raw.is_set("resume-failed") => return Ok(None),
        _ => {}
    }
    if !joblog {
        return Err(CliError::new(format!("{flag} without --joblog: not in this version"))
            .hint(format!("--joblog FILE {flag}")));
    }
    Ok(Some(if raw.is_set("resume-failed") { ResumeMode::ResumeFailed } else { ResumeMode::Resume }))
}

fn report(raw: &RawFlags) -> Result<ReportSpec, CliError> {
    const SUMMARIES: [(&str, SummaryMode); 4] = [
        ("auto", SummaryMode::Auto),
        ("text", SummaryMode::Text),
        ("json", SummaryMode::Json),
        ("none", SummaryMode::None),
    ];
    const PROGRESS: [(&str, ProgressMode); 4] = [
        ("auto", ProgressMode::Auto),
        ("board", ProgressMode::Board),
        ("plain", ProgressMode::Plain),
        ("none", ProgressMode::None),
    ];
    const COLORS: [(&str, Color); 3] =
        [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];
    let rows = option(raw, "rows", |flag, value| values::number(flag, value, 1, 1000))?.unwrap_or(8);
    Ok(ReportSpec {
        summary: choice(raw, "summary", &SUMMARIES)?,
        progress: if raw.is_set("bar") { ProgressMode::Board } else { choice(raw, "progress", &PROGRESS)? },
        rows: u16::try_from(rows).unwrap_or(u16::MAX),
        color: choice(raw, "color", &COLORS)?,
        web: option(raw, "web", web)?,
        verbose: raw.is_set("verbose"),
        quiet: raw.is_set("quiet"),
    })
}

/// Parses an address, a port, both, or neither: the default is this machine alone, and any free port.
fn web(flag: &str, value: &OsStr) -> Result<SocketAddr, CliError> {
    let text = values::text(flag, value)?;
    let text = text.strip_prefix("localhost").map_or(text.to_owned(), |rest| format!("127.0.0.1{rest}"));
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = |port: &str| port.parse().ok().map(|port| SocketAddr::new(local, port));
    let address = match &*text {
        "" => Some(SocketAddr::new(local, 0)),
        text => (text.parse().ok())
            .or_else(|| port(text.trim_start_matches(':')))
            .or_else(|| Some(SocketAddr::new(text.parse().ok()?, 0))),
    };
    address.ok_or_else(|| {
        CliError::new(format!("{flag}: '{}' is not an address", shown(text.as_bytes())))
            .hint("--web, --web=8080, --web=127.0.0.1:8080")
    })
}

fn dry_run(raw: &RawFlags) -> Result<Option<DryRun>, CliError> {
    let Some(form) = raw.value("dry-run") else { return Ok(None) };
    if form.is_empty() {
        return Ok(Some(DryRun::Text));
    }
    values::choice("--dry-run", form, &[("text", DryRun::Text), ("json", DryRun::Json)]).map(Some)
}
