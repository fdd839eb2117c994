//! Where a program that uses psmith becomes a warden instead of itself.
//!
//! A link-time hook runs before `main` in every process of every program that this crate is linked into. In all
//! but wardens it does nothing but look for one environment variable.

use crate::warden;

psmith_sys::link_time_entry!(crate::entry::hook);

fn hook() {
    if let Ok(nonce) = std::env::var(warden::MARKER) {
        warden::main(&nonce)
    }
}

/// The first line of `main` in a program that uses psmith.
///
/// It makes sure that the hook which turns a copy of the program into psmith's warden is linked in. In the
/// program itself it returns at once; in a warden it is never reached.
///
/// ```
/// psmith::init();
/// // the program
/// ```
pub fn init() {
    // Calling into this module is what keeps it, and with it the hook, in the linked image.
    std::hint::black_box(hook as fn());
}
