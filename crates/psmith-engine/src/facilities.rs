//! The facilities that this machine offers psmith, each found by trying it, with a remedy where it is missing.
//!
//! Nothing is inferred from a version or from the existence of a file: a group is made, joined, killed and removed; an
//! orphan is made and adopted; the program image is executed again. Tests that could disturb the host run in
//! short-lived processes. Changes nothing that lasts, with one exception that is a service: groups that killed runs
//! left behind are removed.

mod machine;
mod remedy;

use std::fmt;
use std::path::Path;

use psmith_sys::cgroup::{self, Controller, LimitSites, RunGroup};
use psmith_sys::{memfd, probe};

use crate::containment::Containment;
use crate::engine::{choose, spool};
use crate::warden;

/// A facility that psmith can make use of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facility {
    /// The short name; an option of the command where the facility serves one.
    pub name: &'static str,
    /// The state: whether it is there.
    pub state: FacilityState,
    /// The details of what was found, in a few words; often empty.
    pub found: String,
    /// The use that it is to psmith, in half a sentence.
    pub gives: &'static str,
    /// A command to type, or a step to take, where it is missing.
    pub remedy: Option<String>,
    /// True if jobs are less well held, limited or kept without it. The others have a substitute that only costs time,
    /// or serve few users.
    pub needed: bool,
}

/// The state of a facility.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FacilityState {
    /// The facility was tried, and worked.
    Works,
    /// The facility is less than it could be, or a weaker one takes its place.
    Degraded(String),
    /// The facility is missing.
    Missing(String),
}

impl FacilityState {
    /// Returns the one word for it.
    ///
    /// ```
    /// use psmith_engine::facilities::FacilityState;
    /// assert_eq!(FacilityState::Missing("no such file".into()).word(), "missing");
    /// ```
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            FacilityState::Works => "works",
            FacilityState::Degraded(_) => "degraded",
            FacilityState::Missing(_) => "missing",
        }
    }

    /// Returns the reason why it is degraded or missing.
    ///
    /// ```
    /// use psmith_engine::facilities::FacilityState;
    /// assert_eq!(FacilityState::Works.reason(), None);
    /// assert_eq!(FacilityState::Degraded("it is old".into()).reason(), Some("it is old"));
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            FacilityState::Works => None,
            FacilityState::Degraded(reason) | FacilityState::Missing(reason) => Some(reason),
        }
    }
}

impl Facility {
    fn new(name: &'static str, gives: &'static str) -> Facility {
        Facility {
            name,
            state: FacilityState::Works,
            found: String::new(),
            gives,
            remedy: None,
            needed: true,
        }
    }

    /// Marks the facility as one with a substitute that loses nothing.
    fn dispensable(mut self) -> Facility {
        self.needed = false;
        self
    }

    fn found(mut self, found: impl Into<String>) -> Facility {
        self.found = found.into();
        self
    }

    fn missing(mut self, reason: impl fmt::Display, remedy: impl Into<String>) -> Facility {
        self.state = FacilityState::Missing(plain(&reason));
        self.remedy = Some(remedy.into());
        self
    }

    fn degraded(mut self, reason: impl fmt::Display, remedy: impl Into<String>) -> Facility {
        self.state = FacilityState::Degraded(plain(&reason));
        self.remedy = Some(remedy.into());
        self
    }

    /// Returns whether jobs are served less well because of it.
    ///
    /// ```
    /// for facility in psmith_engine::facilities::facilities().iter().filter(|facility| facility.is_wanting()) {
    ///     println!("{}: {:?}", facility.name, facility.remedy);
    /// }
    /// ```
    #[must_use]
    pub fn is_wanting(&self) -> bool {
        self.needed && self.state != FacilityState::Works
    }
}

/// Returns every facility that psmith can make use of, each tried just now, the most important first.
///
/// The room for waiting output is measured in the directory for temporary files ([`std::env::temp_dir`]). Takes a few
/// dozen milliseconds; every process and group that it makes is gone when it returns.
///
/// ```
/// let all = psmith_engine::facilities::facilities();
/// assert_eq!(all[0].name, "containment");
/// ```
#[must_use]
pub fn facilities() -> Vec<Facility> {
    crate::init();
    let stale = stale_groups();
    let mut all = vec![containment(), cgroup_level(), keeper_level(), sweep_level(), group_level()];
    all.extend([limit(Controller::Memory), limit(Controller::Pids), limit(Controller::Cpu)]);
    all.extend([warden(), calls(), spool(&std::env::temp_dir()), sealed_memory()]);
    all.extend([machine::descriptors(), machine::processes(), machine::cpus(), machine::kernel()]);
    all.extend([group_signals(), closing_by_range(), machine::terminal(), machine::cores(), stale]);
    all
}

