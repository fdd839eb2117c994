//! Inputs of short jobs that were taken in and have no outcome, by index, as the pool names them. Never sends them.

use std::ops::Range;

use crate::run::input_block::InputBlock;

/// Blocks of inputs, by the index of the first. None is empty, and no two have a job in common.
#[derive(Debug, Default)]
pub(crate) struct InputsInHand {
    /// In the order of their first jobs: a few for each worker.
    blocks: Vec<InputBlock>,
}

impl InputsInHand {
    pub(crate) fn add(&mut self, block: InputBlock) {
        if block.len() > 0 {
            let at = self.blocks.partition_point(|other| other.index < block.index);
            self.blocks.insert(at, block);
        }
    }

    /// Returns the inputs of these jobs, which came in one block; they stay.
    pub(crate) fn get(&self, jobs: &Range<u64>) -> Option<InputBlock> {
        let block = &self.blocks[self.find(jobs)?];
        let (first, mut part) = (block.index, block.clone());
        part.split_to(usize::try_from(jobs.start - first).ok()?);
        part.split_off(usize::try_from(jobs.end - jobs.start).ok()?);
        (part.len() as u64 == jobs.end - jobs.start).then_some(part)
    }

    /// Returns the index of the last block that begins at or before these jobs.
    fn find(&self, jobs: &Range<u64>) -> Option<usize> {
        self.blocks.partition_point(|block| block.index <= jobs.start).checked_sub(1)
    }

    /// Removes the inputs of these jobs, which came in one block and have their outcomes now.
    pub(crate) fn take(&mut self, jobs: &Range<u64>) -> Option<InputBlock> {
        let part = self.get(jobs)?;
        let mut before = self.blocks.remove(self.find(jobs)?);
        let mut rest = before.split_off(usize::try_from(jobs.start - before.index).ok()?);
        rest.split_to(part.len());
        self.add(before);
        self.add(rest);
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::run::input_buffer::tests::writer_of;

    #[test]
    fn each_input_is_taken_once_in_any_order_and_the_others_stay() {
        let (a, b) = (writer_of(&[b"0", b"1", b"2", b"3"]), writer_of(&[b"4", b"5"]));
        let mut hand = InputsInHand::default();
        hand.add(InputBlock::new(Arc::clone(a.inputs()), 0..4, 10));
        hand.add(InputBlock::new(Arc::clone(b.inputs()), 0..2, 14));
        let first =
            |block: Option<InputBlock>| block.map(|block| (block.index, block.first().input.to_vec()));
        assert_eq!(first(hand.get(&(11..13))), Some((11, b"1".to_vec())));
        assert_eq!(first(hand.take(&(11..12))), Some((11, b"1".to_vec())));
        assert_eq!(first(hand.take(&(15..16))), Some((15, b"5".to_vec())));
        assert_eq!(first(hand.take(&(11..12))), None);
        // No two blocks are taken for one.
        assert!(hand.get(&(13..15)).is_none() && hand.get(&(10..12)).is_none());
        assert_eq!(first(hand.take(&(12..14))), Some((12, b"2".to_vec())));
        assert_eq!(first(hand.take(&(10..11))), Some((10, b"0".to_vec())));
        assert_eq!(first(hand.take(&(14..15))), Some((14, b"4".to_vec())));
        assert!(hand.blocks.is_empty());
    }
}
