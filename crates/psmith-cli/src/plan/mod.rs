//! A run, compiled: the command as a template, the inputs as a stream of jobs.
//!
//! Every error that can be known before the first job is reported here. No job is started, and of the input only
//! headers are read (and all of it, a first time, if `{##}` needs the number of jobs).

mod arg_limits;
pub(crate) mod compiled_command;
mod environment;
mod job_stream;
mod shell_check;
#[cfg(test)]
mod tests;
mod word_rules;

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use psmith_core::outcome::SpawnFailure;

use crate::batch_size::BatchSize;
use crate::config::{Config, DEFAULT_SHELL, ResultsPlace, StdinMode, Tag};
use crate::error::CliError;
use crate::input::{From, Group, InputError, InputReader, InputRows, JobArgs};
use crate::lookup::{Lookup, Missing, is_shell_word};
use crate::pipe::{BlockJobs, ReadFailure};
use crate::quote::{self, shown};
pub use crate::template::JobNumbers;
use crate::template::{
    Grammar, Language, Piece, Scanned, Script, TextTemplate, ValueKind, Word, names_slot, needs_total, scan,
};
use arg_limits::ArgLimits;
pub(crate) use compiled_command::CompiledCommand;
use compiled_command::{CommandForm, PlainScript, Shell, missing_text, push_command_text};
pub use job_stream::JobStream;

/// The message that is shown, once, when inputs are expected from a terminal and none has come for a second.
pub const WAITING: &str = "waiting for input on the terminal, one per line; Ctrl-D ends it";

/// A run, compiled.
#[derive(Debug)]
pub struct RunPlan {
    command: Arc<CompiledCommand>,
    template: Vec<OsString>,
    workdir: Option<TextTemplate>,
    tag: Option<Prefix>,
    results: Option<TextTemplate>,
    total: Option<u64>,
    start: Vec<u8>,
    waits_for_terminal: bool,
    names_slot: bool,
    /// True if jobs hold blocks, so that few may be made ahead of their start.
    holds_blocks: bool,
    read_failure: ReadFailure,
}

#[derive(Debug)]
enum Prefix {
    Inputs,
    Text(TextTemplate),
}

/// A job, ready to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The path that is executed: absolute, or with a slash.
    pub program: PathBuf,
    /// The words, the program's own name included.
    pub argv: Vec<Vec<u8>>,
    /// The directory in which it runs, if not psmith's own.
    pub dir: Option<PathBuf>,
    /// The command as `--dry-run`, the joblog and messages show it: one line, no TAB.
    pub text: String,
    /// True if a shell is executed.
    pub shell: bool,
    /// The script, in shell mode.
    pub script: Option<Vec<u8>>,
}

impl Rendered {
    /// Returns the words as the records show them: with the shell, even if it is skipped.
    #[must_use]
    pub fn recorded_argv(&self) -> Vec<&[u8]> {
        match &self.script {
            Some(script) if !self.shell => vec![DEFAULT_SHELL.as_bytes(), b"-c", script],
            _ => self.argv.iter().map(|word| &word[..]).collect(),
        }
    }
}

/// Returns the hint for this failure to start: what the user can type.
#[must_use]
pub fn hint_for(failure: &SpawnFailure) -> Option<&'static str> {
    if failure.detail.contains("NUL byte") {
        return Some("-0 reads NUL-separated input");
    }
    failure.detail.contains("the kernel takes").then_some("pass it as a file")
}

