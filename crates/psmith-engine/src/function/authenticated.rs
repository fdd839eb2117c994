//! A codec that adds to values an authentication code which only this program and its workers can make, around any
//! other codec.
//!
//! The value's bytes follow the 32 bytes of their HMAC-SHA256 by the program's [`Secret`]. The code is compared before
//! the bytes are used for anything else. Knows no channel: the secret comes with the host's hello.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::function::codec::{CarriedError, Codec, CodecError};
use crate::function::described::Described;

/// A codec of inputs and results by codec `C`, each with a code that is made with a secret of this program:
/// HMAC-SHA256.
///
/// A process that does not know the secret can neither forge a value nor change one. Bytes without the right code (one
/// byte changed, cut off, made with another secret) are not decoded, and their job fails with `Cause::Protocol`. Bytes
/// that carry it but encode no value are `Cause::Undecodable`, as with every codec. A worker that dies without a reply
/// is a crashed worker, as with every codec.
///
/// The secret is drawn from the kernel once for each run of the program, and sent to its workers through their
/// channels, which are made in pairs and have no name: it is in no argument, no environment and no file, and programs
/// that jobs execute do not have it. A copy that a job forks has it, and so has any process that may read the memory of
/// this program. A forged value is detected, a replayed one is not. Messages (`Cx::send`) use the default codec, and
/// inline nothing is encoded at all.
///
/// ```
/// # psmith::init();
/// use psmith::codec::{Authenticated, Codec};
///
/// let lengths = psmith::map(["one".to_owned(), "three".to_owned()], |word: String| word.len());
/// let lengths: Result<Vec<usize>, _> = lengths.codec::<Authenticated>().collect();
/// assert_eq!(lengths.unwrap(), [3, 5]);
///
/// let mut bytes = Vec::new();
/// <Authenticated as Codec<u32>>::encode(&7, &mut bytes).unwrap();
/// assert_eq!(<Authenticated as Codec<u32>>::decode(&bytes), Ok(7));
/// *bytes.last_mut().unwrap() ^= 1;
/// let forged = <Authenticated as Codec<u32>>::decode(&bytes).unwrap_err();
/// assert!(forged.is_forged());
/// ```
pub struct Authenticated<C = Described>(Infallible, PhantomData<C>);

/// The number of bytes of a code.
const CODE_BYTES: usize = 32;

impl<T, C: Codec<T>> Codec<T> for Authenticated<C> {
    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        let secret = Secret::of_this_program()?;
        let from = into.len();
        into.resize(from + CODE_BYTES, 0);
        C::encode(value, into)?;
        secret.seal(&mut into[from..])
    }

    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        C::decode(Secret::of_this_program()?.opened(bytes)?)
    }

    fn decode_owned(bytes: Vec<u8>, from: usize) -> Result<T, CodecError> {
        let _ = Secret::of_this_program()?.opened(bytes.get(from..).unwrap_or_default())?;
        C::decode_owned(bytes, from + CODE_BYTES)
    }

    /// Returns none: errors by the inner codec would carry no code. They are put around this codec ([`WithErrors<E,
    /// Authenticated>`](crate::function::codec::WithErrors)).
    fn carried_error() -> Option<CarriedError> {
        None
    }
}

impl<C> fmt::Debug for Authenticated<C> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

/// The secret with which codes are made. A worker has its host's.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret([u8; CODE_BYTES]);

/// The secret of this process, once it is known.
static SECRET: OnceLock<Secret> = OnceLock::new();

impl Secret {
    /// Returns this program's secret: drawn at the first call, unless this is a worker.
    pub fn of_this_program() -> Result<Secret, CodecError> {
        if let Some(secret) = SECRET.get() {
            return Ok(*secret);
        }
        let mut drawn = [0; CODE_BYTES];
        let mut rest = &mut drawn[..];
        while !rest.is_empty() {
            let length = rustix::io::retry_on_intr(|| {
                rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty())
            });
            let length =
                length.map_err(|error| CodecError::new(format!("no secret can be drawn: {error}")))?;
            rest = &mut rest[length..];
        }
        Ok(*SECRET.get_or_init(|| Secret(drawn)))
    }

    /// Makes this the secret of this process, a worker: it is its host's.
    pub fn adopt(self) {
        // A worker receives one hello, before its first job.
        let _ = SECRET.set(self);
    }

    fn code_of(self, bytes: &[u8]) -> Result<Hmac<Sha256>, CodecError> {
        let code = Hmac::<Sha256>::new_from_slice(&self.0);
        let mut code = code.map_err(|error| CodecError::new(error.to_string()))?;
        code.update(bytes);
        Ok(code)
    }

    /// Writes the code of what follows the first 32 bytes into those.
    fn seal(self, bytes: &mut [u8]) -> Result<(), CodecError> {
        let (code, value) = bytes.split_at_mut(CODE_BYTES);
        code.copy_from_slice(&self.code_of(value)?.finalize().into_bytes());
        Ok(())
    }

    /// Returns what follows the code, if that is the right one. The comparison takes constant time.
    fn opened(self, bytes: &[u8]) -> Result<&[u8], CodecError> {
        let Some((code, value)) = bytes.split_at_checked(CODE_BYTES) else {
            let length = bytes.len();
            return Err(CodecError::forged(format!("{length} bytes are too few to carry a code")));
        };
        let right = self.code_of(value)?.verify_slice(code);
        right.map_err(|_| CodecError::forged("its code is not that of this program".into()))?;
        Ok(value)
    }
}

/// Shows no byte of the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(secret: Secret, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; CODE_BYTES];
        bytes.extend_from_slice(value);
        secret.seal(&mut bytes).unwrap();
        bytes
    }

    // proves: authenticated-codec, own-codecs
    #[test]
    fn only_the_same_bytes_with_the_same_secret_are_opened() {
        let (ours, theirs) = (Secret([7; CODE_BYTES]), Secret([8; CODE_BYTES]));
        for value in [&b""[..], b"x", &[0x5a; 4096]] {
            let bytes = sealed(ours, value);
            assert_eq!(ours.opened(&bytes), Ok(value));
            assert!(theirs.opened(&bytes).unwrap_err().is_forged(), "another secret");
            for length in (0..bytes.len()).take(200) {
                assert!(ours.opened(&bytes[..length]).unwrap_err().is_forged(), "cut to {length}");
            }
            for place in (0..bytes.len()).take(200) {
                let mut changed = bytes.clone();
                changed[place] ^= 0x10;
                assert!(ours.opened(&changed).unwrap_err().is_forged(), "changed at {place}");
            }
            let longer = [&bytes[..], b"x"].concat();
            assert!(ours.opened(&longer).unwrap_err().is_forged(), "longer");
        }
    }

    // proves: authenticated-codec
    #[test]
    fn the_code_is_the_one_that_everybody_computes() {
        // RFC 4231, test case 1; its key is shorter, which zeros make up for.
        let mut key = [0; CODE_BYTES];
        key[..20].fill(0x0b);
        let code: String =
            sealed(Secret(key), b"Hi There")[..CODE_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(code, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    // proves: authenticated-codec
    #[test]
    fn a_secret_is_drawn_once_and_never_shown() {
        let secret = Secret::of_this_program().unwrap();
        assert_eq!(Secret::of_this_program(), Ok(secret));
        assert_ne!(secret, Secret([0; CODE_BYTES]));
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
