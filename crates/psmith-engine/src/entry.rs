//! The entry point at which a program that uses psmith becomes a warden or a worker instead of itself. Never changes a
//! process that is neither.
//!
//! A link-time hook runs before `main` in every process of every program that this crate is linked into. In all but
//! wardens and executed workers it only reads two environment variables.

use std::sync::{Mutex, PoisonError};

use crate::function::call::set_up_entry;
use crate::function::registry::Function;
use crate::{warden, worker};

psmith_sys::link_time_entry!(crate::entry::hook);

/// The function that workers call before their first job.
static SET_UP: Mutex<Option<Result<Function, String>>> = Mutex::new(None);

fn hook() {
    if let Ok(nonce) = std::env::var(warden::MARKER) {
        warden::main(&nonce)
    }
    if let Ok(nonce) = std::env::var(worker::MARKER) {
        worker::executed(&nonce)
    }
}

/// The first line of `main` in a program that uses psmith.
///
/// It makes sure that the hook which turns a copy of the program into psmith's warden is linked in. In the
/// program itself it returns at once; in a warden or a worker it is never reached.
///
/// **Workers never run `main`.** What it sets up (a logger, a panic hook, statics) is missing in job functions, unless
/// it is set up there: [`Init::worker_setup`].
///
/// ```
/// psmith::init();
/// // the program
/// ```
pub fn init() -> Init {
    // Calling into this module is what keeps it, and with it the hook, in the linked image.
    std::hint::black_box(hook as fn());
    Init(())
}

/// The result of [`init`], for further settings. It can be dropped.
#[derive(Debug)]
pub struct Init(());

impl Init {
    /// Makes every worker call `f` once, before its first job. Applies to runs that begin later; the last call counts.
    ///
    /// A panic in `f` is the failure of the job that the worker was started for. Like a job's function, `f` captures
    /// nothing.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// static GREETING: OnceLock<String> = OnceLock::new();
    ///
    /// psmith::init().worker_setup(|| GREETING.set("hello".to_owned()).expect("called once"));
    ///
    /// let greet = |name: String| format!("{} {name}", GREETING.get().expect("set up"));
    /// let first = psmith::map(["you".to_owned()], greet).into_iter().next().unwrap();
    /// assert_eq!(first.unwrap(), "hello you");
    /// assert!(GREETING.get().is_none(), "this is not a worker");
    /// ```
    pub fn worker_setup(self, f: fn()) -> Init {
        let function = Function::of(set_up_entry(f)).map_err(|error| error.to_string());
        *SET_UP.lock().unwrap_or_else(PoisonError::into_inner) = Some(function);
        self
    }
}

/// Returns the function that workers of a run that begins now call first.
pub fn set_up() -> Option<Result<Function, String>> {
    SET_UP.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
