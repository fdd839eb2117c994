//! A function that runs before `main`, so that the same executable, started again, becomes something else.
//!
//! The macro places a pointer in `.init_array`. The loader calls those in order of link, after std's own entry
//! (`.init_array.00099`), so `std::env::args` already works with glibc; with musl it does not, and the arguments are
//! in `/proc/self/cmdline`. At this point std's runtime is not set up: SIGPIPE is not ignored yet, the main thread
//! has no name and no stack overflow handler. The function must return quickly when it has nothing to do: it runs in
//! every program that links the crate.

/// Makes `$f`, a `fn()`, run before `main` of every program that links the crate which invokes this.
///
/// A panic in `$f` aborts the process, because it may not unwind into the loader.
#[macro_export]
macro_rules! link_time_entry {
    ($f:path) => {
        const _: () = {
            // Items in a macro are not hygienic: a plain name here could hide the caller's own function.
            extern "C" fn __psmith_link_time_entry() {
                $f();
            }
            #[used]
            #[expect(unsafe_code, reason = "a pointer in .init_array is how a function runs before main")]
            // SAFETY: `.init_array` holds pointers to functions of the C calling convention, and this is one.
            #[unsafe(link_section = ".init_array")]
            static __PSMITH_LINK_TIME_ENTRY: extern "C" fn() = __psmith_link_time_entry;
        };
    };
}
