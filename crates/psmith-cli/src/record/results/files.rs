//! Files of results, one for each job, at a path made from its inputs; stderr, if there is any, beside it in `.err`.
//!
//! An input's part of the path never leads out of the directory that the user wrote: no `..`, no path from the root, no
//! symlink on the way. A name is used once in a run.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::super::stream::{CopyError, copy};
use super::super::{JobStreams, RecordError, RecordErrorKind, Stream};
use super::name_set::NameSet;
use psmith_report::display::visible;

/// The longest name that the kernel accepts.
const NAME_BYTES_MAX: usize = 255;
const STDERR_END: &[u8] = b".err";
/// The width at which a path in a message is cut.
const SHOWN_COLUMNS_MAX: usize = 120;

#[derive(Debug)]
pub(super) struct Files {
    /// The directory that the user wrote, up to the first placeholder, and its descriptor.
    base: Vec<u8>,
    directory: OwnedFd,
    names: NameSet,
}

/// A path below the base.
struct ResultPath<'a> {
    parents: Vec<&'a [u8]>,
    name: &'a [u8],
}

impl Files {
    pub(super) fn open(fixed_start: &[u8]) -> Result<Files, RecordError> {
        let slash = fixed_start.iter().rposition(|&byte| byte == b'/');
        let base = slash.map_or(&b""[..], |slash| &fixed_start[..=slash]).to_vec();
        let path = if base.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(&base)) };
        fs::create_dir_all(path).map_err(|source| RecordError::not_writable(path, source))?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let directory = openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| RecordError::not_writable(path, errno.into()))?;
        Ok(Files { base, directory, names: NameSet::default() })
    }

    pub(super) fn claim(&mut self, path: &[u8]) -> Result<(), RecordError> {
        let place = place_of(&self.base, path)?;
        let mut name = [place.parents.join(&b'/'), place.name.to_vec()].join(&b'/');
        let mut is_new = self.insert(&name)?;
        name.extend_from_slice(STDERR_END);
        is_new &= self.insert(&name)?;
        if !is_new {
            return Err(refused(path, "is used by another job"));
        }
        self.open_parent(path, &place).map(drop)
    }

    pub(super) fn write(
        &mut self,
        job: u64,
        streams: &mut JobStreams<'_>,
        path: &[u8],
    ) -> Result<(), RecordError> {
        let place = place_of(&self.base, path)?;
        let parent = self.open_parent(path, &place)?;
        write_file(job, &parent, place.name, path, streams.stdout)?;
        let beside = [place.name, STDERR_END].concat();
        let beside_path = [path, STDERR_END].concat();
        if is_empty(job, streams.stderr)? {
            // A file of an earlier run would be read as this one's.
            return match unlinkat(&parent, OsStr::from_bytes(&beside), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(not_writable(&beside_path, errno.into())),
            };
        }
        write_file(job, &parent, &beside, &beside_path, streams.stderr)
    }

    fn insert(&mut self, name: &[u8]) -> Result<bool, RecordError> {
        self.names.insert(name).map_err(|source| RecordError::not_writable(&std::env::temp_dir(), source))
    }

    /// Opens the directory of a file, made if it is missing, one step at a time and through no symlink.
    fn open_parent(&self, path: &[u8], place: &ResultPath<'_>) -> Result<OwnedFd, RecordError> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let cannot = |errno: Errno| not_writable(path, errno.into());
        let mut directory = self.directory.try_clone().map_err(|source| not_writable(path, source))?;
        for parent in &place.parents {
            let name = OsStr::from_bytes(parent);
            let opened = match openat(&directory, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    match mkdirat(&directory, name, Mode::from_raw_mode(0o777)) {
                        // Another run may have made it meanwhile.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(cannot(errno)),
                    }
                    openat(&directory, name, flags, Mode::empty())
                }
                opened => opened,
            };
            directory = match opened {
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let shown = visible(parent, SHOWN_COLUMNS_MAX);
                    return Err(refused(path, &format!("goes through '{shown}', which is no directory")));
                }
                opened => opened.map_err(cannot)?,
            };
        }
        Ok(directory)
    }
}

/// Splits a rendered path, and refuses one that the user cannot have meant.
fn place_of<'a>(base: &[u8], path: &'a [u8]) -> Result<ResultPath<'a>, RecordError> {
    let below = match path.strip_prefix(base) {
        Some(below) if !below.starts_with(b"/") => below,
        _ => return Err(refused(path, "leaves its directory: an input begins with '/'")),
    };
    if below.contains(&0) {
        return Err(refused(path, "holds a NUL byte"));
    }
    let mut parents: Vec<&[u8]> = below.split(|&byte| byte == b'/').collect();
    let name = parents.pop().unwrap_or_default();
    if parents.iter().chain([&name]).any(|part| *part == b"..") {
        return Err(refused(path, "leaves its directory by '..'"));
    }
    if name.is_empty() || name == b"." {
        return Err(refused(path, "names no file"));
    }
    if parents.iter().any(|part| part.len() > NAME_BYTES_MAX)
        || name.len() + STDERR_END.len() > NAME_BYTES_MAX
    {
        return Err(refused(path, "has a name longer than 255 bytes"));
    }
    parents.retain(|part| !part.is_empty() && *part != b".");
    Ok(ResultPath { parents, name })
}

/// Writes a file under a name of its own, then renames it. A symlink of that name is replaced, never followed.
fn write_file(
    job: u64,
    parent: &OwnedFd,
    name: &[u8],
    path: &[u8],
    stream: &mut dyn Stream,
) -> Result<(), RecordError> {
    let growing = format!(".psmith-{}-{job}", std::process::id());
    let make = || {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(parent, &*growing, flags, Mode::from_raw_mode(0o666))
    };
    let made = match make() {
        Err(Errno::EXIST) => unlinkat(parent, &*growing, AtFlags::empty()).and_then(|()| make()),
        made => made,
    };
    let mut file = File::from(made.map_err(|errno| not_writable(path, errno.into()))?);
    let written = copy(stream, &mut file).and_then(|()| {
        renameat(parent, &*growing, parent, OsStr::from_bytes(name))
            .map_err(|errno| CopyError::Write(errno.into()))
    });
    written.map_err(|error| {
        // The first error is the one reported.
        let _ = unlinkat(parent, &*growing, AtFlags::empty());
        error.into_record(job, &PathBuf::from(OsStr::from_bytes(path)))
    })
}

fn is_empty(job: u64, stream: &mut dyn Stream) -> Result<bool, RecordError> {
    let length = stream.seek(std::io::SeekFrom::End(0)).map_err(|source| RecordError::spool(job, source))?;
    Ok(length == 0)
}

fn not_writable(path: &[u8], source: std::io::Error) -> RecordError {
    RecordError::not_writable(Path::new(OsStr::from_bytes(path)), source)
}

fn refused(path: &[u8], why: &str) -> RecordError {
    let shown = visible(path, SHOWN_COLUMNS_MAX);
    RecordError::new(RecordErrorKind::Job, format!("--results: '{shown}' {why}"))
}
