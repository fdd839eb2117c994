//! Scratch directories of jobs: private, and removed with the job, however it ends and whichever process is killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use psmith::{Cause, Failure, Flow, Isolation, Job, Pool, Retry, Server};
use psmith_testkit::leak::{LeakGuard, NONCE, SETTLE};
use psmith_testkit::need;
use psmith_testkit::need::{Need, mount_tmpfs};

const ISOLATIONS: [Isolation; 2] = [Isolation::PerJob, Isolation::Reuse];

fn dir() -> PathBuf {
    psmith::cx().expect("inside a job").scratch_dir().unwrap()
}

/// Fills the job's directory, also with what is hard to remove, and gives its path.
fn fill() -> PathBuf {
    let dir = dir();
    fs::create_dir_all(dir.join("locked/deep")).unwrap();
    fs::write(dir.join("locked/deep/file"), "x").unwrap();
    std::os::unix::fs::symlink("/", dir.join("link")).unwrap();
    fs::set_permissions(dir.join("locked/deep"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(dir.join("locked"), fs::Permissions::from_mode(0o500)).unwrap();
    dir
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

// proves: scratch-directories, SEC-temp
#[test]
fn a_jobs_directory_is_its_own_private_hard_to_guess_and_gone_with_the_outcome() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let place = tempfile::tempdir().unwrap();
    for isolation in ISOLATIONS {
        let inspect = |_: u32| {
            // A mask that lets everybody in.
            rustix::process::umask(rustix::fs::Mode::empty());
            let (dir, again) = (fill(), dir());
            let found = fs::metadata(&dir).unwrap();
            let parent = fs::metadata(dir.parent().unwrap()).unwrap();
            (dir, again, found.mode() & 0o7777, parent.mode() & 0o7777)
        };
        let run = psmith::map(0..6, inspect).workers(2).isolation(isolation).scratch_dir_in(place.path());
        let mut seen = BTreeSet::new();
        for got in run {
            let (dir, again, mode, parent) = got.unwrap();
            assert_eq!((&again, mode, parent), (&dir, 0o700, 0o700));
            assert!(!dir.exists(), "{}", dir.display());
            let root = dir.parent().unwrap();
            assert_eq!(root.parent(), Some(place.path()));
            let random = root.file_name().unwrap().to_str().unwrap().rsplit('.').next().unwrap();
            assert!(random.len() >= 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit()), "{random}");
            assert!(seen.insert(dir), "each has its own");
        }
        assert!(is_empty(place.path()));
    }
}

// proves: scratch-directories
#[test]
fn it_is_gone_however_the_job_ends() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let place = tempfile::tempdir().unwrap();
    let end = |how: u32| -> Result<(), String> {
        fill();
        match how {
            0 => Ok(()),
            1 => Err("failed".into()),
            2 => panic!("panics"),
            3 => std::process::abort(),
            4 => std::process::exit(0),
            5 => {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                    .unwrap();
                Ok(())
            }
            _ => loop {
                std::thread::park();
            },
        }
    };
    for isolation in ISOLATIONS {
        let run = psmith::try_map(0..7, end)
            .workers(1)
            .window(1)
            .isolation(isolation)
            .timeout(Duration::from_millis(300));
        let mut run = run.grace(Duration::ZERO).scratch_dir_in(place.path()).into_iter();
        for how in 0..7 {
            assert_eq!(run.next().unwrap().is_ok(), how == 0);
            let root = fs::read_dir(place.path()).unwrap().next().unwrap().unwrap().path();
            assert!(is_empty(&root), "{how}");
        }
        drop(run);
        assert!(is_empty(place.path()));
    }
}

