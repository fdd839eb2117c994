//! A file that appears whole or not at all: written beside its place and moved there.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::RecordError;

/// A place for a file. It is checked before the run, while an error can still be reported.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    /// True for a pipe or a device, which is written as it is: no file can be moved into its place.
    plain: bool,
}

impl WholeFile {
    /// Checks that the file can be written, and writes nothing.
    ///
    /// # Errors
    /// Fails if it is a directory, or the directory around it takes no file.
    pub(crate) fn prepare(path: &Path) -> Result<WholeFile, RecordError> {
        let not_writable = |source| RecordError::not_writable(path, source);
        // A link is followed: its target is replaced, and the link stays.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let kind = fs::metadata(&path).ok();
        if kind.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(not_writable(std::io::ErrorKind::IsADirectory.into()));
        }
        let plain = kind.is_some_and(|kind| !kind.is_file());
        if !plain {
            tempfile::NamedTempFile::new_in(directory(&path)).map_err(not_writable)?;
        }
        Ok(WholeFile { path, plain })
    }

    /// Writes the file, with the mode that a new file has here.
    ///
    /// # Errors
    /// Fails if it cannot be written, synced or moved; what was there before is then as it was.
    pub(crate) fn write(&self, content: &[u8]) -> Result<(), RecordError> {
        let written = if self.plain {
            File::options().write(true).open(&self.path).and_then(|mut file| file.write_all(content))
        } else {
            self.replace(content)
        };
        written.map_err(|source| RecordError::not_writable(&self.path, source))
    }

    fn replace(&self, content: &[u8]) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        // The umask removes from this mode what it removes from any new file.
        let mode = fs::Permissions::from_mode(0o666);
        let mut growing = tempfile::Builder::new()
            .prefix(".psmith-")
            .permissions(mode)
            .tempfile_in(directory(&self.path))?;
        growing.write_all(content)?;
        growing.as_file().sync_all()?;
        growing.persist(&self.path).map(drop).map_err(|error| error.error)
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}