impl RunPlan {
    /// Compiles a run and opens its inputs.
    ///
    /// # Errors
    /// Fails on every error that can be known before the first job.
    pub fn new(config: &Config) -> Result<(RunPlan, JobStream), CliError> {
        let (groups, names) = open(config)?;
        let grammar = grammar(config, names);
        let environment = environment::environment(&config.surroundings);
        let lookup = Lookup::new(environment::value(&environment, "PATH"));
        let workdir = config
            .surroundings
            .workdir
            .as_ref()
            .map(|dir| TextTemplate::new(dir.as_bytes(), &grammar))
            .transpose()?;
        check_workdir(workdir.as_ref())?;
        let compiler = Compiler { config, grammar: &grammar, lookup: &lookup, workdir: workdir.as_ref() };
        let compiled = if config.command.shell.is_some() {
            compiler.script(environment::dash_keeps(&environment))?
        } else {
            compiler.words()?
        };
        let tag = match &config.output.tag {
            None => None,
            Some(Tag::Inputs) => Some(Prefix::Inputs),
            Some(Tag::Text(text)) => Some(Prefix::Text(TextTemplate::new(text.as_bytes(), &grammar)?)),
        };
        let results = match &config.records.results {
            Some(ResultsPlace::Files(path)) => Some(TextTemplate::new(path.as_bytes(), &grammar)?),
            _ => None,
        };
        let texts = [workdir.as_ref(), results.as_ref(), tag.as_ref().and_then(Prefix::text)];
        let wants_total = compiled.needs_total || texts.into_iter().flatten().any(TextTemplate::needs_total);
        if config.tty && std::fs::File::open("/dev/tty").is_err() {
            return Err(CliError::new("--tty: there is no terminal here")
                .hint("leave out --tty, or run psmith from a terminal"));
        }

        let command =
            Arc::new(CompiledCommand { form: compiled.form, lookup, limits: ArgLimits::new(&environment) });
        let slots = config.pace.slots.resolve(cpus(), cpus())?;
        let jobs_over = |groups| {
            let rows = InputRows::new(groups);
            let mut jobs = JobStream::new(
                rows,
                config.batch,
                config.input.skip_empty,
                config.input.shuffle,
                Arc::clone(&command),
            );
            jobs.set_slots(slots);
            jobs
        };
        let read_failure = ReadFailure::default();
        let blocks = open_blocks(config, slots, wants_total, &read_failure)?;
        let total = if blocks.is_some() {
            None
        } else if wants_total {
            Some(count(config, &command, jobs_over)?)
        } else {
            cheap_total(config, &command)
        };
        let reads_terminal = config.input.reads_stdin() && rustix::termios::isatty(rustix::stdio::stdin());
        let plan = RunPlan {
            command: Arc::clone(&command),
            template: config.command.words.clone(),
            workdir,
            tag,
            results,
            total,
            start: compiled.start,
            names_slot: compiled.names_slot,
            waits_for_terminal: reads_terminal,
            holds_blocks: config.pipe.as_ref().is_some_and(|pipe| !pipe.round_robin),
            read_failure,
        };
        let mut jobs = jobs_over(groups);
        jobs.set_blocks(blocks);
        Ok((plan, jobs))
    }

    /// Returns whether the command of a job depends on the slot that it is given (`{%}`).
    #[must_use]
    pub fn names_slot(&self) -> bool {
        self.names_slot
    }

    /// Returns whether jobs hold blocks of the input, so that few of them may wait for their start.
    pub(crate) fn holds_blocks(&self) -> bool {
        self.holds_blocks
    }

    /// Returns what could not be read of a file after a job had been started on it.
    pub(crate) fn read_failure(&self) -> Option<CliError> {
        self.read_failure.get().map(|message| CliError::new(message.clone()))
    }

    /// Returns the number of jobs, if it is known before the input has been read.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Returns the words of the command, as typed.
    #[must_use]
    pub fn template(&self) -> &[OsString] {
        &self.template
    }

    /// Returns whether inputs are typed on the terminal, so that [`WAITING`] is shown if none comes.
    #[must_use]
    pub fn waits_for_terminal(&self) -> bool {
        self.waits_for_terminal
    }

    /// Returns the command of one job.
    ///
    /// # Errors
    /// Fails if it cannot be started: a NUL byte, a word too long, no such program.
    pub fn render(&self, job: &JobArgs, place: JobNumbers) -> Result<Rendered, SpawnFailure> {
        let place = self.place(place);
        let dir =
            self.workdir.as_ref().map(|text| PathBuf::from(OsString::from_vec(text.render(job, place))));
        let words = self.command.render(job, place, dir.as_deref())?;
        let mut text = String::new();
        push_command_text(&words.argv, words.script.as_deref(), self.command.shell(), &mut text);
        Ok(Rendered {
            program: words.program,
            argv: words.argv,
            dir,
            text,
            shell: words.script.is_some() && !words.shell_skipped,
            script: words.script,
        })
    }

    /// Returns the command of one job as `--dry-run` and the joblog show it, also if it cannot be started.
    #[must_use]
    pub fn text(&self, job: &JobArgs, place: JobNumbers) -> String {
        let mut text = String::new();
        self.push_text(job, place, &mut text);
        text
    }

    /// Appends the text of [`RunPlan::text`].
    pub fn push_text(&self, job: &JobArgs, place: JobNumbers, out: &mut String) {
        let (argv, script) = self.command.words(job, self.place(place));
        push_command_text(&argv, script.as_deref(), self.command.shell(), out);
    }

