//! Orphans: descendants of jobs that have become the warden's own children, because their parents ended.
//!
//! The job of an orphan is not always known. First its session is checked (a job leads a session of its own), then its
//! environment (every job carries its number there). One that left its session and cleared its environment is unowned:
//! it is killed as soon as no running job can be its owner, at the latest when the run ends, and reported without a
//! job. This module handles only orphans that the warden adopted, never those whose parent is alive.

use std::collections::{HashMap, HashSet};

use psmith_core::policy::SIGKILL;
use psmith_sys::proc_tree::{self, Stat};

use crate::descendants;
use crate::warden::messages::{Holding, KEY_VARIABLE, Key, ToHost};
use crate::warden::server::Child;

/// The remains of jobs whose own process has ended.
pub(super) struct Orphans {
    marker: Vec<u8>,
    trees: Vec<Tree>,
    kill_when_ended: HashSet<Key>,
    answers: Vec<(Key, u32)>,
    /// True if a change is possible since the last round.
    stale: bool,
    /// The attempt to which every orphan belongs, in a keeper.
    sole_owner: Option<Key>,
}

/// The remains of one ended attempt.
struct Tree {
    key: Key,
    session: u32,
    killing: bool,
    released: bool,
    killed: HashSet<u32>,
}

/// A finding of a round.
pub(super) enum OrphanEvent {
    /// The tree of this attempt is empty.
    Swept { key: Key, killed: u32 },
    /// An unowned orphan was killed.
    Killed { pid: u32, command: Vec<u8> },
}

impl OrphanEvent {
    pub(super) fn message(&self) -> ToHost<'_> {
        match self {
            OrphanEvent::Swept { key, killed } => ToHost::Swept { key: *key, killed: *killed },
            OrphanEvent::Killed { pid, command } => ToHost::Orphan { pid: *pid, command },
        }
    }
}

impl Orphans {
    pub(super) fn new(marker: &[u8]) -> Orphans {
        Orphans {
            marker: marker.to_vec(),
            trees: Vec::new(),
            kill_when_ended: HashSet::new(),
            answers: Vec::new(),
            stale: false,
            sole_owner: None,
        }
    }

    /// Attributes every orphan here to this attempt.
    pub(super) fn attribute_all_to(&mut self, key: Key) {
        self.sole_owner = Some(key);
    }

    pub(super) fn marker(&self) -> &[u8] {
        &self.marker
    }

    /// Returns whether nothing is left of any ended attempt.
    pub(super) fn is_idle(&self) -> bool {
        self.trees.is_empty() && self.answers.is_empty()
    }

    /// Notes that a child was reaped, so the next round may find a change.
    pub(super) fn on_reaped(&mut self) {
        self.stale = true;
    }

    /// Notes that the leader of an attempt was reaped; returns how many of its descendants are alive, where that can be
    /// seen here.
    pub(super) fn on_ended(
        &mut self,
        key: Key,
        leader: u32,
        children: &HashMap<u32, Child>,
        holding: Holding,
    ) -> u32 {
        let killing = self.kill_when_ended.remove(&key);
        if holding != Holding::Sweep {
            if killing {
                self.answers.push((key, 0));
            }
            return 0;
        }
        self.trees.push(Tree { key, session: leader, killing, released: false, killed: HashSet::new() });
        self.stale = true;
        let alive = self
            .find(children)
            .iter()
            .filter(|orphan| orphan.owner == Some(key))
            .map(FoundOrphan::size)
            .sum();
        if alive == 0 && !killing {
            self.trees.pop();
        }
        alive
    }

    /// Marks an attempt that still runs, so that its remains are killed when it has ended.
    pub(super) fn sweep_when_ended(&mut self, key: Key) {
        self.kill_when_ended.insert(key);
    }

    /// Kills what is left of an ended attempt.
    pub(super) fn sweep(&mut self, key: Key) {
        if let Some(tree) = self.trees.iter_mut().find(|tree| tree.key == key) {
            tree.killing = true;
        } else {
            self.answers.push((key, 0));
        }
        self.stale = true;
    }

