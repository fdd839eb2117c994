//! The amounts that this machine and this user have: descriptors, processes, processors, disk space, a terminal.
//! Changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use psmith_sys::cgroup;
use psmith_sys::rlimit::{self, Resource, UNLIMITED};
use psmith_sys::terminal;
use rustix::fs::{Mode, OFlags};

use crate::engine::slots_by_descriptors;
use crate::facilities::Facility;

/// The number of processes per processor that a full run is taken to need: a job is one at least, and mostly a few.
const PROCESSES_PER_CPU: u64 = 16;

/// The oldest kernel that psmith is made for and tested on.
const KERNEL_MIN: (u32, u32) = (5, 10);

/// The kernel's number of a file system in memory.
const TMPFS_MAGIC: u64 = 0x0102_1994;

pub(super) fn descriptors() -> Facility {
    let facility = Facility::new("descriptors", "each slot takes some of the host's descriptors");
    let limit = match rlimit::get(Resource::OpenFiles) {
        Ok(limit) => limit,
        Err(error) => return facility.missing(error, "allow prlimit64 in the seccomp profile"),
    };
    // A run raises its own soft limit to the hard one, so that one is what counts.
    let slots = slots_by_descriptors(limit.hard);
    let cpus = u32::try_from(cgroup::cpus()).unwrap_or(u32::MAX);
    let number = if limit.hard == UNLIMITED { "no limit".to_owned() } else { limit.hard.to_string() };
    let facility = facility.found(format!("{number}: {slots} slots"));
    if slots < cpus {
        let reason = format!("they suffice for {slots} slots, and there are {cpus} CPUs");
        facility.degraded(reason, "as root: ulimit -Hn 65536, or LimitNOFILE= of the service")
    } else {
        facility
    }
}

pub(super) fn processes() -> Facility {
    let facility = Facility::new("processes", "jobs can be started beside what runs already");
    let mut bounds = vec![
        Bound::of_file("pid_max of the kernel", "/proc/sys/kernel/pid_max", pids_in_use()),
        Bound::of_file("threads-max of the kernel", "/proc/sys/kernel/threads-max", pids_in_use()),
        Bound::of_user(),
    ];
    bounds.extend(group_bounds());
    let Some(tightest) = bounds.into_iter().flatten().min_by_key(Bound::room) else {
        return facility.found("no bound is known");
    };
    let wanted = PROCESSES_PER_CPU * cgroup::cpus() as u64;
    let facility = facility.found(format!("room for {} more, by {}", tightest.room(), tightest.name));
    if tightest.room() < wanted {
        let reason = format!("{} in use of {} by {}", tightest.used, tightest.max, tightest.name);
        facility.degraded(reason, format!("raise it, or run fewer jobs at once: {}", tightest.name))
    } else {
        facility
    }
}

pub(super) fn cpus() -> Facility {
    let facility = Facility::new("cpus", "as many jobs run at once unless -j says otherwise");
    let usable = cgroup::cpus();
    let online = online();
    if usable < online {
        facility.found(format!("{usable} of {online}, by affinity or quota"))
    } else {
        facility.found(usable.to_string())
    }
}

pub(super) fn kernel() -> Facility {
    let facility = Facility::new("kernel", "what all this rests on");
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let version = parse_release(&release);
    let facility = facility.found(format!("Linux {release}"));
    if version.is_some_and(|version| version < KERNEL_MIN) {
        let (major, minor) = KERNEL_MIN;
        facility.degraded(format!("made for Linux {major}.{minor} and later"), "update the kernel")
    } else {
        facility
    }
}

pub(super) fn terminal() -> Facility {
    let facility =
        Facility::new("--tty", "one job at a time is given the terminal: sudo, ssh, editors").dispensable();
    let tty =
        match rustix::fs::open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
            Ok(tty) => tty,
            Err(errno) => {
                return facility.missing(
                    format!("/dev/tty: {}", std::io::Error::from(errno)),
                    "start it from a terminal",
                );
            }
        };
    match terminal::is_foreground(&tty) {
        Ok(true) => match terminal::take_foreground(&tty) {
            Ok(()) => facility.found("it is ours to give"),
            Err(error) => facility.missing(error, "start it from a terminal"),
        },
        // To take it from the background would stop this process.
        Ok(false) => facility.missing("another process group has the terminal", "fg"),
        Err(error) => facility.missing(error, "start it from a terminal"),
    }
}

