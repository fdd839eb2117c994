//! The control groups of slots, in which attempts run; none at the weaker levels.
//!
//! A slot keeps its group from attempt to attempt. A group that has been killed is never used again: it is put
//! aside and removed once it is empty. Memory and process limits count from zero for each attempt, so an
//! attempt that has them gets groups of its own.
//!
//! Never starts or signals a process other than by its group, and does not know when an attempt ends.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use psmith_core::outcome::{Evidence, Usage};
use psmith_sys::cgroup::{Cgroup, CgroupLimits, Controller, LimitGroup, LimitSites, RunGroup};

use crate::containment::{Containment, TreeLimits};
use crate::warden::messages::{Holding, ToWarden};

/// The time that the end of a run waits for its groups to become empty.
const REMOVAL_MAX: Duration = Duration::from_secs(5);

/// Owns the groups of all slots.
#[derive(Debug)]
pub(crate) struct CgroupSlots {
    level: Containment,
    name: String,
    run: Option<RunGroup>,
    sites: Option<LimitSites>,
    limits: CgroupLimits,
    slots: Vec<Option<KeptGroup>>,
    aside: Vec<Cgroup>,
    aside_limits: Vec<LimitGroup>,
    released: Option<Cgroup>,
    next: u32,
}

/// The group that a slot keeps, with the number by which the warden knows it, if it does.
#[derive(Debug)]
struct KeptGroup {
    number: Option<u32>,
    group: Cgroup,
}

/// The groups of its slot that an attempt has.
#[derive(Debug, Default)]
pub(crate) struct SlotLease {
    number: Option<u32>,
    /// The number by which the warden knows the slot's group alone, where `number` means this group and more.
    slots_own: Option<u32>,
    announced: bool,
    group: Option<Cgroup>,
    limit: Option<LimitGroup>,
    killed: bool,
}

impl CgroupSlots {
    /// Makes the groups of a run, under a name that identifies their owner: to hold descendants together if this level
    /// does that by groups, and to hold these limits.
    pub(crate) fn new(level: Containment, limits: &TreeLimits) -> io::Result<CgroupSlots> {
        // The groups of runs whose host and warden were killed together are removed first.
        let _ = psmith_sys::cgroup::sweep_stale();
        let name = psmith_sys::cgroup::run_name();
        let limits = kernel_limits(limits);
        let wanted: Vec<Controller> = limits.controllers().collect();
        let run =
            if level == Containment::Cgroup { Some(RunGroup::create_with(&name, &wanted)?) } else { None };
        let sites = (!wanted.is_empty()).then(|| LimitSites::prepare(run.as_ref(), &name, &wanted));
        if let Some(sites) = &sites {
            check(sites, &wanted)?;
        }
        Ok(CgroupSlots {
            level,
            name,
            run,
            sites,
            limits,
            slots: Vec::new(),
            aside: Vec::new(),
            aside_limits: Vec::new(),
            released: None,
            next: 0,
        })
    }

    /// Returns the level of containment in force.
    pub(crate) fn level(&self) -> Containment {
        self.level
    }

    /// Returns the level of containment from the warden's point of view.
    pub(crate) fn holding(&self) -> Holding {
        match self.level {
            Containment::Cgroup => Holding::Groups,
            Containment::Keeper | Containment::Sweep => Holding::Sweep,
            Containment::Group => Holding::Group,
        }
    }

    /// Returns the directories that the warden kills and removes if the host is gone.
    pub(crate) fn group_dirs(&self) -> Vec<Vec<u8>> {
        let unified = self.run.iter().map(|run| run.group().path().to_path_buf());
        let legacy = self.sites.iter().flat_map(LimitSites::legacy_dirs);
        unified.chain(legacy).map(|path| path.into_os_string().into_vec()).collect()
    }

    /// Returns the number of files that an attempt holds for the run's limits, beside its slot's group: one in each
    /// hierarchy of the first version. (A limit's group of the second version takes the place of the slot's.)
    pub(crate) fn descriptors_of_limits(&self) -> u64 {
        self.sites.iter().flat_map(LimitSites::legacy_dirs).count() as u64
    }

    /// Finds or makes the groups in which a job's own limits can be held; returns true if that made directories that
    /// the warden does not know.
    pub(crate) fn prepare(&mut self, own: &TreeLimits) -> io::Result<bool> {
        let wanted: Vec<Controller> = kernel_limits(own).controllers().collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        let known = self.group_dirs().len();
        let run = self.run.as_ref();
        let sites = self.sites.get_or_insert_with(|| LimitSites::prepare(run, &self.name, &[]));
        sites.prepare_more(run, &self.name, &wanted);
        check(sites, &wanted)?;
        Ok(self.group_dirs().len() > known)
    }

