//! Cutter of a stream into blocks. Where a block ends is GNU parallel's rule: a whole block is read, and given up to
//! the last end of a record in it; a record that is longer than the block makes the block grow.

use std::borrow::Cow;
use std::io::Read;

use memchr::memmem;

use super::spec::RecordCut;
use crate::input::InputError;
use crate::report::display::os_text;

/// The longest record: as GNU parallel.
const RECORD_BYTES_MAX: usize = (1 << 31) - 1;

/// A stream that is cut into blocks.
#[derive(Debug)]
pub(super) struct BlockReader<R> {
    from: R,
    name: String,
    cut: RecordCut,
    /// What ends one record and begins the next.
    between: Vec<u8>,
    block: usize,
    header: Header,
    /// What has been read and not yet given, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// The length of the block that was given last, which is still at the front.
    given: usize,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Header {
    None,
    /// It is to be read.
    Wanted,
    Line(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A block has to be read. `long`: the one before held no end of a record.
    Read { long: bool },
    /// What has been read may hold ends of records. `some`: one was found already.
    Cut { some: bool },
    /// There is nothing more to read.
    Rest,
}

/// The header, and the bytes of a block.
type HeadAndBlock<'b> = (&'b [u8], Cow<'b, [u8]>);

impl<R: Read> BlockReader<R> {
    /// Cuts `from`, called `name` in messages, into blocks of about so many bytes.
    pub(super) fn new(from: R, name: String, cut: RecordCut, block: u64, header: bool) -> BlockReader<R> {
        let between = [&cut.end[..], &cut.start[..]].concat();
        BlockReader {
            from,
            name,
            between,
            cut,
            block: usize::try_from(block).unwrap_or(RECORD_BYTES_MAX).min(RECORD_BYTES_MAX),
            header: if header { Header::Wanted } else { Header::None },
            buffer: Vec::new(),
            start: 0,
            given: 0,
            state: State::Read { long: false },
        }
    }

    /// Reads the next block, the header before it; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<HeadAndBlock<'_>>, InputError> {
        if self.header == Header::Wanted {
            self.read_header()?;
        }
        self.start += std::mem::take(&mut self.given);
        let Some(length) = self.next_length()? else { return Ok(None) };
        self.given = length;
        let header: &[u8] = if let Header::Line(line) = &self.header { line } else { b"" };
        let block = &self.buffer[self.start..self.start + length];
        Ok(Some((
            header,
            if self.cut.remove { self.without_separators(block) } else { Cow::Borrowed(block) },
        )))
    }

    fn next_length(&mut self) -> Result<Option<usize>, InputError> {
        loop {
            match self.state {
                State::Rest => {
                    let rest = self.buffer.len() - self.start;
                    // All records of a number given are found at the end as well.
                    let length = self.counted_end().unwrap_or(rest);
                    return Ok((rest > 0).then_some(length));
                }
                State::Cut { some } => {
                    let counted = self.cut.records.is_some();
                    let length = if counted || self.cut.lines.is_some() {
                        self.counted_end()
                    } else {
                        self.last_end()
                    };
                    if let Some(length) = length.filter(|length| *length > 0) {
                        self.state =
                            if counted { State::Cut { some: true } } else { State::Read { long: false } };
                        return Ok(Some(length));
                    }
                    self.state = State::Read { long: !some };
                }
                State::Read { long } => {
                    if long {
                        self.grow()?;
                    }
                    let ended = self.fill()?;
                    self.state = if ended { State::Rest } else { State::Cut { some: false } };
                }
            }
        }
    }

    /// Returns the end of the last record that ends in the buffer.
    fn last_end(&self) -> Option<usize> {
        let text = &self.buffer[self.start..];
        let at = match &self.between[..] {
            [] => return Some(text.len()),
            [byte] => memchr::memrchr(*byte, text)?,
            between => memmem::rfind(text, between)?,
        };
        Some(at + self.cut.end.len())
    }

    /// Returns the end of so many records as a block holds, or of the last multiple of so many lines.
    fn counted_end(&self) -> Option<usize> {
        let text = &self.buffer[self.start..];
        let lines = self.cut.lines.unwrap_or(1);
        let Some(records) = self.cut.records else {
            let lines = self.cut.lines?;
            let whole = memchr::memchr_iter(b'\n', text).count() as u64 / lines * lines;
            let last = usize::try_from(whole.checked_sub(1)?).ok()?;
            return memchr::memchr_iter(b'\n', text).nth(last).map(|at| at + 1);
        };
        let finder = memmem::Finder::new(&self.between);
        let mut at = 0;
        for _ in 0..records.saturating_mul(lines) {
            // The beginning of the block's first record ends none.
            at += 1 + finder.find(text.get(at + 1..)?)?;
        }
        Some(at + self.cut.end.len()).filter(|end| *end <= text.len())
    }

    /// Reads up to the next full block; returns whether the stream has ended.
    fn fill(&mut self) -> Result<bool, InputError> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let wanted = self.block - self.buffer.len() % self.block;
        let read = self.from.by_ref().take(wanted as u64).read_to_end(&mut self.buffer).map_err(|error| {
            InputError { message: format!("cannot read {}: {}", self.name, os_text(&error)) }
        })?;
        Ok(read < wanted)
    }

