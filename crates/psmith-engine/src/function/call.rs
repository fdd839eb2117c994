//! A call of a job function: decode the input, call, encode the result. Knows no channel, and catches no panic of the
//! function.

use std::any::{Any, TypeId};
use std::fmt::Display;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_sys::executable::{FunctionEntry, Trampoline, entry_of};

use crate::function::codec::{Codec, CodecError};
use crate::function::described::Described;
use crate::function::job_function::{Fallible, JobFunction, Plain, error_text};
use crate::function::packed::input_at;

/// The input of a call, and its result.
#[derive(Debug)]
pub struct Call {
    input: Vec<u8>,
    from: usize,
    to: usize,
    /// The offset of the next call's input.
    next: usize,
    /// True if further calls find their inputs in the same bytes.
    shared: bool,
    /// The buffer to which a value is written: that of an earlier one.
    pub spare: Vec<u8>,
    /// The result.
    pub answer: CallResult,
}

/// The result of a call.
#[derive(Debug)]
pub enum CallResult {
    /// Pending: the function has not returned.
    Pending,
    /// A value, encoded behind what was in the buffer before.
    Value(Vec<u8>),
    /// The function returned an error: in words, and encoded where it can be carried.
    Error(String, Option<Vec<u8>>),
    /// The input could not be decoded, so the function never ran.
    Undecodable(CodecError),
    /// The result could not be encoded.
    Unencodable(String),
}

impl Call {
    /// Returns a call whose input is in `bytes` from `from` on.
    pub fn new(bytes: Vec<u8>, from: usize) -> Call {
        let to = bytes.len();
        Call {
            input: bytes,
            from,
            to,
            next: to,
            shared: false,
            spare: Vec::new(),
            answer: CallResult::Pending,
        }
    }

    /// Returns calls whose inputs are in `bytes` from `from` on ([`crate::function::packed`]): [`Call::advance`] comes
    /// before each.
    pub fn several(bytes: Vec<u8>, from: usize) -> Call {
        Call { next: from, shared: true, ..Call::new(bytes, from) }
    }

    /// Moves on to the next of several calls; returns false if the bytes hold no input for it.
    pub fn advance(&mut self) -> bool {
        let Some((place, next)) = input_at(&self.input, self.next) else { return false };
        (self.from, self.to, self.next) = (place.start, place.end, next);
        self.answer = CallResult::Pending;
        true
    }
}

/// The way in which functions of kind `F` are called whose values are encoded by codec `C`.
pub struct ByCodec<F, C>(PhantomData<fn() -> (F, C)>);

impl<F, C> Trampoline<F::Pointer> for ByCodec<F, C>
where
    F: JobFunction,
    C: Codec<F::Input> + Codec<F::Value> + 'static,
{
    fn call(function: F::Pointer, context: &mut dyn Any) {
        let Some(call) = context.downcast_mut::<Call>() else { return };
        let input = if call.shared {
            <C as Codec<F::Input>>::decode(&call.input[call.from..call.to])
        } else {
            // A large input must not be in memory twice while the function runs.
            <C as Codec<F::Input>>::decode_owned(std::mem::take(&mut call.input), call.from)
        };
        let input = match input {
            Ok(input) => input,
            Err(error) => return call.answer = CallResult::Undecodable(error),
        };
        if let Err(error) = F::ready() {
            return call.answer = CallResult::Undecodable(error);
        }
        call.answer = match F::of(function).call(input) {
            Err(error) => {
                let (text, itself) = encode_error::<F, C>(&error);
                CallResult::Error(text, itself)
            }
            Ok(value) => {
                let mut bytes = std::mem::take(&mut call.spare);
                bytes.clear();
                match <C as Codec<F::Value>>::encode(&value, &mut bytes) {
                    Ok(()) => CallResult::Value(bytes),
                    Err(error) => CallResult::Unencodable(error.to_string()),
                }
            }
        };
    }
}

/// Encodes an error: in words, and itself where the codec carries errors and can carry this one.
pub fn encode_error<F: JobFunction, C: Codec<F::Value>>(error: &F::Error) -> (String, Option<Vec<u8>>) {
    let carried = <C as Codec<F::Value>>::carried_error();
    let text = carried.and_then(|carried| (carried.text)(error)).unwrap_or_else(|| error_text(error));
    // One whose encoding panics cannot be carried either.
    let itself = carried.and_then(|carried| {
        catch_unwind(AssertUnwindSafe(|| (carried.encode)(error))).ok().and_then(Result::ok)
    });
    (text, itself)
}

/// Returns the entry of a function, and the identity of the way in which it is called, within one process.
pub fn entry<F, C>(function: F) -> (FunctionEntry, TypeId)
where
    F: JobFunction,
    C: Codec<F::Input> + Codec<F::Value> + 'static,
{
    (entry_of::<F::Pointer, ByCodec<F, C>>(function.pointer()), TypeId::of::<ByCodec<F, C>>())
}

/// A function for `#[psmith::job]` to register: its method `entry` is that of a function that may fail, if it returns a
/// `Result`, and else that of [`RegisteredValue`].
#[derive(Debug)]
pub struct ToRegister<A, O>(pub fn(A) -> O);

impl<A: 'static, R: 'static, E: Display + 'static> ToRegister<A, Result<R, E>>
where
    Described: Codec<A> + Codec<R>,
{
    /// Returns the entry for the default codec.
    pub fn entry(self) -> (FunctionEntry, TypeId) {
        entry::<_, Described>(Fallible(self.0))
    }
}

/// The entry of a function that returns a value.
pub trait RegisteredValue {
    /// Returns the entry for the default codec.
    fn entry(self) -> (FunctionEntry, TypeId);
}

impl<A: 'static, R: 'static> RegisteredValue for ToRegister<A, R>
where
    Described: Codec<A> + Codec<R>,
{
    fn entry(self) -> (FunctionEntry, TypeId) {
        entry::<_, Described>(Plain(self.0))
    }
}
