//! The inputs of one job: bytes, cut into values.

/// The inputs of one job, in one piece of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobArgs {
    bytes: Vec<u8>,
    /// The end of each value in `bytes`.
    ends: Vec<usize>,
}

impl JobArgs {
    /// Returns the values, as `--tag` and the events show them: one per source, or per column.
    #[must_use]
    pub fn inputs(&self) -> Vec<&[u8]> {
        self.iter().collect()
    }

    /// Returns the number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is none (`-N0`).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the values, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        (0..self.ends.len()).map(|index| self.value(index))
    }

    /// Returns the values from this index on, like `iter().skip(from)`, but takes no time for those before.
    pub(crate) fn iter_from(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        (from..self.ends.len()).map(|index| self.value(index))
    }

    /// Returns the value at this position, from 0; none if there are fewer values.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        (index < self.ends.len()).then(|| self.value(index))
    }

    /// Makes the inputs of these values.
    pub fn from_values<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> JobArgs {
        let mut args = JobArgs::default();
        for value in values {
            args.push(value);
        }
        args
    }

    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn append(&mut self, other: &JobArgs) {
        self.append_range(other, 0, other.len());
    }

    pub(crate) fn append_range(&mut self, other: &JobArgs, from: usize, to: usize) {
        for index in from..to {
            self.push(other.value(index));
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.ends.len() {
            self.ends.truncate(len);
            self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    fn value(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }
}
