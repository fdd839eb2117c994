//! Tests of the start path.
//!
//! The spawner needs a process with one thread and all signals blocked, which the usual test harness is not: so this
//! is a program of its own (`harness = false`) that runs one test after the other and reports which one failed. It is
//! the started program, too: `spawner --child WHAT`.

mod child;
mod start;

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use psmith_sys::rlimit::{Resource, Rlimit};
use psmith_sys::spawn::{ChildStep, EnvBlock, SpawnProgress, Spawner};
use psmith_sys::wait::ExitStatusRaw;
use psmith_sys::{pidfd, proc_tree, signals, wait};

use child::{parent_that_dies, play_child};
use start::*;

const PROMISES: &[(&str, fn())] = &[
    ("output_and_exit_code_come_back", output_and_exit_code_come_back),
    ("each_failing_step_is_reported_with_its_errno", each_failing_step_is_reported_with_its_errno),
    ("a_program_that_exits_127_is_no_failed_start", a_program_that_exits_127_is_no_failed_start),
    ("a_script_without_interpreter_line_is_run_by_sh", a_script_without_interpreter_line_is_run_by_sh),
    ("extra_environment_replaces_by_key", extra_environment_replaces_by_key),
    ("standard_descriptors_are_placed_in_any_order", standard_descriptors_are_placed_in_any_order),
    ("the_child_holds_0_1_2_and_nothing_else", the_child_holds_0_1_2_and_nothing_else),
    ("mask_is_empty_and_dispositions_are_default", mask_is_empty_and_dispositions_are_default),
    ("the_child_has_a_session_of_its_own", the_child_has_a_session_of_its_own),
    ("surroundings_are_as_asked", surroundings_are_as_asked),
    ("the_foreground_of_a_terminal_is_taken", the_foreground_of_a_terminal_is_taken),
    ("a_hanging_start_holds_up_nobody", a_hanging_start_holds_up_nobody),
    ("a_child_killed_before_exec_is_distinguished", a_child_killed_before_exec_is_distinguished),
    ("the_parent_death_signal_ends_the_child", the_parent_death_signal_ends_the_child),
    ("errno_of_the_parent_is_left_alone", errno_of_the_parent_is_left_alone),
    ("thousands_of_starts_leave_nothing_behind", thousands_of_starts_leave_nothing_behind),
];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("--child") => return play_child(&words[2..]),
        Some("--parent-that-dies") => return parent_that_dies(),
        Some("--list") => {
            // For runners that query each test program for its tests.
            for (name, _) in PROMISES {
                println!("{name}: test");
            }
            return;
        }
        _ => {}
    }
    signals::block_all();
    let filter = words.iter().skip(1).find(|word| !word.starts_with("--"));
    let is_exact = words.iter().any(|word| word == "--exact");
    let is_wanted = |name: &str| match filter {
        Some(filter) if is_exact => name == filter,
        Some(filter) => name.contains(filter.as_str()),
        None => true,
    };
    for (name, promise) in PROMISES.iter().filter(|(name, _)| is_wanted(name)) {
        println!("spawner: {name}");
        promise();
    }
    // The tests again, as far as the fallback for close_range is concerned, in a process of its own.
    if std::env::var_os(psmith_sys::forbid::VARIABLE).is_none() && filter.is_none() {
        for promise in
            ["standard_descriptors_are_placed_in_any_order", "the_child_holds_0_1_2_and_nothing_else"]
        {
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            again.env(psmith_sys::forbid::VARIABLE, "close-range");
            assert!(again.arg(promise).status().unwrap().success(), "{promise} without close_range");
        }
    }
}

// --- The promises ---

fn output_and_exit_code_come_back() {
    let end = Start::sh("echo out; echo err >&2; cat; exit 3").run();
    assert_eq!(end.status, ExitStatusRaw::Code(3));
    assert_eq!((end.out.as_str(), end.err.as_str()), ("out\n", "err\n"));
    let end = Start::sh("kill -KILL $$").run();
    assert_eq!(end.status, ExitStatusRaw::Signal { signal: libc::SIGKILL, core: false });
    assert_eq!(end.progress, SpawnProgress::Executed);
    assert!(end.usage.max_rss_bytes > 0);
}