    /// Returns the beginning of each line of the job's output, the TAB included; `None` without `--tag`.
    #[must_use]
    pub fn tag(&self, job: &JobArgs, place: JobNumbers) -> Option<Vec<u8>> {
        let mut tag = match self.tag.as_ref()? {
            Prefix::Inputs => job.inputs().join(&b' '),
            Prefix::Text(text) => text.render(job, self.place(place)),
        };
        tag.push(b'\t');
        Some(tag)
    }

    /// Returns the file of the job's stdout, for `--results` with a replacement string.
    #[must_use]
    pub fn results_path(&self, job: &JobArgs, place: JobNumbers) -> Option<PathBuf> {
        let path = self.results.as_ref()?.render(job, self.place(place));
        Some(PathBuf::from(OsString::from_vec(path)))
    }

    /// Returns the beginning of every command of this run in the form of the joblog: `--resume` compares rows with it.
    #[must_use]
    pub fn command_start(&self) -> Vec<u8> {
        self.start.clone()
    }

    fn place(&self, place: JobNumbers) -> JobNumbers {
        JobNumbers { total: self.total.or(place.total), ..place }
    }
}

impl Prefix {
    fn text(&self) -> Option<&TextTemplate> {
        match self {
            Prefix::Inputs => None,
            Prefix::Text(text) => Some(text),
        }
    }
}

/// Returns the jobs' environment in the kernel's form: `K=V` and NUL, back to back.
#[must_use]
pub fn environment_block(surroundings: &crate::config::SurroundingsSpec) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in environment::environment(surroundings) {
        block.extend_from_slice(&name);
        block.push(b'=');
        block.extend_from_slice(&value);
        block.push(0);
    }
    block
}

/// Returns the number of CPUs that psmith may use.
#[must_use]
pub fn cpus() -> u32 {
    u32::try_from(psmith_sys::cgroup::cpus()).unwrap_or(u32::MAX)
}

/// Names of columns.
type Names = Vec<Vec<u8>>;

/// Opens the sources; with `--header` the first record of each is read and names the columns.
fn open(config: &Config) -> Result<(Vec<Group>, Option<Names>), CliError> {
    let mut groups: Vec<Group> = Vec::new();
    if config.pipe.is_some() {
        return Ok((groups, None));
    }
    let mut names = config.input.header.then(Vec::new);
    for source in &config.input.sources {
        let mut reader = InputReader::open(&source.from, &config.input).map_err(unreadable)?;
        if let Some(names) = &mut names {
            let mut header = JobArgs::default();
            reader.next_into(&mut header).map_err(unreadable)?;
            reader.columns_min = header.len();
            names.extend(header.iter().map(<[u8]>::to_vec));
        }
        match groups.last_mut() {
            Some(group) if source.linked => group.readers.push(reader),
            _ => groups.push(Group { readers: vec![reader], given: config.input.wrap.then(Vec::new) }),
        }
    }
    Ok((groups, names))
}

/// Opens the source of `--pipe`.
fn open_blocks(
    config: &Config,
    slots: u32,
    wants_total: bool,
    failure: &ReadFailure,
) -> Result<Option<BlockJobs>, CliError> {
    let Some(pipe) = &config.pipe else { return Ok(None) };
    if wants_total {
        return Err(CliError::new("{##} and {0#} need the number of jobs, which --pipe does not know")
            .hint("{#} is the job's number"));
    }
    BlockJobs::open(pipe, &config.input, slots, Arc::clone(failure)).map(Some).map_err(unreadable)
}

fn unreadable(error: InputError) -> CliError {
    CliError::new(error.message)
}

fn grammar(config: &Config, names: Option<Names>) -> Grammar {
    let sources = match &names {
        Some(names) => Some(names.len() as u64),
        None => config.input.columns_known(),
    };
    // A header may be shorter than its rows: the number of columns is then no bound.
    let bounded = config.input.columns_known().is_some();
    Grammar {
        replace: config.command.replace.clone(),
        names,
        inputs_max: sources
            .filter(|_| bounded)
            .zip(config.batch.inputs_max())
            .map(|(sources, inputs)| sources.saturating_mul(inputs)),
        sources: config.input.sources.len() as u64,
        blocks: config.pipe.as_ref().is_some_and(|pipe| !pipe.cat),
        language: Language::Word,
        plus: config.command.plus,
    }
}

fn check_workdir(workdir: Option<&TextTemplate>) -> Result<(), CliError> {
    let Some(fixed) = workdir.and_then(TextTemplate::fixed) else { return Ok(()) };
    let path = Path::new(std::ffi::OsStr::from_bytes(fixed));
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(CliError::new(format!("--workdir: {} is not a directory", shown(fixed)))),
        Err(error) => Err(CliError::new(format!(
            "--workdir: {}: {}",
            shown(fixed),
            crate::report::display::os_text(&error)
        ))
        .hint(format!("mkdir -p {}", quote::word(fixed)))),
    }
}

