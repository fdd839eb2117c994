//! A call of a job function: decode the input, call, encode the result. Knows no channel, and catches no panic of the
//! function.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_sys::executable::{EntryFunction, Trampoline, entry_of};

use crate::function::codec::{Codec, CodecError};
use crate::function::described::Described;
use crate::function::packed::input_at;
use crate::function::returns::{Return, error_text};

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

/// The calling convention of functions from `A` to `O` whose values are encoded by codec `C`.
pub struct ByCodec<A, O, C>(PhantomData<fn(A) -> (O, C)>);

impl<F, A, O, C> Trampoline<F> for ByCodec<A, O, C>
where
    F: Fn(A) -> O,
    A: 'static,
    O: Return + 'static,
    C: Codec<A> + Codec<O::Value> + 'static,
{
    fn call(function: F, context: &mut dyn Any) {
        let Some(call) = context.downcast_mut::<Call>() else { return };
        let input = if call.shared {
            <C as Codec<A>>::decode(&call.input[call.from..call.to])
        } else {
            // A large input must not be in memory twice while the function runs.
            <C as Codec<A>>::decode_owned(std::mem::take(&mut call.input), call.from)
        };
        let input = match input {
            Ok(input) => input,
            Err(error) => return call.answer = CallResult::Undecodable(error),
        };
        call.answer = match function(input).into_result() {
            Err(error) => {
                let (text, itself) = encode_error::<O, C>(&error);
                CallResult::Error(text, itself)
            }
            Ok(value) => {
                let mut bytes = std::mem::take(&mut call.spare);
                bytes.clear();
                match <C as Codec<O::Value>>::encode(&value, &mut bytes) {
                    Ok(()) => CallResult::Value(bytes),
                    Err(error) => CallResult::Unencodable(error.to_string()),
                }
            }
        };
    }
}

/// Encodes an error: in words, and itself where the codec carries errors and can carry this one.
pub fn encode_error<O: Return, C: Codec<O::Value>>(error: &O::Error) -> (String, Option<Vec<u8>>) {
    let carried = <C as Codec<O::Value>>::carried_error();
    let text = carried.and_then(|carried| (carried.text)(error)).unwrap_or_else(|| error_text(error));
    // One whose encoding panics cannot be carried either.
    let itself = carried.and_then(|carried| {
        catch_unwind(AssertUnwindSafe(|| (carried.encode)(error))).ok().and_then(Result::ok)
    });
    (text, itself)
}

/// Returns the entry of a function, and its identity among all others.
pub fn entry<F, A, O, C>(function: F) -> EntryFunction
where
    F: Fn(A) -> O + Copy + 'static,
    A: 'static,
    O: Return + 'static,
    C: Codec<A> + Codec<O::Value> + 'static,
{
    entry_of::<F, ByCodec<A, O, C>>(function)
}

/// Returns the identity of a function with its codec among all others, within one process.
pub fn identity<F, A, O, C>(_function: F) -> TypeId
where
    F: Fn(A) -> O + Copy + 'static,
    A: 'static,
    O: 'static,
    C: 'static,
{
    TypeId::of::<(F, ByCodec<A, O, C>)>()
}

/// Returns the entry for the default codec, which `#[psmith::job]` registers.
pub fn described_entry<F, A, O>(function: F) -> EntryFunction
where
    F: Fn(A) -> O + Copy + 'static,
    A: 'static,
    O: Return + 'static,
    Described: Codec<A> + Codec<O::Value>,
{
    entry::<F, A, O, Described>(function)
}

/// Returns the identity of a function with the default codec among all others, within one process.
pub fn described_identity<F, A, O>(function: F) -> TypeId
where
    F: Fn(A) -> O + Copy + 'static,
    A: 'static,
    O: 'static,
{
    identity::<F, A, O, Described>(function)
}

/// The calling convention of a function that sets a worker up.
struct SetUp;

impl<F: Fn() + 'static> Trampoline<F> for SetUp {
    fn call(function: F, _context: &mut dyn Any) {
        function();
    }
}

/// Returns the entry of a function that sets a worker up.
pub fn set_up_entry<F: Fn() + Copy + 'static>(function: F) -> EntryFunction {
    entry_of::<F, SetUp>(function)
}
