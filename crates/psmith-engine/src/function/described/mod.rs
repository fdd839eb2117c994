//! The default encoding of values between host and worker: every value describes itself.
//!
//! A self-describing format is needed because serde asks for one: flattened fields and untagged or internally tagged
//! enums can only be read where the bytes themselves tell a map from a number. Other such formats (JSON, MessagePack,
//! CBOR) fold `None`, `()` and `Some(())` into one null, and `Some(None)` with them; a job's result must arrive
//! unchanged, so here each has a mark of its own.
//!
//! One byte of mark comes first, then the content that the mark requires. Small numbers and the lengths of short texts
//! are part of the mark. Nothing that is read is trusted: lengths are compared with the bytes that are left, depth is
//! bounded.

mod de;
mod numbers;
mod ser;
mod show;
mod whole;

use std::any::Any;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::function::codec::{Codec, CodecError};
pub use show::show;

/// The deepest nesting of values; deeper ones are refused by both sides rather than overflow a stack.
pub const DEPTH_MAX: u32 = 200;

/// The default codec: carries every type that serde describes, also flattened fields and untagged and internally
/// tagged enums, and keeps `None`, `()`, `Some(())` and `Some(None)` apart.
///
/// ```
/// use psmith::codec::{Codec, Described};
///
/// let value = vec![None, Some(None), Some(Some(()))];
/// let mut bytes = Vec::new();
/// Described::encode(&value, &mut bytes).unwrap();
/// assert_eq!(bytes.len(), 8);
/// let back: Vec<Option<Option<()>>> = Described::decode(&bytes).unwrap();
/// assert_eq!(back, value);
/// ```
///
/// Nesting is bounded by [`DEPTH_MAX`]. Values that serde itself cannot carry (a `u128` beyond 64 bits inside an
/// untagged enum) are an error here, too.
#[derive(Debug, Clone, Copy)]
pub enum Described {}

impl Described {
    /// Appends a value that need not be one that is decoded, such as a `str`.
    ///
    /// # Errors
    /// As [`Codec::encode`].
    #[doc(hidden)]
    pub fn write<T: Serialize + ?Sized>(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        value.serialize(ser::ValueWriter::new(into))
    }

    /// Decodes a value from all of these bytes.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    #[doc(hidden)]
    pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        let mut reader = de::ValueReader::new(bytes);
        let value = T::deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for Described {
    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        match (value as &dyn Any).downcast_ref::<Vec<u8>>() {
            Some(bytes) => whole::write_bytes(bytes, into),
            None => Described::write(value, into)?,
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        if let Some(value) = whole::of_numbers(bytes) {
            return Ok(value);
        }
        let mut reader = de::ValueReader::new(bytes);
        let value = T::deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    fn decode_owned(bytes: Vec<u8>, from: usize) -> Result<T, CodecError> {
        match whole::of_bytes(bytes, from) {
            Ok(value) => value,
            Err(bytes) => Described::decode(bytes.get(from..).unwrap_or_default()),
        }
    }

    fn is_described() -> bool {
        true
    }
}

/// The least length of a sequence of numbers that is moved in bulk.
const NUMBERS_LEAST: usize = 16;

/// The most bytes of a number of 64 bits, seven in each byte.
const VARINT_BYTES_MAX: usize = 10;

/// The marks. Those from `SMALL` on contain a number, those from `SHORT` on the length of a text.
mod mark {
    pub(super) const UNIT: u8 = 0;
    pub(super) const NONE: u8 = 1;
    pub(super) const SOME: u8 = 2;
    pub(super) const FALSE: u8 = 3;
    pub(super) const TRUE: u8 = 4;
    /// A negative number: -1 less the number that follows, least significant seven bits first.
    pub(super) const NEGATIVE: u8 = 6;
    pub(super) const U128: u8 = 7;
    pub(super) const I128: u8 = 8;
    pub(super) const F32: u8 = 9;
    pub(super) const F64: u8 = 10;
    pub(super) const CHAR: u8 = 11;
    pub(super) const TEXT: u8 = 12;
    pub(super) const BYTES: u8 = 13;
    /// A sequence: its length, then the items.
    pub(super) const SEQ: u8 = 14;
    /// A sequence of items up to [`END`], where the length was not known before.
    pub(super) const OPEN_SEQ: u8 = 15;
    pub(super) const MAP: u8 = 16;
    pub(super) const OPEN_MAP: u8 = 17;
    pub(super) const END: u8 = 18;
    /// A variant: its name (length and bytes), then its content: nothing, a value, a SEQ, a MAP.
    pub(super) const UNIT_VARIANT: u8 = 19;
    pub(super) const VARIANT: u8 = 20;
    /// A sequence of numbers of one kind: the kind, their number, then the numbers, least significant byte first.
    pub(super) const NUMBERS: u8 = 21;
    /// A number of one byte; the next mark: of two; and so on up to eight, least significant first. To write it takes
    /// one check for room, and its length is known before it is read.
    pub(super) const UINT: u8 = 24;
    pub(super) const UINT_END: u8 = UINT + 8;
    pub(super) const SMALL: u8 = 64;
    pub(super) const SHORT: u8 = 128;
    /// The bound below which numbers and lengths fit into a mark.
    pub(super) const FITS: u8 = 64;
}

#[cfg(test)]
mod tests;
