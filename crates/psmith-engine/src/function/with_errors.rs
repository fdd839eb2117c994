//! The codec by which the error that a job returned travels itself, not only its text.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use crate::function::codec::{CarriedError, Codec, CodecError};
use crate::function::described::Described;
use crate::function::job_function::chain;

/// A codec that carries the errors of job functions as well, around codec `C`: `Failure::error` returns the error
/// itself, an `E`. `Map::error_type` and its siblings wrap their codec in it; a `Job` uses it by `Job::by_codec`.
///
/// The failure's cause is the error in words, followed by its sources ([`Error::source`]), each once. An error that
/// cannot be encoded, or is too long for a frame, arrives as these words alone.
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
/// let job = Job::fallible_by_codec::<WithErrors<Refusal>, _, _>(check, 10);
/// let failure = pool.submit(job).unwrap().wait().unwrap_err();
/// assert_eq!(failure.to_string(), "job #1 (10): more than 9");
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
