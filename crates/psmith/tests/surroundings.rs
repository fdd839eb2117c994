//! The environment and the working directory of a process that is started for a job: the program's at the time at which
//! the job was handed in.

use std::path::PathBuf;

use psmith::{Isolation, Job, Pool};
use psmith_sys::environment;
use psmith_testkit::forked::in_copy;
use psmith_testkit::gate::{self, Gate};
use psmith_testkit::leak::LeakGuard;

/// A variable that every test has, and that is taken away.
const VARIABLE: &str = "CARGO_MANIFEST_DIR";

/// What a job sees: whether it has the variable, and its directory.
type Seen = (bool, PathBuf);

fn look(path: Option<PathBuf>) -> Seen {
    path.iter().for_each(|path| gate::pass(path));
    (std::env::var_os(VARIABLE).is_some(), std::env::current_dir().unwrap())
}

fn command() -> Job<Seen> {
    Job::command("sh").args(["-c", "pwd -P; echo ${CARGO_MANIFEST_DIR+there}"]).read_by(|text| {
        let text = String::from_utf8_lossy(text);
        let (dir, there) = text.split_once('\n').unwrap();
        Ok((there.starts_with("there"), PathBuf::from(dir)))
    })
}

// proves: functions-and-commands, F-69: a process of a pool had the environment of the time at which the pool was made
#[test]
fn a_fresh_process_of_a_living_pool_has_the_surroundings_of_the_program_at_submission() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().canonicalize().unwrap();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        in_copy(&format!("{isolation:?}"), || {
            let before = (true, std::env::current_dir().unwrap());
            let after = (false, elsewhere.clone());
            let mut gate = Gate::closed();
            let pool = Pool::builder().workers(1).max_jobs(1).isolation(isolation).build().unwrap();
            assert_eq!(pool.submit(Job::new(look, None)).unwrap().wait().unwrap(), before);
            let first = pool.submit(Job::new(look, Some(gate.path()))).unwrap();
            while first.pid().is_none() {
                std::thread::yield_now();
            }
            let waits = pool.submit(command()).unwrap();
            std::env::set_current_dir(&elsewhere).unwrap();
            environment::forget(VARIABLE);
            let later = [pool.submit(Job::new(look, None)).unwrap(), pool.submit(command()).unwrap()];
            gate.open();
            assert_eq!(first.wait().unwrap(), before);
            assert_eq!(waits.wait().unwrap(), before, "it was handed in before");
            assert_eq!(later.map(|handle| handle.wait().unwrap()), [after.clone(), after]);
        });
    }
}