fn containment() -> Facility {
    let facility = Facility::new("containment", "what a run has unless it demands a level");
    match choose(None) {
        Ok(level @ Containment::Cgroup) => facility.found(format!("runs are held by {level}")),
        Ok(level) => {
            let reason = format!("runs are held by {level} only");
            let remedy = if Containment::Keeper.probe().is_ok() {
                "see cgroup; or demand a process of its own for each job: --contain keeper"
            } else {
                "see cgroup"
            };
            facility.degraded(reason, remedy)
        }
        Err(unavailable) => facility.missing(unavailable, "see below"),
    }
}

fn cgroup_level() -> Facility {
    let facility =
        Facility::new("cgroup", "every descendant of a job is found and killed at once, whatever it does");
    let made = cgroup::unified().and_then(|hierarchy| cgroup::probe_kill().map(|()| hierarchy));
    match made {
        Ok(hierarchy) => facility.found(format!("groups of version 2 below {}", hierarchy.mount.display())),
        Err(refusal) => {
            let remedy = remedy::of_groups(&refusal);
            facility.missing(refusal, remedy)
        }
    }
}

fn keeper_level() -> Facility {
    let facility =
        Facility::new("keeper", "the same without control groups, at the price of a process for each job");
    match Containment::Keeper.probe().and_then(|()| warden::probe::keeper()) {
        Ok(()) => facility.found("a keeper was spawned, and adopts orphans"),
        Err(reason) => facility.missing(reason, remedy::of_keeper()),
    }
}

fn sweep_level() -> Facility {
    let facility =
        Facility::new("sweep", "orphans are found by session or environment; the rest at the run's end");
    match Containment::Sweep.probe() {
        Ok(()) => facility.found("an orphan was adopted"),
        Err(reason) => facility.missing(reason, remedy::of_adoption()),
    }
}

fn group_level() -> Facility {
    Facility::new("group", "a job's process group dies with it; what makes a session of its own escapes")
        .found("can always be had")
}

fn limit(controller: Controller) -> Facility {
    let (name, gives) = match controller {
        Controller::Memory => ("--mem", "memory of a job with all its processes is bounded"),
        Controller::Pids => ("--pids", "processes of a job are bounded"),
        Controller::Cpu => ("--cpus", "the share of CPUs that a job may use is bounded"),
    };
    let facility = Facility::new(name, gives);
    match (cgroup::probe_limit(controller), controller) {
        (Ok(()), _) => facility.found(version_with(controller)),
        (Err(refusal), Controller::Memory) => {
            let remedy = remedy::of_groups(&refusal);
            facility.degraded(format!("the address space of each process instead: {refusal}"), remedy)
        }
        (Err(refusal), Controller::Pids | Controller::Cpu) => {
            let remedy = remedy::of_groups(&refusal);
            facility.missing(refusal, remedy)
        }
    }
}

/// Returns the version of control groups that has the controller, where it can be used at all.
fn version_with(controller: Controller) -> String {
    let name = cgroup::run_name();
    let run = RunGroup::create_with(&name, &[controller]).ok();
    let sites = LimitSites::prepare(run.as_ref(), &name, &[controller]);
    let version = if sites.legacy_dirs().next().is_some() { 1 } else { 2 };
    // No process has joined them, so they can be removed.
    let _ = sites.remove();
    if let Some(run) = run {
        let _ = run.remove();
    }
    format!("{} controller of version {version}", controller.name())
}

fn warden() -> Facility {
    let facility = Facility::new("warden", "the process that spawns, reaps and outlives; no job without it");
    match warden::probe::warden() {
        Ok(()) => facility.found("/proc/self/exe was executed again and answered"),
        Err(reason) => facility.missing(reason, remedy::of_warden()),
    }
}

fn calls() -> Facility {
    let facility = Facility::new("calls", "the calls of the kernel without which no job runs");
    let refused = probe::refused_calls();
    match refused.first() {
        None => facility.found("none is refused"),
        Some((_, error)) => {
            let names: Vec<&str> = refused.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            let remedy = remedy::of_calls(&names, error);
            facility.missing(format!("{names}: {error}"), remedy)
        }
    }
}

