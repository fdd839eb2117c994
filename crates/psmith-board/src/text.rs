//! Foreign text made safe to show: it cannot control a terminal, and is no wider than asked.
//!
//! For display only: never applied to what is stored.

use unicode_width::UnicodeWidthChar as _;

/// The mark at the place where a text was cut.
const CUT: &str = "...";

/// The greatest number of zero-width characters on one column; with more, some terminals draw the line wrong.
const MARKS_MAX: usize = 8;

/// Returns the text with everything made visible that is no plain character: control bytes (C0, DEL, C1), bytes that
/// are not UTF-8, and characters that change the direction of writing. Cut at `columns`, marked by `...`. Tabs become
/// blanks.
///
/// ```
/// assert_eq!(psmith_board::visible(b"\x1b]0;title\x07", 80), "\\x1b]0;title\\x07");
/// assert_eq!(psmith_board::visible(b"0123456789", 6), "012...");
/// ```
#[must_use]
pub fn visible(bytes: &[u8], columns: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    let mut marks = 0;
    // The position where the text has to end if it turns out to be too long.
    let mut room_for_cut = 0;
    for chunk in bytes.utf8_chunks() {
        let characters = chunk.valid().chars().map(TextPiece::Character);
        for piece in characters.chain(chunk.invalid().iter().copied().map(TextPiece::Byte)) {
            let start = text.len();
            let width = piece.show(&mut text);
            marks = if width == 0 { marks + 1 } else { 0 };
            if marks > MARKS_MAX {
                text.truncate(start);
            }
            used += width;
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

/// Makes a line as it stays on a screen: made visible, and of any width.
pub(crate) fn shown_line(line: &str) -> String {
    visible(line.strip_suffix('\r').unwrap_or(line).as_bytes(), usize::MAX - CUT.len())
}

/// Returns the number of terminal columns that this text takes.
///
/// ```
/// use psmith_board::columns_of;
/// assert_eq!((columns_of("abc"), columns_of("日本")), (3, 4));
/// ```
#[must_use]
pub fn columns_of(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

enum TextPiece {
    Character(char),
    Byte(u8),
}

impl TextPiece {
    /// Appends the visible form and returns its columns.
    fn show(&self, text: &mut String) -> usize {
        let start = text.len();
        match *self {
            TextPiece::Character('\t') => text.push(' '),
            TextPiece::Character('\r') => text.push_str("\\r"),
            TextPiece::Character('\n') => text.push_str("\\n"),
            TextPiece::Character(character @ '\u{80}'..='\u{9f}') => {
                text.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            TextPiece::Character(character) if character.is_control() => {
                text.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            TextPiece::Character(character) if is_invisible(character) => {
                text.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            TextPiece::Character(character) => text.push(character),
            TextPiece::Byte(byte) => text.push_str(&format!("\\x{byte:02x}")),
        }
        columns_of(&text[start..])
    }
}

/// Returns whether the character reorders or hides text: with such marks a line can read as another one.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn width_of(character: char) -> usize {
    character.width().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: SEC-web-output
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
        assert_eq!(visible(b"ab\x1b\x1b", 8), "ab...");
    }

    #[test]
    fn marks_take_no_column_and_do_not_pile_up() {
        let decomposed = "e\u{301}".repeat(5);
        assert_eq!(visible(decomposed.as_bytes(), 5), decomposed);
        assert_eq!(columns_of(&decomposed), 5);
        let piled = format!("e{}", "\u{301}".repeat(1000));
        assert_eq!(visible(piled.as_bytes(), 5).chars().count(), 1 + MARKS_MAX);
    }

    #[test]
    fn nothing_shown_is_wider_than_asked_or_a_control() {
        let samples: [&[u8]; 5] =
            [b"\x1b[31m\xff\xfe", "日本\u{202e}é\u{301}\t".as_bytes(), b"", b"\r\n\r\n", &[0x9b; 9]];
        for sample in samples {
            for columns in 0..40 {
                let text = visible(sample, columns);
                assert!(columns_of(&text) <= columns, "{text:?}");
                assert!(!text.chars().any(|c| c.is_control() || is_invisible(c)), "{text:?}");
            }
        }
    }
}
