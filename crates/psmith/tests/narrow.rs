//! A program with few descriptors to give: a job that needs a process gets one, whichever workers are idle. Alone in
//! its process, whose limit it lowers.

use psmith::{Job, Pool};
use psmith_testkit::leak::LeakGuard;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Descriptors for the engine itself and for about this number of attempts.
const FILES: u64 = 8 + 4 * 8;

// proves: functions-and-commands: where there is room for nothing else, an idle worker makes room for a command
#[test]
fn a_command_finds_room_though_idle_workers_have_taken_all() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let files = Some(std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 + FILES);
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files }).unwrap();
    // More workers than there is room for.
    let pool = Pool::builder().workers(16).window(64).build().unwrap();
    let handles: Vec<_> = (0..16).map(|n: u32| pool.submit(Job::new(|n: u32| n, n)).unwrap()).collect();
    let ends: Vec<_> = handles.iter().map(|handle| handle.wait()).collect();
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    for _ in 0..3 {
        let command = pool.submit(Job::command("echo").arg("in").job()).unwrap();
        assert_eq!(command.wait().unwrap(), b"in\n");
        let function = pool.submit(Job::new(|n: u32| n + 1, 1)).unwrap();
        assert_eq!(function.wait().unwrap(), 2);
    }
}
