//! The command, compiled: from a job's inputs to the words that are executed. Never executes them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use psmith_core::outcome::{SpawnFailure, SpawnStep};

use super::arg_limits::ArgLimits;
use crate::input::JobArgs;
use crate::lookup::{Lookup, Missing, is_image, is_shell_word};
use crate::quote::{self, shown};
use crate::template::{JobNumbers, Script, Word, is_never_special};

/// The command, compiled.
#[derive(Debug)]
pub(crate) struct CompiledCommand {
    pub(crate) form: CommandForm,
    pub(crate) lookup: Lookup,
    pub(crate) limits: ArgLimits,
}

/// The form of the command.
#[derive(Debug)]
pub(crate) enum CommandForm {
    /// Words, without a shell.
    Words {
        words: Vec<Word>,
        /// The program, if its name is the same for each job.
        program: Option<PathBuf>,
    },
    /// A script for a shell.
    Script { shell: Shell, script: Script, plain: Option<PlainScript> },
    /// A script in each input.
    Scripts { shell: Shell },
}

/// The shell of `-s`.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) path: PathBuf,
    /// True if it may be skipped when that makes no difference.
    pub(crate) skippable: bool,
}

/// A script that is so plain that its words can be executed without the shell.
///
/// The difference cannot be observed, because everything that a shell could add is ruled out:
/// - the text holds no byte that has a meaning to a shell, and inputs are literals anyway;
/// - the first word is a program in PATH and no keyword or builtin of any shell of the family, and the file is
///   one that the kernel executes itself (a shell would read others as a script);
/// - the shell is the default one and is dash, which executes the last command of `-c` in its own process, so
///   process id, signals and exit are the same, and which reads no start-up file;
/// - dash would pass the same environment on: PWD is set and right, every name is one that it keeps, and none
///   is a variable of its own. (The order of the environment may differ; it has no meaning.)
#[derive(Debug)]
pub(crate) struct PlainScript {
    words: Vec<Word>,
    program: PathBuf,
    /// True if some word would be split differently if there were several inputs.
    one_input_only: bool,
}

/// The words of one job, with the program found.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) program: PathBuf,
    pub(crate) argv: Vec<Vec<u8>>,
    /// The script, in shell mode.
    pub(crate) script: Option<Vec<u8>>,
    pub(crate) shell_skipped: bool,
}

impl PlainScript {
    pub(crate) fn new(
        script: &Script,
        lookup: &Lookup,
        fill: crate::batch_size::Fill,
    ) -> Option<PlainScript> {
        let pieces = script.plain_words()?;
        let words: Vec<Word> = pieces.into_iter().map(|pieces| Word::new(pieces, fill)).collect();
        let program = plain_program(&words.first()?.fixed()?, lookup)?;
        let one_input_only = words.iter().any(Word::joins_inputs);
        Some(PlainScript { words, program, one_input_only })
    }
}

/// Returns the program of a plain script, if its name is one that any shell would search for and execute.
fn plain_program(name: &[u8], lookup: &Lookup) -> Option<PathBuf> {
    if is_shell_word(name) || name.contains(&b'=') {
        return None;
    }
    lookup.find(name, None).ok().filter(|path| is_image(path))
}