    /// Leaves the remains of an ended attempt alone, until the run ends.
    pub(super) fn release(&mut self, key: Key, children: &HashMap<u32, Child>) {
        let alive: u32 = self
            .find(children)
            .iter()
            .filter(|orphan| orphan.owner == Some(key))
            .map(FoundOrphan::size)
            .sum();
        if let Some(tree) = self.trees.iter_mut().find(|tree| tree.key == key) {
            tree.released = true;
        }
        self.answers.push((key, alive));
        self.stale = true;
    }

    /// Scans the orphans once, kills those that are to be killed, and returns the attempts whose trees are empty now.
    pub(super) fn round(&mut self, children: &HashMap<u32, Child>, holding: Holding) -> Vec<OrphanEvent> {
        let mut events: Vec<OrphanEvent> =
            self.answers.drain(..).map(|(key, killed)| OrphanEvent::Swept { key, killed }).collect();
        if !std::mem::take(&mut self.stale) || holding != Holding::Sweep {
            return events;
        }
        let found = self.find(children);
        for orphan in &found {
            match orphan.owner {
                Some(owner) => {
                    let tree = self.trees.iter_mut().find(|tree| tree.key == owner && tree.killing);
                    if let Some(tree) = tree {
                        orphan.kill(&mut tree.killed);
                    }
                }
                None if self.may_have_owner(orphan, children) => {}
                None => {
                    let command = proc_tree::cmdline(orphan.pid).unwrap_or_default().into_bytes();
                    orphan.kill(&mut HashSet::new());
                    events.push(OrphanEvent::Killed { pid: orphan.pid, command });
                }
            }
        }
        self.trees.retain(|tree| {
            let empty = !found.iter().any(|orphan| orphan.owner == Some(tree.key));
            if empty && !tree.released {
                let killed = u32::try_from(tree.killed.len()).unwrap_or(u32::MAX);
                events.push(OrphanEvent::Swept { key: tree.key, killed });
            }
            !empty
        });
        events
    }

    /// Returns whether an unowned orphan may have an owner: the own process, not yet reaped, of a job that is older
    /// than it.
    fn may_have_owner(&self, orphan: &FoundOrphan, children: &HashMap<u32, Child>) -> bool {
        children
            .keys()
            .any(|&pid| proc_tree::stat(pid).is_ok_and(|leader| leader.starttime <= orphan.stat.starttime))
    }

    fn find(&self, children: &HashMap<u32, Child>) -> Vec<FoundOrphan> {
        let mut found = Vec::new();
        for pid in proc_tree::children(std::process::id()).unwrap_or_default() {
            if children.contains_key(&pid) {
                continue;
            }
            let Ok(stat) = proc_tree::stat(pid) else { continue };
            if stat.is_zombie() {
                continue;
            }
            let owner = self.owner(pid, &stat, children);
            found.push(FoundOrphan {
                pid,
                stat,
                owner,
                descendants: proc_tree::descendants(pid).unwrap_or_default(),
            });
        }
        found
    }

    fn owner(&self, pid: u32, stat: &Stat, children: &HashMap<u32, Child>) -> Option<Key> {
        if self.sole_owner.is_some() {
            return self.sole_owner;
        }
        if let Some(tree) = self.trees.iter().find(|tree| tree.session == stat.session) {
            return Some(tree.key);
        }
        if let Some(child) = children.get(&stat.session) {
            return child.key;
        }
        let environ = proc_tree::environ(pid).ok()?;
        let entries = || environ.split(|&byte| byte == 0);
        if !entries().any(|entry| entry == self.marker) {
            return None;
        }
        let name = format!("{KEY_VARIABLE}=");
        let value = entries().find_map(|entry| entry.strip_prefix(name.as_bytes()))?;
        let (job, number) = std::str::from_utf8(value).ok()?.split_once('.')?;
        Some(Key { job: job.parse().ok()?, number: number.parse().ok()? })
    }
}

/// An orphan, as found.
struct FoundOrphan {
    pid: u32,
    stat: Stat,
    owner: Option<Key>,
    descendants: Vec<u32>,
}

impl FoundOrphan {
    fn size(&self) -> u32 {
        u32::try_from(self.descendants.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Kills it and all below it, and records their ids.
    fn kill(&self, killed: &mut HashSet<u32>) {
        killed.extend(descendants::signal_descendants(self.pid, None, SIGKILL));
        // A direct child that only this process reaps: its number is not reused until then.
        if crate::warden::kill(self.pid, SIGKILL).is_ok() {
            killed.insert(self.pid);
        }
    }
}
