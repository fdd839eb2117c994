//! Words that a shell would not leave as they are. No shell reads the words of a command, so they are refused, with the
//! form that has one: a line that works elsewhere must never run as something else here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::error::CliError;
use crate::lookup::{Lookup, Missing};
use crate::quote::{self, shown};

/// Bytes of scripts: a program's name with one of these is more likely a script.
const SHELL_BYTES: &[u8] = b" \t\n|&;<>()$`\\\"'*?[]#~";

/// Programs that take the text of a program as a word, behind an option such as `-c` or `-e`; without a version.
const INTERPRETERS: [&[u8]; 24] = [
    b"ash", b"bash", b"bun", b"busybox", b"dash", b"deno", b"fish", b"julia", b"ksh", b"lua", b"mksh",
    b"node", b"nodejs", b"perl", b"php", b"pwsh", b"pypy", b"python", b"raku", b"Rscript", b"ruby", b"sh",
    b"tclsh", b"yash",
];

/// Refuses words that read like a script, which is not run as words, nor guessed to be one.
pub(super) fn check(words: &[OsString], lookup: &Lookup) -> Result<(), CliError> {
    let Some(program) = words.first().map(|word| word.as_bytes()) else { return Ok(()) };
    if program.iter().any(|b| SHELL_BYTES.contains(b)) && lookup.find(program, None) == Err(Missing::NotFound)
    {
        let what =
            format!("'{}' is one word with shell characters, and no such program exists", shown(program));
        return Err(CliError::new(what).hint(script_of(words)));
    }
    let Some(word) = words.iter().map(|word| word.as_bytes()).find(|word| is_for_shell(word)) else {
        return match words.windows(2).find(|pair| opens_perl(pair[0].as_bytes())) {
            Some(_) => Err(CliError::new("{= perl =} is left out of psmith")
                .hint("filter the input: sed .. | psmith ..")
                .hint("-- before the command passes the words on as they are")),
            None => Ok(()),
        };
    };
    let why = if is_process_substitution(word) { " --shell bash" } else { "" };
    Err(CliError::new(format!("'{}' is for a shell, and none reads these words", shown(word)))
        .hint(script_of(words).replacen("-s", &format!("-s{why}"), 1))
        .hint("-- before the command passes the word on as it is"))
}

/// Returns the words as one script, as a shell would be given them.
fn script_of(words: &[OsString]) -> String {
    let joined = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&b' ');
    format!("psmith -s {}", quote::word(&joined))
}

/// Returns whether a word is, begins as or ends in an operator of a shell, is one of its expansions, or is quoted for it.
fn is_for_shell(word: &[u8]) -> bool {
    let blank = word.iter().any(u8::is_ascii_whitespace);
    match word {
        b"|" | b"||" | b"|&" | b"&" | b"&&" | b";" | b";;" => true,
        [quote @ (b'"' | b'\''), inner @ .., last] => quote == last && !inner.contains(quote),
        [b'<' | b'>', b'(', ..] | [b'$', b'(', ..] | [b'`', .., b'`'] => true,
        // With a blank it is text for a program, such as a statement of SQL or a quoted line of mail.
        _ if blank => false,
        [.., b';'] => true,
        [b'$', name @ ..] => {
            name.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
                && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        }
        _ => redirects(word),
    }
}

/// Returns whether a word is a redirection, with or without its file. What ends in `>` as well is markup.
fn redirects(word: &[u8]) -> bool {
    let digits = word.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = &word[digits..];
    match rest.strip_prefix(b"&").filter(|_| digits == 0).unwrap_or(rest) {
        [b'>', ..] => true,
        [b'<', middle @ .., last] => *last != b'>' || middle.is_empty(),
        [b'<'] => true,
        _ => false,
    }
}

fn is_process_substitution(word: &[u8]) -> bool {
    word.starts_with(b"<(") || word.starts_with(b">(")
}

/// Returns whether a word begins a replacement string of Perl, which ends in a later one.
fn opens_perl(word: &[u8]) -> bool {
    memchr::memmem::rfind(word, b"{=").is_some_and(|at| memchr::memmem::find(&word[at..], b"=}").is_none())
}

/// Returns whether the word at this position is the text of a program for an interpreter: `bash -c ..`, `perl -ne ..`.
pub(super) fn is_program_text(words: &[OsString], index: usize) -> bool {
    let Some(option) = index.checked_sub(1).map(|before| words[before].as_bytes()) else { return false };
    let takes_text = matches!(option, [b'-', letters @ .., b'c' | b'e' | b'E' | b'r'] if letters.iter().all(u8::is_ascii_alphabetic));
    takes_text
        && words[..index - 1].iter().any(|word| {
            let name = word.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or_default();
            let version = name.iter().rev().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
            INTERPRETERS.contains(&&name[..name.len() - version])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_a_shell_is_told_from_what_is_for_a_program() {
        for word in [
            "&&",
            "||",
            "|",
            "&",
            ";",
            ">",
            ">>",
            "<",
            "2>",
            "2>&1",
            "2>/dev/null",
            ">{.}",
            ">out",
            "&>log",
            "<{}",
            "<<<",
            "{};",
            "exit;",
            "$HOME",
            "$(date)",
            "`date`",
            "\"$x\"",
            "'a b'",
            "<(sort",
            ">&2",
        ] {
            assert!(is_for_shell(word.as_bytes()), "{word}");
        }
        for word in [
            "",
            "a&b",
            "http://x/?a=1&b={}",
            "select 1;",
            "<b>",
            "<title>x</title>",
            "->",
            "=>",
            "> quoted",
            "a|b",
            "$1",
            "$",
            "{print $1}",
            "s/;/,/",
            "don't",
            "\"",
            "\"a\" \"b\"",
            "*.txt",
            "+",
            "-",
            "(",
            "{}",
            "x > 1",
        ] {
            assert!(!is_for_shell(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn program_texts_are_known_by_option_and_interpreter() {
        let is = |line: &str, index| {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            is_program_text(&words, index)
        };
        assert!(is("bash -c x", 2) && is("/usr/bin/python3.12 -c x", 2) && is("env perl -lane x", 3));
        assert!(!is("gzip -dc x", 2) && !is("bash x", 1) && !is("bash -c x y", 3));
    }
}
