//! The slots that the host has announced, and the way of a child into one: spawned inside its group where that works
//! here, else by joining it.
//!
//! Never makes, empties or removes a group: they are the host's.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use psmith_sys::forbid::{KernelFacility, is_forbidden};
use psmith_sys::spawn::{ChildStep, EnvBlock, Session, SpawnProgress, SpawnRequest, Spawner, StartError};
use psmith_sys::{pidfd, wait};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// The time after which a probe has failed.
const PROBE_MAX: Duration = Duration::from_secs(1);

/// A path at which no program can exist, because `/dev/null` is no directory.
const NO_PROGRAM: &std::ffi::CStr = c"/dev/null/no-program";

/// The slots that the host has announced.
#[derive(Debug, Default)]
pub(super) struct KnownSlots {
    known: HashMap<u32, KnownSlot>,
    /// True if children can be spawned inside groups here; unknown until the first group is.
    spawns_inside: Option<bool>,
}

/// The groups of a slot.
#[derive(Debug)]
struct KnownSlot {
    /// The directory of its group of the second version; the first file is that group's own.
    dir: Option<OwnedFd>,
    files: Vec<OwnedFd>,
}

/// The way in which a child enters its slot.
#[derive(Debug, Default)]
pub(super) struct JoinPlan<'a> {
    /// The group to be spawned in.
    pub(super) group: Option<BorrowedFd<'a>>,
    /// The groups to join.
    pub(super) groups: Vec<BorrowedFd<'a>>,
}

impl KnownSlots {
    /// Adds a slot. With `unified`, the first descriptor is the directory of a group of the second version, the next
    /// one the file by which that is joined.
    pub(super) fn insert(&mut self, slot: u32, unified: bool, fds: Vec<OwnedFd>, spawner: &mut Spawner) {
        let mut files = fds;
        let dir = (unified && !files.is_empty()).then(|| files.remove(0));
        if let Some(dir) = &dir
            && self.spawns_inside.is_none()
        {
            self.spawns_inside = Some(can_spawn_inside(dir.as_fd(), spawner));
        }
        self.known.insert(slot, KnownSlot { dir, files });
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.known.remove(&slot);
    }

    /// Plans how a child enters this slot. A slot that was never announced is refused: a job outside of its group could
    /// outlive the run.
    pub(super) fn plan(&self, slot: Option<u32>) -> Result<JoinPlan<'_>, StartError> {
        let Some(KnownSlot { dir, files }) = self.find(slot)? else { return Ok(JoinPlan::default()) };
        let group = dir.as_ref().filter(|_| self.spawns_inside == Some(true)).map(AsFd::as_fd);
        let joins = files.iter().skip(usize::from(group.is_some()));
        Ok(JoinPlan { group, groups: joins.map(AsFd::as_fd).collect() })
    }

    /// Plans how a child enters this slot that cannot be spawned inside a group, only join it.
    pub(super) fn joins(&self, slot: Option<u32>) -> Result<JoinPlan<'_>, StartError> {
        let slot = self.find(slot)?;
        let groups = slot.iter().flat_map(|slot| &slot.files).map(AsFd::as_fd).collect();
        Ok(JoinPlan { group: None, groups })
    }

    fn find(&self, slot: Option<u32>) -> Result<Option<&KnownSlot>, StartError> {
        let Some(slot) = slot else { return Ok(None) };
        let unknown = StartError { step: ChildStep::JoinGroup, errno: Errno::NOENT.raw_os_error() };
        self.known.get(&slot).map(Some).ok_or(unknown)
    }

    /// Keeps this one slot and drops the others, for a keeper that serves one job.
    pub(super) fn only(&mut self, slot: Option<u32>) -> KnownSlots {
        let known = slot.and_then(|slot| Some((slot, self.known.remove(&slot)?)));
        KnownSlots { known: known.into_iter().collect(), spawns_inside: self.spawns_inside }
    }

    /// Notes that a child that was spawned inside its group was killed before it executed its program: perhaps by
    /// another process, perhaps by the kernel, because this process has been moved to a group that was killed once. The
    /// next children join.
    pub(super) fn disable_spawn_inside(&mut self) {
        if self.spawns_inside == Some(true) {
            self.spawns_inside = Some(false);
        }
    }
}

/// Returns whether a child can be spawned inside this group and survives: there are kernels without the call, filters
/// that forbid it, and kernels that kill at its start the child of a process whose own group was killed once.
fn can_spawn_inside(dir: BorrowedFd<'_>, spawner: &mut Spawner) -> bool {
    if is_forbidden(KernelFacility::CgroupBirth) {
        return false;
    }
    let started = spawner.start(&SpawnRequest {
        program: NO_PROGRAM,
        argv: b"none\0",
        env: &EnvBlock::new(Vec::new()),
        env_extra: b"",
        fds: [None; 3],
        dir: None,
        umask: None,
        rlimits: &[],
        nice: 0,
        group: Some(dir),
        groups: &[],
        session: Session::New,
        no_new_privs: false,
        parent_death: None,
    });
    let Ok(started) = started else { return false };
    let timeout = Timespec::try_from(PROBE_MAX).ok();
    let mut ended = [PollFd::new(&started.pidfd, PollFlags::IN)];
    let in_time = rustix::event::poll(&mut ended, timeout.as_ref()).is_ok_and(|count| count > 0);
    if !in_time {
        let _ = pidfd::signal(&started.pidfd, psmith_core::policy::SIGKILL);
    }
    let survived = matches!(spawner.progress(&started.ticket), SpawnProgress::Failed(error) if error.step == ChildStep::Exec);
    let _ = wait::reap_pidfd(&started.pidfd);
    spawner.release(started.ticket);
    in_time && survived
}
