//! Scanner of a word of the command: cuts it into text and replacement strings.
//!
//! The word is read once, from left to right. Text that comes from an input is never read here.

use super::foreign::foreign;
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
    /// True if jobs have blocks on their stdin and no inputs.
    pub(crate) blocks: bool,
    /// The language of the text: what it does with braces itself.
    pub(crate) language: Language,
    /// True with `--plus`: the words of GNU parallel's are looked for as well.
    pub(crate) plus: bool,
}

/// The language of a text with replacement strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    /// None: a word for a program.
    #[default]
    Word,
    /// The program text that an interpreter was given as a word.
    Program,
    /// A script of `-s`, which a lexer of its own looks through.
    Script,
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
        let after_dollar = text.last() == Some(&b'$');
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
                    grammar.check_place(&typed, &kind, after_dollar && opening == 1)?;
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
    /// Returns the same meanings for a text in another language.
    pub(crate) fn in_language(&self, language: Language) -> Grammar {
        Grammar { language, ..self.clone() }
    }

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
        let script = self.language == Language::Script;
        if let Some(error) = foreign(content, script, self.plus, self.inputs_max) {
            return Meaning::Refused(error);
        }
        if let Some(form) = ValueForm::parse(content) {
            return Meaning::Placeholder(ValueKind::Inputs(form));
        }
        if let Some(nth) = self.numbered(content) {
            return nth;
        }
        self.unknown_name(content)
    }

    /// Refuses a replacement string where another language is more likely to have meant it: as the shell's own
    /// `${x}` in an argument, or in the program text of an interpreter.
    fn check_place(&self, typed: &[u8], kind: &ValueKind, after_dollar: bool) -> Result<(), CliError> {
        let text = shown(typed);
        if self.blocks && !kind.is_number() {
            return Err(CliError::new(format!(
                "{text} has no value with --pipe: a job has its block on stdin"
            ))
            .hint("--cat makes the block a file, and {} its name")
            .hint(format!("write {{{text}}} for the text itself")));
        }
        if self.language == Language::Script {
            return Ok(());
        }
        if after_dollar && typed != b"{}" {
            return Err(CliError::new(format!(
                "${text}: a variable of the shell, or a $ and psmith's {text}?"
            ))
            .hint(format!("write ${{{text}}} for the shell's"))
            .hint("psmith -s 'COMMAND {}' where a script is meant"));
        }
        let (ValueKind::Inputs(form) | ValueKind::Nth(_, form)) = kind else { return Ok(()) };
        if self.language == Language::Program && form.holds_text() {
            return Err(CliError::new(format!("{text} in a program text: psmith's, or the program's own?"))
                .hint(format!("write {{{text}}} for the program's own"))
                .hint(format!("pass {text} as an argument behind the program text")));
        }
        Ok(())
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
            ))
            .hint(format!("write {{{}}} for the text itself", shown(typed)));
        }
        CliError::new(format!(
            "{} but there {} {} per job",
            shown(typed),
            verb(inputs),
            plural(inputs, "input")
        ))
        .hint(format!("write {{{}}} for the text itself", shown(typed)))
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

/// Returns the length of the text before the closing brace; it holds no opening one, unless it is `= .. =`.
fn content_len(text: &[u8]) -> Option<usize> {
    // Perl of GNU parallel's has braces of its own.
    if text.starts_with(b"=")
        && let Some(at) = memchr::memmem::find(&text[1..], b"=}")
    {
        return Some(at + 2);
    }
    match memchr::memchr2(b'{', b'}', text) {
        Some(at) if text[at] == b'}' => Some(at),
        _ => None,
    }
}
