//! Words that had a meaning of their own here and were replaced by the field's. Each is listed with its replacement.

use std::path::{Path, PathBuf};

use super::Finding;
use super::budget::Budget;
use crate::source::Source;

/// The texts in which a word is searched.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    /// Any text: as a part of a name or as a word, in small letters or large: `desk` is in `WarmDesk` and `own_desk`.
    Everywhere,
    /// Names in code only, in the same way: in a text it is plain English.
    Names,
    /// A whole name in code, in exactly these letters.
    Exactly,
}

use Scope::{Everywhere, Exactly, Names};

/// The word, the scope, and its replacement.
const WORDS: &[(&str, Scope, &str)] = &[
    ("Bell", Exactly, "notifier"),
    ("Counter", Exactly, "the state of what it counts: pool state"),
    ("Ear", Exactly, "event sink"),
    ("Holder", Exactly, "limits cache"),
    ("LONG", Exactly, "what it limits, as HANDBACK_AFTER"),
    ("Letter", Exactly, "message"),
    ("Letters", Exactly, "messages"),
    ("Looks", Exactly, "stack samples"),
    ("Mark", Exactly, "cursor"),
    ("News", Exactly, "event"),
    ("Own", Exactly, "overrides"),
    ("Pace", Exactly, "batch sizer"),
    ("Place", Exactly, "completion slot"),
    ("Post", Exactly, "mailbox"),
    ("QUIET", Exactly, "what it limits, as HANDBACK_AFTER"),
    ("Quiet", Exactly, "syscall threshold"),
    ("Sight", Exactly, "observer event"),
    ("Standing", Exactly, "pending reason"),
    ("Terms", Exactly, "recycle policy"),
    ("Told", Exactly, "an event named without an alias"),
    ("Wish", Exactly, "command, named without an alias"),
    ("betrayed", Everywhere, "protocol violation"),
    ("born", Names, "spawned"),
    ("buried", Everywhere, "reaped"),
    ("bury", Everywhere, "reap"),
    ("desk", Everywhere, "driver, writer, context or harness"),
    ("desks", Everywhere, "drivers, writers"),
    ("doomed", Everywhere, "terminating"),
    ("errand", Everywhere, "job request"),
    ("errands", Everywhere, "job requests"),
    ("hunger", Everywhere, "idleness"),
    ("hungry", Everywhere, "idle"),
    ("kin", Everywhere, "descendants"),
    ("looker", Everywhere, "requester"),
    ("lookers", Everywhere, "requesters"),
    ("max_frame", Exactly, "max_message_bytes"),
    ("newborn", Everywhere, "child, just spawned"),
    ("news", Names, "event"),
    ("onlooker", Everywhere, "observer"),
    ("onlookers", Everywhere, "observers"),
    ("parcel", Everywhere, "delivery"),
    ("parcels", Everywhere, "deliveries"),
    ("rites", Everywhere, "final cleanup"),
    ("rung", Everywhere, "step"),
    ("rungs", Everywhere, "steps"),
    ("shutdown_now", Exactly, "stop"),
    ("sight", Names, "observer event"),
    ("standstill", Everywhere, "suspension"),
    ("steer", Everywhere, "control"),
    ("stillborn", Everywhere, "failed start"),
    ("stopper", Names, "stop"),
    ("stray", Everywhere, "orphan"),
    ("strays", Everywhere, "orphans"),
    ("traces", Names, "leaked process state"),
    ("trial", Names, "probe"),
    ("would_have_led", Exactly, "request_drive"),
];

/// Files that are left out: this list, the allowances, and a file that is written from sources that are checked
/// themselves.
const LISTS: [&str; 3] = ["xtask/src/tidy/vocabulary.rs", super::budget::FILE, "docs/limits.md"];

/// Files that are read as they are, by the ends of their names.
const TEXTS: [&str; 9] = ["1", "c", "css", "html", "js", "md", "py", "toml", "txt"];

/// The places of old words.
#[derive(Default)]
pub(super) struct OldWords(Vec<Found>);

struct Found {
    /// The word, as an index of [`WORDS`].
    word: usize,
    file: PathBuf,
    line: usize,
}

