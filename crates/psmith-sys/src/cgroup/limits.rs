//! Limits of memory, processes and processor time for a whole tree, by whichever version owns the controller.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::legacy::LegacyGroup;
use super::{Cgroup, CgroupError, RunGroup, discover};
use crate::forbid::{KernelFacility, is_forbidden};

/// The controllers by which a tree can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Memory.
    Memory,
    /// The number of processes and threads.
    Pids,
    /// Processor time per time.
    Cpu,
}

impl Controller {
    /// The controllers that have a name here.
    pub const ALL: [Controller; 3] = [Controller::Memory, Controller::Pids, Controller::Cpu];

    /// Returns the kernel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Pids => "pids",
            Controller::Cpu => "cpu",
        }
    }
}

/// The limits of one tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CgroupLimits {
    /// Memory, swap included where the kernel can count it. Beyond it the kernel kills.
    pub memory_bytes_max: Option<u64>,
    /// Processes and threads. Beyond it `fork` fails with `EAGAIN`.
    pub pids_max: Option<u64>,
    /// Processors, in thousandths: 1500 is one and a half. Beyond it the tree is throttled.
    pub cpus_thousandths_max: Option<u64>,
}

impl CgroupLimits {
    /// Returns the controllers that these limits need.
    pub fn controllers(&self) -> impl Iterator<Item = Controller> + use<> {
        let needs = [self.memory_bytes_max, self.pids_max, self.cpus_thousandths_max];
        Controller::ALL.into_iter().zip(needs).filter_map(|(controller, need)| need.map(|_| controller))
    }
}

/// The kernel's records about a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CgroupEvidence {
    /// The number of processes that were killed under this limit because memory ran out.
    pub oom_kills: u64,
    /// The number of times that a new process was refused.
    pub pids_refused: u64,
}

/// The places where each controller can be used in this run.
#[derive(Debug)]
pub struct LimitSites {
    sites: [Result<Site, CgroupError>; 3],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Site {
    /// A place below the run's group.
    Unified(PathBuf),
    /// A place below this directory, made for the run in a hierarchy of the first version.
    Legacy(PathBuf),
}

impl LimitSites {
    /// Finds a place for each of `wanted`: first below the run's own group, then in the first version's hierarchies,
    /// where a directory called `name` is made. No process has joined anything by then.
    #[must_use]
    pub fn prepare(run: Option<&RunGroup>, name: &str, wanted: &[Controller]) -> Self {
        let not_asked = |controller: Controller| {
            CgroupError::missing("not asked for:", Path::new(controller.name()), libc::EINVAL)
        };
        let sites = Controller::ALL.map(|controller| {
            if wanted.contains(&controller) {
                site(run, name, controller)
            } else {
                Err(not_asked(controller))
            }
        });
        LimitSites { sites }
    }

    /// Finds a place, as [`LimitSites::prepare`] does, for those of `wanted` that have none yet.
    pub fn prepare_more(&mut self, run: Option<&RunGroup>, name: &str, wanted: &[Controller]) {
        for &controller in wanted {
            let found = &mut self.sites[controller as usize];
            if found.is_err() {
                *found = site(run, name, controller);
            }
        }
    }

    /// Checks that `controller` can be used.
    ///
    /// # Errors
    /// What was refused: in the second version if it has the controller, else in the first.
    pub fn check(&self, controller: Controller) -> Result<(), &CgroupError> {
        self.sites[controller as usize].as_ref().map(drop)
    }

    /// Makes the group, or groups, of one tree called `name`, with its limits set.
    ///
    /// # Errors
    /// The first refusal; then nothing is left behind.
    pub fn create(&self, name: &str, limits: &CgroupLimits) -> Result<LimitGroup, CgroupError> {
        let mut made = LimitGroup { unified: None, legacy: Vec::new() };
        for controller in limits.controllers() {
            if let Err(refusal) = self.add(&mut made, controller, name, limits) {
                let _ = made.remove();
                return Err(refusal);
            }
        }
        Ok(made)
    }

