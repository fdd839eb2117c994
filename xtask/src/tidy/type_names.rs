//! Names of types, each for one type: a reader who finds `State` in a signature should not have to find out which of
//! eighteen it is. A name that several crates have with good reason, such as `Error`, has a line with it in the
//! budgets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Finding;
use super::budget::Budget;
use crate::source::Source;
use crate::tokens::{self, Token};

const KINDS: [&str; 5] = ["struct", "enum", "union", "trait", "type"];

/// The places of each name of a type that is visible outside of its own module.
#[derive(Default)]
pub(super) struct TypeNames(BTreeMap<String, Vec<(PathBuf, usize)>>);

impl TypeNames {
    /// Adds the types of a file.
    pub(super) fn add(&mut self, file: &Path, source: &Source) {
        for name in visible(&tokens::before_tests(source)) {
            self.0.entry(name.text.to_owned()).or_default().push((file.to_owned(), name.line));
        }
    }

    /// Checks the names of all files.
    pub(super) fn check(&self, budget: &mut Budget) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, places) in self.0.iter().filter(|(_, places)| places.len() > 1) {
            let reported = places.iter().map(|(file, line)| {
                let count = places.len();
                Finding::at(
                    file,
                    *line,
                    format!("{count} types are called `{name}`: say in the name what this one is"),
                )
            });
            findings.extend(budget.spend("type", name, places.len(), reported.collect()));
        }
        findings
    }

    /// Returns the number of names, and of those that are used for more than one type.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.0.len(), self.0.values().filter(|places| places.len() > 1).count())
    }
}

/// Returns the names behind `pub struct`, `pub(crate) enum` and so on.
fn visible<'s>(tokens: &[Token<'s>]) -> Vec<Token<'s>> {
    let mut found = Vec::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.text == "pub") {
        let mut next = at + 1;
        if tokens.get(next).is_some_and(|token| token.text == "(") {
            next = tokens::after_closing(tokens, next);
        }
        if tokens.get(next).is_some_and(|token| token.text == "unsafe") {
            next += 1;
        }
        if let [kind, name, ..] = &tokens[next.min(tokens.len())..]
            && KINDS.contains(&kind.text)
            && name.is_word()
        {
            found.push(*name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_see_is_counted() {
        let source = Source::new(
            "pub struct A;\npub(crate) enum B {}\npub(super) unsafe trait C {}\nstruct D;\npub fn e() {}\n\
             impl X for A { type Y = B; }\npub type F = u8;\n#[cfg(test)]\nmod tests {\n    pub struct G;\n}\n",
        );
        let names: Vec<&str> =
            visible(&tokens::before_tests(&source)).iter().map(|token| token.text).collect();
        assert_eq!(names, ["A", "B", "C", "F"]);
    }
}
