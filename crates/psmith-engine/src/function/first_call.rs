//! Calls that a worker makes once, before its first job: functions that set it up, and the values that they are given.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;

use psmith_sys::executable::{FunctionEntry, Trampoline, entry_of};

use crate::function::codec::Codec;
use crate::function::described::Described;
use crate::function::registry::Function;

/// A call that a worker makes once, before its first job.
#[derive(Clone, Debug)]
pub struct FirstCall {
    /// The function.
    pub function: Function,
    /// The value that it is given, encoded by the default codec; shared by all workers that are sent it.
    pub value: Option<Arc<Vec<u8>>>,
}

impl FirstCall {
    /// Returns the call of a function that is given nothing.
    pub fn new(entry: (FunctionEntry, TypeId)) -> Result<FirstCall, String> {
        let function = Function::of(entry).map_err(|error| error.to_string())?;
        Ok(FirstCall { function, value: None })
    }

    /// Returns the call of a function that is given this value.
    pub fn with<A>(entry: (FunctionEntry, TypeId), value: &A) -> Result<FirstCall, String>
    where
        Described: Codec<A>,
    {
        let function = Function::of(entry).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        Described::encode(value, &mut bytes)
            .map_err(|error| format!("its value cannot be encoded: {error}"))?;
        Ok(FirstCall { function, value: Some(Arc::new(bytes)) })
    }

    /// Returns the number of bytes of its value.
    pub fn bytes(&self) -> u64 {
        self.value.as_ref().map_or(0, |value| value.len() as u64)
    }
}

/// The value of a call in a worker: bytes, in which it begins at `from`.
#[derive(Debug)]
pub struct FirstInput {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: usize,
}

impl FirstInput {
    /// Decodes the value that a function is called with.
    ///
    /// # Panics
    /// If it cannot be decoded: the panic is the failure of the job that the worker was started for.
    pub fn take<A>(context: &mut dyn Any) -> A
    where
        Described: Codec<A>,
    {
        let input = context.downcast_mut::<FirstInput>();
        let input = input.map(|input| (std::mem::take(&mut input.bytes), input.from));
        let (bytes, from) = input.unwrap_or_default();
        match Described::decode_owned(bytes, from) {
            Ok(value) => value,
            Err(error) => panic!("the value that a worker is given at its start cannot be decoded: {error}"),
        }
    }
}

/// The way in which a function that sets a worker up is called.
struct SetUp;

impl Trampoline<fn()> for SetUp {
    fn call(function: fn(), _context: &mut dyn Any) {
        function();
    }
}

/// Returns the entry of a function that sets a worker up.
pub fn set_up_entry(function: fn()) -> (FunctionEntry, TypeId) {
    (entry_of::<fn(), SetUp>(function), TypeId::of::<SetUp>())
}

/// The way in which a function that sets a worker up is called with a value.
struct SetUpWith<A>(PhantomData<fn(A)>);

impl<A: 'static> Trampoline<fn(A)> for SetUpWith<A>
where
    Described: Codec<A>,
{
    fn call(function: fn(A), context: &mut dyn Any) {
        function(FirstInput::take(context));
    }
}

/// Returns the entry of a function that sets a worker up with a value.
pub fn set_up_with_entry<A: 'static>(function: fn(A)) -> (FunctionEntry, TypeId)
where
    Described: Codec<A>,
{
    (entry_of::<fn(A), SetUpWith<A>>(function), TypeId::of::<SetUpWith<A>>())
}
