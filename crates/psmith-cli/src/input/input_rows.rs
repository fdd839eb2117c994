//! Rows made of several sources: zipped if they are linked, multiplied otherwise, the last fastest.
//!
//! The first group of sources is streamed; those after it are kept in memory, because each is read again for
//! each row before it.

use super::job_args::JobArgs;
use super::source::{InputError, InputReader};

/// The rows of all sources.
#[derive(Debug)]
pub(crate) struct InputRows {
    first: Group,
    others: Vec<GivenRows>,
    /// The groups that are not yet read.
    unread: Vec<Group>,
    /// The present row of the first group.
    row: JobArgs,
    /// The next row of each of the other groups.
    positions: Vec<usize>,
    state: State,
    left_over: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// None of the others has been read.
    Fresh,
    /// The next row of the first group is needed.
    Advance,
    /// The present row continues with the next positions.
    Within,
    Ended,
}

/// Sources that are zipped.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) readers: Vec<InputReader>,
    /// With `--link`: what each source has given so far, to begin again with.
    pub(crate) given: Option<Vec<GivenRows>>,
}

/// A group in memory.
#[derive(Debug, Default)]
pub(crate) struct GivenRows {
    values: JobArgs,
    /// The end of each row.
    ends: Vec<usize>,
    /// Of a source that may begin again: the number of rows that it has given, and whether it has none of its own left.
    next: usize,
    ended: bool,
}

impl InputRows {
    pub(crate) fn new(groups: Vec<Group>) -> InputRows {
        let mut groups = groups.into_iter();
        let first = groups.next().unwrap_or_default();
        InputRows {
            first,
            others: Vec::new(),
            unread: groups.collect(),
            row: JobArgs::default(),
            positions: Vec::new(),
            state: State::Fresh,
            left_over: 0,
        }
    }

    /// Appends the next row; returns false at the end.
    pub(crate) fn next_into(&mut self, out: &mut JobArgs) -> Result<bool, InputError> {
        if self.state == State::Fresh {
            for mut group in std::mem::take(&mut self.unread) {
                let mut table = GivenRows::default();
                while group.next_into(&mut table.values, &mut self.left_over)? {
                    table.ends.push(table.values.len());
                }
                self.others.push(table);
            }
            self.positions = vec![0; self.others.len()];
            let nothing = self.others.iter().any(|table| table.ends.is_empty());
            self.state = if nothing { State::Ended } else { State::Advance };
        }
        if self.state == State::Advance {
            if self.others.is_empty() {
                return self.first.next_into(out, &mut self.left_over);
            }
            self.row.clear();
            let more = self.first.next_into(&mut self.row, &mut self.left_over)?;
            self.state = if more { State::Within } else { State::Ended };
        }
        if self.state == State::Ended {
            return Ok(false);
        }
        out.append(&self.row);
        for (table, position) in self.others.iter().zip(&self.positions) {
            let start = if *position == 0 { 0 } else { table.ends[position - 1] };
            out.append_range(&table.values, start, table.ends[*position]);
        }
        self.step();
        Ok(true)
    }

    /// Advances to the next positions, the last source fastest; after the last of them the first group advances.
    fn step(&mut self) {
        for (table, position) in self.others.iter().zip(&mut self.positions).rev() {
            *position += 1;
            if *position < table.ends.len() {
                return;
            }
            *position = 0;
        }
        self.state = State::Advance;
    }

    /// Returns the number of values that had no partner in a linked source, as far as they were read.
    pub(crate) fn left_over(&self) -> u64 {
        self.left_over
    }
}

impl Group {
    /// Appends the next row; a source that has ended begins again, until all have ended.
    fn next_wrapped(
        readers: &mut [InputReader],
        given: &mut Vec<GivenRows>,
        out: &mut JobArgs,
    ) -> Result<bool, InputError> {
        given.resize_with(readers.len(), GivenRows::default);
        let before = out.len();
        let mut more = false;
        for (reader, table) in readers.iter_mut().zip(given) {
            if !table.ended {
                table.ended = !reader.next_into(&mut table.values)?;
                if !table.ended {
                    table.ends.push(table.values.len());
                    more = true;
                }
            }
            if table.ends.is_empty() {
                out.push(b"");
                continue;
            }
            let row = table.next % table.ends.len();
            table.next += 1;
            let start = if row == 0 { 0 } else { table.ends[row - 1] };
            out.append_range(&table.values, start, table.ends[row]);
        }
        if !more {
            out.truncate(before);
        }
        Ok(more)
    }

    /// Appends the next row; returns false as soon as one of the sources has ended.
    fn next_into(&mut self, out: &mut JobArgs, left_over: &mut u64) -> Result<bool, InputError> {
        if let Some(given) = &mut self.given {
            return Group::next_wrapped(&mut self.readers, given, out);
        }
        let before = out.len();
        // A list that has ended is noticed before a stream is read, which could block.
        let exhausted = self.readers.iter().any(|reader| reader.words_left() == Some(0));
        if !exhausted {
            let mut taken = 0;
            for reader in &mut self.readers {
                if !reader.next_into(out)? {
                    break;
                }
                taken += 1;
            }
            if taken == self.readers.len() {
                return Ok(taken > 0);
            }
            *left_over += taken as u64;
            out.truncate(before);
        }
        // The rest of lists and files is counted; a stream is not read just to count.
        *left_over += self.readers.iter_mut().map(InputReader::count_rest).sum::<u64>();
        self.readers.clear();
        Ok(false)
    }
}
