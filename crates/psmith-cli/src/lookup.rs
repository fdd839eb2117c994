//! Search for programs, as a shell does it: by name in PATH, or at a path. Never executes one.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

/// The directories that are searched when PATH is not set.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The directories to search.
#[derive(Clone, Debug)]
pub struct Lookup {
    directories: Vec<PathBuf>,
}

/// The reason why there is no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No file of that name.
    NotFound,
    /// A file that cannot be executed.
    NotExecutable,
}

impl Lookup {
    /// Makes a lookup in these directories, separated by colons; an empty one is the present directory.
    #[must_use]
    pub fn new(path: Option<&OsStr>) -> Lookup {
        let path = path.map_or_else(|| OsString::from(DEFAULT_PATH), OsStr::to_os_string);
        let present = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let directories = std::env::split_paths(&path).map(|directory| present.join(directory)).collect();
        Lookup { directories }
    }

    /// Returns the path of the program called `name`. A name with a slash is a path already, from `directory` if that
    /// is given.
    ///
    /// # Errors
    /// Fails if there is no file that can be executed.
    pub fn find(&self, name: &[u8], directory: Option<&Path>) -> Result<PathBuf, Missing> {
        if name.is_empty() || name.contains(&0) {
            return Err(Missing::NotFound);
        }
        let name = Path::new(OsStr::from_bytes(name));
        if name.as_os_str().as_bytes().contains(&b'/') {
            let seen_from_here =
                directory.map_or_else(|| name.to_path_buf(), |directory| directory.join(name));
            return check(&seen_from_here).map(|()| name.to_path_buf());
        }
        let mut missing = Missing::NotFound;
        for place in &self.directories {
            let candidate = place.join(name);
            match check(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(Missing::NotExecutable) if candidate.is_file() => missing = Missing::NotExecutable,
                Err(_) => {}
            }
        }
        Err(missing)
    }
}

fn check(path: &Path) -> Result<(), Missing> {
    let Ok(metadata) = std::fs::metadata(path) else { return Err(Missing::NotFound) };
    // The effective user counts, as it does for the kernel.
    let executable = rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok();
    if metadata.is_file() && executable { Ok(()) } else { Err(Missing::NotExecutable) }
}

/// Returns whether the kernel itself executes this file (a binary, or `#!`), so that no shell must be tried.
pub(crate) fn is_image(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0u8; 4];
    let Ok(mut file) = std::fs::File::open(path) else { return false };
    matches!(file.read(&mut magic), Ok(4)) && (magic == *b"\x7fELF" || magic.starts_with(b"#!"))
}

/// Returns whether a shell of the sh family interprets this word itself: a keyword or a builtin.
#[must_use]
pub fn is_shell_word(word: &[u8]) -> bool {
    std::str::from_utf8(word).is_ok_and(|word| SHELL_WORDS.binary_search(&word).is_ok())
}

/// Keywords and builtins of dash, bash, ksh, mksh, zsh and yash, without those that only replace a program.
const SHELL_WORDS: &[&str] = &[
    "!",
    ".",
    ":",
    "[",
    "[[",
    "]]",
    "alarm",
    "alias",
    "alloc",
    "autoload",
    "bg",
    "bind",
    "bindkey",
    "break",
    "builtin",
    "bye",
    "caller",
    "case",
    "cd",
    "chdir",
    "command",
    "compadd",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disable",
    "disown",
    "do",
    "done",
    "echo",
    "echotc",
    "elif",
    "else",
    "emulate",
    "enable",
    "end",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "fi",
    "float",
    "for",
    "foreach",
    "function",
    "functions",
    "getln",
    "getopts",
    "global",
    "hash",
    "help",
    "hist",
    "history",
    "if",
    "in",
    "integer",
    "jobs",
    "kill",
    "let",
    "limit",
    "local",
    "login",
    "logout",
    "mapfile",
    "namespace",
    "newgrp",
    "noglob",
    "popd",
    "print",
    "printf",
    "pushd",
    "pwd",
    "r",
    "read",
    "readarray",
    "readonly",
    "rehash",
    "repeat",
    "return",
    "sched",
    "select",
    "set",
    "setopt",
    "shift",
    "shopt",
    "source",
    "stop",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unfunction",
    "unhash",
    "unlimit",
    "unset",
    "unsetopt",
    "until",
    "vared",
    "wait",
    "whence",
    "where",
    "while",
    "zcompile",
    "zmodload",
    "{",
    "}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words_are_sorted_for_the_search() {
        assert!(SHELL_WORDS.is_sorted());
        assert!(is_shell_word(b"cd") && is_shell_word(b"{") && !is_shell_word(b"gzip"));
    }

    #[test]
    fn programs_are_found_by_name_and_by_path() {
        let lookup = Lookup::new(Some(OsStr::new("/nonexistent:/usr/bin:/bin")));
        assert!(lookup.find(b"env", None).is_ok_and(|path| path.is_absolute()));
        assert_eq!(lookup.find(b"/bin/sh", None), Ok(PathBuf::from("/bin/sh")));
        assert_eq!(lookup.find(b"no-such-program-here", None), Err(Missing::NotFound));
        assert_eq!(lookup.find(b"/etc/passwd", None), Err(Missing::NotExecutable));
        assert_eq!(lookup.find(b"./sh", Some(Path::new("/bin"))), Ok(PathBuf::from("./sh")));
        assert_eq!(lookup.find(b"", None), Err(Missing::NotFound));
    }
}
