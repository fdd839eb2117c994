//! A Rust file as two views, line by line: its code without comments and texts, and its comments without code.
//!
//! It is a scanner, not a parser: enough to distinguish a word of code from the same word in a comment, a string or a
//! character. It never judges the source.

/// A file, cut into lines that keep their numbers and columns in both views.
pub(crate) struct Source {
    /// Code with comments and the insides of string and character literals turned into blanks.
    pub(crate) code: Vec<String>,
    /// Comments with everything else turned into blanks.
    pub(crate) comments: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Code,
    LineComment,
    /// A block comment; the number of `/*` that are open: they nest.
    BlockComment(usize),
    Text,
    /// A raw text; the number of `#` that close it.
    RawText(usize),
}

/// A step over the characters of a file.
struct Step {
    /// The state after it.
    inside: Inside,
    /// The number of characters that it takes.
    width: usize,
    keep_code: bool,
    keep_comment: bool,
}

impl Inside {
    /// Returns the step from the first of these characters, which `before` precede.
    fn step(self, before: &[char], from: &[char]) -> Step {
        let (here, next) = (from[0], from.get(1).copied());
        let mut step = Step { inside: self, width: 1, keep_code: false, keep_comment: false };
        match self {
            Inside::Code => return Self::step_in_code(before, from),
            Inside::LineComment => {
                step.keep_comment = true;
                if here == '\n' {
                    step.inside = Inside::Code;
                }
            }
            Inside::BlockComment(depth) => {
                step.keep_comment = true;
                if here == '*' && next == Some('/') {
                    step.width = 2;
                    step.inside = if depth == 1 { Inside::Code } else { Inside::BlockComment(depth - 1) };
                } else if here == '/' && next == Some('*') {
                    step.width = 2;
                    step.inside = Inside::BlockComment(depth + 1);
                }
            }
            Inside::Text => match here {
                '\\' => step.width = 2,
                '"' => {
                    step.inside = Inside::Code;
                    step.keep_code = true;
                }
                _ => {}
            },
            Inside::RawText(hashes) => {
                let closing = from[1..].iter().take(hashes).filter(|&&c| c == '#').count();
                if here == '"' && closing == hashes {
                    step = Step {
                        inside: Inside::Code,
                        width: hashes + 1,
                        keep_code: true,
                        keep_comment: false,
                    };
                }
            }
        }
        step
    }

    fn step_in_code(before: &[char], from: &[char]) -> Step {
        let mut step = Step { inside: Inside::Code, width: 1, keep_code: true, keep_comment: false };
        match from {
            ['/', '/', ..] => {
                step = Step { inside: Inside::LineComment, keep_code: false, keep_comment: true, ..step };
            }
            ['/', '*', ..] => {
                step =
                    Step { inside: Inside::BlockComment(1), width: 2, keep_code: false, keep_comment: true };
            }
            ['"', ..] => step.inside = Inside::Text,
            ['r', after @ ..] if !is_word_end(before) => {
                if let Some(hashes) = raw_text_opens(after) {
                    step.inside = Inside::RawText(hashes);
                    step.width = hashes + 2;
                }
            }
            ['\'', ..] => step.width = character_width(from),
            _ => {}
        }
        step
    }
}

impl Source {
    /// Scans a whole file.
    pub(crate) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let (mut code, mut comments) = (String::new(), String::new());
        let mut inside = Inside::Code;
        let mut at = 0;
        while at < chars.len() {
            let here = chars[at];
            let Step { inside: next, width, keep_code, keep_comment } =
                inside.step(&chars[..at], &chars[at..]);
            inside = next;
            for &c in chars[at..].iter().take(width) {
                let blank = |kept: bool| if kept || c == '\n' { c } else { ' ' };
                // Of a character literal only the ticks are kept.
                let inside_ticks = here == '\'' && width > 1 && c != '\'';
                code.push(blank(keep_code && !inside_ticks));
                comments.push(blank(keep_comment));
            }
            at += width;
        }
        let lines = |text: String| text.lines().map(str::to_owned).collect();
        Self { code: lines(code), comments: lines(comments) }
    }

    /// Returns the comment that belongs to a line: on it, or on the lines of comments and attributes right above it.
    pub(crate) fn comment_at(&self, line: usize) -> String {
        let mut parts = vec![self.comment(line)];
        let mut above = line;
        while above > 0 {
            above -= 1;
            let code = self.code[above].trim();
            let comment = self.comment(above);
            let attribute = code.starts_with("#[") || code.starts_with("#!");
            if (code.is_empty() && !comment.trim().is_empty()) || attribute {
                parts.push(comment);
            } else {
                break;
            }
        }
        parts.reverse();
        parts.join("\n")
    }

    /// Returns the first line of the statement that a line belongs to: a line that does not end one continues on the
    /// next.
    pub(crate) fn statement_start(&self, line: usize) -> usize {
        let mut start = line;
        while start > 0 {
            let above = self.code[start - 1].trim_end();
            let ends =
                above.trim().is_empty() || above.ends_with([';', '{', '}', ',']) || above.ends_with("=>");
            if ends {
                break;
            }
            start -= 1;
        }
        start
    }

    /// Returns line numbers, from 0, and columns of a word in the code.
    pub(crate) fn words<'s>(&'s self, word: &'s str) -> impl Iterator<Item = (usize, usize)> + 's {
        self.code.iter().enumerate().flat_map(move |(number, line)| {
            line.match_indices(word)
                .filter(move |(column, _)| {
                    let before = line[..*column].chars().next_back();
                    let after = line[*column + word.len()..].chars().next();
                    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                    let ends_open = !word.ends_with(|c: char| c.is_alphanumeric() || c == '_');
                    !part(before) && (ends_open || !part(after))
                })
                .map(move |(column, _)| (number, column))
        })
    }

    /// Returns the lines of each function that has `#[test]`: name, first and last line of its body, from 0.
    pub(crate) fn tests(&self) -> Vec<TestFunction> {
        let mut found = Vec::new();
        for (number, line) in self.code.iter().enumerate() {
            if line.trim() != "#[test]" {
                continue;
            }
            let Some((at, name)) = self
                .code
                .iter()
                .enumerate()
                .skip(number)
                .take(12)
                .find_map(|(at, l)| Some((at, function_name(l)?)))
            else {
                continue;
            };
            found.push(TestFunction { name, attribute: number, first: at, last: self.body_end(at) });
        }
        found
    }

    /// Returns the line with the brace that closes the first one opened at or after a line.
    pub(crate) fn body_end(&self, from: usize) -> usize {
        let mut depth = 0usize;
        for (number, line) in self.code.iter().enumerate().skip(from) {
            for c in line.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => {
                        depth = depth.saturating_sub(1);
                        if depth == 0 {
                            return number;
                        }
                    }
                    _ => {}
                }
            }
        }
        self.code.len().saturating_sub(1)
    }

    /// Returns the line from which a file is test code: its first `#[cfg(test)]` on a module with a body, or its end.
    pub(crate) fn test_module_start(&self) -> usize {
        (0..self.code.len())
            .find(|&line| {
                self.code[line].trim() == "#[cfg(test)]"
                    && self.code[line + 1..]
                        .iter()
                        .take(4)
                        .any(|l| l.contains("mod ") && l.trim_end().ends_with('{'))
            })
            .unwrap_or(self.code.len())
    }

    fn comment(&self, line: usize) -> String {
        self.comments.get(line).cloned().unwrap_or_default()
    }
}

