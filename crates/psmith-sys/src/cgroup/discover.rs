//! The mount points of the hierarchies, and the place of this process in them.

use std::fs;
use std::path::{Path, PathBuf};

use super::CgroupError;
use crate::forbid::{KernelFacility, is_forbidden};

/// A mounted hierarchy and this process's group in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// The directory where it is mounted.
    pub mount: PathBuf,
    /// The directory of this process's own group.
    pub own: PathBuf,
}

impl Hierarchy {
    /// Returns the places where a new group may be made: the own group, then its ancestors.
    pub fn candidates(&self) -> impl Iterator<Item = &Path> {
        self.own.ancestors().take_while(|path| path.starts_with(&self.mount))
    }
}

/// Returns the hierarchy of the second version; on hybrid hosts it has few controllers or none.
///
/// # Errors
/// Where it is not mounted, or this process's group is outside of what is mounted.
pub fn unified() -> Result<Hierarchy, CgroupError> {
    find(|mount| mount.is_unified, "cgroup2", own_unified)
}

/// Returns the hierarchy of the first version that has `controller`.
///
/// # Errors
/// As [`unified`].
pub fn legacy(controller: &str) -> Result<Hierarchy, CgroupError> {
    let has =
        |mount: &Mount| !mount.is_unified && mount.options.split(',').any(|option| option == controller);
    find(has, controller, |text| own_legacy(text, controller))
}

const MOUNTS: &str = "/proc/self/mountinfo";
const GROUPS: &str = "/proc/self/cgroup";

fn find(
    is_wanted: impl Fn(&Mount) -> bool,
    what: &str,
    own: impl Fn(&str) -> Option<&str>,
) -> Result<Hierarchy, CgroupError> {
    if is_forbidden(KernelFacility::Cgroup) {
        return Err(CgroupError::missing(
            "use of control groups is forbidden by",
            Path::new(crate::forbid::VARIABLE),
            libc::EPERM,
        ));
    }
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|error| CgroupError::new("read", Path::new(path), &error))
    };
    let (mounts, groups) = (read(MOUNTS)?, read(GROUPS)?);
    let looking_for = |errno| CgroupError::missing(&format!("find {what} in"), Path::new(MOUNTS), errno);
    let own = own(&groups).ok_or_else(|| looking_for(libc::ENOENT))?;
    let mut is_mounted = false;
    for mount in mounts.lines().filter_map(parse_mount).filter(is_wanted) {
        is_mounted = true;
        if let Some(hierarchy) = place(&mount, own) {
            return Ok(hierarchy);
        }
    }
    Err(looking_for(if is_mounted { libc::EXDEV } else { libc::ENOENT }))
}

/// Returns the file of a group, by the part of the hierarchy that this mount shows.
fn place(mount: &Mount, own: &str) -> Option<Hierarchy> {
    let inside = Path::new(own).strip_prefix(&mount.root).ok()?;
    // A group outside of this cgroup namespace is shown as `/../..`.
    if inside.components().any(|part| part == std::path::Component::ParentDir) {
        return None;
    }
    let own = if inside.as_os_str().is_empty() { mount.point.clone() } else { mount.point.join(inside) };
    Some(Hierarchy { mount: mount.point.clone(), own })
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    root: PathBuf,
    point: PathBuf,
    is_unified: bool,
    options: String,
}

/// Parses a line of mountinfo: id, parent, device, root, point, options, optional fields, `-`, type, source, super
/// options.
fn parse_mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (unescape(left.next()?), unescape(left.next()?));
    let mut right = right.split(' ');
    let is_unified = match right.next()? {
        "cgroup2" => true,
        "cgroup" => false,
        _ => return None,
    };
    let options = right.nth(1)?.to_owned();
    Some(Mount { root, point, is_unified, options })
}

/// Returns the path of a field in which blanks, tabs, newlines and backslashes are written in octal, as `\040`.
fn unescape(word: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = word.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if bytes[at] == b'\\' => {
                plain.push(byte);
                at += 4;
            }
            _ => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(plain).into()
}

fn own_unified(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

fn own_legacy<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_own_groups_are_found_in_hybrid_hosts_and_containers() {
        let groups = "4:memory:/a/b\n2:cpu,cpuacct:/c\n1:name=systemd:/\n0::/user.slice/x\n";
        assert_eq!(own_unified(groups), Some("/user.slice/x"));
        assert_eq!(own_legacy(groups, "cpuacct"), Some("/c"));
        assert_eq!(own_legacy(groups, "pids"), None);

        let line = r"35 31 0:32 / /sys/fs/my\040cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory";
        let mount = parse_mount(line).unwrap();
        assert_eq!(mount.point, Path::new("/sys/fs/my cgroup/memory"));
        assert!(!mount.is_unified && mount.options == "rw,memory");
        let found = place(&mount, "/a/b").unwrap();
        let candidates: Vec<_> = found.candidates().map(|path| path.display().to_string()).collect();
        let base = "/sys/fs/my cgroup/memory";
        assert_eq!(candidates, [format!("{base}/a/b"), format!("{base}/a"), base.to_owned()]);

        // A container that shows its own part only.
        let line = "35 31 0:32 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate";
        let mount = parse_mount(line).unwrap();
        assert_eq!(place(&mount, "/docker/1").unwrap().own, Path::new("/sys/fs/cgroup"));
        assert_eq!(place(&mount, "/docker/2"), None);
        assert_eq!(place(&Mount { root: "/".into(), ..mount }, "/../x"), None);
        assert_eq!(parse_mount("1 2 0:3 / / rw - ext4 /dev/sda rw"), None);
    }
}
