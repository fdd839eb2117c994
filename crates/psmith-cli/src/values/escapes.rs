//! Backslash escapes of `-d` and of a literal separator.

use crate::error::CliError;
use crate::quote::shown;

/// Replaces `\n \t \r \0 \\ \xHH` by the bytes they name.
///
/// # Errors
/// Fails if a backslash is followed by anything else.
pub fn unescape(flag: &str, value: &[u8]) -> Result<Vec<u8>, CliError> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let escaped = match rest.next() {
            Some(b'n') => Some(b'\n'),
            Some(b't') => Some(b'\t'),
            Some(b'r') => Some(b'\r'),
            Some(b'0') => Some(0),
            Some(b'\\') => Some(b'\\'),
            Some(b'x') => match (rest.next().and_then(hex), rest.next().and_then(hex)) {
                (Some(high), Some(low)) => Some(high << 4 | low),
                _ => None,
            },
            _ => None,
        };
        let Some(escaped) = escaped else {
            return Err(CliError::new(format!("{flag}: '{}' has an escape that is not known", shown(value)))
                .hint(r"\n, \t, \r, \0, \\, \xHH"));
        };
        out.push(escaped);
    }
    Ok(out)
}

fn hex(digit: &u8) -> Option<u8> {
    char::from(*digit).to_digit(16).map(|value| value as u8)
}
