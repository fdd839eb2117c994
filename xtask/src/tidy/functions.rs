//! The length of functions: from the line with its name to the brace that closes its body.

use std::path::{Path, PathBuf};

use super::Finding;
use super::budget::Budget;
use crate::source::Source;
use crate::tokens::{self, Token};

const LINES_MAX: usize = 80;

/// A function above the limit.
pub(super) struct Long {
    name: String,
    file: PathBuf,
    line: usize,
    lines: usize,
}

/// Returns the functions of a file that are too long.
pub(super) fn long(file: &Path, source: &Source) -> Vec<Long> {
    let tokens = tokens::tokens(&source.code);
    let lengths = lengths(&tokens);
    let long = lengths.into_iter().filter(|(.., lines)| *lines > LINES_MAX);
    long.map(|(name, line, lines)| Long { name: name.to_owned(), file: file.to_owned(), line, lines })
        .collect()
}

/// Returns name, line and length of each function that has a body.
fn lengths<'s>(tokens: &[Token<'s>]) -> Vec<(&'s str, usize, usize)> {
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        // `fn(` is a type.
        if pair[0].text != "fn" || !pair[1].is_word() {
            continue;
        }
        let Some(open) = body(tokens, at + 2) else { continue };
        let close = tokens::after_closing(tokens, open) - 1;
        found.push((pair[1].text, pair[0].line, tokens[close].line - pair[0].line + 1));
    }
    found
}

/// Returns the brace that opens the body, or none if a semicolon ends the declaration.
fn body(tokens: &[Token<'_>], mut at: usize) -> Option<usize> {
    loop {
        match tokens.get(at)?.text {
            "{" => return Some(at),
            ";" | "}" => return None,
            "(" | "[" => at = tokens::after_closing(tokens, at),
            _ => at += 1,
        }
    }
}

/// Checks the functions of all files.
pub(super) fn check(long: &[Long], budget: &mut Budget) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names: Vec<&str> = long.iter().map(|function| function.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of_name: Vec<&Long> = long.iter().filter(|function| function.name == name).collect();
        let longest = of_name.iter().map(|function| function.lines).max().unwrap_or(0);
        let reported = of_name.iter().map(|function| {
            let Long { name, file, line, lines } = function;
            let cure = "name its steps, a function each, or move what belongs to another owner there";
            Finding::at(file, *line, format!("`{name}` has {lines} lines, more than {LINES_MAX}: {cure}"))
        });
        findings.extend(budget.spend("function", name, longest, reported.collect()));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths_of(text: &str) -> Vec<(String, usize)> {
        let source = Source::new(text);
        let tokens = tokens::tokens(&source.code);
        lengths(&tokens).into_iter().map(|(name, _, lines)| (name.to_owned(), lines)).collect()
    }

    #[test]
    fn a_function_ends_with_its_body() {
        let text = "fn a(x: [u8; 2]) -> u8 {\n    if b {\n        \"}\"\n    }\n}\nfn c() {}\n";
        assert_eq!(lengths_of(text), [("a".to_owned(), 5), ("c".to_owned(), 1)]);
    }

    #[test]
    fn declarations_and_types_have_no_length() {
        assert_eq!(
            lengths_of("trait T { fn a(&self); }\ntype F = fn(u8) -> u8;\nstruct S { f: fn() }\n"),
            []
        );
    }
}
