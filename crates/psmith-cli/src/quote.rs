//! Quoting of words so that they can be pasted into a shell, and never take more than one line.
//!
//! Used by `--dry-run`, the joblog, messages. Never used for the words that a job gets.

/// Appends `word` as one word for a Bourne shell: bare where that is safe, else in single quotes, and as
/// `$'..'` where it holds control characters or bytes that are not UTF-8.
pub fn push_word(out: &mut String, word: &[u8]) {
    let Ok(text) = std::str::from_utf8(word) else { return push_dollar(out, word) };
    if !text.is_empty() && text.bytes().all(is_plain) {
        out.push_str(text);
    } else if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        push_dollar(out, word);
    } else if !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || (c.is_ascii() && is_plain(c as u8)))
    {
        out.push_str(text);
    } else {
        out.push('\'');
        for (part, text) in text.split('\'').enumerate() {
            if part > 0 {
                out.push_str("'\\''");
            }
            out.push_str(text);
        }
        out.push('\'');
    }
}

/// Returns the words as one command line that can be pasted.
#[must_use]
pub fn command_line<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut line = String::new();
    push_command_line(&mut line, words);
    line
}

/// Appends the words as one command line that can be pasted.
pub fn push_command_line<'a>(line: &mut String, words: impl IntoIterator<Item = &'a [u8]>) {
    for (position, word) in words.into_iter().enumerate() {
        if position > 0 {
            line.push(' ');
        } else if word.contains(&b'=') || is_reserved(word) {
            // Bare, the first word would be read as an assignment or a keyword.
            line.push('\'');
            let before = line.len();
            push_word(line, word);
            if line.len() == before + word.len() {
                line.push('\'');
            } else {
                line.remove(before - 1);
            }
            continue;
        }
        push_word(line, word);
    }
}

/// Returns a word as it can be pasted.
#[must_use]
pub fn word(word: &[u8]) -> String {
    let mut out = String::new();
    push_word(&mut out, word);
    out
}

/// Returns a user's text for use inside a message: as it is, except for control characters and bytes that are not
/// UTF-8, which are escaped.
#[must_use]
pub fn shown(text: &[u8]) -> String {
    let mut out = String::new();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_invisible(c) {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Appends the literal in single quotes that a shell reads as exactly these bytes.
pub fn push_single(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'\'');
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\'', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"'\\''");
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'\'');
}

/// Returns the length of what [`push_single`] appends.
#[must_use]
pub fn single_len(value: &[u8]) -> usize {
    value.len() + 2 + 3 * memchr::memchr_iter(b'\'', value).count()
}

/// Returns whether a shell script can be shown as it is, on one line.
#[must_use]
pub fn is_one_line(script: &[u8]) -> bool {
    match std::str::from_utf8(script) {
        Ok(text) => {
            text.bytes().all(|b| (b' '..0x7f).contains(&b))
                || !text.chars().any(|c| c.is_control() || is_invisible(c))
        }
        Err(_) => false,
    }
}

fn push_dollar(out: &mut String, word: &[u8]) {
    out.push_str("$'");
    for chunk in word.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\\' => out.push_str("\\\\"),
                '\'' => out.push_str("\\'"),
                c if c.is_control() || is_invisible(c) => {
                    let mut utf8 = [0; 4];
                    for byte in c.encode_utf8(&mut utf8).bytes() {
                        push_octal(out, byte);
                    }
                }
                c => out.push(c),
            }
        }
        for &byte in chunk.invalid() {
            push_octal(out, byte);
        }
    }
    out.push('\'');
}

// Three octal digits end by themselves; `\x` would take a hexadecimal digit of the text that follows in some shells.
fn push_octal(out: &mut String, byte: u8) {
    out.push_str(&format!("\\{byte:03o}"));
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:,=@%+".contains(&byte)
}

/// Returns whether a character separates lines or paragraphs or turns the direction of text: with such characters a
/// line reads as another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn is_reserved(word: &[u8]) -> bool {
    const RESERVED: [&[u8]; 20] = [
        b"if",
        b"then",
        b"else",
        b"elif",
        b"fi",
        b"do",
        b"done",
        b"case",
        b"esac",
        b"while",
        b"until",
        b"for",
        b"in",
        b"function",
        b"select",
        b"time",
        b"coproc",
        b"repeat",
        b"foreach",
        b"end",
    ];
    RESERVED.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_quoted_only_where_they_must_be() {
        for (text, expected) in [
            ("a", "a"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$x", "'$x'"),
            ("a\nb", r"$'a\nb'"),
            ("\u{1b}[1m", r"$'\033[1m'"),
            ("größe.txt", "größe.txt"),
            ("a\u{202e}b", r"$'a\342\200\256b'"),
        ] {
            assert_eq!(word(text.as_bytes()), expected);
        }
        assert_eq!(word(b"\xff1"), r"$'\3771'");
        assert_eq!(command_line([&b"a=b"[..], b"a=b"]), "'a=b' a=b");
        assert_eq!(command_line([&b"a=b c"[..]]), "'a=b c'");
        assert_eq!(command_line([&b"if"[..], b"if"]), "'if' if");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_pasted_line_gives_the_words_back(words in prop::collection::vec(prop::collection::vec(1u8..=255, 0..12), 1..5)) {
            let line = command_line([&b"printf"[..], b"%s\\0"].into_iter().chain(words.iter().map(|word| &word[..])));
            prop_assert!(!line.contains(['\n', '\t']));
            let output = std::process::Command::new("bash").arg("-c").arg(&line).output().expect("bash is installed");
            let mut expected = Vec::new();
            for word in &words {
                expected.extend_from_slice(word);
                expected.push(0);
            }
            prop_assert_eq!(output.stdout, expected, "{}", line);
        }
    }
}
