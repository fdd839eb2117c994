//! Scanner of a word of the command: cuts it into text and replacement strings.
//!
//! The word is read once, from left to right. Text that comes from an input is never read here.

use super::placeholder::{Placeholder, ValueForm, ValueKind};
use crate::error::CliError;
use crate::quote::shown;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(Vec<u8>),
    Placeholder(Placeholder),
}

/// The meanings that replacement strings can have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grammar {
    /// `-I`: the string that is used instead of `{}`.
    pub(crate) replace: Option<Vec<u8>>,
    /// The names of the columns, with `--header`.
    pub(crate) names: Option<Vec<Vec<u8>>>,
    /// The greatest number of inputs of a job, and the number of those that come from the sources of one input, if
    /// known.
    pub(crate) inputs_max: Option<u64>,
    pub(crate) sources: u64,
}

/// A word after the scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) pieces: Vec<Piece>,
    /// True if there was any replacement string, those in double braces included.
    pub(crate) mentions: bool,
}

/// Scans a word.
///
/// # Errors
/// Fails if it holds a replacement string that has no meaning here.
pub(crate) fn scan(word: &[u8], grammar: &Grammar) -> Result<Scanned, CliError> {
    let mut out = Scanned::default();
    let mut text = Vec::new();
    let mut at = 0;
    while at < word.len() {
        if let Some(replace) = grammar.replace.as_deref().filter(|replace| word[at..].starts_with(replace)) {
            flush(&mut out.pieces, &mut text);
            out.pieces.push(Piece::Placeholder(Placeholder {
                typed: replace.to_vec(),
                kind: ValueKind::Inputs(ValueForm::Whole),
            }));
            out.mentions = true;
            at += replace.len();
            continue;
        }
        if word[at] != b'{' {
            text.push(word[at]);
            at += 1;
            continue;
        }
        let opening = run(&word[at..], b'{');
        let inner = at + opening;
        let Some(length) = content_len(&word[inner..]) else {
            text.extend_from_slice(&word[at..inner]);
            at = inner;
            continue;
        };
        let content = &word[inner..inner + length];
        let meaning = grammar.meaning(content);
        if matches!(meaning, Meaning::Text) {
            text.extend_from_slice(&word[at..inner]);
            at = inner;
            continue;
        }
        // Pairs of braces become one literal brace each, inside out: one brace is a replacement string, two are its
        // text, three are its value in braces, and so on.
        let braces = opening.min(run(&word[inner + length..], b'}'));
        text.extend(std::iter::repeat_n(b'{', opening - braces + braces / 2));
        out.mentions = true;
        if braces.is_multiple_of(2) {
            text.extend_from_slice(content);
        } else {
            let typed = [b"{", content, b"}"].concat();
            match meaning {
                Meaning::Placeholder(kind) => {
                    flush(&mut out.pieces, &mut text);
                    out.pieces.push(Piece::Placeholder(Placeholder { typed, kind }));
                }
                Meaning::Refused(error) => {
                    return Err(error.hint(format!("write {{{}}} for the text itself", shown(&typed))));
                }
                Meaning::TooFar => return Err(grammar.too_far(&typed)),
                Meaning::Text => {}
            }
        }
        text.extend(std::iter::repeat_n(b'}', braces / 2));
        at = inner + length + braces;
    }
    flush(&mut out.pieces, &mut text);
    Ok(out)
}

/// The meaning of the text between braces.
enum Meaning {
    Placeholder(ValueKind),
    /// Ordinary text.
    Text,
    /// A replacement string of another program, or a column that does not exist.
    Refused(CliError),
    /// A position that no input has.
    TooFar,
}

