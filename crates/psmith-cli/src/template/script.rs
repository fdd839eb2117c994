//! Script of `-s` with the inputs put in, each as a literal that the shell expands no further. Never runs it.

use super::argv::{JobNumbers, NUMBER_LEN_MAX, push_number};
use super::placeholder::{Placeholder, ValueForm, ValueKind};
use super::scan::Scanned;
use super::script_lexer::{Context, ScriptToken, TokenKind, lex};
use crate::batch_size::Fill;
use crate::error::CliError;
use crate::input::JobArgs;
use crate::quote;

/// A script, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    segments: Vec<Segment>,
}

/// A stretch of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    pieces: Vec<ScriptPiece>,
    /// True for a word that is repeated for each input.
    repeated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ScriptPiece {
    Text(Vec<u8>),
    Placeholder(ValueKind, Context),
}

impl Script {
    /// Compiles a script. Without any replacement string the inputs are appended, unless `count_only`.
    ///
    /// # Errors
    /// Fails if a replacement string is in a place where no quoting is safe.
    pub(crate) fn new(mut scanned: Scanned, fill: Fill, count_only: bool) -> Result<Script, CliError> {
        if !scanned.mentions && !count_only {
            append_inputs(&mut scanned);
        }
        let tokens = lex(scanned.pieces)?;
        let mut segments = Vec::new();
        for word in tokens.chunk_by(|left, right| left.word == right.word) {
            let repeated = fill == Fill::Repeat && word[0].word != 0 && word.iter().any(is_inputs);
            let pieces = pieces(word);
            match segments.last_mut() {
                Some(Segment { pieces: last, repeated: false }) if !repeated => join(last, pieces),
                _ => segments.push(Segment { pieces, repeated }),
            }
        }
        Ok(Script { segments })
    }

    /// Returns the script for one job.
    pub(crate) fn render(&self, args: &JobArgs, place: JobNumbers) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + args.bytes_len());
        for segment in &self.segments {
            if !segment.repeated {
                segment.render(args.iter(), args, place, &mut out);
                continue;
            }
            for (position, input) in args.iter().enumerate() {
                if position > 0 {
                    out.push(b' ');
                }
                segment.render(std::iter::once(input), args, place, &mut out);
            }
        }
        out
    }

    /// Returns the text before the first replacement string.
    pub(crate) fn start(&self) -> Vec<u8> {
        match self.segments.first().and_then(|segment| segment.pieces.first()) {
            Some(ScriptPiece::Text(text)) => text.clone(),
            _ => Vec::new(),
        }
    }

    /// Returns the words of the script as they would be typed without a shell, if it holds nothing but plain words and
    /// replacement strings outside of quotes.
    pub(crate) fn plain_words(&self) -> Option<Vec<Vec<super::scan::Piece>>> {
        use super::scan::Piece;
        let mut words: Vec<Vec<Piece>> = vec![Vec::new()];
        for piece in self.segments.iter().flat_map(|segment| &segment.pieces) {
            match piece {
                ScriptPiece::Placeholder(kind, Context::Unquoted) => {
                    words
                        .last_mut()?
                        .push(Piece::Placeholder(Placeholder { typed: Vec::new(), kind: kind.clone() }));
                }
                ScriptPiece::Placeholder(..) => return None,
                ScriptPiece::Text(text) => {
                    if !text.iter().all(|b| is_never_special(*b) || matches!(b, b' ' | b'\t')) {
                        return None;
                    }
                    for (position, part) in text.split(|b| matches!(b, b' ' | b'\t')).enumerate() {
                        if position > 0 {
                            words.push(Vec::new());
                        }
                        if !part.is_empty() {
                            words.last_mut()?.push(Piece::Text(part.to_vec()));
                        }
                    }
                }
            }
        }
        words.retain(|word| !word.is_empty());
        (!words.is_empty()).then_some(words)
    }

    /// Returns the length of the script before any input.
    pub(crate) fn measure_base(&self) -> usize {
        self.segments.iter().filter(|segment| !segment.repeated).map(|segment| segment.base_len()).sum()
    }

    /// Returns the number of bytes that one more input adds.
    pub(crate) fn measure(&self, index: usize, input: &[u8]) -> usize {
        self.segments
            .iter()
            .map(|segment| {
                let base = if segment.repeated { segment.base_len() + 1 } else { 0 };
                base + segment.placeholders_len(index, input)
            })
            .sum()
    }
}

/// Returns whether a byte has no meaning to any shell, in every place.
pub(crate) fn is_never_special(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:,@%+=".contains(&byte)
}

