//! Surroundings with faults: forks fail, calls are interrupted, starts hang, clocks jump, children's ends are ignored,
//! the program's own file is replaced, process numbers are used again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use psmith_testkit::cmd::RunningCommand;
use psmith_testkit::need::Need;
use psmith_testkit::records::RecordedEvents;
use psmith_testkit::{OUTER_LIMIT, Scene, Signal, leak, need, numbers, proc, scene, wicked};
use rustix::process::{Pid, kill_process};

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("our own directory");
}

// proves: F-40: EAGAIN by the user's own limit is the machine's fault, and fails no job
#[test]
fn a_user_s_limit_of_processes_slows_the_run_down_and_fails_no_job() {
    need!("F-40", Need::Root);
    need!("F-40", Need::Program("setpriv"));
    for limit in [6, 9, 20] {
        let scene = scene!();
        for dir in [scene.cwd(), scene.tmp(), scene.cwd().parent().expect("the scene's own").to_owned()] {
            open_to_all(&dir);
        }
        // A user that no other process has: the limit counts all of a user's processes.
        let script = format!(
            "exec setpriv --reuid 61{limit:03} --regid 61000 --clear-groups sh -c \
             'ulimit -u {limit}; exec \"$PSMITH\" -j8 -k -s \"sleep 0.05; echo {{}}\"'"
        );
        let ended = scene.shell(&script).stdin(numbers(40)).run();
        assert_eq!(ended.code(), 0, "limit {limit}: {}", ended.err());
        ended.assert_out(numbers(40));
    }
}

/// A control group with a limit of processes, removed again.
struct PidsGroup(PathBuf);

impl PidsGroup {
    fn make(limit: u32) -> PidsGroup {
        let name = format!("limit-of-test-{}-{limit}", std::process::id());
        for mount in leak::group_mounts() {
            let group = mount.join(&name);
            if fs::create_dir(&group).is_ok() {
                if fs::write(group.join("pids.max"), limit.to_string()).is_ok() {
                    return PidsGroup(group);
                }
                let _ = fs::remove_dir(&group);
            }
        }
        panic!("no group with a limit of processes, though the need was met");
    }
}

impl Drop for PidsGroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + leak::SETTLE;
        while fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            // sleep: v1 groups send no event when they are empty.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

// proves: F-40: EAGAIN by a group around psmith itself
#[test]
fn a_group_s_limit_of_processes_slows_the_run_down_and_fails_no_job() {
    need!("F-40", Need::PidsGroup);
    for limit in [6, 10] {
        let group = PidsGroup::make(limit);
        let scene = scene!();
        let script = format!(
            "echo $$ > {}/cgroup.procs; exec \"$PSMITH\" -j8 -k --events e sh -c 'read line < /dev/null; echo \"$1\"' sh",
            group.0.display()
        );
        let ended = scene.shell(&script).stdin(numbers(60)).run();
        assert_eq!(ended.code(), 0, "limit {limit}: {}", ended.err());
        ended.assert_out(numbers(60));
        RecordedEvents::parse(&scene.text("e")).assert_whole();
    }
}

/// Sends signals to host and warden, as fast as it can, until psmith ends.
fn storm(running: &RunningCommand, to_host: &[Signal], to_warden: &[Signal]) -> u64 {
    let mut count = 0;
    let mut warden = None;
    while !running.has_ended() {
        if count % 64 == 0 {
            warden = proc::warden_of(running.pid());
        }
        to_host.iter().for_each(|signal| running.signal(*signal));
        for signal in to_warden {
            if let Some(pid) = warden.and_then(Pid::from_raw) {
                let _ = kill_process(pid, *signal);
            }
        }
        count += 1;
        // sleep: some thousand signals a second are enough; without a pause the run would get no processor.
        std::thread::sleep(Duration::from_micros(300));
    }
    count
}

