//! A command that is too large to be started: it fails alone, and its neighbours never notice.

use std::path::PathBuf;

use psmith::{Cause, Isolation, Job, Pool};
use psmith_testkit::leak::LeakGuard;

/// More than a message to the warden holds.
const TOO_LARGE: usize = 17 << 20;

/// More than the kernel takes, but a message holds it.
const LARGE: usize = 8 << 20;

/// Returns a command with so many bytes of words, of environment, or of a directory's name.
fn large(part: usize, bytes: usize) -> Job<Vec<u8>> {
    let word = "w".repeat(100_000);
    let command = Job::command("echo");
    match part {
        0 => command.args(std::iter::repeat_n(&word, bytes / word.len())).job(),
        1 => {
            let variables = (0..bytes / word.len()).map(|n| (format!("V{n}"), &word));
            variables.fold(command, |command, (name, value)| command.env(name, value)).job()
        }
        _ => command.dir(PathBuf::from("d/".repeat(bytes / 2))).job(),
    }
}

// The warden broke the connection over it, and the neighbours failed: their groups were gone with the warden.
// proves: F-64, P-2, functions-and-commands
#[test]
fn a_command_too_large_for_a_message_fails_alone() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let pool = Pool::builder().workers(3).isolation(isolation).build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let script = "while [ ! -e go ]; do sleep 0.02; done; echo $PSMITH_ATTEMPT";
        let neighbour = pool.submit(Job::command("sh").args(["-c", script]).dir(dir.path()).job()).unwrap();
        for (part, bytes) in [(0, TOO_LARGE), (1, TOO_LARGE), (2, TOO_LARGE), (0, LARGE)] {
            let failure = pool.submit(large(part, bytes)).unwrap().wait().unwrap_err();
            let Cause::SpawnFailed(why) = &failure.cause else { panic!("{failure}") };
            let is_own_limit = why.permanent && why.detail.contains("bytes together, more than the limit of");
            assert_eq!(is_own_limit, bytes == TOO_LARGE, "{why:?}");
            assert!(is_own_limit || why.errno == rustix::io::Errno::TOOBIG.raw_os_error(), "{why:?}");
            assert_eq!(failure.attempts, 1, "{failure}");
        }
        std::fs::write(dir.path().join("go"), "").unwrap();
        assert_eq!(neighbour.wait().unwrap(), b"1\n");
        assert_eq!(pool.submit(Job::new(|n: u32| n + 1, 1)).unwrap().wait().unwrap(), 2);
    }
}
