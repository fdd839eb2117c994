//! The end of the last whole record of a file, so that a torn one can be cut off before the next is appended.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};

/// Returns the offset after the last newline, outside of `"` quotes if `quoted` (they may hold newlines).
pub(crate) fn whole_until(file: &File, quoted: bool) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    reader.seek(SeekFrom::Start(0))?;
    let (mut offset, mut whole, mut inside) = (0u64, 0u64, false);
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(whole);
        }
        for found in memchr::memchr2_iter(b'"', b'\n', chunk) {
            if chunk[found] == b'"' {
                inside = quoted && !inside;
            } else if !inside {
                whole = offset + found as u64 + 1;
            }
        }
        let length = chunk.len();
        offset += length as u64;
        reader.consume(length);
    }
}
