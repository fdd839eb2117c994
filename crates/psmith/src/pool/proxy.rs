//! A value whose methods run in processes of their own.

use std::convert::Infallible;
use std::fmt::Display;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::callee::Callee;
use crate::job::job::Job;
use crate::pool::handle::JobHandle;
use crate::pool::refusal::SubmitError;
use crate::pool::scheduler::Scheduler;
use psmith_engine::function::codec::Codec;
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::JobFunction;
use psmith_sys::executable::Sizeless;

/// A stand-in for a value; see [`Scheduler::proxy`].
#[derive(Debug)]
pub struct Proxy<'s, T> {
    scheduler: &'s Scheduler,
    value: T,
}

/// A method of `T` that takes these arguments, a tuple of up to three: called by [`Proxy::call`]. Users never name it.
pub trait Method<T, A, K>: Copy + 'static {
    /// The type that it returns.
    type Output;

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
        {
            type Output = O;

            fn call(self, value: &mut T, ($($value,)*): ($($name,)*)) -> O {
                self(value $(, $value)*)
            }
        }

        impl<T, F, O, $($name),*> Method<T, ($($name,)*), ByMut> for F
        where
            F: Fn(&mut T $(, $name)*) -> O + Copy + 'static,
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
    pub fn call<M, A, K>(
        &self,
        method: M,
        arguments: A,
    ) -> Result<JobHandle<M::Output>, SubmitError<M::Output>>
    where
        M: Method<T, A, K>,
        M::Output: 'static,
        T: Clone + Serialize + DeserializeOwned + 'static,
        A: Serialize + DeserializeOwned + 'static,
        K: 'static,
        Described: Codec<(T, A)> + Codec<M::Output>,
    {
        let callee = Callee::new::<_, Described>(MethodCall::<M, T, A, K>(method, PhantomData), None);
        self.scheduler.schedule(Job::of_callee::<Described, _>(callee, &(self.value.clone(), arguments)))
    }

    /// Calls a method that returns a `Result`, as [`Proxy::call`] does: its error, which is displayed, is the job's
    /// failure.
    ///
    /// ```
    /// # psmith::init();
    /// let scheduler = psmith::Scheduler::new();
    /// let text = scheduler.proxy("seven".to_owned());
    /// # trait Parse { fn number(&self) -> Result<u32, std::num::ParseIntError>; }
    /// # impl Parse for String { fn number(&self) -> Result<u32, std::num::ParseIntError> { self.parse() } }
    /// let failure = text.try_call(String::number, ()).unwrap().wait().unwrap_err();
    /// assert!(failure.to_string().contains("invalid digit"));
    /// ```
    ///
    /// # Errors
    /// The job, if the scheduler takes none just now.
    pub fn try_call<M, A, K, R, E>(&self, method: M, arguments: A) -> Result<JobHandle<R>, SubmitError<R>>
    where
        M: Method<T, A, K, Output = Result<R, E>>,
        R: 'static,
        E: Display + 'static,
        T: Clone + Serialize + DeserializeOwned + 'static,
        A: Serialize + DeserializeOwned + 'static,
        K: 'static,
        Described: Codec<(T, A)> + Codec<R>,
    {
        let callee =
            Callee::new::<_, Described>(TryMethodCall::<M, T, A, K, R, E>(method, PhantomData), None);
        self.scheduler.schedule(Job::of_callee::<Described, _>(callee, &(self.value.clone(), arguments)))
    }
}

/// Implements the calls of a method, whose types are these parameters.
macro_rules! calls {
    ($name:ident<$($more:ident),*> -> $value:ty, $error:ty; $($bounds:tt)*) => {
        impl<M: Copy, T, A, K, $($more),*> Clone for $name<M, T, A, K, $($more),*> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<M: Copy, T, A, K, $($more),*> Copy for $name<M, T, A, K, $($more),*> {}

        impl<M, T, A, K, $($more),*> JobFunction for $name<M, T, A, K, $($more),*>
        where
            T: 'static,
            A: 'static,
            K: 'static,
            $($bounds)*
        {
            type Input = (T, A);
            type Value = $value;
            type Error = $error;
            type Pointer = Sizeless<M>;

            fn pointer(self) -> Sizeless<M> {
                Sizeless::new(self.0)
            }

            fn of(pointer: Sizeless<M>) -> Self {
                $name(pointer.into_inner(), PhantomData)
            }

            fn call(self, (mut value, arguments): (T, A)) -> Result<$value, $error> {
                $name::<M, T, A, K, $($more),*>::ended(self.0.call(&mut value, arguments))
            }
        }
    };
}

/// A call of a method for its value.
struct MethodCall<M, T, A, K>(M, PhantomData<fn() -> (T, A, K)>);

/// A call of a method that may fail.
struct TryMethodCall<M, T, A, K, R, E>(M, PhantomData<fn() -> (T, A, K, R, E)>);

impl<M: Method<T, A, K>, T, A, K> MethodCall<M, T, A, K> {
    fn ended(value: M::Output) -> Result<M::Output, Infallible> {
        Ok(value)
    }
}

impl<M, T, A, K, R, E> TryMethodCall<M, T, A, K, R, E> {
    fn ended(result: Result<R, E>) -> Result<R, E> {
        result
    }
}

calls!(MethodCall<> -> M::Output, Infallible; M: Method<T, A, K>, M::Output: 'static,);
calls!(TryMethodCall<R, E> -> R, E; M: Method<T, A, K, Output = Result<R, E>>, R: 'static, E: Display + 'static,);