impl Grammar {
    fn meaning(&self, content: &[u8]) -> Meaning {
        match content {
            b"" if self.replace.is_some() => return Meaning::Text,
            b"#" => return Meaning::Placeholder(ValueKind::Job),
            b"%" => return Meaning::Placeholder(ValueKind::Slot),
            b"##" => return Meaning::Placeholder(ValueKind::Total),
            b"0#" => return Meaning::Placeholder(ValueKind::PaddedJob),
            _ => {}
        }
        if let Some(nth) = self.named(content) {
            return nth;
        }
        if let Some(form) = ValueForm::parse(content) {
            return Meaning::Placeholder(ValueKind::Inputs(form));
        }
        if let Some(nth) = self.numbered(content) {
            return nth;
        }
        if content.len() >= 2 && content.starts_with(b"=") && content.ends_with(b"=") {
            return Meaning::Refused(
                CliError::new("{= perl =} is left out of psmith")
                    .hint("filter the input: sed .. | psmith .."),
            );
        }
        if content.len() > 3
            && content.starts_with(b"/")
            && content.ends_with(b"/")
            && content[1..content.len() - 1].contains(&b'/')
        {
            return Meaning::Refused(CliError::new(format!("{{{}}}: not in this version", shown(content))));
        }
        self.unknown_name(content)
    }

    fn numbered(&self, content: &[u8]) -> Option<Meaning> {
        let digits = content.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || content[0] == b'0' {
            return None;
        }
        let form = ValueForm::parse(&content[digits..])?;
        let number: Option<u32> =
            std::str::from_utf8(&content[..digits]).ok().and_then(|text| text.parse().ok());
        Some(match number {
            Some(number) if self.inputs_max.is_none_or(|max| u64::from(number) <= max) => {
                Meaning::Placeholder(ValueKind::Nth(number - 1, form))
            }
            _ => Meaning::TooFar,
        })
    }

    /// Returns the meaning of a column's name, with any suffix. The longest name wins, so that a column called `a.` is
    /// not column `a`.
    fn named(&self, content: &[u8]) -> Option<Meaning> {
        let names = self.names.as_ref()?;
        let candidates =
            names.iter().enumerate().filter(|(_, name)| !name.is_empty() && content.starts_with(name));
        candidates
            .filter_map(|(position, name)| {
                Some((name.len(), position, ValueForm::parse(&content[name.len()..])?))
            })
            .max_by_key(|(length, position, _)| (*length, std::cmp::Reverse(*position)))
            .map(|(_, position, form)| Meaning::Placeholder(ValueKind::Nth(position as u32, form)))
    }

    /// Returns the meaning of a word in braces that is no column: with `--header` it is more likely a typing error than
    /// meant.
    fn unknown_name(&self, content: &[u8]) -> Meaning {
        let Some(names) = &self.names else { return Meaning::Text };
        let letters = content
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-') || **b >= 0x80)
            .count();
        if letters == 0
            || content[0].is_ascii_digit()
            || content[0] == b'-'
            || ValueForm::parse(&content[letters..]).is_none()
        {
            return Meaning::Text;
        }
        let known = names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
        Meaning::Refused(CliError::new(format!(
            "no column named '{}' (columns: {known})",
            shown(&content[..letters])
        )))
    }

    fn too_far(&self, typed: &[u8]) -> CliError {
        let plural = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let verb = |count: u64| if count == 1 { "is" } else { "are" };
        let inputs = self.inputs_max.unwrap_or(self.sources);
        if inputs == self.sources {
            return CliError::new(format!(
                "{} but there {} {}",
                shown(typed),
                verb(inputs),
                plural(inputs, "input source")
            ));
        }
        CliError::new(format!(
            "{} but there {} {} per job",
            shown(typed),
            verb(inputs),
            plural(inputs, "input")
        ))
    }
}

fn flush(pieces: &mut Vec<Piece>, text: &mut Vec<u8>) {
    if !text.is_empty() {
        pieces.push(Piece::Text(std::mem::take(text)));
    }
}

fn run(text: &[u8], byte: u8) -> usize {
    text.iter().take_while(|b| **b == byte).count()
}

/// Returns the length of the text before the closing brace; it holds no opening one.
fn content_len(text: &[u8]) -> Option<usize> {
    match memchr::memchr2(b'{', b'}', text) {
        Some(at) if text[at] == b'}' => Some(at),
        _ => None,
    }
}
