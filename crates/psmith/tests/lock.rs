//! Locks between processes: one holder, freed on death, not inherited.

use std::io::Write;
use std::path::PathBuf;

use psmith::{Isolation, Lock};
use psmith_testkit::leak::LeakGuard;

fn is_free(dir: PathBuf) -> Result<bool, std::io::Error> {
    Lock::new(dir, "name")?.try_acquire().map(|guard| guard.is_some())
}

fn ask(dir: &std::path::Path) -> bool {
    psmith::try_map([dir.to_owned()], is_free)
        .isolation(Isolation::PerJob)
        .into_iter()
        .next()
        .unwrap()
        .unwrap()
}

// proves: lock-by-file, process-locks
#[test]
fn another_process_is_refused_while_it_is_held_and_admitted_after() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let lock = Lock::new(dir.path(), "name").unwrap();
    assert!(lock.path().exists() && ask(dir.path()));
    let held = lock.acquire().unwrap();
    let again = Lock::new(dir.path(), "name").unwrap().acquire().unwrap();
    assert!(!ask(dir.path()));
    drop(held);
    assert!(!ask(dir.path()), "the second guard holds it");
    drop(again);
    assert!(ask(dir.path()));
    let panicked = std::panic::catch_unwind(|| lock.synchronize(|| panic!("within")).unwrap());
    assert!(panicked.is_err() && ask(dir.path()));
    assert!(["", ".", "..", "a/b", "a\0b"].iter().all(|name| Lock::new(dir.path(), name).is_err()));
}

// proves: lock-by-file, process-locks
#[test]
fn a_holder_that_dies_frees_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let die = |dir: PathBuf| -> () {
        let _held = Lock::new(dir, "name").unwrap().acquire().unwrap();
        std::process::abort();
    };
    assert!(psmith::map([dir.path().to_owned()], die).into_iter().next().unwrap().is_err());
    assert!(ask(dir.path()));
}

// proves: lock-by-file
#[test]
fn a_hundred_processes_on_one_lock_never_meet() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let dir = tempfile::tempdir().unwrap();
    let mark = |dir: PathBuf| {
        let lock = Lock::new(&dir, "name")?;
        lock.synchronize(|| {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("marks"))?;
            file.write_all(b"in\n")?;
            file.write_all(b"out\n")
        })?
    };
    let items = vec![dir.path().to_owned(); 100];
    let done = psmith::try_each(items, mark).isolation(Isolation::PerJob).workers(8).run();
    assert_eq!(done.unwrap().jobs, 100);
    let marks = std::fs::read_to_string(dir.path().join("marks")).unwrap();
    assert_eq!(marks, "in\nout\n".repeat(100));
}
