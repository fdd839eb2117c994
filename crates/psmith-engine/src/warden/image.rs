//! The program that is executed as the warden: this very image, or one that was named where this code is no part of the
//! program that runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use psmith_sys::executable::{self, ImagePlace};
use psmith_sys::probe;

use crate::refused::refused;

/// The program image of this very process, even if its file was replaced or removed.
const OWN: &str = "/proc/self/exe";

/// The program that was named.
static NAMED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Has this program be executed as the warden where this code is not part of the program that runs.
pub(crate) fn name(path: PathBuf) {
    *NAMED.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
}

/// The program that is executed as the warden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WardenImage {
    /// This very image, which can run functions.
    Current,
    /// A program that was named, for commands alone.
    Named(PathBuf),
}

impl WardenImage {
    /// Finds the program.
    ///
    /// # Errors
    /// There is none, in one line.
    pub fn find() -> io::Result<WardenImage> {
        let place = executable::place().map_err(|error| no_proc(Path::new(OWN)).unwrap_or(error))?;
        match (place, NAMED.lock().unwrap_or_else(PoisonError::into_inner).clone()) {
            (ImagePlace::Executable, _) => Ok(WardenImage::Current),
            (_, Some(path)) => Ok(WardenImage::Named(path)),
            (ImagePlace::Interpreted(loader), None) => Err(io::Error::other(format!(
                "this program was started through {}, and execve of {OWN}, to start the warden, would start that \
                 again: start the program itself (psmith doctor says more)",
                loader.display()
            ))),
            (ImagePlace::Library, None) => Err(io::Error::other(
                "psmith lies in a shared library of this program, which therefore cannot be executed again as a \
                 warden: run jobs from a program that psmith is linked into, or, for commands alone, name one as \
                 init().warden_program(..)",
            )),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            WardenImage::Current => Path::new(OWN),
            WardenImage::Named(path) => path,
        }
    }

    /// Returns whether it is another program than this one.
    #[must_use]
    pub fn is_named(&self) -> bool {
        *self != WardenImage::Current
    }

    /// Returns why the program was not started: an error alone does not tell which of several calls it is of.
    pub(crate) fn not_started(&self, error: io::Error) -> io::Error {
        let execve = format!("execve of {}", self.path().display());
        if let Some(error) = no_proc(self.path()) {
            return error;
        }
        if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/null") {
            return refused("open of /dev/null", "for the standard streams of the warden and of jobs", error);
        }
        let call = if probe::refuses_clone3() { "clone3" } else { execve.as_str() };
        refused(call, "to start the warden, which starts all jobs", error)
    }
}

/// Returns the error of a path below `/proc` where that is not mounted.
fn no_proc(path: &Path) -> Option<io::Error> {
    let is_missing = path.starts_with("/proc") && std::fs::symlink_metadata(path).is_err();
    is_missing.then(|| {
        let error = io::Error::other("/proc is not mounted");
        refused(&format!("execve of {}", path.display()), "to start the warden, which starts all jobs", error)
    })
}
