//! The kinds of functions that can be jobs: those that return a value, and those that may fail. Encodes nothing: that
//! is the codec's duty.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::fmt::{self, Display};

use psmith_sys::executable::{FunctionPointer, LendingFunction};

use crate::function::codec::CodecError;
use crate::function::shared_value::with_shared;

/// A function that can be a job's, of one kind or another; made by the faces of the library of what they are given.
pub trait JobFunction: Copy + 'static {
    /// The type of its argument.
    type Input: 'static;

    /// The type of the value that its caller gets where it does not fail.
    type Value: 'static;

    /// The type of the error with which it fails.
    type Error: Display + 'static;

    /// The function as it is named to another process.
    type Pointer: FunctionPointer;

    /// Returns the pointer to it.
    fn pointer(self) -> Self::Pointer;

    /// Returns the function with this pointer.
    fn of(pointer: Self::Pointer) -> Self;

    /// Checks that what it needs besides its argument is there.
    ///
    /// # Errors
    /// Why it cannot be called.
    fn ready() -> Result<(), CodecError> {
        Ok(())
    }

    /// Calls it.
    ///
    /// # Errors
    /// The function's own error.
    fn call(self, input: Self::Input) -> Result<Self::Value, Self::Error>;
}

/// A function whose result is a value, whatever it is.
pub struct Plain<A, R>(pub fn(A) -> R);

impl<A: 'static, R: 'static> JobFunction for Plain<A, R> {
    type Input = A;
    type Value = R;
    type Error = Infallible;
    type Pointer = fn(A) -> R;

    fn pointer(self) -> fn(A) -> R {
        self.0
    }

    fn of(pointer: fn(A) -> R) -> Plain<A, R> {
        Plain(pointer)
    }

    fn call(self, input: A) -> Result<R, Infallible> {
        Ok(self.0(input))
    }
}

/// A function that returns a `Result`, whose error is the job's failure.
pub struct Fallible<A, R, E>(pub fn(A) -> Result<R, E>);

impl<A: 'static, R: 'static, E: Display + 'static> JobFunction for Fallible<A, R, E> {
    type Input = A;
    type Value = R;
    type Error = E;
    type Pointer = fn(A) -> Result<R, E>;

    fn pointer(self) -> fn(A) -> Result<R, E> {
        self.0
    }

    fn of(pointer: fn(A) -> Result<R, E>) -> Fallible<A, R, E> {
        Fallible(pointer)
    }

    fn call(self, input: A) -> Result<R, E> {
        self.0(input)
    }
}

/// A function that is lent the value which all jobs share, and whose result is a value.
pub struct Lending<X, A, R>(pub fn(&X, A) -> R);

impl<X: 'static, A: 'static, R: 'static> JobFunction for Lending<X, A, R> {
    type Input = A;
    type Value = R;
    type Error = Infallible;
    type Pointer = LendingFunction<X, A, R>;

    fn pointer(self) -> LendingFunction<X, A, R> {
        LendingFunction(self.0)
    }

    fn of(pointer: LendingFunction<X, A, R>) -> Lending<X, A, R> {
        Lending(pointer.0)
    }

    fn ready() -> Result<(), CodecError> {
        is_shared::<X>()
    }

    fn call(self, input: A) -> Result<R, Infallible> {
        Ok(lent(|value| self.0(value, input)))
    }
}

/// A function that is lent the value which all jobs share, and returns a `Result`.
pub struct LendingFallible<X, A, R, E>(pub fn(&X, A) -> Result<R, E>);

impl<X: 'static, A: 'static, R: 'static, E: Display + 'static> JobFunction for LendingFallible<X, A, R, E> {
    type Input = A;
    type Value = R;
    type Error = E;
    type Pointer = LendingFunction<X, A, Result<R, E>>;

    fn pointer(self) -> LendingFunction<X, A, Result<R, E>> {
        LendingFunction(self.0)
    }

    fn of(pointer: LendingFunction<X, A, Result<R, E>>) -> LendingFallible<X, A, R, E> {
        LendingFallible(pointer.0)
    }

    fn ready() -> Result<(), CodecError> {
        is_shared::<X>()
    }

    fn call(self, input: A) -> Result<R, E> {
        lent(|value| self.0(value, input))
    }
}

fn is_shared<X: 'static>() -> Result<(), CodecError> {
    match with_shared(|_: &X| ()) {
        Some(()) => Ok(()),
        None => Err(CodecError::new(format!(
            "its function takes a `{}` that all jobs share, and the run was given none: `.share(&value)` gives it",
            std::any::type_name::<X>()
        ))),
    }
}

fn lent<X: 'static, T>(f: impl FnOnce(&X) -> T) -> T {
    with_shared(f).expect("a function is called when it is ready")
}

/// Implements for a kind of functions what `derive` would only do where the argument and the value have it as well.
macro_rules! pointer {
    ($kind:ident<$($parameter:ident),+>) => {
        impl<$($parameter),+> Clone for $kind<$($parameter),+> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($parameter),+> Copy for $kind<$($parameter),+> {}

        impl<$($parameter),+> fmt::Debug for $kind<$($parameter),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($kind))
            }
        }
    };
}

pointer!(Plain<A, R>);
pointer!(Fallible<A, R, E>);
pointer!(Lending<X, A, R>);
pointer!(LendingFallible<X, A, R, E>);

/// Returns a job's error as its caller reads it.
pub fn error_text<E: Display + 'static>(error: &E) -> String {
    let any = error as &dyn Any;
    let boxed = any.downcast_ref::<Box<dyn Error + Send + Sync>>().map(|error| &**error as &dyn Error);
    match boxed.or_else(|| any.downcast_ref::<Box<dyn Error>>().map(|error| &**error)) {
        Some(error) => chain(error),
        None => format!("{error:#}"),
    }
}

/// Returns an error with its sources. A source that its text contains already is not repeated.
pub fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error:#}");
    let mut next = error.source();
    while let Some(source) = next {
        let cause = format!("{source:#}");
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = source.source();
    }
    text
}