impl CompiledCommand {
    /// Returns the words of one job; no program is searched for, nothing is checked.
    pub(crate) fn words(&self, args: &JobArgs, place: JobNumbers) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        match &self.form {
            CommandForm::Words { words, .. } => {
                let mut argv = Vec::with_capacity(words.len() + args.len());
                for word in words {
                    word.render(args, place, &mut argv);
                }
                (argv, None)
            }
            CommandForm::Script { script, .. } => (Vec::new(), Some(script.render(args, place))),
            CommandForm::Scripts { .. } => (Vec::new(), Some(join(args))),
        }
    }

    /// Returns the words of one job, ready to be executed.
    pub(crate) fn render(
        &self,
        args: &JobArgs,
        place: JobNumbers,
        directory: Option<&Path>,
    ) -> Result<Words, SpawnFailure> {
        let (argv, script) = self.words(args, place);
        let Some(script) = script else {
            psmith_engine::command::check_words(&argv)?;
            let program = match &self.form {
                CommandForm::Words { program: Some(program), .. } => program.clone(),
                _ => self.find(argv.first().map_or(b"", |word| &word[..]), directory)?,
            };
            return Ok(Words { program, argv, script: None, shell_skipped: false });
        };
        psmith_engine::command::check_words(std::slice::from_ref(&script))
            .map_err(|failure| script_failure(failure, &script))?;
        if let Some((program, argv)) = self.without_shell(args, place, &script) {
            return Ok(Words { program, argv, script: Some(script), shell_skipped: true });
        }
        let shell = self.shell();
        let argv = vec![shell.as_os_str().as_encoded_bytes().to_vec(), b"-c".to_vec(), script.clone()];
        Ok(Words { program: shell.to_path_buf(), argv, script: Some(script), shell_skipped: false })
    }

    /// Returns the shell of `-s`; `/bin/sh` if there is none.
    pub(crate) fn shell(&self) -> &Path {
        match &self.form {
            CommandForm::Script { shell, .. } | CommandForm::Scripts { shell } => &shell.path,
            CommandForm::Words { .. } => Path::new("/bin/sh"),
        }
    }

    fn without_shell(
        &self,
        args: &JobArgs,
        place: JobNumbers,
        script: &[u8],
    ) -> Option<(PathBuf, Vec<Vec<u8>>)> {
        match &self.form {
            CommandForm::Script { plain: Some(plain), .. } if args.len() <= 1 || !plain.one_input_only => {
                let mut argv = Vec::with_capacity(plain.words.len() + args.len());
                for word in &plain.words {
                    word.render(args, place, &mut argv);
                }
                Some((plain.program.clone(), argv))
            }
            CommandForm::Scripts { shell } if shell.skippable => {
                if !script.iter().all(|b| is_never_special(*b) || matches!(b, b' ' | b'\t')) {
                    return None;
                }
                let words = script.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
                let argv: Vec<Vec<u8>> = words.map(<[u8]>::to_vec).collect();
                // A path may be on a mount that does not answer: then the shell shall hang, not psmith.
                let name = argv.first().filter(|name| !name.contains(&b'/'))?;
                let program = plain_program(name, &self.lookup)?;
                Some((program, argv))
            }
            _ => None,
        }
    }

    fn find(&self, name: &[u8], directory: Option<&Path>) -> Result<PathBuf, SpawnFailure> {
        // The starting child opens a path: it may be on a mount that does not answer, and only that one start may hang
        // on it. An error of the file is reported as the start's failure.
        if name.contains(&b'/') {
            return Ok(PathBuf::from(OsStr::from_bytes(name)));
        }
        self.lookup.find(name, directory).map_err(|missing| SpawnFailure {
            step: SpawnStep::Lookup,
            errno: match missing {
                Missing::NotFound => rustix::io::Errno::NOENT.raw_os_error(),
                Missing::NotExecutable => rustix::io::Errno::ACCESS.raw_os_error(),
            },
            detail: missing_text(name, missing),
            permanent: false,
        })
    }

    /// Returns a meter for the inputs of one batch.
    pub(crate) fn meter(&self) -> Meter<'_> {
        let mut meter = Meter { command: self, index: 0, joined: Vec::new(), total: 0, longest: 0 };
        match &self.form {
            CommandForm::Words { words, .. } => {
                for word in words {
                    let base = word.measure_base();
                    meter.joined.push(base.unwrap_or(0));
                    meter.total += base.map_or(0, |length| length + WORD_COST);
                }
                let program = words.first().and_then(Word::fixed).map_or(0, |name| name.len());
                meter.total += program + super::arg_limits::PATH_COST;
            }
            CommandForm::Script { script, .. } => {
                meter.joined.push(script.measure_base());
                meter.total += script.measure_base() + SHELL_COST;
            }
            CommandForm::Scripts { .. } => {
                meter.joined.push(0);
                meter.total += SHELL_COST;
            }
        }
        meter
    }
}

