//! Cutter of a regular file into parts by offsets. Of the file only the surroundings of each cut are read.

use std::fs::File;
use std::os::unix::fs::FileExt;

use memchr::memmem;

use super::spec::{BlockSize, RecordCut};
use crate::input::InputError;
use crate::report::display::os_text;

/// The number of bytes that are looked through at once.
const LOOK_BYTES: usize = 128 << 10;

/// A file that is cut into parts.
#[derive(Debug)]
pub(super) struct PartReader {
    name: String,
    end_len: u64,
    between: Vec<u8>,
    size: u64,
    block: u64,
    /// The start of the next part.
    start: u64,
}

impl PartReader {
    /// Cuts a file, called `name` in messages, from `start` on.
    pub(super) fn new(
        file: &File,
        name: String,
        cut: &RecordCut,
        block: BlockSize,
        slots: u32,
    ) -> Result<PartReader, InputError> {
        let metadata = file.metadata().map_err(|error| unreadable(&name, &error))?;
        if !metadata.is_file() {
            return Err(InputError {
                message: format!("{name} is no regular file: --pipe-part reads by offsets, --pipe reads any"),
            });
        }
        let size = metadata.len();
        let block = match block {
            BlockSize::Bytes(bytes) => bytes,
            BlockSize::PerSlot(count) => 1 + size / u64::from(slots) / count,
        };
        let between = [&cut.end[..], &cut.start[..]].concat();
        Ok(PartReader { name, end_len: cut.end.len() as u64, between, size, block, start: 0 })
    }

    /// Reads the first line, which is then in no part.
    pub(super) fn take_header(&mut self, file: &File) -> Result<Vec<u8>, InputError> {
        let end = self.find(file, 0, b"\n")?.map_or(self.size, |at| at + 1);
        let mut header = vec![0; usize::try_from(end).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut header, 0).map_err(|error| unreadable(&self.name, &error))?;
        self.start = end;
        Ok(header)
    }

    /// Returns the next part, by its offsets.
    pub(super) fn next(&mut self, file: &File) -> Result<Option<(u64, u64)>, InputError> {
        let start = self.start;
        if start >= self.size {
            return Ok(None);
        }
        let about = start.saturating_add(self.block);
        let end = match &self.between[..] {
            _ if about >= self.size => None,
            [] => Some(about),
            between => self.find(file, about, between)?.map(|at| at + self.end_len),
        };
        self.start = end.unwrap_or(self.size);
        Ok(Some((start, self.start)))
    }

    fn find(&self, file: &File, from: u64, text: &[u8]) -> Result<Option<u64>, InputError> {
        let finder = memmem::Finder::new(text);
        let mut buffer = vec![0; LOOK_BYTES.max(2 * text.len())];
        let mut at = from;
        loop {
            let read = file.read_at(&mut buffer, at).map_err(|error| unreadable(&self.name, &error))?;
            if let Some(found) = finder.find(&buffer[..read]) {
                return Ok(Some(at + found as u64));
            }
            // The text may lie across two looks.
            let step = (read + 1).saturating_sub(text.len());
            if read == 0 || step == 0 {
                return Ok(None);
            }
            at += step as u64;
        }
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> InputError {
    InputError { message: format!("cannot read {name}: {}", os_text(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn parts_end_with_records_and_make_up_the_file() {
        let text: String = (0..50_000).map(|number| format!("{number}\r\n")).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        for (block, start) in [(1, ""), (1000, ""), (200_000, "1"), (1 << 30, "")] {
            let cut = RecordCut {
                end: b"\r\n".to_vec(),
                start: start.into(),
                records: None,
                lines: None,
                remove: false,
            };
            let mut reader = PartReader::new(&file, "f".into(), &cut, BlockSize::Bytes(block), 1).unwrap();
            let mut at = 0;
            while let Some((from, to)) = reader.next(&file).unwrap() {
                assert!(from == at && to > from);
                let part = &text[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
                assert!(part.ends_with("\r\n") && (from == 0 || part.starts_with(start)), "{block}");
                at = to;
            }
            assert_eq!(at, text.len() as u64);
        }
    }
}
