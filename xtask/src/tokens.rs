//! Tokens of a Rust file's code: words and signs, each with its line. It knows no grammar: their meaning is for its
//! users.

use crate::source::Source;

/// A word, a number, `::`, or a single sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'s> {
    pub(crate) text: &'s str,
    /// The line, counted from 0.
    pub(crate) line: usize,
}

impl Token<'_> {
    /// Returns whether it is a name or a keyword.
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Cuts the code of a file, before the module of its tests, into tokens.
pub(crate) fn before_tests(source: &Source) -> Vec<Token<'_>> {
    tokens(&source.code[..source.test_module_start()])
}

/// Cuts lines of code into tokens.
pub(crate) fn tokens(lines: &[String]) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (line, code) in lines.iter().enumerate() {
        let mut rest = code.as_str();
        loop {
            rest = rest.trim_start();
            let Some(first) = rest.chars().next() else { break };
            let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = if part_of_word(first) {
                rest.find(|c| !part_of_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Token { text: &rest[..length], line });
            rest = &rest[length..];
        }
    }
    found
}

/// Returns the index after the sign that closes the one at `open`: `{`, `(` or `[`.
pub(crate) fn after_closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_cut_into_words_and_signs() {
        let source = Source::new("use crate::a_1; // b\nfn f(x: &'a str) {}\n");
        let texts: Vec<&str> = tokens(&source.code).iter().map(|token| token.text).collect();
        let words =
            ["use", "crate", "::", "a_1", ";", "fn", "f", "(", "x", ":", "&", "'", "a", "str", ")", "{", "}"];
        assert_eq!(texts, words);
        assert_eq!(tokens(&source.code)[5].line, 1);
    }

    #[test]
    fn a_bracket_ends_where_it_is_closed() {
        let source = Source::new("{ a(b[1]) { } } c");
        let tokens = tokens(&source.code);
        assert_eq!(tokens[after_closing(&tokens, 0)].text, "c");
    }
}
