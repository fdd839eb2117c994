//! State that a worker keeps between jobs: a value that an init function made, and that an exit function receives.
//!
//! It belongs to the thread that runs the jobs. Where no init was given there is none.

use std::any::Any;
use std::cell::RefCell;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_sys::executable::{EntryFunction, Trampoline, entry_of};

type ExitFunction = Box<dyn FnOnce(Box<dyn Any>)>;

thread_local! {
    static STATE: RefCell<Option<(Box<dyn Any>, ExitFunction)>> = const { RefCell::new(None) };
}

/// The calling convention of the pair of init and exit.
struct Making<S>(std::marker::PhantomData<fn() -> S>);

impl<S, I, E> Trampoline<(I, E)> for Making<S>
where
    S: 'static,
    I: Fn() -> S + 'static,
    E: Fn(S) + 'static,
{
    fn call((init, exit): (I, E), _context: &mut dyn Any) {
        let state: Box<dyn Any> = Box::new(init());
        let exit: ExitFunction = Box::new(move |state| {
            if let Ok(state) = state.downcast::<S>() {
                exit(*state);
            }
        });
        STATE.set(Some((state, exit)));
    }
}

/// Returns the entry that makes the state.
pub fn making<S, I, E>(init: I, exit: E) -> EntryFunction
where
    S: 'static,
    I: Fn() -> S + Copy + 'static,
    E: Fn(S) + Copy + 'static,
{
    entry_of::<(I, E), Making<S>>((init, exit))
}

/// Calls `f` with the state of the worker that the caller runs in, which `PoolBuilder::init` made there. `None` if
/// there is none of that type: outside of a worker, on another thread than the job's own, within another `with_state`,
/// or in a pool without an init.
///
/// ```
/// # psmith::init();
/// let pool = psmith::Pool::builder().init(|| vec![0_u32]).workers(1).build().unwrap();
/// let push = |n: u32| psmith::with_state(|seen: &mut Vec<u32>| { seen.push(n); seen.len() }).unwrap();
/// let lengths = [5, 6].map(|n| pool.submit(psmith::Job::new(push, n)).unwrap().wait().unwrap());
/// assert_eq!(lengths, [2, 3]);
/// assert!(psmith::with_state(|_: &mut Vec<u32>| ()).is_none());
/// ```
pub fn with_state<S: 'static, T>(f: impl FnOnce(&mut S) -> T) -> Option<T> {
    STATE.with(|state| {
        let mut state = state.try_borrow_mut().ok()?;
        let (state, _) = state.as_mut()?;
        Some(f(state.downcast_mut::<S>()?))
    })
}

/// Passes the state to its exit function when the worker exits cleanly.
pub(super) fn exit() {
    if let Some((state, exit)) = STATE.take()
        && let Err(payload) = catch_unwind(AssertUnwindSafe(|| exit(state)))
    {
        // No job is left that this failure could be attributed to.
        let message = crate::worker::panics::message(payload.as_ref());
        let _ = writeln!(io::stderr(), "psmith: warning: the exit function of a worker panicked: {message}");
    }
}
