//! One call of a job function: decode the input, call, encode what it returned.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use psmith_sys::executable::{EntryFunction, Trampoline, entry_of};

use crate::function::codec::{Codec, CodecError, Described};
use crate::function::packed::input_at;
use crate::function::returns::{Return, error_text};

/// What a call is made of, and what came of it.
#[derive(Debug)]
pub struct Call {
    input: Vec<u8>,
    from: usize,
    to: usize,
    /// Where the next one's begins.
    next: usize,
    /// Further calls find their inputs in the same bytes.
    shared: bool,
    /// What a value is written to: the buffer of an earlier one.
    pub spare: Vec<u8>,
    /// Where the answer goes.
    pub answer: CallResult,
}

/// What came of a call.
#[derive(Debug)]
pub enum CallResult {
    /// Nothing: it has not returned.
    Pending,
    /// A value, encoded behind what was in the buffer before.
    Value(Vec<u8>),
    /// The function returned an error: in words, and itself where it can travel.
    Error(String, Option<Vec<u8>>),
    /// The input could not be decoded, so the function never ran.
    Undecodable(CodecError),
    /// What it returned could not be encoded.
    Unencodable(String),
}

impl Call {
    /// A call with the input that lies in `bytes` from `from` on.
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

    /// Calls whose inputs lie in `bytes` from `from` on ([`crate::function::packed`]): [`Call::advance`] comes before each.
    pub fn several(bytes: Vec<u8>, from: usize) -> Call {
        Call { next: from, shared: true, ..Call::new(bytes, from) }
    }

    /// The next of several calls. False if the bytes hold no input for it.
    pub fn advance(&mut self) -> bool {
        let Some((place, next)) = input_at(&self.input, self.next) else { return false };
        (self.from, self.to, self.next) = (place.start, place.end, next);
        self.answer = CallResult::Pending;
        true
    }
}

/// How functions from `A` to `O` are called where values travel by codec `C`.
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
            // A large input must not lie twice in memory while the function runs.
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

/// An error as it travels: in words, and itself where the codec carries errors and can carry this one.
pub fn encode_error<O: Return, C: Codec<O::Value>>(error: &O::Error) -> (String, Option<Vec<u8>>) {
    let carried = <C as Codec<O::Value>>::carried_error();
    let text = carried.and_then(|carried| (carried.text)(error)).unwrap_or_else(|| error_text(error));
    // One whose encoding panics cannot travel either.
    let itself = carried.and_then(|carried| {
        catch_unwind(AssertUnwindSafe(|| (carried.encode)(error))).ok().and_then(Result::ok)
    });
    (text, itself)
}

/// The entry of a function, and what tells it from all others.
pub fn entry<F, A, O, C>(function: F) -> EntryFunction
where
    F: Fn(A) -> O + Copy + 'static,
    A: 'static,
    O: Return + 'static,
    C: Codec<A> + Codec<O::Value> + 'static,
{
    entry_of::<F, ByCodec<A, O, C>>(function)
}

/// What tells a function with its codec from all others, within one process.
pub fn identity<F, A, O, C>(_function: F) -> TypeId
where
    F: Fn(A) -> O + Copy + 'static,
    A: 'static,
    O: 'static,
    C: 'static,
{
    TypeId::of::<(F, ByCodec<A, O, C>)>()
}

/// The same for the default codec: what `#[psmith::job]` registers.
pub fn described_entry<F, A, O>(function: F) -> EntryFunction
where
    F: Fn(A) -> O + Copy + 'static,
    A: 'static,
    O: Return + 'static,
    Described: Codec<A> + Codec<O::Value>,
{
    entry::<F, A, O, Described>(function)
}

/// What tells a function with its codec from all others, within one process.
pub fn described_identity<F, A, O>(function: F) -> TypeId
where
    F: Fn(A) -> O + Copy + 'static,
    A: 'static,
    O: 'static,
{
    identity::<F, A, O, Described>(function)
}

/// How the function that sets a worker up is called.
struct SetUp;

impl<F: Fn() + 'static> Trampoline<F> for SetUp {
    fn call(function: F, _context: &mut dyn Any) {
        function();
    }
}

/// The entry of a function that sets a worker up.
pub fn set_up_entry<F: Fn() + Copy + 'static>(function: F) -> EntryFunction {
    entry_of::<F, SetUp>(function)
}
