//! Codecs: how values are encoded between host and worker. Knows no channel.

use std::any::Any;
use std::error::Error;
use std::fmt;

use psmith_core::Cause;
use serde::{de, ser};

/// A codec, which encodes values of type `T` as bytes and decodes them.
///
/// The host encodes inputs and decodes results, a worker the other way round. A codec has no state: it is named by its
/// type (`Map::codec`), and both sides, being one program, use the same one.
///
/// [`decode`](Codec::decode) must not trust the bytes: for any bytes it returns a value or an error, in memory that is
/// bounded by their length.
///
/// ```
/// # // proves: own-codecs
/// use psmith::codec::{Codec, CodecError};
///
/// /// Numbers as decimal text.
/// enum Decimal {}
/// impl Codec<u64> for Decimal {
///     fn encode(value: &u64, into: &mut Vec<u8>) -> Result<(), CodecError> {
///         into.extend_from_slice(value.to_string().as_bytes());
///         Ok(())
///     }
///     fn decode(bytes: &[u8]) -> Result<u64, CodecError> {
///         let text = std::str::from_utf8(bytes).map_err(|error| CodecError::new(error.to_string()))?;
///         text.parse().map_err(|_| CodecError::new(format!("{text} is no number")))
///     }
/// }
/// let mut bytes = Vec::new();
/// Decimal::encode(&42, &mut bytes).unwrap();
/// assert_eq!(Decimal::decode(&bytes).unwrap(), 42);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot travel between this program and its workers by the codec `{Self}`",
    label = "`{T}` cannot travel to or from a job",
    note = "a job runs in another process: what it takes and returns are values that serde can carry (`Described`, the \
            default codec), and each type of your own derives `serde::Serialize` and `serde::Deserialize`",
    note = "a reference, an `Arc` or a lock means nothing in another process: pass what it holds, as a part of the item, \
            and what all jobs need by `map_with`",
    note = "a function that never returns is given the result `()`: `|item| forever(item)`"
)]
pub trait Codec<T> {
    /// Appends the value to `into`.
    ///
    /// # Errors
    /// A value that this codec cannot carry. The bytes appended by then are thrown away.
    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Decodes a value from all of these bytes.
    ///
    /// # Errors
    /// Bytes that encode no value of this type.
    fn decode(bytes: &[u8]) -> Result<T, CodecError>;

    /// Decodes a value from the bytes from `from` on, which are not needed afterwards: a large value can reuse their
    /// memory. By default the bytes are decoded as by [`decode`](Codec::decode).
    ///
    /// # Errors
    /// Those of [`decode`](Codec::decode).
    fn decode_owned(bytes: Vec<u8>, from: usize) -> Result<T, CodecError> {
        Self::decode(bytes.get(from..).unwrap_or_default())
    }

    /// Returns whether the bytes describe themselves, so that they can be shown without knowing their type.
    #[doc(hidden)]
    fn is_described() -> bool {
        false
    }

    /// Returns how an error of a function that returns `T` is carried, beside its text: [`WithErrors`].
    #[doc(hidden)]
    fn carried_error() -> Option<CarriedError> {
        None
    }
}

/// The functions by which a codec carries errors.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct CarriedError {
    /// Returns the error in words, with its sources; `None` if it is of another type.
    pub text: fn(&dyn Any) -> Option<String>,
    pub encode: fn(&dyn Any) -> Result<Vec<u8>, CodecError>,
    pub decode: fn(&[u8]) -> Option<Box<dyn Any>>,
}

/// The reason why a value cannot be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    reason: String,
    forged: bool,
}

impl CodecError {
    /// Returns an error with this reason, fit to follow "cannot be decoded: ".
    ///
    /// ```
    /// let error = psmith::codec::CodecError::new("it is too short".into());
    /// assert_eq!(error.to_string(), "it is too short");
    /// ```
    #[must_use]
    pub fn new(reason: String) -> CodecError {
        CodecError { reason, forged: false }
    }

    /// Returns an error for bytes that are not from the expected sender, and were not decoded: the job ends with
    /// [`Cause::Protocol`] instead of `Undecodable`.
    ///
    /// ```
    /// use psmith::codec::CodecError;
    /// assert!(CodecError::forged("it has no seal".into()).is_forged());
    /// ```
    #[must_use]
    pub fn forged(reason: String) -> CodecError {
        CodecError { reason, forged: true }
    }

    /// Returns whether the bytes were refused because they are not from the expected sender.
    ///
    /// ```
    /// use psmith::codec::CodecError;
    /// assert!(!CodecError::new("it is too short".into()).is_forged());
    /// ```
    #[must_use]
    pub fn is_forged(&self) -> bool {
        self.forged
    }

    /// Returns the cause of failure of the job whose bytes they were; `of` names the bytes.
    pub fn cause(&self, of: &str) -> Cause {
        let text = format!("{of}: {}", self.reason);
        if self.forged { Cause::Protocol(text) } else { Cause::Undecodable(text) }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for CodecError {}

impl ser::Error for CodecError {
    fn custom<T: fmt::Display>(reason: T) -> CodecError {
        CodecError::new(reason.to_string())
    }
}

impl de::Error for CodecError {
    fn custom<T: fmt::Display>(reason: T) -> CodecError {
        CodecError::new(reason.to_string())
    }
}

/// A codec that passes bytes as they are: nothing is encoded or checked.
///
/// ```
/// # psmith::init();
/// let lines = [b"one\n".to_vec(), b"\0\xff".to_vec()];
/// let turned = |mut line: Vec<u8>| { line.reverse(); line };
/// let got: Result<Vec<Vec<u8>>, _> = psmith::map(lines, turned).codec::<psmith::codec::Raw>().collect();
/// assert_eq!(got.unwrap(), [b"\neno".to_vec(), b"\xff\0".to_vec()]);
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Raw {}

impl Codec<Vec<u8>> for Raw {
    fn encode(value: &Vec<u8>, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(value);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.to_vec())
    }

    fn decode_owned(mut bytes: Vec<u8>, from: usize) -> Result<Vec<u8>, CodecError> {
        bytes.drain(..from.min(bytes.len()));
        Ok(bytes)
    }
}
