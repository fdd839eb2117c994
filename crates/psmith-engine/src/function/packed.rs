//! The inputs of a batch in a row: each begins at a word of eight bytes, two of which hold its length.
//!
//! They can be written a word at a time, and most fill just one. Knows no codec: an input is any bytes.

use std::ops::Range;

/// The number of bytes of an input that its first word holds, behind its length.
const HEAD_BYTES: usize = 6;

/// Returns the number of words that an input of this length takes.
pub fn words_of(length: usize) -> usize {
    1 + length.saturating_sub(HEAD_BYTES).div_ceil(8)
}

/// Returns at most eight bytes as a word: by shifts, because a copy of unknown length costs more than all else here.
pub fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Returns the words of an input, which is shorter than 64 KiB.
pub fn words(input: &[u8]) -> impl Iterator<Item = u64> {
    let (head, behind) = input.split_at(input.len().min(HEAD_BYTES));
    let head = word(head) << 16 | (input.len() & 0xffff) as u64;
    std::iter::once(head).chain(behind.chunks(8).map(word))
}

/// Returns the range of the input that begins at `at`, and the offset of the next one; `None` if there is none.
pub fn input_at(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let length = bytes.get(at..)?.first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let from = at + 2;
    let to = from + length;
    (to <= bytes.len()).then(|| (from..to, at + 8 * words_of(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_of_every_length_come_out_as_they_went_in() {
        let inputs: Vec<Vec<u8>> = (0..40_usize)
            .chain([4095, 4096, 0xffff])
            .map(|length| (0..length).map(|n| (n * 7 + length) as u8).collect())
            .collect();
        let packed: Vec<u8> =
            inputs.iter().flat_map(|input| words(input).flat_map(u64::to_le_bytes)).collect();
        assert_eq!(packed.len(), 8 * inputs.iter().map(|input| words_of(input.len())).sum::<usize>());
        let mut at = 0;
        for input in &inputs {
            let (place, next) = input_at(&packed, at).expect("an input");
            assert_eq!(&packed[place], input);
            at = next;
        }
        assert_eq!((at, input_at(&packed, at)), (packed.len(), None));
    }

    #[test]
    fn an_input_that_is_cut_short_is_none() {
        let packed: Vec<u8> = words(b"seven bytes").flat_map(u64::to_le_bytes).collect();
        assert!(input_at(&packed, 0).is_some());
        assert_eq!(input_at(&packed[..12], 0), None);
        assert_eq!(input_at(&packed[..1], 0), None);
    }
}
