//! The store in which a job's output waits for its turn: in memory while it is small, in an unlinked file once it is
//! not.
//!
//! A spool keeps every byte or reports why it cannot; it never cuts.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::io::Errno;

/// The size up to which a job's stream is kept in memory.
pub const MEMORY_BYTES_MAX: usize = 64 * 1024;

/// The most bytes that all spools of a run together keep in memory.
pub const MEMORY_BYTES_ALL_MAX: usize = 8 * 1024 * 1024;

/// The waiting output of a stream. Reading it ([`Spool::into_reader`]) returns the bytes in the order written.
#[derive(Debug, Default)]
pub struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
    /// The error number of a write that failed: from there on bytes are missing.
    torn: Option<i32>,
}

impl Spool {
    /// Returns the number of bytes that it holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the bytes, if they are all in memory.
    #[must_use]
    pub fn in_memory(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(&self.memory)
    }

    /// Returns the file that holds the bytes, positioned anywhere, if they are not in memory.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Returns a reader of all its bytes, from the first. Readers of shared spools do not disturb one another.
    ///
    /// If bytes could not be kept, reading fails where they are missing, so that a part is never taken for the whole.
    #[must_use]
    pub fn into_reader(self) -> SpoolReader {
        let kept = match self.file {
            None => Kept::Memory(io::Cursor::new(self.memory)),
            Some(file) => Kept::File { file, at: 0, length: self.length },
        };
        SpoolReader { kept, torn: self.torn }
    }

    /// Adds bytes. `budget` is the memory that all spools may still use; files are made in `dir`.
    pub fn append(&mut self, bytes: &[u8], budget: &mut usize, dir: &Path) -> io::Result<()> {
        if let Some(errno) = self.torn {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let kept = self.keep(bytes, budget, dir);
        match &kept {
            Ok(()) => self.length += bytes.len() as u64,
            Err(error) => self.torn = Some(error.raw_os_error().unwrap_or(Errno::IO.raw_os_error())),
        }
        kept
    }

    fn keep(&mut self, bytes: &[u8], budget: &mut usize, dir: &Path) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        if self.memory.len() + bytes.len() <= MEMORY_BYTES_MAX && bytes.len() <= *budget {
            *budget -= bytes.len();
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let mut file = unlinked_file(dir)?;
        file.write_all(&self.memory)?;
        *budget += self.memory.len();
        self.memory = Vec::new();
        self.file.insert(file).write_all(bytes)
    }

    /// Returns another spool of the same bytes.
    pub fn share(&self) -> io::Result<Spool> {
        let file = self.file.as_ref().map(File::try_clone).transpose()?;
        Ok(Spool { memory: self.memory.clone(), file, length: self.length, torn: self.torn })
    }

    /// Returns the memory that it gives back when it is dropped.
    pub fn memory_held(&self) -> usize {
        self.memory.len()
    }
}

/// A reader of a spool, from its first byte.
#[derive(Debug)]
pub struct SpoolReader {
    kept: Kept,
    torn: Option<i32>,
}

#[derive(Debug)]
enum Kept {
    Memory(io::Cursor<Vec<u8>>),
    /// A file, whose own position is not used. A file that ends before its length is an error, never a short read.
    File {
        file: File,
        at: u64,
        length: u64,
    },
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.kept {
            Kept::Memory(cursor) => cursor.read(buffer)?,
            Kept::File { at, length, .. } if at == length => 0,
            Kept::File { file, at, length } => {
                let wanted = usize::try_from(*length - *at).unwrap_or(usize::MAX).min(buffer.len());
                let read = file.read_at(&mut buffer[..wanted], *at)?;
                if read == 0 && wanted > 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *at += read as u64;
                read
            }
        };
        match self.torn {
            Some(errno) if read == 0 && !buffer.is_empty() => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(read),
        }
    }
}

impl Seek for SpoolReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.kept {
            Kept::Memory(cursor) => cursor.seek(to),
            Kept::File { at, length, .. } => {
                let place = match to {
                    SeekFrom::Start(offset) => Some(offset),
                    SeekFrom::End(offset) => length.checked_add_signed(offset),
                    SeekFrom::Current(offset) => at.checked_add_signed(offset),
                };
                *at = place.ok_or(io::ErrorKind::InvalidInput)?.min(*length);
                Ok(*at)
            }
        }
    }
}

/// Makes a file without a name: it is removed with its last descriptor, whatever happens to this process.
pub fn unlinked_file(dir: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => Ok(File::from(fd)),
        // Some file systems have no O_TMPFILE: make a named file, and unlink it at once.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => named_then_unlinked(dir),
        Err(error) => Err(error.into()),
    }
}

fn named_then_unlinked(dir: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut random = [0_u8; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let path = dir.join(format!(".psmith-spool-{:016x}", u64::from_ne_bytes(random)));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(spool: Spool) -> Vec<u8> {
        let mut bytes = Vec::new();
        spool.into_reader().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn small_output_stays_in_memory_and_large_output_goes_to_a_file_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let mut budget = MEMORY_BYTES_ALL_MAX;
        let mut spool = Spool::default();
        let mut expected = Vec::new();
        for round in 0..40_u8 {
            let chunk = vec![round; 4000];
            spool.append(&chunk, &mut budget, dir.path()).unwrap();
            expected.extend_from_slice(&chunk);
            let small = expected.len() <= MEMORY_BYTES_MAX;
            assert_eq!(spool.in_memory().is_some(), small);
            assert_eq!(budget, MEMORY_BYTES_ALL_MAX - if small { expected.len() } else { 0 });
        }
        assert_eq!(spool.len(), expected.len() as u64);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a spool has no name");
        assert!(all(spool) == expected);
    }

    #[test]
    fn an_empty_budget_sends_even_small_output_to_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut budget = 3;
        let mut spool = Spool::default();
        spool.append(b"abc", &mut budget, dir.path()).unwrap();
        spool.append(b"d", &mut budget, dir.path()).unwrap();
        assert_eq!((budget, spool.in_memory()), (3, None));
        assert_eq!(all(spool), b"abcd");
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_not_a_loss() {
        let mut budget = 0;
        assert!(Spool::default().append(b"x", &mut budget, Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn where_bytes_are_missing_reading_fails_and_nothing_is_added_any_more() {
        let mut spool = Spool::default();
        let mut budget = 3;
        spool.append(b"abc", &mut budget, Path::new("/nonexistent")).unwrap();
        spool.append(b"lost", &mut budget, Path::new("/nonexistent")).unwrap_err();
        let mut ample = MEMORY_BYTES_ALL_MAX;
        spool.append(b"later", &mut ample, Path::new("/")).unwrap_err();
        let mut bytes = Vec::new();
        let error = spool.into_reader().read_to_end(&mut bytes).unwrap_err();
        assert_eq!((bytes.as_slice(), error.kind()), (&b"abc"[..], io::ErrorKind::NotFound));
    }
}
