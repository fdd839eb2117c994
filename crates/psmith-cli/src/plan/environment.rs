//! The jobs' environment, as far as it decides which program is found and whether a shell would change it. Never
//! changes psmith's own.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;

use crate::config::SurroundingsSpec;

/// Returns names and values, without those that each job is given (`PSMITH_JOB` and the like).
pub(crate) fn environment(surroundings: &SurroundingsSpec) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut variables: Vec<(Vec<u8>, Vec<u8>)> = if surroundings.env_clear {
        Vec::new()
    } else {
        std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect()
    };
    for (name, value) in &surroundings.env {
        let (name, value) = (name.as_bytes(), value.as_bytes().to_vec());
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => variables.push((name.to_vec(), value)),
        }
    }
    variables
}

/// Returns the value of a variable.
pub(crate) fn value<'a>(environment: &'a [(Vec<u8>, Vec<u8>)], name: &str) -> Option<&'a OsStr> {
    environment.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| OsStr::from_bytes(value))
}

/// Returns whether dash passes this environment on as it is.
pub(crate) fn dash_keeps(environment: &[(Vec<u8>, Vec<u8>)]) -> bool {
    const OWN: [&str; 12] =
        ["IFS", "OPTIND", "OPTARG", "PPID", "LINENO", "PS1", "PS2", "PS4", "ENV", "MAIL", "MAILPATH", "ATTY"];
    let is_name = |name: &[u8]| {
        name.first().is_some_and(|b| !b.is_ascii_digit())
            && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
    };
    let kept =
        environment.iter().all(|(name, _)| is_name(name) && !OWN.iter().any(|own| own.as_bytes() == name));
    kept && is_present_directory(value(environment, "PWD"))
}

fn is_present_directory(pwd: Option<&OsStr>) -> bool {
    let Some(pwd) = pwd.filter(|pwd| pwd.as_bytes().starts_with(b"/")) else { return false };
    match (std::fs::metadata(OsString::from(pwd)), std::fs::metadata(".")) {
        (Ok(named), Ok(present)) => (named.dev(), named.ino()) == (present.dev(), present.ino()),
        _ => false,
    }
}
