//! Remedies where control groups or orphans are refused: commands to type, steps to take. Carries none of them out.

use std::path::Path;

use psmith_sys::cgroup::CgroupError;
use psmith_sys::executable::{self, ImagePlace};
use psmith_sys::{forbid, probe};

/// The kernel's error numbers that tell one refusal from another.
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const EXDEV: i32 = 18;
const EROFS: i32 = 30;
const ENOSYS: i32 = 38;

/// Returns the remedy for a refused control group.
pub(super) fn of_groups(refusal: &CgroupError) -> String {
    if is_forbidden() {
        return unset();
    }
    cure(refusal.errno, is_container()).to_owned()
}

/// Returns the remedy where orphans are not adopted or not found.
pub(super) fn of_adoption() -> String {
    if is_forbidden() {
        return unset();
    }
    "mount /proc without hidepid, and allow prctl in the seccomp profile".to_owned()
}

/// Returns the remedy where no keeper is to be had: what keeps a warden from starting keeps a keeper, too.
pub(super) fn of_keeper() -> String {
    if is_forbidden() || (probe::refused_calls().is_empty() && has_proc_and_null()) {
        return of_adoption();
    }
    of_warden()
}

/// Returns the remedy where no warden starts, by what is seen to be wrong.
pub(super) fn of_warden() -> String {
    let refused = probe::refused_calls();
    if let Some((name, error)) = refused.first() {
        return of_calls(name, error);
    }
    if !Path::new("/proc/self/exe").exists() {
        return "mount -t proc proc /proc".to_owned();
    }
    if !has_proc_and_null() {
        return "mknod -m 666 /dev/null c 1 3, or start the container with a /dev".to_owned();
    }
    match executable::place() {
        Ok(ImagePlace::Interpreted(loader)) => {
            format!("start the program itself, not through {}", loader.display())
        }
        _ => "keep the program on a file system without noexec, readable for this user".to_owned(),
    }
}

/// Returns the remedy where calls are refused.
pub(super) fn of_calls(names: &str, error: &std::io::Error) -> String {
    let profile =
        format!("allow {names} in the seccomp profile (for a try: --security-opt seccomp=unconfined)");
    if error.raw_os_error() == Some(ENOSYS) {
        format!("{profile}, or use Linux 5.10 or later")
    } else {
        profile
    }
}

fn has_proc_and_null() -> bool {
    Path::new("/proc/self/exe").exists()
        && std::fs::File::options().read(true).write(true).open("/dev/null").is_ok()
}

fn cure(errno: i32, is_container: bool) -> &'static str {
    match errno {
        EROFS | EXDEV | EACCES | EPERM if is_container => {
            "start the container with --cgroupns=private and /sys/fs/cgroup mounted writable"
        }
        EROFS => "mount -o remount,rw /sys/fs/cgroup",
        EACCES | EPERM => "systemd-run --user --scope -p Delegate=yes psmith ..",
        ENOENT | EXDEV => {
            "boot with cgroup version 2, or as root: mkdir -p /sys/fs/cgroup/unified && \
             mount -t cgroup2 none /sys/fs/cgroup/unified"
        }
        _ => "run in a group of its own: systemd-run --scope -p Delegate=yes psmith ..",
    }
}

fn is_forbidden() -> bool {
    std::env::var_os(forbid::VARIABLE).is_some_and(|list| !list.is_empty())
}

fn unset() -> String {
    format!("unset {}", forbid::VARIABLE)
}

/// Returns whether Docker or Podman left its marks on this system.
fn is_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_gets_the_remedy_mount_and_a_user_delegation() {
        assert!(cure(EROFS, true).contains("--cgroupns=private"));
        assert!(cure(EROFS, false).contains("remount,rw"));
        assert!(cure(EACCES, false).contains("Delegate=yes"));
        assert!(cure(ENOENT, false).contains("mount -t cgroup2"));
        assert!(cure(95, false).contains("systemd-run --scope"));
    }
}
