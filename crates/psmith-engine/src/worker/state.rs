//! State that a worker keeps between jobs: a value that an init function made, and that an exit function receives.
//!
//! It belongs to the thread that runs the jobs. Where no init was given there is none.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_sys::executable::{FunctionEntry, Trampoline, entry_of};

use crate::function::codec::Codec;
use crate::function::described::Described;
use crate::function::first_call::FirstInput;

/// A state, and what is called with it at the end.
type KeptState = (Box<dyn Any>, Option<Box<dyn FnOnce(Box<dyn Any>)>>);

thread_local! {
    static STATE: RefCell<Option<KeptState>> = const { RefCell::new(None) };
}

/// The way in which a function that makes the state is called.
struct Making;

impl<S: 'static> Trampoline<fn() -> S> for Making {
    fn call(init: fn() -> S, _context: &mut dyn Any) {
        STATE.set(Some((Box::new(init()), None)));
    }
}

/// Returns the entry that makes the state.
pub fn making<S: 'static>(init: fn() -> S) -> (FunctionEntry, TypeId) {
    (entry_of::<_, Making>(init), TypeId::of::<(Making, S)>())
}

/// The way in which a function that makes the state of a value is called.
struct MakingWith;

impl<A: 'static, S: 'static> Trampoline<fn(A) -> S> for MakingWith
where
    Described: Codec<A>,
{
    fn call(init: fn(A) -> S, context: &mut dyn Any) {
        STATE.set(Some((Box::new(init(FirstInput::take(context))), None)));
    }
}

/// Returns the entry that makes the state of a value.
pub fn making_with<A: 'static, S: 'static>(init: fn(A) -> S) -> (FunctionEntry, TypeId)
where
    Described: Codec<A>,
{
    (entry_of::<_, MakingWith>(init), TypeId::of::<(MakingWith, A, S)>())
}

/// The way in which the function that takes the state at the end is remembered.
struct Exiting;

impl<S: 'static> Trampoline<fn(S)> for Exiting {
    fn call(exit: fn(S), _context: &mut dyn Any) {
        STATE.with_borrow_mut(|state| {
            if let Some((_, at_exit)) = state {
                *at_exit = Some(Box::new(move |state| {
                    if let Ok(state) = state.downcast::<S>() {
                        exit(*state);
                    }
                }));
            }
        });
    }
}

/// Returns the entry that remembers the function which takes the state at the end; the state has been made by then.
pub fn exiting<S: 'static>(exit: fn(S)) -> (FunctionEntry, TypeId) {
    (entry_of::<_, Exiting>(exit), TypeId::of::<(Exiting, S)>())
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
        && let Err(payload) = catch_unwind(AssertUnwindSafe(|| match exit {
            Some(exit) => exit(state),
            None => drop(state),
        }))
    {
        // No job is left that this failure could be attributed to.
        let message = crate::worker::panics::message(payload.as_ref());
        let _ = writeln!(io::stderr(), "psmith: warning: the exit function of a worker panicked: {message}");
    }
}