/// Appends one argument per source, behind the last word.
fn append_inputs(scanned: &mut Scanned) {
    use super::scan::Piece;
    if let Some(Piece::Text(text)) = scanned.pieces.last_mut() {
        // Behind a last line feed the inputs would be a command of their own.
        text.truncate(text.trim_ascii_end().len());
        text.push(b' ');
    }
    scanned.pieces.push(Piece::Placeholder(Placeholder {
        typed: b"{}".to_vec(),
        kind: ValueKind::Inputs(ValueForm::Whole),
    }));
}

fn is_inputs(token: &ScriptToken) -> bool {
    matches!(token.part, TokenKind::Placeholder(Placeholder { kind: ValueKind::Inputs(_), .. }, _))
}

fn pieces(tokens: &[ScriptToken]) -> Vec<ScriptPiece> {
    let mut pieces = Vec::new();
    for token in tokens {
        match &token.part {
            TokenKind::Byte(byte) => match pieces.last_mut() {
                Some(ScriptPiece::Text(text)) => text.push(*byte),
                _ => pieces.push(ScriptPiece::Text(vec![*byte])),
            },
            TokenKind::Placeholder(_, Context::Comment) => {}
            TokenKind::Placeholder(placeholder, context) => {
                pieces.push(ScriptPiece::Placeholder(placeholder.kind.clone(), *context));
            }
        }
    }
    pieces
}

fn join(into: &mut Vec<ScriptPiece>, pieces: Vec<ScriptPiece>) {
    for piece in pieces {
        match (into.last_mut(), piece) {
            (Some(ScriptPiece::Text(text)), ScriptPiece::Text(more)) => text.extend_from_slice(&more),
            (_, piece) => into.push(piece),
        }
    }
}

impl Segment {
    fn render<'a>(
        &self,
        inputs: impl Iterator<Item = &'a [u8]> + Clone,
        args: &JobArgs,
        place: JobNumbers,
        out: &mut Vec<u8>,
    ) {
        for piece in &self.pieces {
            match piece {
                ScriptPiece::Text(text) => out.extend_from_slice(text),
                ScriptPiece::Placeholder(kind, context) => {
                    push_literal(out, kind, *context, inputs.clone(), args, place);
                }
            }
        }
    }

    fn base_len(&self) -> usize {
        self.pieces
            .iter()
            .map(|piece| match piece {
                ScriptPiece::Text(text) => text.len(),
                ScriptPiece::Placeholder(ValueKind::Inputs(_), _) => QUOTES_LEN,
                ScriptPiece::Placeholder(..) => NUMBER_LEN_MAX + QUOTES_LEN,
            })
            .sum()
    }

    fn placeholders_len(&self, index: usize, input: &[u8]) -> usize {
        self.pieces
            .iter()
            .map(|piece| match piece {
                ScriptPiece::Placeholder(ValueKind::Inputs(form), _) => quote::single_len(form.of(input)) + 1,
                ScriptPiece::Placeholder(ValueKind::Nth(nth, form), _) if *nth as usize == index => {
                    quote::single_len(form.of(input))
                }
                _ => 0,
            })
            .sum()
    }
}

/// The length of the quotes that are closed before a literal and opened again after it.
const QUOTES_LEN: usize = 4;

/// Appends a value, quoted as the context needs it.
fn push_literal<'a>(
    out: &mut Vec<u8>,
    kind: &ValueKind,
    context: Context,
    inputs: impl Iterator<Item = &'a [u8]>,
    args: &JobArgs,
    place: JobNumbers,
) {
    if kind.is_number() {
        return push_number(out, kind, place);
    }
    let reopened: &[u8] = match context {
        Context::Unquoted => b"",
        Context::DoubleQuoted => b"\"",
        Context::SingleQuoted => b"'",
        Context::Comment => return,
    };
    out.extend_from_slice(reopened);
    match kind {
        ValueKind::Inputs(form) if context == Context::Unquoted => {
            // Outside of quotes each input is a literal of its own, and so, alone, a word of its own.
            for (position, input) in inputs.enumerate() {
                if position > 0 {
                    out.push(b' ');
                }
                quote::push_single(out, form.of(input));
            }
        }
        ValueKind::Inputs(form) => {
            let mut joined = Vec::new();
            for (position, input) in inputs.enumerate() {
                if position > 0 {
                    joined.push(b' ');
                }
                joined.extend_from_slice(form.of(input));
            }
            quote::push_single(out, &joined);
        }
        ValueKind::Nth(nth, form) => {
            quote::push_single(out, form.of(args.get(*nth as usize).unwrap_or_default()));
        }
        ValueKind::Job | ValueKind::Slot | ValueKind::Total | ValueKind::PaddedJob => {}
    }
    out.extend_from_slice(reopened);
}