/// The cost of a word beside its bytes: the NUL behind it and the pointer to it.
const WORD_COST: usize = 1 + size_of::<usize>();

/// The cost of `/bin/sh -c`, and of the NUL and pointer of the script.
const SHELL_COST: usize = 512;

/// A meter of a batch's cost.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    command: &'a CompiledCommand,
    index: usize,
    /// The length of each word that takes in all inputs.
    joined: Vec<usize>,
    total: usize,
    longest: usize,
}

impl Meter<'_> {
    /// Adds one more input; returns false if the kernel would refuse the batch with it.
    pub(crate) fn add(&mut self, values: &[&[u8]]) -> bool {
        for value in values {
            self.add_value(value);
            self.index += 1;
        }
        self.longest < self.command.limits.word_max && self.total <= self.command.limits.total_max
    }

    fn add_value(&mut self, value: &[u8]) {
        match &self.command.form {
            CommandForm::Words { words, .. } => {
                for (word, length) in words.iter().zip(&mut self.joined) {
                    let before = *length;
                    let (mut own_total, mut own_longest) = (0, 0);
                    word.measure(self.index, value, length, &mut |own: usize| {
                        own_total += own + WORD_COST;
                        own_longest = own_longest.max(own);
                    });
                    self.total += own_total + (*length - before);
                    self.longest = self.longest.max(*length).max(own_longest);
                }
            }
            CommandForm::Script { script, .. } => {
                let more = script.measure(self.index, value);
                self.joined[0] += more;
                self.total += more;
                self.longest = self.joined[0];
            }
            CommandForm::Scripts { .. } => {
                self.joined[0] += value.len() + 1;
                self.total += value.len() + 1;
                self.longest = self.joined[0];
            }
        }
    }
}

/// Joins several inputs to one script.
fn join(args: &JobArgs) -> Vec<u8> {
    let mut script = Vec::with_capacity(args.bytes_len() + args.len());
    for (position, input) in args.iter().enumerate() {
        if position > 0 {
            script.push(b' ');
        }
        script.extend_from_slice(input);
    }
    script
}

fn script_failure(mut failure: SpawnFailure, script: &[u8]) -> SpawnFailure {
    if script.len() >= psmith_engine::command::WORD_BYTES_MAX {
        failure.detail = failure.detail.replacen("argument 0", "the script", 1);
    }
    failure
}

/// Returns the message for a program that does not exist.
pub(crate) fn missing_text(name: &[u8], missing: Missing) -> String {
    let name = if name.is_empty() { "''".to_owned() } else { shown(name) };
    match missing {
        Missing::NotFound if name.contains('/') => format!("{name}: not found"),
        Missing::NotFound => format!("{name}: not found in PATH"),
        Missing::NotExecutable => format!("{name}: not executable"),
    }
}

/// Appends the command as `--dry-run` and the joblog show it.
pub(crate) fn push_command_text(argv: &[Vec<u8>], script: Option<&[u8]>, shell: &Path, out: &mut String) {
    match script {
        None => quote::push_command_line(out, argv.iter().map(|word| &word[..])),
        Some(script) if quote::is_one_line(script) => out.push_str(&String::from_utf8_lossy(script)),
        Some(script) => {
            if shell == Path::new(crate::config::DEFAULT_SHELL) {
                out.push_str("sh");
            } else {
                quote::push_word(out, shell.as_os_str().as_encoded_bytes());
            }
            out.push_str(" -c ");
            quote::push_word(out, script);
        }
    }
}