fn each_failing_step_is_reported_with_its_errno() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "text").unwrap();
    let shell = c"/bin/sh";

    let missing = path(&dir.path().join("missing"));
    expect(Start::program(&missing), ChildStep::Exec, libc::ENOENT);
    expect(Start::program(&path(&plain)), ChildStep::Exec, libc::EACCES);
    expect(Start::program(c"/bin/sh/x"), ChildStep::Exec, libc::ENOTDIR);

    let huge = vec![b'x'; 4 << 20];
    let mut start = Start::program(shell);
    start.argv.extend_from_slice(&huge);
    start.argv.push(0);
    expect(start, ChildStep::Exec, libc::E2BIG);

    let mut start = Start::program(shell);
    start.dir = Some(missing.clone());
    expect(start, ChildStep::WorkingDirectory, libc::ENOENT);
    let mut start = Start::program(shell);
    start.dir = Some(path(&plain));
    expect(start, ChildStep::WorkingDirectory, libc::ENOTDIR);

    let mut start = Start::program(shell);
    start.rlimits = vec![Rlimit { resource: Resource::Core, soft: 2, hard: 1 }];
    expect(start, ChildStep::Limits, libc::EINVAL);
    let mut start = Start::program(shell);
    start.rlimits = vec![Rlimit { resource: Resource::OpenFiles, soft: 2, hard: 1 }];
    expect(start, ChildStep::Limits, libc::EINVAL);

    // A group that is gone: any descriptor that cannot be written to fails alike.
    let read_only = fs::File::open(&plain).unwrap();
    let mut start = Start::program(shell);
    start.groups = vec![read_only.as_fd()];
    expect(start, ChildStep::JoinGroup, libc::EBADF);

    let mut start = Start::program(shell);
    start.parent_death = Some(1000);
    expect(start, ChildStep::ParentDeath, libc::EINVAL);
    let mut start = Start::program(shell);
    start.foreground = Some(read_only.as_fd());
    expect(start, ChildStep::Terminal, libc::ENOTTY);

    let mut start = Start::program(shell);
    start.argv = b"no end".to_vec();
    expect(start, ChildStep::Exec, libc::EINVAL);
    let mut start = Start::program(shell);
    start.argv.clear();
    expect(start, ChildStep::Exec, libc::EINVAL);
}

fn a_program_that_exits_127_is_no_failed_start() {
    let end = Start::sh("exit 127").run();
    assert_eq!((end.status, end.progress), (ExitStatusRaw::Code(127), SpawnProgress::Executed));
}

fn a_script_without_interpreter_line_is_run_by_sh() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    fs::write(&script, "echo \"$0:$1:$2:$#\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut start = Start::program(&path(&script));
    start.argv = b"other name\0one\0\0".to_vec();
    assert_eq!(start.run().out, format!("{}:one::2\n", script.display()));
}

fn extra_environment_replaces_by_key() {
    let mut start = Start::program(c"/usr/bin/env");
    start.env = EnvBlock::new(b"A=1\0AB=2\0B=3\0ODD\0\0LAST=4".to_vec());
    start.env_extra = b"A=new\0C=5\0".to_vec();
    let out = start.run().out;
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=new", "AB=2", "B=3", "C=5", "LAST=4", "ODD"]);
}