    /// Returns the directories that were made for the run in hierarchies of the first version.
    pub fn legacy_dirs(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.sites.iter().flatten().filter_map(|site| match site {
            Site::Legacy(path) => Some(path.clone()),
            Site::Unified(_) => None,
        })
    }

    /// Removes the directories that were made for the run in hierarchies of the first version.
    ///
    /// # Errors
    /// `EBUSY` while a process is in one.
    pub fn remove(&self) -> io::Result<()> {
        for site in self.sites.iter().flatten() {
            if let Site::Legacy(path) = site {
                super::group::remove_below(path)?;
            }
        }
        Ok(())
    }

    fn add(
        &self,
        made: &mut LimitGroup,
        controller: Controller,
        name: &str,
        limits: &CgroupLimits,
    ) -> Result<(), CgroupError> {
        match self.sites[controller as usize].clone()? {
            Site::Unified(run) => {
                let path = run.join(name);
                if made.unified.is_none() {
                    made.unified = Some(Cgroup::create(&path)?);
                }
                set_unified(&path, controller, limits)
            }
            Site::Legacy(run) => {
                let path = run.join(name);
                // Controllers that are mounted together share one directory.
                if made.legacy.iter().all(|(_, group)| group.path != path) {
                    made.legacy.push((controller, LegacyGroup::create(&path)?));
                }
                set_legacy(&path, controller, limits)
            }
        }
    }
}

/// The limited group, or groups, of one tree.
#[derive(Debug)]
pub struct LimitGroup {
    unified: Option<Cgroup>,
    legacy: Vec<(Controller, LegacyGroup)>,
}

impl LimitGroup {
    /// Returns the files to join by, for [`crate::spawn::SpawnRequest::groups`]. If [`LimitGroup::group`] is some, it
    /// replaces the slot's group: a process is in one group of each hierarchy.
    pub fn join_files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let legacy = self.legacy.iter().map(|(_, group)| group.procs_file());
        self.unified.iter().map(Cgroup::procs_file).chain(legacy)
    }

    /// Returns the group of the second version, if one is used: it contains and kills as well.
    #[must_use]
    pub fn group(&self) -> Option<&Cgroup> {
        self.unified.as_ref()
    }

    /// Returns the processes in it, at this moment.
    ///
    /// # Errors
    /// `EACCES`, `ENODEV`.
    pub fn procs(&self) -> io::Result<Vec<u32>> {
        self.paths().next().map_or(Ok(Vec::new()), super::group::procs_below)
    }

    /// Returns what the kernel has recorded so far; zeros where it records nothing.
    #[must_use]
    pub fn evidence(&self) -> CgroupEvidence {
        let mut evidence = CgroupEvidence::default();
        for path in self.paths() {
            // The plain file of the second version counts the groups below as well, which are the tree's own too;
            // but it also counts kills that an ancestor's limit caused, as the local one does.
            let files = ["memory.events.local", "memory.events", "memory.oom_control"];
            evidence.oom_kills += first_keyed(path, &files, "oom_kill").unwrap_or(0);
            evidence.pids_refused +=
                first_keyed(path, &["pids.events.local", "pids.events"], "max").unwrap_or(0);
        }
        evidence
    }

    /// Returns the most memory that the tree had at once, where the kernel records it (5.19 in the second version).
    #[must_use]
    pub fn peak_bytes(&self) -> Option<u64> {
        let files = ["memory.peak", "memory.max_usage_in_bytes"];
        self.paths().flat_map(|path| files.map(|file| path.join(file))).find_map(|file| read_number(&file))
    }

    /// Removes the groups.
    ///
    /// # Errors
    /// `EBUSY` while a process is in one; then the rest is removed by another call.
    pub fn remove(&self) -> io::Result<()> {
        let unified = self.unified.as_ref().map_or(Ok(()), Cgroup::remove);
        self.legacy.iter().map(|(_, group)| group.remove()).fold(unified, Result::and)
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let legacy = self.legacy.iter().map(|(_, group)| group.path.as_path());
        self.unified.iter().map(Cgroup::path).chain(legacy)
    }
}

