//! The types that a job function may return. Encodes nothing: that is the codec's duty.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::error::Error;
use std::fmt::Display;

/// A type that a job function may return: a `Result`, whose error becomes the job's failure, or a value that is no
/// error.
///
/// Rust cannot tell "any value" and "a `Result`" apart in one function's signature, so plain values are listed: the
/// types of the standard library are here, your own get `#[derive(psmith::Value)]`, and everything else can be returned
/// as `Ok(value)`. An error needs only [`Display`]: its text is carried (by `{:#}`, so that errors which show their
/// chain of causes that way keep it; a `Box<dyn Error>` is shown with its sources). The error itself is carried on
/// request: `Map::error_type`.
///
/// ```
/// # psmith::init();
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, psmith::Value)]
/// struct Size { width: u32, height: u32 }
///
/// fn measure(text: String) -> Size {
///     let width = text.lines().map(str::len).max().unwrap_or(0) as u32;
///     Size { width, height: text.lines().count() as u32 }
/// }
///
/// let sizes = psmith::map(["a\nbcd".to_owned()], measure).workers(1);
/// for size in sizes {
///     let size = size.unwrap();
///     assert_eq!((size.width, size.height), (3, 2));
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a job function cannot return `{Self}` as it is",
    label = "returned by a job function",
    note = "write `#[derive(psmith::Value)]` on `{Self}`, or return `Result<{Self}, E>` with an error that can be displayed"
)]
pub trait Return {
    /// The value that the caller gets where the function did not fail.
    type Value;

    /// The error with which it fails; [`Infallible`] where it is no `Result`.
    type Error: Display + 'static;

    /// Returns the value, or the error.
    ///
    /// # Errors
    /// The function's own error.
    fn into_result(self) -> Result<Self::Value, Self::Error>;
}

impl<T, E: Display + 'static> Return for Result<T, E> {
    type Value = T;
    type Error = E;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

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

/// Implements [`Return`] for types that are never errors.
macro_rules! plain {
    ($($(#[$on:meta])* [$($generic:tt)*] $type:ty;)*) => {
        $(impl<$($generic)*> Return for $type {
            type Value = $type;
            type Error = Infallible;

            fn into_result(self) -> Result<$type, Infallible> {
                Ok(self)
            }
        })*
    };
}

plain! {
    [] (); [] bool; [] char; [] String;
    [] u8; [] u16; [] u32; [] u64; [] u128; [] usize;
    [] i8; [] i16; [] i32; [] i64; [] i128; [] isize;
    [] f32; [] f64;
    [] std::time::Duration; [] std::time::SystemTime;
    [] std::path::PathBuf; [] std::ffi::OsString; [] std::ffi::CString;
    [] std::net::IpAddr; [] std::net::Ipv4Addr; [] std::net::Ipv6Addr; [] std::net::SocketAddr;
    [T] Option<T>; [T] Vec<T>; [T: ?Sized] Box<T>; [T] VecDeque<T>; [T, const N: usize] [T; N];
    [K, V, S] HashMap<K, V, S>; [K, V] BTreeMap<K, V>; [T, S] HashSet<T, S>; [T] BTreeSet<T>;
    [T: ?Sized + ToOwned] std::borrow::Cow<'static, T>;
    [A] (A,); [A, B] (A, B); [A, B, C] (A, B, C); [A, B, C, D] (A, B, C, D);
    [A, B, C, D, E] (A, B, C, D, E); [A, B, C, D, E, F] (A, B, C, D, E, F);
    [A, B, C, D, E, F, G] (A, B, C, D, E, F, G); [A, B, C, D, E, F, G, H] (A, B, C, D, E, F, G, H);
}
