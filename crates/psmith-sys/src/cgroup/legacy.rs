//! Groups of the first version: limits only. They have neither events nor a kill.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::CgroupError;

/// A directory in one hierarchy of the first version.
#[derive(Debug)]
pub(super) struct LegacyGroup {
    pub(super) path: PathBuf,
    procs: OwnedFd,
}

impl LegacyGroup {
    pub(super) fn create(path: &Path) -> Result<Self, CgroupError> {
        fs::create_dir(path).map_err(|error| CgroupError::new("create", path, &error))?;
        let procs = path.join("cgroup.procs");
        match rustix::fs::open(&procs, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(procs) => Ok(LegacyGroup { path: path.into(), procs }),
            Err(errno) => {
                let _ = fs::remove_dir(path);
                Err(CgroupError::new("open", &procs, &errno.into()))
            }
        }
    }

    pub(super) fn procs_file(&self) -> BorrowedFd<'_> {
        self.procs.as_fd()
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        super::group::remove_below(&self.path)
    }
}
