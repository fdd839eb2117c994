//! A queue that several processes share: a file of how many numbers were taken.

use std::fs;
use std::path::Path;

use psmith::Lock;

/// Takes the next number, from 1 to `all`.
pub(crate) fn take(dir: &Path, all: u64) -> Option<u64> {
    let lock = Lock::new(dir, "queue").unwrap();
    let next = lock.synchronize(|| {
        let file = dir.join("taken");
        let taken: u64 = fs::read_to_string(&file).map_or(0, |text| text.parse().unwrap());
        fs::write(&file, (taken + 1).to_string()).unwrap();
        taken + 1
    });
    next.ok().filter(|next| *next <= all)
}
