//! The default form of values on their way between host and worker: every value says what it is.
//!
//! A describing format is needed because serde asks for one: flattened fields and untagged or internally tagged
//! enums can only be read where the bytes themselves tell a map from a number. The formats that do so elsewhere (JSON,
//! MessagePack, CBOR) fold `None`, `()` and `Some(())` into one null, and `Some(None)` with them; a job's answer must
//! not change on its way, so here each has a mark of its own.
//!
//! One byte of mark, then what the mark asks for. Small numbers and the lengths of short texts lie in the mark.
//! Nothing that is read is believed: lengths are compared with what is there, depth is bounded.

mod de;
mod ser;
mod show;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::function::codec::{Codec, CodecError};
pub use show::show;

/// Values may be nested so deep; deeper ones are refused by both sides rather than overflow a stack.
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
/// Nesting is bounded by [`DEPTH_MAX`]. What serde itself cannot carry (a `u128` beyond 64 bits inside an untagged
/// enum) is an error here, too.
#[derive(Debug, Clone, Copy)]
pub enum Described {}

impl<T: Serialize + DeserializeOwned> Codec<T> for Described {
    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        value.serialize(ser::ValueWriter::new(into))
    }

    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        let mut reader = de::ValueReader::new(bytes);
        let value = T::deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    fn is_described() -> bool {
        true
    }
}

/// A number of 64 bits, seven in each byte.
const VARINT_BYTES_MAX: usize = 10;

/// The marks. Those from `SMALL` on hold a number, those from `SHORT` on a text of so many bytes.
mod mark {
    pub(super) const UNIT: u8 = 0;
    pub(super) const NONE: u8 = 1;
    pub(super) const SOME: u8 = 2;
    pub(super) const FALSE: u8 = 3;
    pub(super) const TRUE: u8 = 4;
    /// -1 less the number that follows, least significant seven bits first.
    pub(super) const NEGATIVE: u8 = 6;
    pub(super) const U128: u8 = 7;
    pub(super) const I128: u8 = 8;
    pub(super) const F32: u8 = 9;
    pub(super) const F64: u8 = 10;
    pub(super) const CHAR: u8 = 11;
    pub(super) const TEXT: u8 = 12;
    pub(super) const BYTES: u8 = 13;
    /// Length, then the items.
    pub(super) const SEQ: u8 = 14;
    /// Items up to [`END`], where the length was not known before.
    pub(super) const OPEN_SEQ: u8 = 15;
    pub(super) const MAP: u8 = 16;
    pub(super) const OPEN_MAP: u8 = 17;
    pub(super) const END: u8 = 18;
    /// A name (length and bytes), then what the variant holds: nothing, a value, a SEQ, a MAP.
    pub(super) const UNIT_VARIANT: u8 = 19;
    pub(super) const VARIANT: u8 = 20;
    /// A number of one byte; the next mark: of two; and so on up to eight, least significant first. One look for room
    /// writes it, and its length is known before it is read.
    pub(super) const UINT: u8 = 24;
    pub(super) const UINT_END: u8 = UINT + 8;
    pub(super) const SMALL: u8 = 64;
    pub(super) const SHORT: u8 = 128;
    /// Numbers and lengths that fit into a mark are less than this.
    pub(super) const FITS: u8 = 64;
}

#[cfg(test)]
mod tests;
