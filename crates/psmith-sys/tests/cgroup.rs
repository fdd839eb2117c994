//! Tests of control groups, on the real kernel.
//!
//! Where this machine refuses a facility, the test says so on stderr and checks that the refusal names a file: the
//! tests of the levels above distinguish a missing facility from a broken one by that.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use psmith_sys::cgroup::{
    self, Cgroup, CgroupError, CgroupLimits, Controller, LimitGroup, LimitSites, RunGroup, probe_kill,
    probe_limit, run_name,
};
use psmith_sys::epoll::{Epoll, Interest, ReadyEvents};
use psmith_sys::pidfd;

const OUTER_WAIT: Duration = Duration::from_secs(30);

#[test]
fn killed_group_takes_escaped_grandchildren_along() {
    let Some(run) = run_group() else { return };
    let group = run.slot("slot-1").unwrap();
    assert!(!group.populated().unwrap());
    let mut tree = tree_in(&group);
    assert!(group.populated().unwrap());
    assert_eq!(group.procs().unwrap().len(), 3);
    assert_eq!(group.remove().unwrap_err().raw_os_error(), Some(libc::EBUSY));

    group.kill().unwrap();
    wait_until(&group, |group| !group.populated().unwrap());
    tree.wait().unwrap();
    assert!(group.wait_empty(OUTER_WAIT).unwrap());
    group.remove().unwrap();
    assert!(!group.path().exists());
    run.remove().unwrap();
}

#[test]
fn signals_and_freezing_reach_all_of_a_group() {
    let Some(run) = run_group() else { return };
    let group = run.slot("slot-1").unwrap();
    let mut tree = tree_in(&group);
    group.freeze(true).unwrap();
    wait_until(&group, |group| group.is_frozen().unwrap());
    group.freeze(false).unwrap();
    wait_until(&group, |group| !group.is_frozen().unwrap());
    assert_eq!(group.signal_all(libc::SIGKILL).unwrap(), 3);
    tree.wait().unwrap();
    assert!(group.wait_empty(OUTER_WAIT).unwrap());
    assert_eq!(group.signal_all(libc::SIGKILL).unwrap(), 0);
    run.remove().unwrap();
    assert!(!run.group().path().exists());
}

#[test]
fn a_group_can_be_opened_again_by_its_path() {
    let Some(run) = run_group() else { return };
    let group = run.slot("slot-1").unwrap();
    let copy = Cgroup::open(group.path()).unwrap();
    assert_eq!(copy.path(), group.path());
    let mut tree = tree_in(&group);
    copy.kill().unwrap();
    tree.wait().unwrap();
    assert!(copy.wait_empty(OUTER_WAIT).unwrap());
    run.remove().unwrap();
    assert!(copy.populated().is_err(), "a removed group answers with an error");
}

#[test]
fn without_cgroup_kill_a_frozen_group_is_killed_one_by_one() {
    // The environment is read once, so the old kernel is simulated in a process of its own.
    if std::env::var_os(psmith_sys::forbid::VARIABLE).is_some() {
        // return: this is that process, or a pass that forbids other things; the other one proves it
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "killed_group_takes_escaped_grandchildren_along",
            "a_group_can_be_opened_again_by_its_path",
        ])
        .env(psmith_sys::forbid::VARIABLE, "cgroup-kill")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn probes_test_by_doing() {
    for (what, result) in [
        ("kill", probe_kill()),
        ("memory", probe_limit(Controller::Memory)),
        ("pids", probe_limit(Controller::Pids)),
        ("cpu", probe_limit(Controller::Cpu)),
    ] {
        match result {
            Ok(()) => {}
            Err(refusal) => refused(what, &refusal),
        }
    }
    assert!(cgroup::cpus() >= 1);
}

#[test]
fn memory_beyond_the_limit_is_killed_with_evidence() {
    let limits = CgroupLimits { memory_bytes_max: Some(32 << 20), ..CgroupLimits::default() };
    limited(&limits, |group| {
        // `tail` keeps a line without an end in memory.
        let mut allocating = command("exec tail -n 1 /dev/zero");
        join(&mut allocating, group);
        assert!(!allocating.wait().unwrap().success());
        assert!(group.evidence().oom_kills >= 1, "{:?}", group.evidence());
        if let Some(peak) = group.peak_bytes() {
            assert!((16 << 20..=32 << 20).contains(&peak), "{peak}");
        }
    });
}