    /// Returns the lease of the next attempt in this slot; `memory_bytes` is its limit of memory, where groups hold it.
    /// `own` are its job's own limits, in place of the run's.
    pub(crate) fn take(
        &mut self,
        slot: u32,
        memory_bytes: Option<u64>,
        own: Option<&TreeLimits>,
    ) -> io::Result<SlotLease> {
        let mut lease = SlotLease::default();
        self.next += 1;
        let mut limits = own.map_or(self.limits, kernel_limits);
        if let Some(sites) = &self.sites
            && limits != CgroupLimits::default()
        {
            limits.memory_bytes_max = limits.memory_bytes_max.and(memory_bytes.or(limits.memory_bytes_max));
            lease.limit = Some(sites.create(&format!("job-{}", self.next), &limits)?);
            lease.number = Some(self.next);
        }
        let contained = lease.limit.as_ref().is_some_and(|limit| limit.group().is_some());
        if let Some(run) = &self.run
            && !contained
        {
            if self.slots.len() <= slot as usize {
                self.slots.resize_with(slot as usize + 1, || None);
            }
            let kept = match self.slots[slot as usize].take() {
                Some(kept) => kept,
                None => {
                    let name = format!("slot-{}-{}", slot + 1, self.next);
                    KeptGroup { number: None, group: run.slot(&name)? }
                }
            };
            if lease.number.is_none() {
                lease.announced = kept.number.is_some();
                lease.number = kept.number.or(Some(self.next));
            } else {
                lease.slots_own = kept.number;
            }
            lease.group = Some(kept.group);
        }
        Ok(lease)
    }

    /// Takes the lease back after its attempt; returns the numbers that the warden need not know any more.
    pub(crate) fn give_back(&mut self, slot: u32, lease: SlotLease) -> impl Iterator<Item = u32> + use<> {
        // A number whose announcement was not sent means nothing to the warden.
        let (mut of_limit, mut of_slot) = (None, lease.number.filter(|_| lease.announced));
        if let Some(limit) = lease.limit {
            self.aside_limits.push(limit);
            (of_limit, of_slot) = (lease.number, lease.slots_own);
        }
        if let Some(group) = lease.group {
            if lease.killed || self.slots.get(slot as usize).is_none_or(Option::is_some) {
                self.aside.push(group);
            } else {
                self.slots[slot as usize] = Some(KeptGroup { number: of_slot.take(), group });
            }
        }
        self.tidy();
        of_limit.into_iter().chain(of_slot)
    }

    /// Removes the groups that were put aside and are empty by now.
    fn tidy(&mut self) {
        self.aside.retain(|group| group.populated().unwrap_or(false) || group.remove().is_err());
        self.aside_limits.retain(|group| group.remove().is_err());
    }

    /// Moves the processes in the attempt's group to one where they may go on until the end of the run; returns how
    /// many.
    pub(crate) fn release(&mut self, lease: &mut SlotLease) -> u32 {
        let (Some(run), Some(group)) = (&self.run, lease.group()) else { return 0 };
        if self.released.is_none() {
            self.released = run.slot("released").ok();
        }
        let mut moved = 0;
        // Twice, because one of them may fork while the others are moved.
        for _ in 0..2 {
            for pid in group.procs().unwrap_or_default() {
                let released = self.released.as_ref();
                moved += u32::from(released.is_some_and(|released| released.adopt(pid).is_ok()));
            }
        }
        moved
    }

    /// Kills everything in all groups of the run.
    pub(crate) fn kill_all(&mut self) {
        if let Some(run) = &self.run {
            let _ = run.group().kill();
        }
    }

    /// Forgets what a lost warden knew: its successor knows no slots, and the killed groups are not used again.
    pub(crate) fn forget_warden(&mut self) {
        let kept: Vec<KeptGroup> = self.slots.iter_mut().filter_map(Option::take).collect();
        self.aside.extend(kept.into_iter().map(|kept| kept.group));
        self.aside.extend(self.released.take());
        self.tidy();
    }

