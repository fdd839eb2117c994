//! Check of a script by its own shell, before the first job: what it cannot parse, and what only bash knows. The script
//! is never run for it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::error::CliError;
use crate::lookup::Lookup;
use crate::quote::{self, shown};

/// Words of bash at the beginning of a command that other shells may not know.
const OF_BASH: [&[u8]; 12] = [
    b"[[",
    b"declare",
    b"function",
    b"let",
    b"mapfile",
    b"popd",
    b"pushd",
    b"readarray",
    b"select",
    b"shopt",
    b"source",
    b"typeset",
];

/// Checks a script: `typed` as the user wrote it, `sample` as a job might get it.
pub(super) fn check(shell: &Path, typed: &[u8], sample: &[u8], lookup: &Lookup) -> Result<(), CliError> {
    let bash = lookup.find(b"bash", None).ok();
    let in_bash = || format!("psmith -s --shell bash {}", quote::word(typed));
    if let Some(complaint) = syntax_error(shell, sample) {
        let error = CliError::new(format!("{} cannot parse the script: {complaint}", shown(name(shell))));
        let bash_can = bash.as_ref().is_some_and(|bash| syntax_error(bash, sample).is_none());
        return Err(if bash_can { error.hint(in_bash()) } else { error });
    }
    let is_bash = name(shell).ends_with(b"bash");
    let Some(word) = (!is_bash && bash.is_some()).then(|| unknown_word(shell, typed)).flatten() else {
        return Ok(());
    };
    Err(CliError::new(format!("'{}' is bash's, and {} does not know it", shown(&word), shown(name(shell))))
        .hint(in_bash()))
}

/// Returns the first word that only bash knows: of those that are its own, and the functions that it has exported.
fn unknown_word(shell: &Path, script: &[u8]) -> Option<Vec<u8>> {
    let is_function =
        |word: &[u8]| std::env::var_os(OsStr::from_bytes(&[b"BASH_FUNC_", word, b"%%"].concat())).is_some();
    let words = Words::of(script);
    if words.all.contains(&b"pipefail"[..]) && !runs(shell, "set -o pipefail", None) {
        return Some(b"pipefail".to_vec());
    }
    let mut suspects = words.first.iter().filter(|word| OF_BASH.contains(word) || is_function(word));
    suspects.find(|word| !runs(shell, "command -v \"$1\"", Some(word))).map(|word| word.to_vec())
}

/// Returns the shell's complaint about a script, if it has one.
fn syntax_error(shell: &Path, script: &[u8]) -> Option<String> {
    let ended =
        quiet(shell).arg("-n").arg("-c").arg(OsStr::from_bytes(script)).stderr(Stdio::piped()).output();
    // A shell that cannot be started says so itself, by the first job; one that was killed has said nothing.
    let complains =
        |ended: &Output| ended.status.code().is_some_and(|code| code != 0) && !ended.stderr.is_empty();
    let ended = ended.ok().filter(complains)?;
    let line = ended.stderr.split(|b| *b == b'\n').next().unwrap_or_default();
    // `sh: 1: Syntax error: ..`, `bash: -c: line 1: ..`
    let text = shown(line);
    Some(
        text.rsplit_once("error: ")
            .or_else(|| text.split_once(": "))
            .map_or(text.clone(), |(_, said)| said.to_owned()),
    )
}

fn runs(shell: &Path, script: &str, argument: Option<&[u8]>) -> bool {
    let mut command = quiet(shell);
    command.arg("-c").arg(script).arg("sh").args(argument.map(OsStr::from_bytes)).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn quiet(shell: &Path) -> Command {
    let mut command = Command::new(shell);
    command.env_remove("ENV").env_remove("BASH_ENV").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn name(shell: &Path) -> &[u8] {
    shell.file_name().unwrap_or_default().as_bytes()
}

/// The words of a script outside of quotes and comments.
#[derive(Default)]
struct Words<'s> {
    /// Those at the beginning of a command.
    first: BTreeSet<&'s [u8]>,
    all: BTreeSet<&'s [u8]>,
}

impl<'s> Words<'s> {
    fn of(script: &'s [u8]) -> Words<'s> {
        let mut words = Words::default();
        let (mut at, mut begins) = (0, true);
        while at < script.len() {
            match script[at] {
                b' ' | b'\t' => at += 1,
                b'\n' | b';' | b'&' | b'|' | b'(' | b'{' | b'}' | b')' | b'!' => {
                    (at, begins) = (at + 1, true);
                }
                b'#' => at += script[at..].iter().take_while(|b| **b != b'\n').count(),
                _ => {
                    let length = word_length(&script[at..]);
                    let word = &script[at..at + length];
                    words.all.insert(word);
                    if begins {
                        words.first.insert(word);
                    }
                    begins =
                        matches!(word, b"then" | b"do" | b"else" | b"elif" | b"if" | b"while" | b"until");
                    at += length;
                }
            }
        }
        words
    }
}

/// Returns the length of a word, with what is quoted in it.
fn word_length(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() && !b" \t\n;&|()".contains(&text[at]) {
        at += match text[at] {
            b'\\' => 2,
            quote @ (b'\'' | b'"') => {
                let mut end = at + 1;
                while end < text.len() && text[end] != quote {
                    end += 1 + usize::from(quote == b'"' && text[end] == b'\\');
                }
                end + 1 - at
            }
            _ => 1,
        };
    }
    at.clamp(1, text.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_commands_outside_of_quotes() {
        let words = Words::of(b"set -o pipefail; if [[ a ]]; then source x; fi # let it\necho 'let x; let y' \"a; select\" source");
        for word in [&b"set"[..], b"[[", b"source", b"echo"] {
            assert!(words.first.contains(word), "{}", shown(word));
        }
        for word in [&b"let"[..], b"select", b"x", b"pipefail"] {
            assert!(!words.first.contains(word), "{}", shown(word));
        }
        assert!(words.all.contains(&b"pipefail"[..]));
    }
}