// proves: F-41: every signal that has a handler interrupts; STOP and CONT interrupt even where none has
#[test]
fn a_storm_of_signals_interrupts_nothing() {
    let storms: [(&[Signal], &[Signal]); 3] = [
        (
            &[Signal::USR2, Signal::WINCH, Signal::CHILD, Signal::CONT],
            &[Signal::USR1, Signal::WINCH, Signal::TERM],
        ),
        (&[Signal::STOP, Signal::CONT], &[]),
        (&[], &[Signal::STOP, Signal::CONT]),
    ];
    for (to_host, to_warden) in storms {
        let scene = scene!();
        let script = "echo {}; echo {} >&2; [ $((PSMITH_JOB % 10)) != 0 ] || \"$W\" flood 200000";
        let running = scene
            .psmith(["-j4", "-k", "--joblog", "j", "--events", "e", "--results", "r", "-s", script])
            .stdin(numbers(200))
            .env("W", wicked())
            .start();
        // Before its handlers are in place psmith is like any program: the signals begin with the first output.
        running.wait_for_lines(1);
        let count = storm(&running, to_host, to_warden);
        running.signal(Signal::CONT);
        let ended = running.wait();
        assert_eq!(ended.code(), 0, "after {count} rounds of {to_host:?} {to_warden:?}: {}", ended.err());
        assert_eq!(ended.err(), numbers(200));
        let out = ended.out();
        let own: Vec<&str> = out.lines().filter(|line| line.len() < 10).collect();
        assert_eq!(own.join("\n") + "\n", numbers(200));
        assert_eq!(ended.stdout.len(), numbers(200).len() + 20 * 200_000);
        RecordedEvents::parse(&scene.text("e")).assert_whole();
    }
}

/// A mount whose open never answers: the kernel's end of FUSE, with no process at the other one.
struct DeadMount {
    holder: RunningCommand,
    dir: PathBuf,
}

impl DeadMount {
    fn make(scene: &Scene) -> DeadMount {
        let dir = scene.path("dead");
        fs::create_dir(&dir).expect("a directory");
        let script = "exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 none dead \
                      && echo mounted; read end";
        let holder = scene.shell(script).stdin_held().start();
        holder.wait_for_out("mounted");
        DeadMount { holder, dir }
    }

    fn unmount(self) {
        let status =
            std::process::Command::new("umount").arg("-l").arg(&self.dir).status().expect("umount runs");
        assert!(status.success());
        let _ = self.holder.wait();
    }
}

// proves: F-50b, P-2: the start that hangs fails alone, by its own limit; the others start and end meanwhile
#[test]
fn a_start_that_hangs_fails_alone() {
    need!("F-50b", Need::Root);
    need!("F-50b", Need::Fuse);
    for (options, program, cause) in [
        (&["--workdir", "{1}"][..], "echo", "spawn"),
        (&["--workdir", "{1}", "--timeout", "1"][..], "echo", "timeout"),
    ] {
        let scene = scene!();
        let dead = DeadMount::make(&scene);
        let ended = scene
            .psmith(["-j2", "-k", "--events", "e"])
            .args(options)
            .args([program, "{2}", ":::", "dead/x", "/", "/tmp", "/usr", ":::", "in"])
            .env("PSMITH_START_LIMIT_MS", "2000")
            .run();
        dead.unmount();
        ended.assert_code(1).assert_out("in\nin\nin\n");
        let events = RecordedEvents::parse(&scene.text("e"));
        events.assert_whole();
        assert_eq!(events.end_of(1)["cause"], cause, "{options:?}: {}", ended.err());
        let order: Vec<u64> =
            events.named("job_end").iter().map(|end| end["job"].as_u64().expect("a job")).collect();
        assert_eq!(order.last(), Some(&1), "the others ended meanwhile: {order:?}");
    }
}

