//! Foreign bytes made fit to be shown: on one line, no wider than asked, and without power over a terminal.
//!
//! For display only. What jobs write to stdout and stderr, and what records hold, stays as it is.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What stands where a text was cut.
const CUT: &str = "...";

/// The text with everything visible that is no plain character: control bytes (C0, DEL, C1), bytes that are not
/// UTF-8, and characters that change the direction of writing. Cut at `columns`, told by `...`.
#[must_use]
pub fn visible(bytes: &[u8], columns: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    // Where the text has to end if it turns out to be too long.
    let mut room_for_cut = 0;
    for chunk in bytes.utf8_chunks() {
        let characters = chunk.valid().chars().map(Piece::Character);
        for piece in characters.chain(chunk.invalid().iter().copied().map(Piece::Byte)) {
            let start = text.len();
            used += piece.show(&mut text);
            if used > columns {
                text.truncate(room_for_cut.min(start));
                text.push_str(&CUT[..CUT.len().min(columns)]);
                return text;
            }
            if used + CUT.len() <= columns {
                room_for_cut = text.len();
            }
        }
    }
    text
}

/// A path, whole, and made visible.
#[must_use]
pub fn visible_path(path: &Path) -> String {
    visible(path.as_os_str().as_bytes(), usize::MAX - CUT.len())
}

/// The last lines of what a job wrote that are not blank, oldest first, made visible. Of a line that was
/// written over (progress bars return the carriage) the last writing is shown.
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

/// How many columns of a terminal this text takes.
#[must_use]
pub fn columns_of(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// What the operating system says of an error, in lower case and without its number.
#[must_use]
pub fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// What the operating system says of an error number.
#[must_use]
pub fn errno_text(errno: i32) -> String {
    os_text(&io::Error::from_raw_os_error(errno))
}

enum Piece {
    Character(char),
    Byte(u8),
}

impl Piece {
    /// Appends what is shown and gives its columns.
    fn show(&self, text: &mut String) -> usize {
        let start = text.len();
        match *self {
            Piece::Character('\t') => text.push(' '),
            Piece::Character('\r') => text.push_str("\\r"),
            Piece::Character('\n') => text.push_str("\\n"),
            Piece::Character(character @ '\u{80}'..='\u{9f}') => {
                text.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            Piece::Character(character) if character.is_control() => {
                text.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            Piece::Character(character) if is_invisible(character) => {
                text.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            Piece::Character(character) => text.push(character),
            Piece::Byte(byte) => text.push_str(&format!("\\x{byte:02x}")),
        }
        columns_of(&text[start..])
    }
}

/// Marks that reorder or hide text: with them a line can read as another one.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Two columns for the scripts that terminals draw wide; one for everything else, combining marks too (so a
/// line may be cut early, never late).
fn width_of(character: char) -> usize {
    let wide = matches!(character,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}');
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_of_a_terminal_is_made_visible() {
        let shown = |bytes: &[u8]| visible(bytes, 200);
        assert_eq!(shown(b"\x1b]0;title\x07"), "\\x1b]0;title\\x07");
        assert_eq!(shown(b"\x1b]52;c;Zm9v\x1b\\"), "\\x1b]52;c;Zm9v\\x1b\\");
        assert_eq!(shown("\u{9b}31mred".as_bytes()), "\\u{9b}31mred");
        assert_eq!(shown(b"a\x9bb\xff\x7f\x00"), "a\\x9bb\\xff\\x7f\\x00");
        assert_eq!(shown("a\u{202e}b\u{200b}".as_bytes()), "a\\u{202e}b\\u{200b}");
        assert_eq!(shown("a\tb é 日本".as_bytes()), "a b é 日本");
    }

    #[test]
    fn text_is_cut_at_the_width() {
        assert_eq!(visible(b"0123456789", 10), "0123456789");
        assert_eq!(visible(b"0123456789a", 10), "0123456...");
        assert_eq!(visible("日本語日本".as_bytes(), 9), "日本語...");
        assert_eq!(visible("日本語日本".as_bytes(), 8), "日本...");
        assert_eq!(visible(b"abcdef", 2), "..");
        assert_eq!(visible(b"abcdef", 0), "");
        assert_eq!(visible(b"ab\x1b\x1b", 8), "ab\\x1b...".replace("\\x1b...", "..."));
    }

    #[test]
    fn last_lines_are_those_that_say_something() {
        assert_eq!(last_lines(b"one\ntwo\n\nthree\n \n", 2, 80), ["two", "three"]);
        assert_eq!(last_lines(b"10%\r50%\r100%\r\n", 1, 80), ["100%"]);
        assert_eq!(last_lines(b"", 3, 80), Vec::<String>::new());
        assert_eq!(last_lines(b"no newline", 1, 80), ["no newline"]);
    }

    #[test]
    fn errors_are_told_in_lower_case_without_numbers() {
        assert_eq!(errno_text(28), "no space left on device");
        assert_eq!(os_text(&io::Error::other("Odd")), "odd");
    }

    proptest! {
        #[test]
        fn nothing_shown_is_wider_than_asked_or_a_control(bytes: Vec<u8>, columns in 0usize..40) {
            let text = visible(&bytes, columns);
            prop_assert!(columns_of(&text) <= columns, "{text:?}");
            prop_assert!(!text.chars().any(|c| c.is_control() || is_invisible(c)), "{text:?}");
        }
    }
}
