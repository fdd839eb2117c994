//! Promises of each level of containment, with the better ones forbidden in turn: processes that try to escape survive
//! neither job nor run, except where a level is documented to miss them, and then that is reported.

use psmith_testkit::need::Need;
use psmith_testkit::records::RecordedEvents;
use psmith_testkit::{Scene, need, scene, wicked};

/// The levels, each by the facilities that must be forbidden to get it.
const CGROUP: &str = "";
const SWEEP: &str = "cgroup";
const GROUP: &str = "cgroup,subreaper";

/// Runs jobs that leave daemons behind chains of every depth; checks the run's level and its survivors.
fn daemons(scene: &Scene, forbid: &str, options: &[&str], daemon: &str) -> RecordedEvents {
    let pids = scene.path("pids");
    scene.guard(|guard| guard.track(&pids));
    let script = format!("\"$W\" fork-twice {{1}} pids {daemon}");
    let ended = scene
        .psmith(["-j4", "--events", "e"])
        .args(options)
        .args(["-s", &script, ":::", "1", "2", "3", "4", "5", ":::", "a", "b", "c", "d"])
        .env("W", wicked())
        .forbid(forbid)
        .run();
    ended.assert_code(0);
    assert_eq!(scene.text("pids").lines().count(), 20, "every daemon stood: {}", ended.err());
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    events
}

fn level(events: &RecordedEvents) -> String {
    events.named("run_start")[0]["contain"].as_str().expect("a level").to_owned()
}

// proves: P-4: spawned in its group, or joining it if the kernel lacks that
#[test]
fn every_job_finds_itself_in_the_group_of_its_slot() {
    need!("P-4", Need::CgroupKill);
    let scene = scene!();
    for forbid in ["", "cgroup-birth"] {
        let ended = scene
            .psmith(["-j1", "--contain", "cgroup", "grep", "slot-1", "/proc/self/cgroup", ":::", "-c", "-c"])
            .forbid(forbid)
            .run();
        // The slot's group is kept from job to job; a job outside of it would find no such line and fail.
        ended.assert_code(0).assert_out("1\n1\n");
    }
}

// proves: F-12, P-4, whole-tree-dies
#[test]
fn at_cgroup_no_daemon_survives() {
    need!("F-12, P-4", Need::CgroupKill);
    let scene = scene!();
    let events = daemons(&scene, CGROUP, &["--contain", "cgroup"], "redirect ignore clear-env");
    assert_eq!(level(&events), "cgroup");
    for end in events.named("job_end") {
        assert!(end["leaked"].as_u64().is_some_and(|leaked| leaked >= 1), "each job reports its leak: {end}");
    }
    scene.assert_no_survivors();
}

// proves: F-12, P-4, whole-tree-dies
#[test]
fn at_keeper_no_daemon_survives() {
    let scene = scene!();
    let events = daemons(&scene, SWEEP, &["--contain", "keeper"], "redirect ignore clear-env");
    assert_eq!(level(&events), "keeper");
    for end in events.named("job_end") {
        assert!(end["leaked"].as_u64().is_some_and(|leaked| leaked >= 1), "each job reports its leak: {end}");
    }
    scene.assert_no_survivors();
}

// proves: F-12, P-4, whole-tree-dies
#[test]
fn at_sweep_no_daemon_survives_the_run() {
    for daemon in ["redirect", "redirect ignore", "redirect ignore clear-env", ""] {
        let scene = scene!();
        let events = daemons(&scene, SWEEP, &[], daemon);
        assert_eq!(level(&events), "sweep");
        scene.assert_no_survivors();
    }
}

// proves: F-12, P-4: the documented miss
#[test]
fn at_group_a_session_of_its_own_escapes_and_the_level_is_reported() {
    let scene = scene!();
    let events = daemons(&scene, GROUP, &[], "redirect ignore clear-env");
    assert_eq!(level(&events), "group");
    scene.guard(|guard| guard.forgive());
}

// proves: F-12: a process that stays in its group does not escape at any level
#[test]
fn background_children_die_with_their_job_at_every_level() {
    for forbid in [CGROUP, SWEEP, GROUP] {
        let scene = scene!();
        let ended = scene
            .psmith([
                "-j3",
                "-s",
                "trap '' TERM HUP; (sleep 300; echo {}) & sleep 300 >/dev/null 2>&1 & echo {}",
            ])
            .args([":::", "1", "2", "3", "4", "5", "6"])
            .forbid(forbid)
            .run();
        ended.assert_code(0);
        assert_eq!(ended.sorted_lines(), ["1", "2", "3", "4", "5", "6"]);
        scene.assert_no_survivors();
    }
}

// proves: F-12, P-4: after the attempt, not only after the run
#[test]
fn the_next_job_in_a_slot_finds_none_of_the_last_one() {
    for (need, forbid, options) in [
        (Some(Need::CgroupKill), CGROUP, &["--contain", "cgroup"][..]),
        (None, SWEEP, &["--contain", "keeper"]),
        (None, SWEEP, &[]),
    ] {
        if let Some(need) = need {
            need!("F-12, P-4", need);
        }
        let scene = scene!();
        let script = "while read -r pid start; do if [ -d /proc/$pid ] && ! grep -q '^State:.Z' /proc/$pid/status; \
                      then echo \"{} found $pid\"; fi; done < pids; \"$W\" fork-twice 2 pids redirect ignore";
        scene.write("pids", "");
        let ended = scene
            .psmith(["-j1"])
            .args(options)
            .args(["-s", script, ":::", "1", "2", "3", "4"])
            .env("W", wicked())
            .forbid(forbid)
            .run();
        ended.assert_code(0).assert_out("");
    }
}

// proves: P-4, whole-tree-dies: demanded, not promised
#[test]
fn a_level_that_cannot_be_held_is_refused_before_the_first_job() {
    for (forbid, demanded) in [(SWEEP, "cgroup"), (GROUP, "cgroup"), (GROUP, "keeper"), (GROUP, "sweep")] {
        let scene = scene!();
        let ended =
            scene.psmith(["--contain", demanded, "-s", "echo {} > started", ":::", "x"]).forbid(forbid).run();
        ended.assert_code(125).assert_out("").assert_err_has("psmith: error: ").assert_err_has(demanded);
        assert!(!scene.path("started").exists(), "no job was started");
    }
}

// proves: F-39 as far as jobs see it: a slot's group is used again, and after a kill replaced
#[test]
fn jobs_after_a_killed_group_start_as_ever() {
    let scene = scene!();
    let script = "n={}; if [ $((n % 3)) = 0 ]; then sleep 300 >/dev/null 2>&1 & fi; echo {}";
    let ended = scene
        .psmith(["-j2", "-k", "-s", script])
        .stdin((1..=30).map(|n| format!("{n}\n")).collect::<String>())
        .run();
    ended.assert_code(0).assert_out((1..=30).map(|n| format!("{n}\n")).collect::<String>());
    ended.assert_err_has("10 leaked");
}