    /// Freezes or thaws all groups at once; returns false if that is not possible.
    pub(crate) fn freeze(&self, freeze: bool, patience: Duration) -> bool {
        let Some(run) = &self.run else { return false };
        if run.group().freeze(freeze).is_err() {
            return false;
        }
        // The kernel freezes one process after the other; no job may be seen running after its host stopped.
        let deadline = Instant::now() + patience;
        while freeze && !run.group().is_frozen().unwrap_or(true) && Instant::now() < deadline {
            let timeout = rustix::event::Timespec::try_from(Duration::from_millis(5)).ok();
            let mut fds = [rustix::event::PollFd::from_borrowed_fd(
                run.group().events(),
                rustix::event::PollFlags::PRI,
            )];
            let _ = rustix::event::poll(&mut fds, timeout.as_ref());
        }
        true
    }

    /// Kills what is left, and removes all groups.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        if let Some(run) = &self.run
            && run.group().populated()?
        {
            run.group().kill()?;
            run.group().wait_empty(REMOVAL_MAX)?;
        }
        self.slots.clear();
        self.aside.clear();
        self.aside_limits.clear();
        self.released = None;
        let limits = self.sites.take().map_or(Ok(()), |sites| sites.remove());
        self.run.take().map_or(Ok(()), |run| run.remove()).and(limits)
    }

    /// Leaves the groups to the warden, which removes them once it has killed the processes in them.
    pub(crate) fn abandon(&mut self) {
        self.run = None;
        self.sites = None;
    }
}

impl Drop for CgroupSlots {
    /// Removes the groups of a run that ended early or never began, too.
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

impl SlotLease {
    pub(crate) fn number(&self) -> Option<u32> {
        self.number
    }

    /// Returns the message that announces the slot to the warden before the start, unless the warden knows it.
    pub(crate) fn announcement(&self) -> Option<(ToWarden<'static>, Vec<BorrowedFd<'_>>)> {
        if self.announced {
            return None;
        }
        let number = self.number?;
        // A limit's group of the second version takes the place of the slot's; its file is the first, too.
        let unified = self.group();
        let mut files: Vec<BorrowedFd<'_>> = unified.iter().map(|group| group.dir()).collect();
        files.extend(self.group.iter().map(Cgroup::procs_file));
        files.extend(self.limit.iter().flat_map(LimitGroup::join_files));
        Some((ToWarden::AddCgroupSlot { number, unified: unified.is_some() }, files))
    }

    /// Notes that the announcement was sent: from now on the warden knows the slot by its number.
    pub(crate) fn note_announced(&mut self) {
        self.announced = true;
    }

    pub(crate) fn group(&self) -> Option<&Cgroup> {
        self.limit.as_ref().and_then(LimitGroup::group).or(self.group.as_ref())
    }

    /// Returns the number of live processes of the attempt, as far as groups tell.
    pub(crate) fn alive(&self) -> u32 {
        let Some(group) = self.group() else { return 0 };
        if !group.populated().unwrap_or(false) {
            return 0;
        }
        let members = group.procs().map_or(1, |members| members.len());
        u32::try_from(members).unwrap_or(u32::MAX).max(1)
    }

    /// Kills all processes in its group, if it has one.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.killed = true;
        self.group().map_or(Ok(()), Cgroup::kill)
    }

    /// Returns the kernel's counts of limits that were hit.
    pub(crate) fn evidence(&self) -> Evidence {
        let Some(limit) = &self.limit else { return Evidence::default() };
        let found = limit.evidence();
        Evidence { oom_kills: found.oom_kills, pids_refused: found.pids_refused }
    }

    /// Returns the usage of the whole group where it is counted, else that of the process.
    pub(crate) fn usage(&self, process: Usage) -> Usage {
        let Some(peak) = self.limit.as_ref().and_then(LimitGroup::peak_bytes) else {
            return process;
        };
        Usage { max_rss_bytes: peak, whole_group: true, ..process }
    }
}

/// Checks that each of these controllers can be used.
fn check(sites: &LimitSites, wanted: &[Controller]) -> io::Result<()> {
    wanted.iter().try_for_each(|controller| {
        sites.check(*controller).map_err(|refusal| io::Error::other(refusal.clone()))
    })
}

fn kernel_limits(limits: &TreeLimits) -> CgroupLimits {
    CgroupLimits {
        memory_bytes_max: limits.memory_bytes,
        pids_max: limits.processes,
        cpus_thousandths_max: limits.cpus.map(thousandths),
    }
}

/// Converts a share of CPUs to the unit of the kernel's quota; never less than one thousandth.
fn thousandths(cpus: f64) -> u64 {
    // Rounded and positive, so the cast only drops a zero fraction.
    (cpus * 1000.0).round().clamp(1.0, 1e9) as u64
}
