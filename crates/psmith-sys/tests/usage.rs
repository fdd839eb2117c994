//! The resources that a process has used. A program of its own: other tests use the same process's.

use psmith_sys::usage::{own, reset_peak};

#[test]
fn cpu_time_grows_and_a_peak_that_is_reset_falls() {
    let before = own().unwrap();
    // Above what was there before: a program that was executed has the peak of what executed it, for ever.
    let bytes = before.peak_bytes + (64 << 20);
    let pages = std::hint::black_box(vec![1_u8; usize::try_from(bytes).unwrap()]);
    let big = own().unwrap();
    assert!(big.peak_bytes >= bytes, "{big:?}");
    assert!(big.user + big.system > before.user + before.system, "{before:?} {big:?}");
    drop(pages);
    if reset_peak().is_ok() {
        let after = own().unwrap();
        // How much of what was given back the kernel has let go by now is its own affair.
        assert!(after.peak_bytes < big.peak_bytes, "{after:?} {big:?}");
    }
}
