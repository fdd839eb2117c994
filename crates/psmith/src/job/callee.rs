//! A function of jobs, and how its values travel. Never calls it.

use std::any::{Any, TypeId};

use crate::job::flow::Judge;
use psmith_engine::function::call::entry;
use psmith_engine::function::codec::{CarriedError, Codec};
use psmith_engine::function::described::Described;
use psmith_engine::function::job_function::JobFunction;
use psmith_engine::function::registry::Function;
use psmith_sys::executable::FunctionEntry;

/// A function and how its values travel, once for all jobs that call it.
#[derive(Debug)]
pub(crate) struct Callee {
    pub(crate) function: Result<Function, String>,
    pub(crate) judge: Option<Judge>,
    pub(crate) decode_input: fn(&[u8]) -> Option<Box<dyn Any>>,
    /// The codec of errors, where they are carried as values.
    pub(crate) errors: Option<CarriedError>,
    pub(crate) described: bool,
}

impl Callee {
    /// Makes the callee for a function whose values travel by codec `C`.
    pub(crate) fn new<F, C>(function: F, judge: Option<Judge>) -> Callee
    where
        F: JobFunction,
        C: Codec<F::Input> + Codec<F::Value> + 'static,
    {
        Callee::of_entry::<F::Input, F::Value, C>(entry::<F, C>(function), judge)
    }

    /// Makes the callee for a function that is called in this way, from `A` to `R`.
    pub(crate) fn of_entry<A, R, C>(entry: (FunctionEntry, TypeId), judge: Option<Judge>) -> Callee
    where
        A: 'static,
        C: Codec<A> + Codec<R>,
    {
        Callee {
            function: Function::of(entry).map_err(|error| error.to_string()),
            judge,
            decode_input: |bytes| {
                <C as Codec<A>>::decode(bytes).ok().map(|input| Box::new(input) as Box<dyn Any>)
            },
            errors: <C as Codec<R>>::carried_error(),
            described: <C as Codec<A>>::is_described(),
        }
    }

    /// Makes the callee for a registered function; its codec is the default one.
    pub(crate) fn named<A: 'static>(name: &str) -> Callee
    where
        Described: Codec<A>,
    {
        Callee {
            function: Function::named(name),
            judge: None,
            decode_input: |bytes| {
                <Described as Codec<A>>::decode(bytes).ok().map(|input| Box::new(input) as Box<dyn Any>)
            },
            errors: None,
            described: true,
        }
    }
}
