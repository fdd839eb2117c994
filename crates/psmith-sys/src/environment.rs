//! The environment of a forked child, replaced as a whole.
//!
//! For a process with one thread only, where nobody else can be reading it.

use std::ffi::c_char;
use std::io;

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// Makes `K=V` words, each ended by NUL, the environment of this process; of words with one key the last one stands.
/// The memory is kept until the process ends.
///
/// # Errors
/// `EDEADLK` if this process has more than one thread, `EINVAL` if the last word is not ended by NUL.
pub fn replace(words: Vec<u8>) -> io::Result<()> {
    if crate::fork::threads_count()? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    if words.last().is_some_and(|last| *last != 0) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let words: &'static [u8] = words.leak();
    let mut listed: Vec<&'static [u8]> = Vec::new();
    for word in words.split_inclusive(|byte| *byte == 0).filter(|word| word.len() > 1) {
        let key = word.split(|byte| *byte == b'=').next().unwrap_or_default();
        listed.retain(|other| !(other.starts_with(key) && other.get(key.len()) == Some(&b'=')));
        listed.push(word);
    }
    let mut pointers: Vec<*const c_char> = listed.into_iter().map(|word| word.as_ptr().cast()).collect();
    pointers.push(std::ptr::null());
    let pointers: &'static [*const c_char] = pointers.leak();
    // SAFETY: environ(7) is a null-ended array of NUL-ended words, which live for ever; this is the only thread, so
    // nobody reads the variable meanwhile.
    unsafe { environ = pointers.as_ptr() };
    Ok(())
}

/// Takes the variable `name` out of the environment of this process.
///
/// For a helper process at its first instructions only: a thread of C code that reads the environment meanwhile could
/// see it half changed, and there is none but what a library's constructor may have started.
pub fn forget(name: &str) {
    // SAFETY: unsetenv(3) races with readers in C code on other threads; see above. Readers in Rust are locked out.
    unsafe { std::env::remove_var(name) };
}