// proves: scratch-directories
#[test]
fn each_attempt_begins_with_an_empty_one_and_a_run_that_is_dropped_leaves_none() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let place = tempfile::tempdir().unwrap();
    let again = |_: u32| {
        let dir = fill();
        let cx = psmith::cx().unwrap();
        if cx.attempt() < 3 {
            Err("again".to_owned())
        } else {
            Ok((dir, fs::read_dir(self::dir()).unwrap().count()))
        }
    };
    for isolation in ISOLATIONS {
        let run = psmith::try_map([0], again).isolation(isolation).retry(Retry::tries(3));
        let (dir, entries) = run.scratch_dir_in(place.path()).into_iter().last().unwrap().unwrap();
        assert_eq!(entries, 2, "its own only: {}", dir.display());
        assert!(is_empty(place.path()));

        let run = psmith::map(0.., |n: u64| (n, fill())).isolation(isolation).scratch_dir_in(place.path());
        assert_eq!(run.into_iter().take(3).filter(Result::is_ok).count(), 3);
        assert!(is_empty(place.path()), "of a run that was dropped");

        let kill = |n: u32| if n == 0 { Flow::Kill(fill()) } else { Flow::Next(fill()) };
        let _ =
            psmith::map_until(0..4, kill).isolation(isolation).scratch_dir_in(place.path()).run().unwrap();
        assert!(is_empty(place.path()));
    }
}

// proves: scratch-directories
#[test]
fn commands_get_their_scratch_directory_and_so_do_pools_and_inline_jobs() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let place = tempfile::tempdir().unwrap();
    let script = "stat -c %a \"$PSMITH_SCRATCH\"; touch \"$PSMITH_SCRATCH/file\"; pwd -P; cd \"$PSMITH_SCRATCH\" && pwd -P";
    let mut jobs = vec![
        Job::command("sh").args(["-c", script]).job(),
        Job::command("sh").args(["-c", "touch \"$PSMITH_SCRATCH/file\"; kill -9 $$"]).job(),
    ]
    .into_iter();
    let mut got = Vec::new();
    let server = Server::new(move || jobs.next()).in_order().isolation(Isolation::PerJob);
    server.scratch_dir_in(place.path()).consumer(|_, result| got.push(result)).run().unwrap();
    let text = String::from_utf8(got[0].as_ref().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "700");
    assert!(lines[2].starts_with(place.path().to_str().unwrap()), "{text}");
    assert!(matches!(got[1].as_ref().unwrap_err().cause, Cause::Signal { signal: 9, .. }));
    assert!(is_empty(place.path()));

    let pool = Pool::builder().workers(1).scratch_dir_in(place.path()).build().unwrap();
    let command =
        Job::command("sh").args(["-c", "touch \"$PSMITH_SCRATCH/file\"; echo \"$PSMITH_SCRATCH\""]).job();
    let text = pool.submit(command).unwrap().wait().unwrap();
    let text = PathBuf::from(String::from_utf8(text).unwrap().trim_end());
    assert!(text.starts_with(place.path()) && !text.exists(), "{}", text.display());
    let handles: Vec<_> = (0..3).map(|n: u32| pool.submit(Job::new(|_: u32| fill(), n)).unwrap()).collect();
    for handle in handles {
        assert!(!handle.wait().unwrap().exists());
    }
    drop(pool);
    assert!(is_empty(place.path()));

    let inline = psmith::map([0], |_: u32| fill()).workers(0).scratch_dir_in(place.path()).into_iter().last();
    assert!(!inline.unwrap().unwrap().exists());
    assert!(is_empty(place.path()));
}

// proves: scratch-directories
#[test]
fn a_job_without_one_gets_an_error_and_a_place_that_does_not_exist_ends_the_run_with_a_clear_line() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let ask = |_: ()| psmith::cx().unwrap().scratch_dir().map(drop);
    let failure = psmith::try_map([()], ask).into_iter().last().unwrap().unwrap_err();
    assert!(failure.to_string().contains(".scratch_dir()"), "{failure}");
    let failure =
        psmith::try_map([()], ask).scratch_dir_in("/nowhere/at/all").into_iter().last().unwrap().unwrap_err();
    let text = "psmith: no scratch directory in /nowhere/at/all: No such file or directory (os error 2)";
    assert_eq!(failure.to_string(), text);
}