    fn grow(&mut self) -> Result<(), InputError> {
        if self.block == RECORD_BYTES_MAX {
            return Err(InputError { message: format!("{}: a record is longer than 2 GiB", self.name) });
        }
        self.block = (self.block + self.block * 3 / 10 + 1).min(RECORD_BYTES_MAX);
        Ok(())
    }

    fn read_header(&mut self) -> Result<(), InputError> {
        loop {
            let ended = self.fill()?;
            let line = match memchr::memchr(b'\n', &self.buffer) {
                Some(at) => at + 1,
                None if ended => self.buffer.len(),
                None => {
                    self.grow()?;
                    continue;
                }
            };
            self.header = Header::Line(self.buffer.drain(..line).collect());
            return Ok(());
        }
    }

    fn without_separators<'b>(&self, block: &'b [u8]) -> Cow<'b, [u8]> {
        let mut out = Vec::with_capacity(block.len());
        let mut from = 0;
        if !self.between.is_empty() {
            for at in memmem::find_iter(block, &self.between) {
                out.extend_from_slice(&block[from..at]);
                from = at + self.between.len();
            }
        }
        out.extend_from_slice(&block[from..]);
        if out.starts_with(&self.cut.start) {
            out.drain(..self.cut.start.len());
        }
        if out.ends_with(&self.cut.end) {
            out.truncate(out.len() - self.cut.end.len());
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> RecordCut {
        RecordCut { end: b"\n".to_vec(), start: Vec::new(), records: None, lines: None, remove: false }
    }

    fn blocks(text: &str, cut: RecordCut, block: u64, header: bool) -> Vec<String> {
        let mut reader = BlockReader::new(text.as_bytes(), "stdin".into(), cut, block, header);
        let mut blocks = Vec::new();
        while let Some((header, block)) = reader.next().unwrap() {
            blocks.push(String::from_utf8([header, &block].concat()).unwrap());
        }
        blocks
    }

    /// The blocks are those that GNU parallel 20221122 makes.
    #[test]
    fn records_are_never_cut() {
        let numbers: String = (1..=10).map(|number| format!("{number}\n")).collect();
        assert_eq!(blocks(&numbers, lines(), 10, false), ["1\n2\n3\n4\n5\n", "6\n7\n8\n9\n", "10\n"]);
        assert_eq!(blocks("a\nb", lines(), 100, false), ["a\nb"]);
        assert_eq!(blocks("", lines(), 100, false), Vec::<String>::new());
        assert_eq!(
            blocks("long\nx\nlonger yet\ny\n", lines(), 3, false).concat(),
            "long\nx\nlonger yet\ny\n"
        );
        assert_eq!(blocks("abcdef", RecordCut { end: Vec::new(), ..lines() }, 4, false), ["abcd", "ef"]);
    }

    #[test]
    fn so_many_records_or_lines_make_a_block() {
        let numbers: String = (1..=10).map(|number| format!("{number}\n")).collect();
        let cut = RecordCut { records: Some(3), ..lines() };
        for block in [4, 1000] {
            assert_eq!(
                blocks(&numbers, cut.clone(), block, false),
                ["1\n2\n3\n", "4\n5\n6\n", "7\n8\n9\n", "10\n"]
            );
        }
        let cut = RecordCut { lines: Some(3), ..lines() };
        assert_eq!(blocks(&numbers, cut, 1000, false), ["1\n2\n3\n4\n5\n6\n7\n8\n9\n", "10\n"]);
        let cut = RecordCut { end: Vec::new(), start: b">".to_vec(), records: Some(1), ..lines() };
        assert_eq!(blocks(">a\nx\n>b\ny\n", cut, 1000, false), [">a\nx\n", ">b\ny\n"]);
    }

    #[test]
    fn headers_are_repeated_and_separators_removed() {
        let cut = RecordCut { records: Some(1), ..lines() };
        assert_eq!(blocks("h\n1\n2\n", cut, 1000, true), ["h\n1\n", "h\n2\n"]);
        let cut = RecordCut { end: b";".to_vec(), records: Some(1), remove: true, ..lines() };
        assert_eq!(blocks("a;b;c", cut, 1000, false), ["a", "b", "c"]);
    }
}
