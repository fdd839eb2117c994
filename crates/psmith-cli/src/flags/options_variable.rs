//! The variable `PSMITH_OPTS`: options that stand before those of the command line. Never looks at the environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::error::CliError;

/// The variable's name.
pub const OPTIONS_VARIABLE: &str = "PSMITH_OPTS";

/// Cuts the variable into words, as a shell does with quotes and backslashes.
pub(crate) fn words(text: &OsStr) -> Result<Vec<OsString>, CliError> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.as_bytes().iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (byte, Some(open)) if byte == open => quote = None,
            (b'\\', None | Some(b'"')) => word.get_or_insert_default().extend(bytes.next()),
            (byte, None) if byte.is_ascii_whitespace() => words.extend(word.take().map(OsString::from_vec)),
            (byte, _) => word.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return Err(CliError::new(format!("{OPTIONS_VARIABLE}: a quote is not closed"))
            .hint("--no-opts leaves it out"));
    }
    words.extend(word.map(OsString::from_vec));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_a_shell_cuts_them() {
        let cut = |text: &str| words(OsStr::new(text));
        assert_eq!(
            cut(" -j4  --tagstring 'a b' \"c'\\\"d\"e f\\ g '' ").unwrap(),
            ["-j4", "--tagstring", "a b", "c'\"de", "f g", ""]
        );
        assert_eq!(cut("").unwrap(), Vec::<OsString>::new());
        assert!(cut("--tagstring 'a").is_err());
    }
}
