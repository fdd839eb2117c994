//! The error of a refused operation, in words that tell an administrator where to look.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A refused operation: the operation, the file, and the kernel's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupError {
    /// The verb, as `create` or `write 5000 to`.
    pub doing: String,
    /// The file.
    pub path: PathBuf,
    /// The kernel's error number.
    pub errno: i32,
}

impl CgroupError {
    pub(super) fn new(doing: impl Into<String>, path: &Path, error: &io::Error) -> Self {
        CgroupError {
            doing: doing.into(),
            path: path.into(),
            errno: error.raw_os_error().unwrap_or(libc::EINVAL),
        }
    }

    pub(super) fn missing(doing: &str, path: &Path, errno: i32) -> Self {
        CgroupError { doing: doing.into(), path: path.into(), errno }
    }
}

impl fmt::Display for CgroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = io::Error::from_raw_os_error(self.errno);
        write!(f, "{} {}: {error}", self.doing, self.path.display())
    }
}

impl std::error::Error for CgroupError {}

impl From<CgroupError> for io::Error {
    fn from(refusal: CgroupError) -> Self {
        // The number stays readable (`raw_os_error`), because callers distinguish back-off from failure by it.
        io::Error::from_raw_os_error(refusal.errno)
    }
}
