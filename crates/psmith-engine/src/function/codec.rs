//! How values travel between host and worker.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use psmith_core::Cause;
use serde::{de, ser};

use crate::function::returns::chain;

/// Turns values of type `T` into bytes and back.
///
/// The host encodes inputs and decodes results, a worker the other way round. A codec has no state: it is named by
/// its type (`Map::codec`), and both sides, being one program, mean the same by it.
///
/// [`decode`](Codec::decode) must not trust the bytes: whatever they are, it answers with a value or an error, in
/// memory that is bounded by their length.
///
/// ```
/// # // proves: U-16
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

    /// The bytes describe themselves: they can be shown by whoever does not know their type.
    #[doc(hidden)]
    fn is_described() -> bool {
        false
    }

    /// How an error of a function that gives `T` travels, beside its text: [`WithErrors`].
    #[doc(hidden)]
    fn carried_error() -> Option<CarriedError> {
        None
    }
}

/// How errors travel by a codec.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct CarriedError {
    /// The error in words, with those that it stands on; `None` if it is of another type.
    pub text: fn(&dyn Any) -> Option<String>,
    pub encode: fn(&dyn Any) -> Result<Vec<u8>, CodecError>,
    pub decode: fn(&[u8]) -> Option<Box<dyn Any>>,
}

/// Why a value cannot travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    reason: String,
    forged: bool,
}

impl CodecError {
    /// With this reason, fit to follow "cannot be decoded: ".
    ///
    /// ```
    /// let error = psmith::codec::CodecError::new("it is too short".into());
    /// assert_eq!(error.to_string(), "it is too short");
    /// ```
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
    ///
    /// ```
    /// use psmith::codec::CodecError;
    /// assert!(!CodecError::new("it is too short".into()).is_forged());
    /// ```
    #[must_use]
    pub fn is_forged(&self) -> bool {
        self.forged
    }

    /// What it is to the job whose bytes they were; `of` says which.
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

/// Codec `C`, by which the errors of job functions travel as well: `Failure::error` gives back the
/// error itself, an `E`. What `Map::error_type` and its kin make of their codec; for a
/// `Job` it is said by `Job::by_codec`.
///
/// The failure's cause is the error in words, followed by those that it stands on ([`Error::source`]), each said once. An
/// error that cannot be encoded, or is too long for a frame, arrives as these words alone.
///
/// ```
/// # psmith::init();
/// use psmith::codec::WithErrors;
/// use psmith::{Job, Pool};
/// # use serde::{Deserialize, Serialize};
/// # use std::fmt;
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum Refusal { TooLarge { most: u32 }, Empty }
/// # impl fmt::Display for Refusal {
/// #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
/// #         match self { Refusal::Empty => f.write_str("empty"), Refusal::TooLarge { most } => write!(f, "more than {most}") }
/// #     }
/// # }
/// impl std::error::Error for Refusal {}
///
/// let check = |n: u32| if n > 9 { Err(Refusal::TooLarge { most: 9 }) } else { Ok(n) };
/// let pool = Pool::builder().workers(1).build().unwrap();
/// let job = Job::by_codec::<WithErrors<Refusal>, _, _, _>(check, 10);
/// let failure = pool.submit(job).unwrap().wait().unwrap_err();
/// assert_eq!(failure.to_string(), "item 0 (10): more than 9");
/// assert_eq!(failure.error::<Refusal>(), Some(Refusal::TooLarge { most: 9 }));
/// ```
pub struct WithErrors<E, C = Described>(Infallible, PhantomData<(E, C)>);

impl<T, E, C> Codec<T> for WithErrors<E, C>
where
    E: Error + 'static,
    C: Codec<T> + Codec<E>,
{
    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        C::encode(value, into)
    }

    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        C::decode(bytes)
    }

    fn decode_owned(bytes: Vec<u8>, from: usize) -> Result<T, CodecError> {
        C::decode_owned(bytes, from)
    }

    fn is_described() -> bool {
        <C as Codec<T>>::is_described()
    }

    fn carried_error() -> Option<CarriedError> {
        Some(CarriedError {
            text: |error| error.downcast_ref::<E>().map(|error| chain(error)),
            encode: |error| {
                let mut bytes = Vec::new();
                let error = error.downcast_ref::<E>();
                let error = error.ok_or_else(|| CodecError::new("it is of another type".into()))?;
                <C as Codec<E>>::encode(error, &mut bytes).map(|()| bytes)
            },
            decode: |bytes| <C as Codec<E>>::decode(bytes).ok().map(|error| Box::new(error) as Box<dyn Any>),
        })
    }
}

impl<E, C> fmt::Debug for WithErrors<E, C> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

#[cfg(feature = "authenticated")]
pub use crate::function::authenticated::Authenticated;
pub use crate::function::described::{DEPTH_MAX, Described};
