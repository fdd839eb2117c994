//! Level `keeper`: a small subreaper for each job. The death of a keeper affects its own job and no other.

use psmith_testkit::cmd::Cmd;
use psmith_testkit::records::RecordedEvents;
use psmith_testkit::{Scene, Signal, proc, scene, wicked};
use rustix::process::{Pid, kill_process};

fn at_keeper<'s>(scene: &'s Scene, options: &[&str], script: &str) -> Cmd<'s> {
    scene
        .psmith(["-k", "--events", "e", "--contain", "keeper"])
        .args(options)
        .args(["-s", script, ":::"])
        .env("W", wicked())
        .forbid("cgroup")
}

// proves: P-2: a keeper that ended with its job once killed every process that had the mark of the run, so that long
// jobs died from SIGKILL whenever a short one ended
#[test]
fn the_end_of_a_job_harms_no_neighbour() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!(
        "if [ {{}} = long ]; then echo up > {}; while [ ! -e go ]; do sleep 0.02; done; \
         elif [ {{}} = last ]; then touch go; else \"$W\" fork-twice 2 pids redirect ignore; fi; echo {{}}",
        ready.as_str()
    );
    let pids = scene.path("pids");
    scene.guard(|guard| guard.track(&pids));
    let running = at_keeper(&scene, &["-j2"], &script).args(["long", "a", "b", "c", "last"]).start();
    ready.wait();
    running.wait().assert_code(0).assert_out("long\na\nb\nc\nlast\n");
    let events = RecordedEvents::parse(&scene.text("e"));
    assert_eq!(events.named("run_start")[0]["contain"], "keeper");
}

// proves: F-37b, P-2, P-9: a keeper that is killed loses its own job's attempt, uncharged, and no other
#[test]
fn a_killed_keeper_loses_its_own_attempt_alone() {
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!(
        "echo {{}} $PPID > {}; \"$W\" fork-twice 2 pids redirect ignore; while [ ! -e go ]; do sleep 0.02; done; echo {{}}",
        ready.as_str()
    );
    let pids = scene.path("pids");
    scene.guard(|guard| guard.track(&pids));
    let running = at_keeper(&scene, &["-j2"], &script).args(["a", "b"]).start();
    let lines = ready.lines(2);
    let keeper_of_a = lines.iter().find_map(|line| line.strip_prefix("a ")).expect("a's own line");
    let keeper: i32 = keeper_of_a.parse().expect("a pid");
    assert_ne!(
        proc::stat(keeper).expect("it is alive").ppid,
        running.pid(),
        "the keeper is the warden's child"
    );
    kill_process(Pid::from_raw(keeper).expect("a pid"), Signal::KILL).expect("a keeper takes a signal");
    // The second attempt of a.
    assert!(ready.lines(1)[0].starts_with("a "));
    scene.write("go", "");
    running.wait().assert_code(0).assert_out("a\nb\n");
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    let retries = events.named("job_retry");
    assert_eq!(retries.len(), 1, "{retries:?}");
    assert_eq!(
        (&retries[0]["job"], &retries[0]["cause"], &retries[0]["charged"]),
        (&1.into(), &"lost".into(), &false.into())
    );
    scene.assert_no_survivors();
}

// proves: F-8, F-12, P-4: a timeout takes the keeper's whole tree
#[test]
fn a_timeout_takes_the_whole_tree() {
    let scene = scene!();
    let pids = scene.path("pids");
    scene.guard(|guard| guard.track(&pids));
    let script = "trap '' TERM; \"$W\" fork-twice 3 pids redirect ignore clear-env; \"$W\" wait # {}";
    let options = ["--timeout", "1", "--term-seq", "TERM,100,KILL,25"];
    let ended = at_keeper(&scene, &options, script).args(["a"]).run();
    ended.assert_code(1).assert_err_has("failed: timeout after 1s");
    scene.assert_no_survivors();
}

// proves: F-11: a keeper that held on to the streams made a job look as if it had left a descendant behind, whenever
// the keeper took long to end
#[test]
fn a_keeper_holds_no_stream_of_its_job() {
    let scene = scene!();
    let script = "held() { mine=$(readlink /proc/$$/fd/1); for fd in /proc/$PPID/fd/*; do \
                  [ \"$(readlink $fd)\" = \"$mine\" ] && return 0; done; return 1; }; \
                  while held; do sleep 0.01; done; echo {} is alone";
    at_keeper(&scene, &[], script).arg("a").run().assert_code(0).assert_out("a is alone\n");
}
