//! Foreign bytes made safe to show: on one line, no wider than asked, and unable to control a terminal.
//!
//! For display only. Never applied to what jobs write to stdout and stderr, nor to records.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub use psmith_board::{columns_of, visible};

/// Returns a path, whole, and made visible.
#[must_use]
pub fn visible_path(path: &Path) -> String {
    visible(path.as_os_str().as_bytes(), usize::MAX / 2)
}

/// Returns the last lines of a job's output that are not blank, oldest first, made visible. Of a line that was
/// overwritten (progress bars use the carriage return) the last text is shown.
#[must_use]
pub fn last_lines(tail: &[u8], lines_max: usize, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = tail
        .rsplit(|&byte| byte == b'\n')
        .filter_map(|line| line.rsplit(|&byte| byte == b'\r').find(|part| !part.trim_ascii().is_empty()))
        .take(lines_max)
        .map(|line| visible(line.trim_ascii_end(), columns))
        .collect();
    lines.reverse();
    lines
}

pub use psmith_sys::c_strings::os_text;

/// Returns the operating system's text for an error number.
#[must_use]
pub fn errno_text(errno: i32) -> String {
    os_text(&io::Error::from_raw_os_error(errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn last_lines_are_those_that_say_something() {
        assert_eq!(last_lines(b"one\ntwo\n\nthree\n \n", 2, 80), ["two", "three"]);
        assert_eq!(last_lines(b"10%\r50%\r100%\r\n", 1, 80), ["100%"]);
        assert_eq!(last_lines(b"", 3, 80), Vec::<String>::new());
        assert_eq!(last_lines(b"no newline", 1, 80), ["no newline"]);
    }

    #[test]
    fn errors_are_shown_in_lower_case_without_numbers() {
        assert_eq!(errno_text(28), "no space left on device");
        assert_eq!(os_text(&io::Error::other("Odd")), "odd");
    }

    proptest! {
        #[test]
        fn nothing_shown_is_wider_than_asked_or_a_control(bytes: Vec<u8>, columns in 0usize..40) {
            let text = visible(&bytes, columns);
            prop_assert!(columns_of(&text) <= columns, "{text:?}");
            prop_assert!(!text.chars().any(|c| c.is_control()), "{text:?}");
        }
    }
}