/// Returns the total, if a multiplication gives it.
fn cheap_total(config: &Config, command: &CompiledCommand) -> Option<u64> {
    let fits = matches!(config.batch, BatchSize::Fit { .. });
    if config.input.skip_empty || fits {
        return None;
    }
    let mut groups: Vec<u64> = Vec::new();
    for source in &config.input.sources {
        let From::Words(words) = &source.from else { return None };
        let count = (words.len() as u64).saturating_sub(u64::from(config.input.header));
        match groups.last_mut() {
            Some(group) if source.linked && config.input.wrap => *group = count.max(*group),
            Some(group) if source.linked => *group = count.min(*group),
            _ => groups.push(count),
        }
    }
    let rows = groups.into_iter().try_fold(1u64, u64::checked_mul)?;
    let batch = config.batch.inputs_max()?.max(1);
    let whole = batch == 1 || longest_batch_fits(config, command, batch.min(rows));
    whole.then(|| rows.div_ceil(batch))
}

/// Returns whether the kernel takes as many rows of words as a batch may have, if all were the longest.
fn longest_batch_fits(config: &Config, command: &CompiledCommand, rows: u64) -> bool {
    let row: Vec<&[u8]> = (config.input.sources.iter())
        .filter_map(|source| match &source.from {
            From::Words(words) => words.iter().map(|word| word.as_bytes()).max_by_key(|word| word.len()),
            From::Stdin | From::File(_) => None,
        })
        .collect();
    let mut meter = command.meter();
    (0..rows).all(|_| meter.add(&row))
}

/// Returns the total for `{##}`: the input is read a first time.
fn count(
    config: &Config,
    command: &CompiledCommand,
    jobs_over: impl Fn(Vec<Group>) -> JobStream,
) -> Result<u64, CliError> {
    if let Some(total) = cheap_total(config, command) {
        return Ok(total);
    }
    for source in &config.input.sources {
        let countable = match &source.from {
            From::Words(_) => true,
            From::Stdin => false,
            From::File(path) => std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()),
        };
        if !countable {
            return Err(
                CliError::new("{##} and {0#} need inputs that can be read twice").hint("::: A.., or -a FILE")
            );
        }
    }
    let (groups, _) = open(config)?;
    let mut total = 0;
    for job in jobs_over(groups) {
        job.map_err(unreadable)?;
        total += 1;
    }
    Ok(total)
}

/// Returns whether bash has exported a function of this name.
fn is_bash_function(name: &[u8]) -> bool {
    let variable = [b"BASH_FUNC_", name, b"%%"].concat();
    std::env::var_os(OsString::from_vec(variable)).is_some()
}

struct Compiler<'a> {
    config: &'a Config,
    grammar: &'a Grammar,
    lookup: &'a Lookup,
    workdir: Option<&'a TextTemplate>,
}

struct Compiled {
    form: CommandForm,
    needs_total: bool,
    names_slot: bool,
    start: Vec<u8>,
}