fn spool(dir: &Path) -> Facility {
    let name = "spool";
    let facility = Facility::new(name, "output that waits for its turn goes to a file once it is large");
    let elsewhere = "TMPDIR=/a/writable/directory psmith ..";
    match spool::unlinked_file(dir).and_then(|file| spool_takes(&file)) {
        Err(error) => facility.missing(format!("{}: {error}", dir.display()), elsewhere),
        Ok(()) => {
            let (room, in_memory) = machine::room_in(dir);
            let facility = facility.found(format!("{}, {room} free", dir.display()));
            if in_memory {
                facility.degraded("it lies in memory: output that waits uses memory up", elsewhere)
            } else {
                facility
            }
        }
    }
}

fn spool_takes(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut byte = [0];
    file.write_all_at(b"x", 0)?;
    file.read_exact_at(&mut byte, 0)
}

fn sealed_memory() -> Facility {
    let facility = Facility::new("memfd", "commands with very many words reach the warden");
    let taken = memfd::sealed("psmith-doctor", b"x").and_then(|file| memfd::read_sealed(&file, 1));
    match taken {
        Ok(_) => facility.found("sealed, and read back"),
        Err(error) => facility.missing(error, "allow memfd_create in the seccomp profile"),
    }
}

fn group_signals() -> Facility {
    let facility =
        Facility::new("pidfd groups", "a process group is signalled without the warden").dispensable();
    if warden::pidfds_signal_groups() {
        facility
    } else {
        facility.degraded("the warden is asked to signal instead", "Linux 6.9 has it")
    }
}

fn closing_by_range() -> Facility {
    let facility = Facility::new("close_range", "a job's descriptors are cleared in one call").dispensable();
    match probe::close_range() {
        Ok(()) => facility,
        Err(error) => {
            let reason = format!("they are listed and closed one by one: {error}");
            facility.degraded(reason, "Linux 5.11 has it; or allow close_range in the seccomp profile")
        }
    }
}

fn stale_groups() -> Facility {
    let facility = Facility::new("leftovers", "groups of killed runs are removed");
    let swept = cgroup::sweep_stale();
    let facility = facility.found(match (swept.removed_count, swept.killed_count) {
        (0, _) => "no group of a killed run".to_owned(),
        (groups, 0) => format!("{groups} removed"),
        (groups, killed) => format!("{groups} removed, {killed} processes in them killed"),
    });
    match swept.refused.first() {
        None => facility,
        Some(first) => {
            let reason = format!("{} stay, the first: {first}", swept.refused.len());
            facility.degraded(reason, format!("as their owner: rmdir {}", first.path.display()))
        }
    }
}

/// Returns the text without Rust's "(os error N)".
fn plain(reason: &impl fmt::Display) -> String {
    let text = reason.to_string();
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(" (os error ") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_tried_and_what_is_wanting_has_a_reason_and_a_remedy() {
        let all = facilities();
        for facility in &all {
            let explained = facility.state == FacilityState::Works
                || (facility.state.reason().is_some_and(|reason| !reason.is_empty())
                    && facility.remedy.is_some());
            assert!(explained, "{facility:?}");
            assert!(all.iter().filter(|other| other.name == facility.name).count() == 1, "{facility:?}");
        }
        let state = |name: &str| &all.iter().find(|facility| facility.name == name).unwrap().state;
        assert_eq!(*state("group"), FacilityState::Works);
        assert_eq!(*state("warden"), FacilityState::Works, "the tests start commands through it");
        let best = choose(None).unwrap();
        assert_eq!(*state("containment") == FacilityState::Works, best == Containment::Cgroup);
        assert_eq!(*state("cgroup") == FacilityState::Works, best == Containment::Cgroup);
    }

    #[test]
    fn a_spool_that_cannot_be_written_is_missing() {
        let spool = spool(Path::new("/nonexistent"));
        assert_eq!(spool.state.reason(), Some("/nonexistent: No such file or directory"));
        assert!(spool.is_wanting());
    }

    #[test]
    fn reasons_are_plain() {
        assert_eq!(plain(&"a: b (os error 2); c (os error 13)"), "a: b; c");
    }
}
