//! The entry point at which a program that uses psmith becomes a warden or a worker instead of itself. Never changes a
//! process that is neither.
//!
//! A link-time hook runs before `main` in every process of every program that this crate is linked into. In all but
//! wardens and executed workers it only reads two environment variables.

use std::sync::{Mutex, PoisonError};

use crate::function::codec::Codec;
use crate::function::described::Described;
use crate::function::first_call::{FirstCall, set_up_entry, set_up_with_entry};
use crate::{warden, worker};

psmith_sys::link_time_entry!(crate::entry::hook);

/// The call that workers make before their first job.
static SET_UP: Mutex<Option<Result<FirstCall, String>>> = Mutex::new(None);

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
/// it is set up there: [`Init::worker_setup`], or [`Init::worker_setup_with`] where that takes what `main` knows.
/// `std::env::args` in a job gives the arguments of this program, after a first that names the worker.
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
        *SET_UP.lock().unwrap_or_else(PoisonError::into_inner) = Some(FirstCall::new(set_up_entry(f)));
        self
    }

    /// Makes every worker call `f` once with this value, before its first job, as [`Init::worker_setup`] does: what
    /// `main` has found out (a log level, a configuration) is there in workers, too. The value is encoded at this call,
    /// by the default codec, and decoded in each worker. Of the calls of both methods the last counts.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// static LEVEL: OnceLock<String> = OnceLock::new();
    ///
    /// let level = "debug".to_owned();
    /// psmith::init().worker_setup_with(&level, |level| LEVEL.set(level).expect("called once"));
    ///
    /// let levels = psmith::map(0..3, |_: u32| LEVEL.get().cloned()).map(Result::unwrap);
    /// assert!(levels.eq([level.clone().into(), level.clone().into(), level.into()]));
    /// ```
    pub fn worker_setup_with<A: 'static>(self, value: &A, f: fn(A)) -> Init
    where
        Described: Codec<A>,
    {
        let call = FirstCall::with(set_up_with_entry(f), value);
        *SET_UP.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
        self
    }
}

impl Init {
    /// Names a program that is executed as the warden where psmith lies in a shared library of another program (an
    /// extension of Python or Ruby, a plugin), which cannot be executed again for that. It must use psmith of the same
    /// version, as the command `psmith` does. Then commands run; functions do not, because their code is in no program,
    /// and each is refused with words that say so. Elsewhere it changes nothing. Applies to runs that begin later.
    ///
    /// ```
    /// psmith::init().warden_program("/usr/local/bin/psmith");
    /// ```
    pub fn warden_program(self, path: impl Into<std::path::PathBuf>) -> Init {
        warden::image::name(path.into());
        self
    }
}

/// Returns the call that workers of a run that begins now make first.
pub fn set_up() -> Option<Result<FirstCall, String>> {
    SET_UP.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
