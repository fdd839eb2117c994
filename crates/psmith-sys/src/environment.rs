//! Environments in the form that the kernel and the C library take, and the replacement of a forked child's
//! environment as a whole.
//!
//! The latter is for a process with one thread only, in which no other thread can be reading it.

use std::ffi::c_char;
use std::io;
use std::ptr;
use std::sync::Arc;

use crate::fork::OnlyThread;

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// An environment, prepared once and shared by many starts.
#[derive(Debug, Clone)]
pub struct EnvBlock {
    words: Arc<[u8]>,
    offsets: Arc<[usize]>,
}

impl EnvBlock {
    /// Creates an environment from `K=V` words, each ended by NUL, back to back; a missing last NUL is added. Empty
    /// words are dropped.
    #[must_use]
    pub fn new(mut words: Vec<u8>) -> Self {
        if words.last().is_some_and(|last| *last != 0) {
            words.push(0);
        }
        let offsets = word_offsets(&words).filter(|offset| words[*offset] != 0).collect();
        EnvBlock { words: words.into(), offsets }
    }
}

/// The environment of a start: a shared one, and the words that are added to it.
#[derive(Debug, Default)]
pub struct Environment {
    /// The shared words, kept because the pointers point to them.
    shared: Option<EnvBlock>,
    added: Vec<u8>,
    pointers: Vec<*const c_char>,
}

impl Environment {
    /// Holds from now on the words of `shared` and those of `added`, each ended by NUL, back to back: an added word
    /// replaces the shared one of the same key.
    ///
    /// # Errors
    /// `EINVAL` if the last word that is added is not ended by NUL.
    pub fn fill(&mut self, shared: &EnvBlock, added: &[u8]) -> io::Result<()> {
        if added.last().is_some_and(|last| *last != 0) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.pointers.clear();
        self.added.clear();
        self.added.extend_from_slice(added);
        // From here on nothing is grown or moved, so pointers hold until the next fill.
        let (shared, added) = (self.shared.insert(shared.clone()), &self.added);
        let kept = shared.offsets.iter().filter(|offset| !has_key_of(added, &shared.words[**offset..]));
        self.pointers.extend(kept.map(|offset| pointer_to(&shared.words, *offset)));
        self.pointers.extend(word_offsets(added).map(|offset| pointer_to(added, offset)));
        self.pointers.push(ptr::null());
        Ok(())
    }

    /// Returns a null-ended array of NUL-ended words.
    pub(crate) fn pointers(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    /// Releases the shared words; the pointers are gone as well.
    pub(crate) fn clear(&mut self) {
        self.pointers.clear();
        self.shared = None;
    }
}

/// Returns where each NUL-ended word begins.
pub(crate) fn word_offsets(words: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next;
        let length = words.get(start..)?.iter().position(|byte| *byte == 0)?;
        next = start + length + 1;
        Some(start)
    })
}

pub(crate) fn pointer_to(words: &[u8], offset: usize) -> *const c_char {
    words[offset..].as_ptr().cast()
}

/// Returns whether one of the `added` words has the key of the word that `word` begins with.
fn has_key_of(added: &[u8], word: &[u8]) -> bool {
    let Some(key_length) = word.iter().position(|byte| *byte == b'=' || *byte == 0) else { return false };
    let key = &word[..key_length];
    added.split(|byte| *byte == 0).any(|other| other.starts_with(key) && other.get(key_length) == Some(&b'='))
}

/// Makes this the environment of this process, until it ends. At least one [`Environment::fill`] has succeeded.
pub fn replace(words: Environment, _alone: &OnlyThread) {
    let words: &'static Environment = Box::leak(Box::new(words));
    // SAFETY: environ(7) is a null-ended array of NUL-ended words, which are never freed; this is the only thread,
    // so no other one reads the variable meanwhile.
    unsafe { environ = words.pointers() };
}

/// Removes the variable `name` from the environment of this process.
///
/// For a helper process at its first instructions only: a thread of C code that reads the environment meanwhile could
/// see it half changed, and the only such threads then are those that a library's constructor has started.
pub fn forget(name: &str) {
    // SAFETY: unsetenv(3) races with readers in C code on other threads; see above. Readers in Rust are locked out.
    unsafe { std::env::remove_var(name) };
}
