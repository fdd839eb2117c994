//! Redirection of standard output and error to files for a piece of code and its children. A board keeps its own
//! stream.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set while a redirection lasts: standard output and error belong to the process and can lead to one place at a time.
static IS_REDIRECTED: AtomicBool = AtomicBool::new(false);

/// Runs `f` with the process's standard output and error appended to `base.out` and `base.err`, and returns what it
/// returns. Missing files and directories are made. Afterwards, also after a panic, both streams lead where they led
/// before.
///
/// The redirection holds for the whole process: output of other threads meanwhile goes to the files too.
///
/// # Errors
///
/// Fails if a file or directory cannot be made, and with [`io::ErrorKind::ResourceBusy`] while another redirection
/// lasts. Then `f` was not run.
///
/// ```no_run
/// let sum = psmith::board::redirect("logs/import", || {
///     println!("this line stands in logs/import.out");
///     1 + 1
/// })?;
/// assert_eq!(sum, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn redirect<T>(base: impl AsRef<Path>, f: impl FnOnce() -> T) -> io::Result<T> {
    let claim = Claim::new()?;
    let base = base.as_ref();
    if let Some(parent) = base.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    let (out, err) = (open(base, ".out")?, open(base, ".err")?);
    let before = (io::stdout().as_fd().try_clone_to_owned()?, io::stderr().as_fd().try_clone_to_owned()?);
    let restore = Restore { before, _claim: claim };
    // Output from before belongs where it led then. An error of a closed stream is ignored here.
    let _ = io::stdout().flush();
    rustix::stdio::dup2_stdout(&out)?;
    rustix::stdio::dup2_stderr(&err)?;
    let value = f();
    drop(restore);
    Ok(value)
}

fn open(base: &Path, ending: &str) -> io::Result<File> {
    let mut path = OsString::from(base);
    path.push(ending);
    File::options().append(true).create(true).open(PathBuf::from(path))
}

/// The right to redirect; one exists at a time.
struct Claim;

impl Claim {
    fn new() -> io::Result<Claim> {
        if IS_REDIRECTED.swap(true, Ordering::Acquire) {
            let message = "standard output is redirected already";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        Ok(Claim)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        IS_REDIRECTED.store(false, Ordering::Release);
    }
}

struct Restore {
    before: (OwnedFd, OwnedFd),
    _claim: Claim,
}

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = io::stdout().flush();
        // Both descriptors are open, so this can fail only by a signal, and then it is done all the same.
        let _ = rustix::stdio::dup2_stdout(&self.before.0);
        let _ = rustix::stdio::dup2_stderr(&self.before.1);
    }
}
