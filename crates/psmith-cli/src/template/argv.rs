//! Words made of pieces, without a shell. Never splits a value.

use super::placeholder::{Placeholder, ValueKind};
use super::scan::Piece;
use crate::batch_size::Fill;
use crate::input::JobArgs;

/// The numbers of a job: the values of `{#}`, `{%}` and `{##}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobNumbers {
    /// The job's number, from 1.
    pub job: u64,
    /// The slot's number, from 1.
    pub slot: u32,
    /// The number of jobs, if known.
    pub total: Option<u64>,
}

/// A word of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) pieces: Vec<Piece>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Text without any replacement string.
    Fixed,
    /// The inputs and nothing else: an argument for each.
    Alone,
    /// One argument; several inputs are joined by blanks.
    Joined,
    /// An argument for each input.
    Repeated,
}

impl Word {
    pub(crate) fn new(pieces: Vec<Piece>, fill: Fill) -> Word {
        let inputs = |piece: &Piece| {
            matches!(piece, Piece::Placeholder(Placeholder { kind: ValueKind::Inputs(_), .. }))
        };
        let kind = match &pieces[..] {
            [piece] if inputs(piece) => Kind::Alone,
            pieces if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) => Kind::Fixed,
            pieces if fill == Fill::Repeat && pieces.iter().any(inputs) => Kind::Repeated,
            _ => Kind::Joined,
        };
        Word { pieces, kind }
    }

    /// Returns whether several inputs would be in one word.
    pub(crate) fn joins_inputs(&self) -> bool {
        self.kind == Kind::Joined
            && self.pieces.iter().any(|piece| {
                matches!(piece, Piece::Placeholder(Placeholder { kind: ValueKind::Inputs(_), .. }))
            })
    }

    /// Returns the bytes, if no value is put into the word.
    pub(crate) fn fixed(&self) -> Option<Vec<u8>> {
        (self.kind == Kind::Fixed).then(|| {
            self.pieces.iter().fold(Vec::new(), |mut word, piece| {
                if let Piece::Text(text) = piece {
                    word.extend_from_slice(text);
                }
                word
            })
        })
    }

    /// Appends the arguments that it becomes.
    pub(crate) fn render(&self, args: &JobArgs, place: JobNumbers, out: &mut Vec<Vec<u8>>) {
        match self.kind {
            Kind::Alone | Kind::Repeated => {
                for input in args.iter() {
                    out.push(self.render_one(std::iter::once(input), args, place));
                }
            }
            Kind::Fixed | Kind::Joined => out.push(self.render_one(args.iter(), args, place)),
        }
    }

    fn render_one<'a>(
        &self,
        inputs: impl Iterator<Item = &'a [u8]> + Clone,
        args: &JobArgs,
        place: JobNumbers,
    ) -> Vec<u8> {
        let bytes: usize = inputs.clone().map(<[u8]>::len).sum();
        let mut word = Vec::with_capacity(self.pieces.len() * 8 + bytes);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => word.extend_from_slice(text),
                Piece::Placeholder(placeholder) => {
                    push_value(&mut word, &placeholder.kind, inputs.clone(), args, place);
                }
            }
        }
        word
    }

    /// Adds the cost of one more input: to the words that there are, and of words of its own.
    pub(crate) fn measure(
        &self,
        index: usize,
        input: &[u8],
        joined: &mut usize,
        own: &mut impl FnMut(usize),
    ) {
        match self.kind {
            Kind::Fixed => {}
            Kind::Alone | Kind::Repeated => own(self.fixed_len() + self.placeholders_len(index, input)),
            Kind::Joined => *joined += self.placeholders_len(index, input),
        }
    }

    /// Returns the cost before any input; `None` if it is nothing without inputs.
    pub(crate) fn measure_base(&self) -> Option<usize> {
        matches!(self.kind, Kind::Fixed | Kind::Joined).then(|| self.fixed_len())
    }

    fn fixed_len(&self) -> usize {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.len(),
                Piece::Placeholder(Placeholder {
                    kind: ValueKind::Inputs(_) | ValueKind::Nth(..), ..
                }) => 0,
                Piece::Placeholder(_) => NUMBER_LEN_MAX,
            })
            .sum()
    }

    fn placeholders_len(&self, index: usize, input: &[u8]) -> usize {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Placeholder(Placeholder { kind: ValueKind::Inputs(form), .. }) => {
                    form.of(input).len() + usize::from(index > 0)
                }
                Piece::Placeholder(Placeholder { kind: ValueKind::Nth(nth, form), .. })
                    if *nth as usize == index =>
                {
                    form.of(input).len()
                }
                _ => 0,
            })
            .sum()
    }
}

/// The greatest number of digits of a number.
pub(crate) const NUMBER_LEN_MAX: usize = 20;

/// Appends the value of a replacement string. Several inputs are joined by blanks.
pub(crate) fn push_value<'a>(
    out: &mut Vec<u8>,
    kind: &ValueKind,
    inputs: impl Iterator<Item = &'a [u8]>,
    args: &JobArgs,
    place: JobNumbers,
) {
    match kind {
        ValueKind::Inputs(form) => {
            for (position, input) in inputs.enumerate() {
                if position > 0 {
                    out.push(b' ');
                }
                out.extend_from_slice(form.of(input));
            }
        }
        ValueKind::Nth(nth, form) => {
            out.extend_from_slice(form.of(args.get(*nth as usize).unwrap_or_default()));
        }
        ValueKind::Job | ValueKind::Slot | ValueKind::Total | ValueKind::PaddedJob => {
            push_number(out, kind, place);
        }
    }
}

/// Appends one of the numbers; nothing for a value that is none.
pub(crate) fn push_number(out: &mut Vec<u8>, kind: &ValueKind, place: JobNumbers) {
    let text = match kind {
        ValueKind::Job => place.job.to_string(),
        ValueKind::Slot => place.slot.to_string(),
        ValueKind::Total => place.total.unwrap_or(place.job).to_string(),
        ValueKind::PaddedJob => {
            let width = place.total.unwrap_or(place.job).to_string().len();
            format!("{:0width$}", place.job)
        }
        ValueKind::Inputs(_) | ValueKind::Nth(..) => return,
    };
    out.extend_from_slice(text.as_bytes());
}