#[test]
fn processes_beyond_the_limit_are_refused_with_evidence() {
    let limits = CgroupLimits { pids_max: Some(3), ..CgroupLimits::default() };
    limited(&limits, |group| {
        let mut many = command("exec 2>/dev/null; for i in 1 2 3 4 5 6; do sleep 60 & done; exit 0");
        join(&mut many, group);
        let _ = many.wait().unwrap();
        assert!(group.evidence().pids_refused >= 1, "{:?}", group.evidence());
        kill_all(group);
    });
}

#[test]
fn processor_time_is_limited() {
    let limits = CgroupLimits { cpus_thousandths_max: Some(500), ..CgroupLimits::default() };
    limited(&limits, |group| {
        let mut busy = command("i=0; while test $i -lt 20000; do i=$((i+1)); done");
        join(&mut busy, group);
        assert!(busy.wait().unwrap().success());
    });
}

#[test]
fn groups_of_dead_hosts_are_swept_and_those_of_living_ones_kept() {
    let Some(run) = run_group() else { return };
    // A name whose owner was another process with this one's number, which is gone.
    let own = run_name();
    let mut parts: Vec<&str> = own.split('-').collect();
    parts[2] = "1";
    let Ok(stale) = RunGroup::create(&parts.join("-")) else { return };
    let group = stale.slot("slot-1").unwrap();
    let mut tree = tree_in(&group);
    let swept = cgroup::sweep_stale();
    tree.wait().unwrap();
    assert!(swept.removed_count >= 1, "{swept:?}");
    assert!(!stale.group().path().exists());
    assert!(run.group().path().exists());
    run.remove().unwrap();
}

// --- Tools ---

/// Returns a group for this test; without one, reports that this machine has none.
fn run_group() -> Option<RunGroup> {
    match RunGroup::create(&run_name()) {
        Ok(run) => Some(run),
        Err(refusal) => {
            refused("a group", &refusal);
            None
        }
    }
}

fn refused(what: &str, refusal: &CgroupError) {
    assert!(refusal.errno != 0 && refusal.path.to_str().is_some_and(|path| !path.is_empty()));
    eprintln!("SKIPPED {what}: {refusal}");
}

/// Runs `promise` in a group with these limits, where they can be had.
fn limited(limits: &CgroupLimits, promise: impl FnOnce(&LimitGroup)) {
    let wanted: Vec<Controller> = limits.controllers().collect();
    let name = run_name();
    let run = RunGroup::create_with(&name, &wanted).ok();
    let sites = LimitSites::prepare(run.as_ref(), &name, &wanted);
    match sites.create("job-1", limits) {
        Ok(group) => {
            promise(&group);
            group.remove().unwrap();
        }
        Err(refusal) => refused("a limit", &refusal),
    }
    sites.remove().unwrap();
    if let Some(run) = run {
        run.remove().unwrap();
    }
}

/// Returns a shell that waits for a line before it runs `script`.
fn command(script: &str) -> Child {
    let script = format!("read line; {script}");
    Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Moves the waiting shell in, and lets it go on. The start path joins by itself; this is a test of groups alone.
fn join(child: &mut Child, group: &LimitGroup) {
    for file in group.join_files() {
        rustix::io::write(file, child.id().to_string().as_bytes()).unwrap();
    }
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
}

fn kill_all(group: &LimitGroup) {
    // The sleepers are no longer children of the shell; they are found by their group.
    let pids = group.procs().unwrap();
    for pid in pids {
        let handle = pidfd::open(pid).unwrap();
        pidfd::signal(&handle, libc::SIGKILL).unwrap();
        let mut polled = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut polled, None).unwrap();
    }
}

/// Starts a shell, a child of it, and one in a session of its own, all in the group and asleep.
fn tree_in(group: &Cgroup) -> Child {
    let mut child = command("sleep 60 & setsid sleep 60 & echo ready; wait");
    rustix::io::write(group.procs_file(), child.id().to_string().as_bytes()).unwrap();
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    child
}

fn wait_until(group: &Cgroup, is_so: impl Fn(&Cgroup) -> bool) {
    let epoll = Epoll::new().unwrap();
    epoll.add(group.events(), 1, Interest::PRIORITY).unwrap();
    let mut events = ReadyEvents::with_capacity(1);
    while !is_so(group) {
        epoll.wait(&mut events, Some(OUTER_WAIT)).unwrap();
        // The kernel marks such a file as in error, too; that is no hang-up.
        assert!(events.iter().any(|event| event.priority && !event.hung_up), "the group did not change");
    }
}
