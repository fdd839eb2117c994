//! Hash of a text in 128 bits, for this process only. Never stored.

use std::hash::{DefaultHasher, Hasher as _};

/// Returns the hash of this text, for this process only. Among a thousand million texts, two share one with a
/// probability of one in 10^20.
pub(crate) fn hash_of(text: &[u8]) -> [u64; 2] {
    [1u8, 2].map(|salt| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(text);
        hasher.finish()
    })
}