/// A function with `#[test]`; lines count from 0.
pub(crate) struct TestFunction {
    pub(crate) name: String,
    pub(crate) attribute: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

fn function_name(line: &str) -> Option<String> {
    let rest = line.trim_start();
    let rest = rest.strip_prefix("fn ").or_else(|| rest.split_once(" fn ").map(|(_, rest)| rest))?;
    Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

fn is_word_end(before: &[char]) -> bool {
    // `br"` and `cr"` open raw texts too: a prefix letter that itself begins a word does not count.
    match before {
        [.., prior, 'b' | 'c'] => prior.is_alphanumeric() || *prior == '_',
        ['b' | 'c'] => false,
        [.., prior] => prior.is_alphanumeric() || *prior == '_',
        [] => false,
    }
}

fn raw_text_opens(after: &[char]) -> Option<usize> {
    let hashes = after.iter().take_while(|&&c| c == '#').count();
    (after.get(hashes) == Some(&'"')).then_some(hashes)
}

/// Returns the number of characters of a character literal, or 1 for the tick of a lifetime.
fn character_width(from: &[char]) -> usize {
    match from {
        ['\'', '\\', rest @ ..] => {
            rest.iter().skip(1).position(|&c| c == '\'').map_or(1, |closing| closing + 4)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_no_code() {
        let source = Source::new(
            "let a = \"unsafe\"; // unsafe\n/* unsafe /* deep */ unsafe */ let b = 'u';\nunsafe {}\n",
        );
        assert_eq!(source.words("unsafe").collect::<Vec<_>>(), [(2, 0)]);
        assert!(source.comments[0].contains("// unsafe"));
        assert!(source.code[1].contains("let b"));
    }

    #[test]
    fn raw_texts_and_escapes_end_where_rust_ends_them() {
        let source = Source::new(
            r####"let a = r#"unsafe " x"#; let b = "\"unsafe"; let c = br"unsafe\"; let d = 1;"####,
        );
        assert_eq!(source.words("unsafe").count(), 0, "{:?}", source.code);
        assert!(source.code[0].contains("let d = 1;"));
    }

    #[test]
    fn characters_and_lifetimes_are_distinguished() {
        let source = Source::new("fn f<'a>(x: &'a str) { g('\"'); h('\\''); i('\\u{41}'); dbg!(x) }");
        assert_eq!(source.words("dbg!(").count(), 1, "{:?}", source.code);
        assert!(source.code[0].contains("&'a str"));
    }

    #[test]
    fn words_are_whole() {
        let source = Source::new("fn eprintln_all() { println!(\"\"); my_println!(\"\"); unsafety() }");
        assert_eq!(source.words("println!(").count(), 1);
        assert_eq!(source.words("unsafe").count(), 0);
    }

    #[test]
    fn tests_are_found_with_their_bodies_and_comments() {
        let source = Source::new(
            "// proves: F-1\n#[test]\n#[cfg(unix)]\nfn a_promise() {\n    if x {\n    }\n}\nfn other() {}\n",
        );
        let tests = source.tests();
        assert_eq!(tests.len(), 1);
        assert_eq!((tests[0].name.as_str(), tests[0].first, tests[0].last), ("a_promise", 3, 6));
        assert!(source.comment_at(tests[0].attribute).contains("proves: F-1"));
    }
}
