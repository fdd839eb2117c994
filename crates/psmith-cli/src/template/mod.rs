//! The command as a template: replacement strings, words without a shell, scripts for one.
//!
//! It never reads an input or starts a program.

mod argv;
mod foreign;
mod placeholder;
mod scan;
mod script;
mod script_lexer;
mod script_words;
#[cfg(test)]
mod tests;

pub use argv::JobNumbers;
pub(crate) use argv::{Word, push_value};
pub(crate) use placeholder::ValueKind;
pub(crate) use scan::{Grammar, Language, Piece, Scanned, scan};
pub(crate) use script::{Script, is_never_special};

use crate::error::CliError;
use crate::input::JobArgs;

/// A text that is made for each job: `--tagstring`, `--workdir`, `--results`.
#[derive(Clone, Debug)]
pub(crate) struct TextTemplate {
    pieces: Vec<Piece>,
}

impl TextTemplate {
    pub(crate) fn new(text: &[u8], grammar: &Grammar) -> Result<TextTemplate, CliError> {
        Ok(TextTemplate { pieces: scan(text, grammar)?.pieces })
    }

    pub(crate) fn render(&self, args: &JobArgs, place: JobNumbers) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Placeholder(placeholder) => {
                    push_value(&mut out, &placeholder.kind, args.iter(), args, place);
                }
            }
        }
        out
    }

    /// Returns whether it needs the number of jobs.
    pub(crate) fn needs_total(&self) -> bool {
        needs_total(&self.pieces)
    }

    /// Returns the text, if it is the same for each job.
    pub(crate) fn fixed(&self) -> Option<&[u8]> {
        match &self.pieces[..] {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// Returns whether a replacement string among these needs the number of jobs.
pub(crate) fn needs_total(pieces: &[Piece]) -> bool {
    kinds(pieces).any(|kind| matches!(kind, ValueKind::Total | ValueKind::PaddedJob))
}

/// Returns whether the number of the slot is among these.
pub(crate) fn names_slot(pieces: &[Piece]) -> bool {
    kinds(pieces).any(|kind| matches!(kind, ValueKind::Slot))
}

fn kinds(pieces: &[Piece]) -> impl Iterator<Item = &ValueKind> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Placeholder(placeholder) => Some(&placeholder.kind),
        Piece::Text(_) => None,
    })
}

/// Returns whether a text holds a replacement string, as far as is known before the columns are.
pub(crate) fn mentions_replacement(text: &[u8]) -> bool {
    scan(text, &Grammar::default()).is_ok_and(|scanned| scanned.mentions)
        || memchr::memchr(b'{', text).is_some_and(|open| memchr::memchr(b'}', &text[open..]).is_some())
}

/// Returns the form of `{}`.
pub(crate) fn whole() -> placeholder::ValueForm {
    placeholder::ValueForm::Whole
}

/// Makes the replacement string that is appended because none was typed.
pub(crate) fn appended(kind: ValueKind) -> placeholder::Placeholder {
    placeholder::Placeholder { typed: b"{}".to_vec(), kind }
}