impl OldWords {
    /// Adds the words of a file: code, comments and literal texts of a Rust file, all of any other text.
    pub(super) fn add(&mut self, file: &Path, text: &str, source: Option<&Source>) {
        let is_text = file.extension().is_some_and(|extension| TEXTS.iter().any(|text| extension == *text));
        if LISTS.iter().any(|list| file == Path::new(list)) || !(is_text || source.is_some()) {
            return;
        }
        let mut found = Vec::new();
        match source {
            Some(source) => {
                for (line, code) in source.code.iter().enumerate() {
                    found.extend(words_of(code, true).map(|word| (word, line)));
                }
                for (line, comment) in source.comments.iter().enumerate() {
                    found.extend(words_of(comment, false).map(|word| (word, line)));
                }
                for (line, text) in text.lines().enumerate() {
                    let literal = literals(text, &source.code[line], &source.comments[line]);
                    found.extend(words_of(&literal, false).map(|word| (word, line)));
                }
            }
            None => {
                for (line, text) in text.lines().enumerate() {
                    found.extend(words_of(text, false).map(|word| (word, line)));
                }
            }
        }
        self.0.extend(found.into_iter().map(|(word, line)| Found { word, file: file.to_owned(), line }));
    }

    /// Checks the words of all files.
    pub(super) fn check(&self, budget: &mut Budget) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, (word, _, instead)) in WORDS.iter().enumerate() {
            let found: Vec<&Found> = self.0.iter().filter(|found| found.word == number).collect();
            let told = found.iter().map(|found| {
                let Found { file, line, .. } = found;
                Finding::at(file, *line, format!("`{word}` is a word of our own: write {instead}"))
            });
            if !found.is_empty() {
                findings.extend(budget.spend("word", word, found.len(), told.collect()));
            }
        }
        findings
    }
}

/// Returns the insides of the literals of a line: all that is neither code nor comment.
fn literals(text: &str, code: &str, comments: &str) -> String {
    let seen = code.chars().zip(comments.chars());
    text.chars()
        .zip(seen)
        .map(|(c, (code, comment))| if code == ' ' && comment == ' ' { c } else { ' ' })
        .collect()
}

/// Returns the old words in a line, as indices of [`WORDS`].
fn words_of(line: &str, is_code: bool) -> impl Iterator<Item = usize> {
    let names = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|name| !name.is_empty());
    names.flat_map(move |name| {
        let parts = parts(name);
        WORDS.iter().enumerate().filter_map(move |(number, (word, scope, _))| {
            let is_here = match scope {
                Everywhere => parts.iter().any(|part| part == word),
                Names => is_code && parts.iter().any(|part| part == word),
                Exactly => is_code && name == *word,
            };
            is_here.then_some(number)
        })
    })
}

/// Splits a name: `WarmDesk`, `warm_desk` and `WARM_DESK` are `warm` and `desk`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for piece in name.split('_').filter(|piece| !piece.is_empty()) {
        let mut part = String::new();
        let mut after_small = false;
        for c in piece.chars() {
            if c.is_uppercase() && after_small {
                parts.push(std::mem::take(&mut part));
            }
            after_small = c.is_lowercase();
            part.extend(c.to_lowercase());
        }
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str, is_code: bool) -> Vec<&'static str> {
        words_of(line, is_code).map(|number| WORDS[number].0).collect()
    }

    #[test]
    fn names_are_known_by_their_parts() {
        assert_eq!(parts("WarmDesk"), ["warm", "desk"]);
        assert_eq!(parts("LAST_RITES_MAX"), ["last", "rites", "max"]);
        assert_eq!(found("struct WarmDesk(Wish);", true), ["desk", "Wish"]);
        assert_eq!(found("let own_desk = desktop();", true), ["desk"]);
    }

    #[test]
    fn plain_english_stays_allowed_in_texts() {
        assert_eq!(found("The news is told at first sight: a trial, a wish.", false), Vec::<&str>::new());
        assert_eq!(found("An onlooker sees the errand.", false), ["onlooker", "errand"]);
        assert_eq!(found("fn news() {}", true), ["news"]);
    }

    #[test]
    fn each_word_is_listed_once_and_in_order() {
        assert!(WORDS.is_sorted_by(|one, other| one.0 < other.0));
    }
}