pub(super) fn cores() -> Facility {
    let facility =
        Facility::new("cores", "a core of a job that crashes lies where the job ran").dispensable();
    let pattern = match fs::read_to_string("/proc/sys/kernel/core_pattern") {
        Ok(pattern) => pattern.trim().to_owned(),
        Err(error) => return facility.missing(format!("core_pattern: {error}"), "mount /proc"),
    };
    let to_file = "as root: sysctl -w kernel.core_pattern=core";
    let limit = rlimit::get(Resource::Core).map_or(0, |limit| limit.soft);
    if let Some(program) = pattern.strip_prefix('|') {
        let program = program.split(' ').next().unwrap_or_default();
        facility.degraded(format!("they are handed to {program}, outside of the job"), to_file)
    } else if limit == 0 {
        facility
            .found(format!("core_pattern is '{pattern}'"))
            .degraded("their size is limited to 0", "ulimit -c unlimited")
    } else {
        facility.found(format!("core_pattern is '{pattern}'"))
    }
}

/// Returns the space that is left there, as text, and whether it is memory.
pub(super) fn room_in(dir: &Path) -> (String, bool) {
    let Ok(found) = rustix::fs::statfs(dir) else { return ("unknown".to_owned(), false) };
    let block = u64::try_from(found.f_bsize).unwrap_or(0);
    let in_memory = u64::try_from(found.f_type).is_ok_and(|kind| kind == TMPFS_MAGIC);
    (size(block.saturating_mul(found.f_bavail)), in_memory)
}

/// Returns the number of processors that are online, no matter who may use them.
fn online() -> usize {
    let lines = fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_processor = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    lines.lines().filter(is_processor).count()
}

/// A limit on processes, and how many of them are in use.
struct Bound {
    name: String,
    max: u64,
    used: u64,
}

impl Bound {
    fn room(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }

    fn of_file(name: &str, path: &str, used: Option<u64>) -> Option<Bound> {
        let max = fs::read_to_string(path).ok()?.trim().parse().ok()?;
        Some(Bound { name: name.to_owned(), max, used: used? })
    }

    /// Returns the user's own limit, which does not bind root.
    fn of_user() -> Option<Bound> {
        let limit = rlimit::get(Resource::Processes).ok()?;
        let uid = rustix::process::getuid();
        if limit.soft == UNLIMITED || uid.is_root() {
            return None;
        }
        use std::os::unix::fs::MetadataExt;
        let owned =
            |pid: &u32| fs::metadata(format!("/proc/{pid}")).is_ok_and(|found| found.uid() == uid.as_raw());
        let used = psmith_sys::proc_tree::all().filter(owned).map(threads_of).sum();
        Some(Bound { name: "ulimit -u".to_owned(), max: limit.soft, used })
    }
}

/// Returns the limits of the own groups and of those above, of whichever version counts processes.
fn group_bounds() -> Vec<Option<Bound>> {
    let hierarchies = [cgroup::unified(), cgroup::legacy("pids")];
    let dirs = hierarchies.iter().flatten().flat_map(cgroup::Hierarchy::candidates);
    dirs.map(|dir: &Path| {
        let number = |name: &str| fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok();
        let file: PathBuf = dir.join("pids.max");
        Some(Bound {
            name: file.display().to_string(),
            max: number("pids.max")?,
            used: number("pids.current")?,
        })
    })
    .collect()
}

/// Returns the number of processes and threads of the whole machine, as far as this PID namespace shows: the second
/// half of the fourth field of the load average.
fn pids_in_use() -> Option<u64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

fn threads_of(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(1, |threads| threads.count() as u64)
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Formats a size for people, in powers of 1024.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut rest = bytes;
    let mut unit = 0;
    while rest >= 10 * 1024 && unit + 1 < units.len() {
        rest /= 1024;
        unit += 1;
    }
    format!("{rest} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(parse_release("5.10.0-28-amd64"), Some((5, 10)));
        assert_eq!(parse_release("6.9-rc1"), Some((6, 9)));
        assert_eq!(parse_release("odd"), None);
        assert!((5, 9) < KERNEL_MIN && (6, 1) > KERNEL_MIN);
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(9000), "9000 B");
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size(u64::MAX), "16777215 TiB");
    }

    #[test]
    fn the_amounts_of_the_machine_are_reported() {
        for facility in [descriptors(), processes(), cpus(), kernel()] {
            assert!(!facility.found.is_empty(), "{facility:?}");
        }
        assert!(pids_in_use().is_some_and(|count| count > 0));
    }
}
