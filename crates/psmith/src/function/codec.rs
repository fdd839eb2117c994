//! How values travel between host and worker.

use std::fmt;

use psmith_core::Cause;
use serde::{de, ser};

/// Turns values of type `T` into bytes and back.
///
/// The host encodes inputs and decodes results, a worker the other way round. A codec has no state: it is named by
/// its type ([`Map::codec`](crate::Map::codec)), and both sides, being one program, mean the same by it.
///
/// [`decode`](Codec::decode) must not trust the bytes: whatever they are, it answers with a value or an error, in
/// memory that is bounded by their length.
///
/// ```
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
pub trait Codec<T> {
    /// Appends the value to `into`.
    ///
    /// # Errors
    /// A value that this codec cannot carry. What was appended by then is thrown away.
    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError>;

    /// The value that these bytes, all of them, stand for.
    ///
    /// # Errors
    /// Bytes that stand for no value of this type.
    fn decode(bytes: &[u8]) -> Result<T, CodecError>;

    /// The value that the bytes from `from` on stand for, where nobody needs them afterwards: a large value can be made
    /// of them in their place. Without it they are looked at as everywhere.
    ///
    /// # Errors
    /// As [`decode`](Codec::decode).
    fn decode_owned(bytes: Vec<u8>, from: usize) -> Result<T, CodecError> {
        Self::decode(bytes.get(from..).unwrap_or_default())
    }
}

/// Why a value cannot travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    reason: String,
    forged: bool,
}

impl CodecError {
    /// With this reason, fit to follow "cannot be decoded: ".
    #[must_use]
    pub fn new(reason: String) -> CodecError {
        CodecError { reason, forged: false }
    }

    /// The bytes are not from whom they should be, and nothing was made of them: the job ends with
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

    /// Whether the bytes were refused as not from whom they should be.
    #[must_use]
    pub fn is_forged(&self) -> bool {
        self.forged
    }

    /// What it is to the job whose bytes they were; `of` says which.
    pub(crate) fn cause(&self, of: &str) -> Cause {
        let text = format!("{of}: {}", self.reason);
        if self.forged { Cause::Protocol(text) } else { Cause::Undecodable(text) }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for CodecError {}

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

/// Bytes as they are: nothing is encoded, nothing is looked at.
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

#[cfg(feature = "authenticated")]
pub use super::authenticated::Authenticated;
pub use super::described::{DEPTH_MAX, Described};