fn standard_descriptors_are_placed_in_any_order() {
    // The test's own 0, 1, 2 are the sources here, so it is done in a process that can spare them.
    let dir = tempfile::tempdir().unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--child", "permute"])
        .arg(dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}

fn the_child_holds_0_1_2_and_nothing_else() {
    // Descriptors that were inherited, or made without close-on-exec, do not get through either.
    let many: Vec<OwnedFd> = (0..300).map(|_| rustix::io::dup(std::io::stderr()).unwrap()).collect();
    let end = Start::myself("descriptors").run();
    assert_eq!(end.out, "0 1 2\n");
    drop(many);
}

fn mask_is_empty_and_dispositions_are_default() {
    // std ignores PIPE; ask for more of it, one of them after the spawner was made.
    signals::ignore(libc::SIGHUP).unwrap();
    let mut spawner = Spawner::new().unwrap();
    signals::ignore(libc::SIGTTOU).unwrap();
    let end = Start::myself("status").run_with(&mut spawner);
    for field in ["SigBlk:", "SigIgn:", "SigCgt:", "SigPnd:"] {
        let line = end.out.lines().find(|line| line.starts_with(field)).unwrap();
        assert_eq!(line.split_ascii_whitespace().nth(1), Some("0000000000000000"), "{line}");
    }
    assert!(signals::ignored().contains(libc::SIGHUP), "the parent keeps its own");
    signals::default(libc::SIGHUP).unwrap();
    signals::default(libc::SIGTTOU).unwrap();
}

fn the_child_has_a_session_of_its_own() {
    let end = Start::sh("cut -d' ' -f1,5,6 /proc/$$/stat").run();
    let numbers: Vec<&str> = end.out.split_ascii_whitespace().collect();
    assert_eq!(numbers[0], end.pid.to_string());
    assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
}

fn surroundings_are_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let real = fs::canonicalize(dir.path()).unwrap();
    let mut start =
        Start::sh("pwd; umask; ulimit -n; ulimit -c; nice; grep NoNewPrivs /proc/self/status | tr -dc 01");
    start.dir = Some(path(&real));
    start.umask = Some(0o27);
    let limit = |resource, value| Rlimit { resource, soft: value, hard: value };
    start.rlimits = vec![limit(Resource::OpenFiles, 40), limit(Resource::Core, 0)];
    start.nice = 3;
    start.no_new_privs = true;
    let here = rustix::process::getpriority_process(None).unwrap();
    assert_eq!(start.run().out, format!("{}\n0027\n40\n0\n{}\n1", real.display(), here + 3));

    let handle = rustix::fs::open(&real, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let mut start = Start::sh("pwd");
    start.dir_fd = Some(handle.as_fd());
    assert_eq!(start.run().out, format!("{}\n", real.display()));
}

fn the_foreground_of_a_terminal_is_taken() {
    // A terminal needs a session that it controls, so a child makes one and is the parent there.
    let end = Start::myself("terminal").run();
    assert_eq!((end.out.as_str(), end.err.as_str()), ("foreground\n", ""));
}

fn a_hanging_start_holds_up_nobody() {
    // Opening a FIFO for execution is refused, so the hang is made where a start can always be made to wait: it
    // joins a "group" that is a full pipe.
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    fill(&writer);
    let mut spawner = Spawner::new().unwrap();
    let mut hanging = Start::sh("exit 5");
    hanging.groups = vec![writer.as_fd()];
    let hanging = hanging.start(&mut spawner).unwrap();
    reaches(&spawner, &hanging, ChildStep::JoinGroup);
    // The other one ends while this one waits.
    assert_eq!(Start::sh("echo done").run_with(&mut spawner).out, "done\n");
    assert_eq!(spawner.progress(&hanging.ticket), SpawnProgress::Pending(ChildStep::JoinGroup));
    assert!(!pidfd::has_ended(&hanging.pidfd).unwrap());
    // Released while pending, its block is set aside.
    spawner.release(hanging.ticket);
    assert_eq!(spawner.pending_count(), 1);
    let mut sink = vec![0; 1 << 20];
    rustix::io::read(&reader, &mut sink).unwrap();
    wait_for(&hanging.pidfd);
    assert_eq!(wait::reap(hanging.pid).unwrap().status, ExitStatusRaw::Code(5));
    assert_eq!(Start::sh("echo again").run_with(&mut spawner).out, "again\n");
    assert_eq!(spawner.pending_count(), 0);
}

fn a_child_killed_before_exec_is_distinguished() {
    let (_reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    fill(&writer);
    let mut spawner = Spawner::new().unwrap();
    let mut start = Start::sh("exit 0");
    start.groups = vec![writer.as_fd()];
    let started = start.start(&mut spawner).unwrap();
    reaches(&spawner, &started, ChildStep::JoinGroup);
    pidfd::signal(&started.pidfd, libc::SIGKILL).unwrap();
    wait_for(&started.pidfd);
    assert!(proc_tree::stat(started.pid).unwrap().before_exec);
    assert_eq!(spawner.progress_at_end(&started.ticket), SpawnProgress::Killed(ChildStep::JoinGroup));
    wait::reap(started.pid).unwrap();
    spawner.release(started.ticket);
    assert_eq!(spawner.pending_count(), 0);
}

fn the_parent_death_signal_ends_the_child() {
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("--parent-that-dies")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    let mut out = parent.stdout.take().unwrap();
    let mut byte = [0];
    while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        pid.push(char::from(byte[0]));
    }
    let child = pidfd::open(pid.parse().unwrap()).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for(&child);
}

fn errno_of_the_parent_is_left_alone() {
    let mut spawner = Spawner::new().unwrap();
    let missing = c"/nonexistent/program";
    for _ in 0..100 {
        // The child's calls fail while the parent looks at its own error.
        let mut start = Start::program(missing);
        start.null_output = true;
        let started = start.start(&mut spawner).unwrap();
        let error = fs::File::open("/proc/self/environ/x").unwrap_err();
        while matches!(spawner.progress(&started.ticket), SpawnProgress::Pending(_)) {
            assert_eq!(std::io::Error::last_os_error().raw_os_error(), error.raw_os_error());
            std::thread::yield_now();
        }
        wait_for(&started.pidfd);
        wait::reap(started.pid).unwrap();
        spawner.release(started.ticket);
    }
}

fn thousands_of_starts_leave_nothing_behind() {
    const STARTS_COUNT: usize = 10_000;
    let mut spawner = Spawner::new().unwrap();
    let round = |spawner: &mut Spawner, count: usize| {
        for _ in 0..count / 2 {
            let mut ended = Vec::new();
            for _ in 0..2 {
                let mut start = Start::program(c"/bin/true");
                start.null_output = true;
                ended.push(start.start(spawner).unwrap());
            }
            for started in ended {
                wait_for(&started.pidfd);
                assert_eq!(wait::reap_pidfd(&started.pidfd).unwrap().status, ExitStatusRaw::Code(0));
                assert_eq!(spawner.progress(&started.ticket), SpawnProgress::Executed);
                spawner.release(started.ticket);
            }
        }
    };
    round(&mut spawner, 200);
    let before = (descriptors().len(), mapped_bytes());
    round(&mut spawner, STARTS_COUNT);
    assert_eq!(descriptors().len(), before.0);
    assert!(mapped_bytes() <= before.1 + (256 << 10), "memory grew from {} to {}", before.1, mapped_bytes());
    assert_eq!(wait::peek_any().unwrap(), None);
}