fn site(run: Option<&RunGroup>, name: &str, controller: Controller) -> Result<Site, CgroupError> {
    let forbidden =
        || CgroupError::missing("limits are forbidden by", Path::new(crate::forbid::VARIABLE), libc::EPERM);
    let unified = match run {
        _ if is_forbidden(KernelFacility::V2Limits) => Err(forbidden()),
        Some(run) => run.hand_down(controller).map(|()| Site::Unified(run.group().path().into())),
        None => Err(discover::unified().err().unwrap_or_else(forbidden)),
    };
    let Err(refused) = unified else { return unified };
    if is_forbidden(KernelFacility::V1Limits) {
        return Err(refused);
    }
    // Without such a hierarchy the controller belongs to the second version, whose refusal is the one to report.
    let Ok(hierarchy) = discover::legacy(controller.name()) else { return Err(refused) };
    let mut first = None;
    for place in hierarchy.candidates() {
        let path = place.join(name);
        match fs::create_dir(&path) {
            Ok(()) => {}
            // Another controller of the same hierarchy made it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                first.get_or_insert(CgroupError::new("create", &path, &error));
                continue;
            }
        }
        if controller == Controller::Memory {
            // Without it the memory of groups below would not count. Missing or already set in most kernels.
            let _ = fs::write(path.join("memory.use_hierarchy"), "1");
        }
        return Ok(Site::Legacy(path));
    }
    Err(first.unwrap_or(refused))
}

/// The period over which processor time is shared out.
const CPU_PERIOD_US: u64 = 100_000;
/// The smallest share that the kernel accepts.
const CPU_QUOTA_US_MIN: u64 = 1000;

fn set_unified(path: &Path, controller: Controller, limits: &CgroupLimits) -> Result<(), CgroupError> {
    match controller {
        Controller::Memory => {
            let bytes = limits.memory_bytes_max.unwrap_or(u64::MAX);
            write(&path.join("memory.max"), &bytes.to_string())?;
            // Present only with swap accounting; without it there is nothing to limit.
            let _ = fs::write(path.join("memory.swap.max"), "0");
            // One job is one unit: a tree that lost one process to the kernel has no use for the others (4.19).
            let _ = fs::write(path.join("memory.oom.group"), "1");
            Ok(())
        }
        Controller::Pids => write(&path.join("pids.max"), &limits.pids_max.unwrap_or(1).to_string()),
        Controller::Cpu => write(&path.join("cpu.max"), &format!("{} {CPU_PERIOD_US}", quota_us(limits))),
    }
}

fn set_legacy(path: &Path, controller: Controller, limits: &CgroupLimits) -> Result<(), CgroupError> {
    match controller {
        Controller::Memory => {
            let bytes = limits.memory_bytes_max.unwrap_or(u64::MAX).to_string();
            write(&path.join("memory.limit_in_bytes"), &bytes)?;
            let with_swap = path.join("memory.memsw.limit_in_bytes");
            // Present only with swap accounting.
            if with_swap.exists() { write(&with_swap, &bytes) } else { Ok(()) }
        }
        Controller::Pids => write(&path.join("pids.max"), &limits.pids_max.unwrap_or(1).to_string()),
        Controller::Cpu => {
            write(&path.join("cpu.cfs_period_us"), &CPU_PERIOD_US.to_string())?;
            write(&path.join("cpu.cfs_quota_us"), &quota_us(limits).to_string())
        }
    }
}

fn quota_us(limits: &CgroupLimits) -> u64 {
    let thousandths = limits.cpus_thousandths_max.unwrap_or(1000);
    thousandths.saturating_mul(CPU_PERIOD_US / 1000).max(CPU_QUOTA_US_MIN)
}

fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(path, value).map_err(|error| CgroupError::new(format!("write {value} to"), path, &error))
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn first_keyed(path: &Path, files: &[&str], key: &str) -> Option<u64> {
    files.iter().find_map(|file| keyed(&path.join(file), key))
}

/// Returns the number behind `key` in a file of `key number` lines.
fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}