// proves: F-50b: a program on a dead mount
#[test]
fn a_program_that_cannot_be_read_fails_alone() {
    need!("F-50b", Need::Root);
    need!("F-50b", Need::Fuse);
    let scene = scene!();
    let dead = DeadMount::make(&scene);
    let running = scene
        .psmith(["-j2", "-k", "--events", "e", "{}", ":::", "dead/program", "true", "true", "true"])
        .env("PSMITH_START_LIMIT_MS", "2000")
        .start();
    let deadline = Instant::now() + OUTER_LIMIT / 2;
    while !running.has_ended() && Instant::now() < deadline {
        // sleep: a run that hangs sends no event.
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended_by_itself = running.has_ended();
    dead.unmount();
    let ended = running.wait();
    assert!(ended_by_itself, "psmith itself hung on the dead mount");
    ended.assert_code(1);
    let events = RecordedEvents::parse(&scene.text("e"));
    assert_eq!(events.end_of(1)["cause"], "spawn");
    for job in 2..=4 {
        assert_eq!(events.end_of(job)["status"], "ok");
    }
}

/// A library that answers calls for the time of day with a year more and a year less, in turn.
const JUMPING_CLOCK: &str = r"
#define _GNU_SOURCE
#include <time.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
static volatile int turn;
static long jump(void) { return (turn++ % 2 ? 1 : -1) * 365L * 86400; }
int clock_gettime(clockid_t clock, struct timespec *time) {
    int done = syscall(SYS_clock_gettime, clock, time);
    if (done == 0 && clock == CLOCK_REALTIME) time->tv_sec += jump();
    return done;
}
int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
";

// proves: F-45, P-8: timeouts, pauses and run times go by the monotonic clock
#[test]
fn a_clock_that_jumps_by_years_moves_no_deadline() {
    need!("F-45", Need::Program("cc"));
    let scene = scene!();
    scene.write("clock.c", JUMPING_CLOCK);
    let built = scene.program("cc").args(["-shared", "-fPIC", "-O1", "-o", "clock.so", "clock.c"]).run();
    built.assert_code(0);
    let with_clock =
        |arguments: &[&str]| scene.psmith(arguments).env("LD_PRELOAD", scene.path("clock.so")).run();
    // The clock does jump.
    let year = |library: &str| scene.shell("date +%Y").env("LD_PRELOAD", library).run().out();
    let library = scene.path("clock.so");
    assert_ne!(year(library.to_str().expect("a path of ours")), year(""), "the time of day does not jump");
    let script = "case {} in hang) sleep 300;; flaky) [ $PSMITH_ATTEMPT = 2 ];; esac; echo {}";
    let options =
        ["-j2", "-k", "--timeout", "2", "--retries", "2", "--retry-delay", "50ms", "--retry-on", "exit"];
    let records = ["--joblog", "j", "--events", "e", "-s", script, ":::", "a", "hang", "flaky", "b"];
    let ended = with_clock(&[&options[..], &records].concat());
    ended.assert_code(1).assert_out("a\nflaky\nb\n").assert_err_has("failed: timeout after 2s");
    let events = RecordedEvents::parse(&scene.text("e"));
    events.assert_whole();
    for end in events.named("job_end") {
        let wall = end["wall"].as_f64().expect("a time");
        assert!((0.0..60.0).contains(&wall), "{end}");
    }
    let hung = events.end_of(2)["wall"].as_f64().expect("a time");
    assert!(hung >= 2.0, "not before its time: {hung}");
    // The time of day jumps, so psmith has been reading this clock.
    let time = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["t"].as_f64();
    let days: Vec<f64> = scene.text("e").lines().filter_map(time).map(|time| time / 86_400.0).collect();
    assert!(
        days.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 300.0),
        "no event's time jumped: {days:?}"
    );
    // The job of the run's own end is timed too.
    assert!((0.0..60.0).contains(&events.run_end()["wall"].as_f64().expect("a time")));
}

// proves: F-44: psmith's parent ignores SIGCHLD, which survives exec
#[test]
fn an_ignored_sigchld_loses_no_end() {
    need!("F-44", Need::Program("python3"));
    let scene = scene!();
    // A shell may not ignore SIGCHLD for its children; python can.
    let start = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
    let ended = scene
        .program("python3")
        .args(["-c", start])
        .arg(scene.psmith_path())
        .args(["-j4", "-k", "--events", "e", "-s", "grep SigIgn /proc/self/status; echo {}; exit {}"])
        .args([":::", "0", "3", "0", "7"])
        .run();
    ended.assert_code(2);
    let ignored = "SigIgn:\t0000000000000000\n";
    ended.assert_out(format!("{ignored}0\n{ignored}3\n{ignored}0\n{ignored}7\n"));
    let events = RecordedEvents::parse(&scene.text("e"));
    assert_eq!((&events.end_of(2)["code"], &events.end_of(4)["code"]), (&3.into(), &7.into()));
}

// proves: F-51
#[test]
fn a_program_replaced_and_removed_under_a_run_still_finds_its_warden() {
    let scene = scene!();
    let copy = scene.path("psmith-copy");
    fs::copy(scene.psmith_path(), &copy).expect("a copy");
    let mut ready = scene.ready("ready");
    let script = format!("echo {{}} > {}; while [ ! -e go ]; do sleep 0.02; done; echo {{}}", ready.as_str());
    let running = scene.program(&copy).args(["-j2", "-k", "-s", &script, ":::", "a", "b", "c"]).start();
    ready.lines(2);
    // Renamed over by another program, as an upgrade does; then removed.
    let other = scene.write("other", "#!/bin/sh\ntouch owned\n");
    open_to_all(&other);
    fs::rename(&other, &copy).expect("a rename");
    let kill_warden = || {
        let warden = proc::warden_of(running.pid()).and_then(Pid::from_raw).expect("it is alive");
        kill_process(warden, Signal::KILL).expect("ours");
    };
    kill_warden();
    ready.lines(2);
    fs::remove_file(&copy).expect("a file");
    kill_warden();
    // Lost twice in a row, a job runs alone from now on.
    ready.lines(1);
    scene.write("go", "");
    running.wait().assert_code(0).assert_out("a\nb\nc\n");
    assert!(!scene.path("owned").exists(), "another image was taken for psmith's");
}

