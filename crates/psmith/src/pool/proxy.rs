//! A value whose methods run in processes of their own.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::job::Job;
use crate::pool::handle::JobHandle;
use crate::pool::refusal::SubmitError;
use crate::pool::scheduler::Scheduler;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::returns::Return;

/// A stand-in for a value; see [`Scheduler::proxy`].
#[derive(Debug)]
pub struct Proxy<'s, T> {
    scheduler: &'s Scheduler,
    value: T,
}

/// A method of `T` that takes these arguments, a tuple of up to three: called by [`Proxy::call`]. Users never name it.
pub trait Method<T, A, K>: Copy + 'static {
    /// The type that it returns.
    type Output: Return;

    /// Calls it.
    fn call(self, value: &mut T, arguments: A) -> Self::Output;
}

/// A method that takes `&self`.
#[derive(Debug, Clone, Copy)]
pub enum ByRef {}

/// A method that takes `&mut self`.
#[derive(Debug, Clone, Copy)]
pub enum ByMut {}

macro_rules! methods {
    ($($name:ident $value:ident)*) => {
        impl<T, F, O, $($name),*> Method<T, ($($name,)*), ByRef> for F
        where
            F: Fn(&T $(, $name)*) -> O + Copy + 'static,
            O: Return,
        {
            type Output = O;

            fn call(self, value: &mut T, ($($value,)*): ($($name,)*)) -> O {
                self(value $(, $value)*)
            }
        }

        impl<T, F, O, $($name),*> Method<T, ($($name,)*), ByMut> for F
        where
            F: Fn(&mut T $(, $name)*) -> O + Copy + 'static,
            O: Return,
        {
            type Output = O;

            fn call(self, value: &mut T, ($($value,)*): ($($name,)*)) -> O {
                self(value $(, $value)*)
            }
        }
    };
}

methods! {}
methods! { A a }
methods! { A a B b }
methods! { A a B b C c }

impl<'s, T> Proxy<'s, T> {
    pub(crate) fn new(scheduler: &'s Scheduler, value: T) -> Proxy<'s, T> {
        Proxy { scheduler, value }
    }

    /// Returns the value as it was.
    ///
    /// ```
    /// # psmith::init();
    /// let scheduler = psmith::Scheduler::new();
    /// assert_eq!(scheduler.proxy(7_u32).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Calls a method with these arguments (a tuple) on a copy of the value, as one job in a process of its own.
    ///
    /// ```
    /// # psmith::init();
    /// let scheduler = psmith::Scheduler::new();
    /// let list = scheduler.proxy(vec![3_u32, 4]);
    /// let length = list.call(Vec::<u32>::len, ()).unwrap();
    /// assert_eq!(length.wait().unwrap(), 2);
    /// ```
    ///
    /// # Errors
    /// The job, if the scheduler takes none just now.
    #[expect(clippy::type_complexity, reason = "what comes back is named by the method alone")]
    pub fn call<M, A, K>(
        &self,
        method: M,
        arguments: A,
    ) -> Result<JobHandle<<M::Output as Return>::Value>, SubmitError<<M::Output as Return>::Value>>
    where
        M: Method<T, A, K>,
        M::Output: 'static,
        T: Clone + Serialize + DeserializeOwned + 'static,
        A: Serialize + DeserializeOwned + 'static,
        K: 'static,
        Described: Codec<(T, A)> + Codec<<M::Output as Return>::Value>,
    {
        // A method has no size, so a closure that holds it has none either.
        let call = move |(mut value, arguments): (T, A)| method.call(&mut value, arguments);
        self.scheduler.schedule(Job::new(call, (self.value.clone(), arguments)))
    }
}