impl Compiler<'_> {
    /// Returns whether no input becomes an argument unless a replacement string says so.
    fn count_only(&self) -> bool {
        self.config.batch == BatchSize::CountOnly
            || self.config.stdin == StdinMode::Item
            || self.grammar.blocks
    }

    fn words(&self) -> Result<Compiled, CliError> {
        let typed = &self.config.command.words;
        if !self.config.command.literal {
            word_rules::check(typed, self.lookup)?;
        }
        let scanned = typed.iter().enumerate().map(|(index, word)| {
            if word_rules::is_program_text(typed, index) {
                return scan(word.as_bytes(), &self.grammar.in_language(Language::Program));
            }
            scan(word.as_bytes(), self.grammar)
        });
        let scanned: Vec<Scanned> = scanned.collect::<Result<_, _>>()?;
        let mentions = scanned.iter().any(|word| word.mentions);
        let needs_total = scanned.iter().any(|word| needs_total(&word.pieces));
        let names_slot = scanned.iter().any(|word| names_slot(&word.pieces));
        let fill = self.config.batch.fill();
        let mut words: Vec<Word> = scanned.into_iter().map(|word| Word::new(word.pieces, fill)).collect();
        if !mentions && !self.count_only() {
            let what = ValueKind::Inputs(crate::template::whole());
            words.push(Word::new(vec![Piece::Placeholder(crate::template::appended(what))], fill));
        }
        let fixed: Vec<Vec<u8>> = words.iter().map_while(Word::fixed).collect();
        let program = match fixed.first() {
            Some(name) => self.program(name)?,
            None => None,
        };
        let start = quote::command_line(fixed.iter().map(|word| &word[..])).into_bytes();
        Ok(Compiled { form: CommandForm::Words { words, program }, needs_total, names_slot, start })
    }

    /// Returns the program, found before the first job.
    fn program(&self, name: &[u8]) -> Result<Option<PathBuf>, CliError> {
        let directory = match self.workdir.map(TextTemplate::fixed) {
            None => None,
            Some(Some(fixed)) => Some(PathBuf::from(OsString::from_vec(fixed.to_vec()))),
            // Each job has a directory of its own, and perhaps a program of its own in it.
            Some(None) if name.contains(&b'/') && !name.starts_with(b"/") => return Ok(None),
            Some(None) => None,
        };
        let missing = match self.lookup.find(name, directory.as_deref()) {
            Ok(path) => return Ok(Some(path)),
            Err(missing) => missing,
        };
        let typed: Vec<&[u8]> = self.config.command.words.iter().map(|word| word.as_bytes()).collect();
        let error = CliError::new(missing_text(name, missing));
        Err(match missing {
            Missing::NotExecutable if name.contains(&b'/') => {
                error.hint(format!("chmod +x {}", quote::word(name))).code(CliError::NOT_EXECUTABLE)
            }
            Missing::NotExecutable => error.code(CliError::NOT_EXECUTABLE),
            Missing::NotFound if is_shell_word(name) => {
                let script = self.script_of(&typed);
                error
                    .hint(format!("it is a shell word: psmith -s {}", quote::word(script.as_bytes())))
                    .code(CliError::NOT_FOUND)
            }
            Missing::NotFound if is_bash_function(name) => {
                let script = self.script_of(&typed);
                error
                    .hint(format!(
                        "it is a function of bash: psmith -s --shell bash {}",
                        quote::word(script.as_bytes())
                    ))
                    .code(CliError::NOT_FOUND)
            }
            Missing::NotFound => error.code(CliError::NOT_FOUND),
        })
    }

    /// Returns the words as a script that means the same, each quoted as it needs.
    fn script_of(&self, typed: &[&[u8]]) -> String {
        let mut script = quote::command_line(typed.iter().copied());
        if !self.count_only() && !typed.iter().any(|word| crate::template::mentions_replacement(word)) {
            script.push_str(" {}");
        }
        script
    }

    fn script(&self, environment_kept: bool) -> Result<Compiled, CliError> {
        let typed = self.config.command.shell.as_deref().unwrap_or(Path::new(DEFAULT_SHELL));
        let path = self.lookup.find(typed.as_os_str().as_bytes(), None).map_err(|missing| {
            CliError::new(format!("--shell: {}", missing_text(typed.as_os_str().as_bytes(), missing))).code(
                if missing == Missing::NotFound { CliError::NOT_FOUND } else { CliError::NOT_EXECUTABLE },
            )
        })?;
        let skippable = path == Path::new(DEFAULT_SHELL)
            && self.workdir.is_none()
            && environment_kept
            && std::fs::canonicalize(&path)
                .is_ok_and(|real| real.file_name().is_some_and(|name| name == "dash"));
        let shell = Shell { path, skippable };
        let Some(text) = self.config.command.words.first() else {
            let (needs_total, names_slot, start) = (false, false, Vec::new());
            return Ok(Compiled { form: CommandForm::Scripts { shell }, needs_total, names_slot, start });
        };
        let scanned = scan(text.as_bytes(), &self.grammar.in_language(Language::Script))?;
        let needs_total = needs_total(&scanned.pieces);
        let names_slot = names_slot(&scanned.pieces);
        let fill = self.config.batch.fill();
        let script = Script::new(scanned, fill, self.count_only())?;
        let start = if quote::is_one_line(text.as_bytes()) { script.start() } else { b"sh -c ".to_vec() };
        let plain = if shell.skippable { PlainScript::new(&script, self.lookup, fill) } else { None };
        if plain.is_none() {
            // Values are literals: what they are makes no difference to the parser, but their number does.
            let count = self.config.input.columns_known().unwrap_or(1);
            let sample = JobArgs::from_values((0..count).map(|_| &b"x"[..]));
            let place = JobNumbers { job: 1, slot: 1, total: Some(1) };
            shell_check::check(&shell.path, text.as_bytes(), &script.render(&sample, place), self.lookup)?;
        }
        Ok(Compiled { form: CommandForm::Script { shell, script, plain }, needs_total, names_slot, start })
    }
}
