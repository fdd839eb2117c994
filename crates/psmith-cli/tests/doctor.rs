//! Findings of `psmith doctor`: it names each facility, found by trying, and leaves nothing behind.

use psmith_testkit::need::Need;
use psmith_testkit::scene;

#[test]
fn it_names_each_facility() {
    let scene = scene!();
    let ended = scene.psmith(["doctor"]).run();
    assert!(ended.code() <= 1, "0 is usable, 1 degraded: {} {}", ended.code(), ended.err());
    ended.assert_quiet();
    let out = ended.out().to_lowercase();
    for facility in
        ["containment", "cgroup", "keeper", "sweep", "group", "--mem", "--pids", "descriptors", "cpus"]
    {
        assert!(out.contains(facility), "no {facility}: {out}");
    }
}

// proves: P-4: the level that it reports is the level that runs have
#[test]
fn a_forbidden_facility_is_reported_as_missing_with_a_remedy() {
    let scene = scene!();
    let best = scene.psmith(["doctor"]).run();
    let forbidden = scene.psmith(["doctor"]).forbid("cgroup,subreaper").run();
    forbidden.assert_code(1);
    assert_ne!(best.stdout, forbidden.stdout);
}

#[test]
fn it_agrees_with_what_a_test_finds_by_doing() {
    let scene = scene!();
    let run = scene.psmith(["--events", "e", "--contain", "cgroup", "true", ":::", "a"]).run();
    let can = Need::CgroupKill.probe();
    assert_eq!(run.code() == 0, can.is_ok(), "{can:?}: {}", run.err());
}

#[test]
fn completions_and_man_page_go_to_stdout() {
    let scene = scene!();
    for shell in ["bash", "zsh", "fish"] {
        let ended = scene.psmith([format!("--generate=complete-{shell}")]).run();
        ended.assert_code(0).assert_quiet();
        assert!(ended.out().contains("psmith"));
    }
    let man = scene.psmith(["--generate", "man"]).run();
    man.assert_code(0).assert_quiet();
    assert!(man.out().starts_with(".ie") || man.out().starts_with(".TH"), "{}", man.out());
}

#[test]
fn help_and_version_go_to_stdout() {
    let scene = scene!();
    for option in ["--help", "-h", "--version"] {
        let ended = scene.psmith([option]).run();
        ended.assert_code(0).assert_quiet();
        assert!(ended.out().contains("psmith"), "{}", ended.out());
    }
}