// proves: F-21, scratch-directories
#[test]
fn a_full_disk_is_the_jobs_error_and_the_next_job_has_it_empty() {
    psmith::init();
    let _guard = LeakGuard::alone();
    need!("F-21", Need::Tmpfs);
    let place = tempfile::tempdir().unwrap();
    let _mounted = mount_tmpfs(place.path(), "1m").unwrap();
    let fill = |n: usize| {
        let written = fs::write(dir().join("file"), vec![1_u8; n]);
        written.map(|()| n).map_err(|error| error.kind().to_string())
    };
    for isolation in ISOLATIONS {
        let sizes = [900_000, 2_000_000, 900_000, 2_000_000, 900_000];
        // One at a time, and nothing ahead: what was handed out has left its room to the next.
        let run = psmith::try_map(sizes, fill).workers(1).window(1).isolation(isolation);
        let got: Vec<Result<usize, Failure>> = run.scratch_dir_in(place.path()).collect();
        let causes: Vec<_> = got.iter().map(|it| it.as_ref().map_err(|it| it.cause.clone())).collect();
        let full = Cause::Error(std::io::ErrorKind::StorageFull.to_string());
        assert_eq!(causes, [Ok(&900_000), Err(full.clone()), Ok(&900_000), Err(full), Ok(&900_000)]);
        assert!(is_empty(place.path()));
    }
}

/// The variable that makes a test of this file play the host of another: where its jobs have their directories.
const HOST: &str = "PSMITH_TEST_HOST";

// proves: scratch-directories, F-21, F-37a
#[test]
fn a_killed_host_leaves_none() {
    psmith::init();
    if let Some(place) = std::env::var_os(HOST) {
        let busy = |n: u32| {
            fill();
            psmith::cx().unwrap().send(&n).unwrap();
            if n > 3 {
                loop {
                    std::thread::park();
                }
            }
        };
        let run = psmith::map(0.., busy).workers(3).on_message(|_, n: u32| println!("filled {n}"));
        let run = if place.as_bytes().ends_with(b"one") { run.isolation(Isolation::PerJob) } else { run };
        run.scratch_dir_in(place).for_each(drop);
        // return: this copy only plays the host
        return;
    }
    let mut guard = LeakGuard::new();
    let places = tempfile::tempdir().unwrap();
    for name in ["one", "reuse"] {
        // Between two jobs, in the midst of one, and with nothing but jobs that hang.
        for kill_at in [1, 2, 3, 4, 6] {
            let place = places.path().join(format!("{kill_at}{name}"));
            fs::create_dir(&place).unwrap();
            let mut host = Command::new(std::env::current_exe().unwrap());
            host.args(["--exact", "a_killed_host_leaves_none", "--nocapture"]);
            host.env(HOST, &place).env(NONCE, guard.nonce()).stdin(Stdio::null()).stdout(Stdio::piped());
            let mut host = host.spawn().unwrap();
            let lines = BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok);
            assert_eq!(lines.filter(|line| line.contains("filled")).take(kill_at).count(), kill_at);
            assert!(!is_empty(&place));
            host.kill().unwrap();
            host.wait().unwrap();
            assert_eq!(guard.survivors_after(SETTLE), Vec::<i32>::new());
            assert!(is_empty(&place), "{name}, killed at {kill_at}");
        }
    }
    guard.check();
}

// proves: scratch-directories, F-37d
#[test]
fn the_directories_of_a_killed_host_and_its_killed_warden_are_removed_by_the_next_run_in_that_place() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let place = tempfile::tempdir().unwrap();
    // As if of a process whose number another process has by now.
    let name = psmith_sys::cgroup::run_name();
    let mut parts: Vec<String> = name.split('-').map(str::to_owned).collect();
    parts[2] = (parts[2].parse::<u64>().unwrap() + 1).to_string();
    let stale = place.path().join(parts.join("-"));
    let others = [place.path().join(&name), place.path().join("psmith-notes")];
    for dir in others.iter().chain([&stale]) {
        fs::create_dir_all(dir.join("0.1")).unwrap();
        fs::write(dir.join("0.1/file"), "x").unwrap();
    }
    let link = place.path().join(parts.join("-") + "0");
    std::os::unix::fs::symlink(&others[1], &link).unwrap();
    assert!(
        psmith::map([0], |_: u32| fill()).scratch_dir_in(place.path()).into_iter().last().unwrap().is_ok()
    );
    assert!(!stale.exists());
    assert!(others.iter().all(|dir| dir.join("0.1/file").exists()), "of those that live, and of strangers");
    assert!(link.is_symlink() && others[1].exists(), "a link is not followed");
}
