//! The value that all jobs of a run share: each worker has a copy of its own, made once.
//!
//! It belongs to the thread that runs the jobs.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use crate::function::codec::Codec;
use crate::function::described::Described;
use crate::function::first_call::{FirstCall, set_up_with_entry};

/// A value that was decoded, and the bytes that it was.
type Decoded = (Weak<Vec<u8>>, Rc<dyn Any>);

thread_local! {
    static SHARED: RefCell<Option<Rc<dyn Any>>> = const { RefCell::new(None) };
    static DECODED: RefCell<Option<Decoded>> = const { RefCell::new(None) };
}

/// Calls `f` with the value that the run of the caller's job was given by `.share(&value)`, or by `map_with` and its
/// like. `None` if there is none of that type: outside of a job, on another thread than the job's own, or in a run that
/// was given none.
///
/// Each worker decodes the value once, before its first job; so does one that replaces another. It is lent, so that no
/// job changes what the next one finds.
///
/// ```
/// # psmith::init();
/// let names = vec!["zero".to_owned(), "one".to_owned()];
/// let name = |n: usize| psmith::with_shared(|names: &Vec<String>| names[n].clone()).unwrap();
/// let got: Vec<String> = psmith::map([1, 0], name).share(&names).map(Result::unwrap).collect();
/// assert_eq!(got, ["one", "zero"]);
/// assert!(psmith::with_shared(|_: &Vec<String>| ()).is_none());
/// ```
pub fn with_shared<X: 'static, T>(f: impl FnOnce(&X) -> T) -> Option<T> {
    // Its own share of it: a nested inline run puts another one there meanwhile.
    let shared = SHARED.with_borrow(Clone::clone)?;
    shared.downcast_ref::<X>().map(f)
}

/// A value for the workers of a run.
#[derive(Clone, Debug)]
pub struct SharedValue {
    /// The call by which a worker takes it.
    pub call: FirstCall,
    /// Decodes it, for jobs without a process.
    decode: fn(&[u8]) -> Option<Rc<dyn Any>>,
}

impl SharedValue {
    /// Encodes a value.
    ///
    /// # Errors
    /// Why it cannot be given to workers.
    pub fn new<X: 'static>(value: &X) -> Result<SharedValue, String>
    where
        Described: Codec<X>,
    {
        let call = FirstCall::with(set_up_with_entry::<X>(keep::<X>), value)?;
        let decode =
            |bytes: &[u8]| Described::decode(bytes).ok().map(|value: X| Rc::new(value) as Rc<dyn Any>);
        Ok(SharedValue { call, decode })
    }

    /// Calls `f` while this thread has this value as that of its run: for a job without a process.
    pub fn lend<T>(&self, f: impl FnOnce() -> T) -> T {
        /// Puts back what was there, also after a panic.
        struct Restored(Option<Rc<dyn Any>>);

        impl Drop for Restored {
            fn drop(&mut self) {
                SHARED.set(self.0.take());
            }
        }

        let _restored = Restored(SHARED.replace(self.decoded()));
        f()
    }

    /// Returns the value itself. It is kept by the thread until it is asked for another, not by the run, which may be
    /// moved to another thread.
    fn decoded(&self) -> Option<Rc<dyn Any>> {
        let bytes = self.call.value.as_ref()?;
        DECODED.with_borrow_mut(|decoded| match decoded {
            Some((of, value)) if std::ptr::eq(of.as_ptr(), Arc::as_ptr(bytes)) => Some(Rc::clone(value)),
            _ => {
                let value = (self.decode)(bytes)?;
                *decoded = Some((Arc::downgrade(bytes), Rc::clone(&value)));
                Some(value)
            }
        })
    }
}

fn keep<X: 'static>(value: X) {
    SHARED.set(Some(Rc::new(value)));
}