// proves: F-43: numbers are used again during a run, and no foreign process is signalled
#[test]
fn a_process_id_that_comes_round_again_hits_no_stranger() {
    need!("F-43", Need::Root);
    let next = Path::new("/proc/sys/kernel/ns_last_pid");
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let (go, bye) = (scene.ready("go"), scene.ready("bye"));
    // Each job prints its number and leaves a holder of its output behind, so that there is something to be killed
    // after its own end. The holder has a session of its own: in the job's, it would keep the job's number in use.
    let script = format!(
        "echo $$ > {}; read go < go; setsid sh -c 'echo held > held; read bye < bye' & \
         while [ ! -e held ]; do sleep 0.005; done; rm held; exit 0 # {{}}",
        ready.as_str()
    );
    for forbid in ["", "cgroup", "cgroup,subreaper,pidfd-group"] {
        let mut strangers = Vec::new();
        let running = scene
            .psmith(["-j1", "--leak", "kill", "-s", &script, ":::", "a", "b", "c"])
            .forbid(forbid)
            .start();
        for _ in 0..3 {
            let job: i32 = ready.lines(1)[0].parse().expect("a pid");
            fs::write(go.path(), "x\n").expect("it waits");
            // As soon as it is reaped, its number may be another process's.
            let deadline = Instant::now() + OUTER_LIMIT;
            while proc::stat(job).is_some() {
                assert!(Instant::now() < deadline, "job {job} never ends");
                std::thread::yield_now();
            }
            // Other programs start processes too, and one of them may have been given the number.
            for _ in 0..20 {
                fs::write(next, (job - 1).to_string()).expect("root may say which number is next");
                let stranger =
                    std::process::Command::new("setsid").args(["sleep", "300"]).spawn().expect("a stranger");
                let is_job = stranger.id() == job.cast_unsigned();
                strangers.push((stranger, is_job));
                if is_job || proc::stat(job).is_some() {
                    break;
                }
            }
        }
        running.wait().assert_code(0);
        let same = strangers.iter().filter(|(_, is_job)| *is_job).count();
        for (mut stranger, _) in strangers {
            assert!(stranger.try_wait().expect("our child").is_none(), "stranger {} was hit", stranger.id());
            stranger.kill().expect("our child");
            let _ = stranger.wait();
        }
        assert!(same > 0, "no number came round with {forbid:?} forbidden");
        // At the weakest level the holders were not found.
        fs::write(bye.path(), "x\nx\nx\n").expect("held open here");
    }
}

// proves: F-70: strangers whose parents have ended are children of a container's first process, and stayed zombies
// until its end
#[test]
fn as_the_first_process_of_a_container_it_reaps_strangers() {
    need!("F-70", Need::Root);
    need!("F-70", Need::Program("unshare"));
    need!("F-70", Need::Program("nsenter"));
    let scene = scene!();
    let mut ready = scene.ready("ready");
    let script = format!("echo up > {}; while [ ! -e go ]; do sleep 0.02; done # {{}}", ready.as_str());
    let container =
        scene.program("unshare").args(["--pid", "--fork", "--mount-proc"]).arg(scene.psmith_path());
    let running = container.args(["-s", &script, ":::", "job"]).start();
    ready.wait();
    let first = proc::children(running.pid())[0];
    // The stranger ends only once its parent has, so that its parent is the first process by then.
    let stranger = "mkfifo pipe; (read line < pipe) > /dev/null 2>&1 & echo $! > stranger; exit 0";
    let number = first.to_string();
    scene.program("nsenter").args(["-t", &number, "-p", "sh", "-c", stranger]).run().assert_code(0);
    let adopted =
        || proc::children(first).into_iter().find(|child| proc::command_line(*child).contains("mkfifo"));
    let stranger = adopted().expect("the first process was given the stranger");
    scene.write("pipe", "\n");
    let deadline = Instant::now() + leak::SETTLE;
    while proc::stat(stranger).is_some() && Instant::now() < deadline {
        // sleep: nothing tells that a zombie is gone.
        std::thread::sleep(Duration::from_millis(5));
    }
    let is_gone = proc::stat(stranger).is_none();
    scene.write("go", "");
    running.wait().assert_code(0);
    assert!(is_gone, "it was left a zombie");
}
