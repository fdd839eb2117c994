//! Sequences of numbers of one kind, which are moved in bulk: each takes its own width, and no mark.
//!
//! serde gives a sequence item by item and says nothing about all of them. So the first is asked what it is, and where it
//! is a number the others are written as numbers of its kind. Numbers of 64 bits are not: most are small, and take a byte
//! each otherwise.

use std::fmt;

use serde::de::{self, DeserializeSeed, Visitor};
use serde::forward_to_deserialize_any;
use serde::ser::{self, Impossible, Serialize};

use crate::function::codec::CodecError;

/// The bytes that are put together before they are appended.
const BUFFER_BYTES: usize = 4096;

/// A number, of a kind that is moved in bulk.
#[derive(Clone, Copy)]
pub(super) enum Number {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    F64(f64),
}

impl Number {
    /// Returns its kind, as it is written.
    #[inline]
    pub(super) fn kind(self) -> u8 {
        match self {
            Number::U8(_) => 0,
            Number::I8(_) => 1,
            Number::U16(_) => 2,
            Number::I16(_) => 3,
            Number::U32(_) => 4,
            Number::I32(_) => 5,
            Number::F32(_) => 6,
            Number::F64(_) => 7,
        }
    }

    /// Returns the number that these bytes are, which are as many as its kind takes.
    #[inline]
    pub(super) fn read(kind: u8, bytes: &[u8]) -> Option<Number> {
        Some(match kind {
            0 => Number::U8(*bytes.first()?),
            1 => Number::I8(i8::from_le_bytes(*bytes.first_chunk()?)),
            2 => Number::U16(u16::from_le_bytes(*bytes.first_chunk()?)),
            3 => Number::I16(i16::from_le_bytes(*bytes.first_chunk()?)),
            4 => Number::U32(u32::from_le_bytes(*bytes.first_chunk()?)),
            5 => Number::I32(i32::from_le_bytes(*bytes.first_chunk()?)),
            6 => Number::F32(f32::from_le_bytes(*bytes.first_chunk()?)),
            7 => Number::F64(f64::from_le_bytes(*bytes.first_chunk()?)),
            _ => return None,
        })
    }

    /// Shows it to a visitor, as it is shown where it stands alone.
    #[inline]
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let signed = |number: i64, visitor: V| match u64::try_from(number) {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_i64(number),
        };
        match self {
            Number::U8(number) => visitor.visit_u64(number.into()),
            Number::U16(number) => visitor.visit_u64(number.into()),
            Number::U32(number) => visitor.visit_u64(number.into()),
            Number::I8(number) => signed(number.into(), visitor),
            Number::I16(number) => signed(number.into(), visitor),
            Number::I32(number) => signed(number.into(), visitor),
            Number::F32(number) => visitor.visit_f32(number),
            Number::F64(number) => visitor.visit_f64(number),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::U8(number) => write!(f, "{number}"),
            Number::I8(number) => write!(f, "{number}"),
            Number::U16(number) => write!(f, "{number}"),
            Number::I16(number) => write!(f, "{number}"),
            Number::U32(number) => write!(f, "{number}"),
            Number::I32(number) => write!(f, "{number}"),
            Number::F32(number) => write!(f, "{number:?}"),
            Number::F64(number) => write!(f, "{number:?}"),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Number::U8(number) => serializer.serialize_u8(number),
            Number::I8(number) => serializer.serialize_i8(number),
            Number::U16(number) => serializer.serialize_u16(number),
            Number::I16(number) => serializer.serialize_i16(number),
            Number::U32(number) => serializer.serialize_u32(number),
            Number::I32(number) => serializer.serialize_i32(number),
            Number::F32(number) => serializer.serialize_f32(number),
            Number::F64(number) => serializer.serialize_f64(number),
        }
    }
}

/// Returns the number of bytes that a number of this kind takes; `None` if there is no such kind.
#[inline]
pub(super) fn width(kind: u8) -> Option<usize> {
    [1, 1, 2, 2, 4, 4, 4, 8].get(usize::from(kind)).copied()
}

/// Returns the number that a value is, if it is one of a kind that is moved in bulk.
#[inline]
pub(super) fn number_of<T: Serialize>(value: &T) -> Option<Number> {
    value.serialize(NumberSerializer).ok()
}

/// Appends numbers of this kind: `count` of them, the first of which is `first`. Returns the item that is none of this
/// kind, if there is one; then the bytes hold those before it.
#[inline]
pub(super) fn pack<T: Serialize>(
    out: &mut Vec<u8>,
    first: Number,
    items: &mut impl Iterator<Item = T>,
    count: usize,
) -> Result<Option<T>, CodecError> {
    let kind = first.kind();
    let width = width(kind).unwrap_or(1);
    out.reserve(count * width);
    let mut buffer = [0; BUFFER_BYTES];
    let mut at = put(&mut buffer, 0, first);
    let mut left = count - 1;
    loop {
        let room = left.min((BUFFER_BYTES - at) / width);
        for _ in 0..room {
            let Some(item) = items.next() else {
                return Err(CodecError::new("a sequence has fewer items than it said".into()));
            };
            match number_of(&item) {
                Some(number) if number.kind() == kind => at = put(&mut buffer, at, number),
                _ => {
                    out.extend_from_slice(&buffer[..at]);
                    return Ok(Some(item));
                }
            }
        }
        out.extend_from_slice(&buffer[..at]);
        left -= room;
        if left == 0 {
            return Ok(None);
        }
        at = 0;
    }
}

/// Puts a number at an offset, and returns the next one.
#[inline]
fn put(buffer: &mut [u8; BUFFER_BYTES], at: usize, number: Number) -> usize {
    #[inline]
    fn bytes<const N: usize>(buffer: &mut [u8], at: usize, bytes: [u8; N]) -> usize {
        if let Some(place) = buffer.get_mut(at..at + N) {
            place.copy_from_slice(&bytes);
        }
        at + N
    }
    match number {
        Number::U8(number) => bytes(buffer, at, number.to_le_bytes()),
        Number::I8(number) => bytes(buffer, at, number.to_le_bytes()),
        Number::U16(number) => bytes(buffer, at, number.to_le_bytes()),
        Number::I16(number) => bytes(buffer, at, number.to_le_bytes()),
        Number::U32(number) => bytes(buffer, at, number.to_le_bytes()),
        Number::I32(number) => bytes(buffer, at, number.to_le_bytes()),
        Number::F32(number) => bytes(buffer, at, number.to_le_bytes()),
        Number::F64(number) => bytes(buffer, at, number.to_le_bytes()),
    }
}

/// A reader of numbers of one kind.
pub(super) struct NumberReader<'b> {
    kind: u8,
    numbers: std::slice::ChunksExact<'b, u8>,
}

impl<'b> NumberReader<'b> {
    pub(super) fn new(kind: u8, width: usize, bytes: &'b [u8]) -> NumberReader<'b> {
        NumberReader { kind, numbers: bytes.chunks_exact(width) }
    }

    pub(super) fn is_over(&self) -> bool {
        self.numbers.len() == 0
    }
}

impl<'de> de::SeqAccess<'de> for &mut NumberReader<'de> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, CodecError> {
        let Some(bytes) = self.numbers.next() else { return Ok(None) };
        let Some(number) = Number::read(self.kind, bytes) else { return Ok(None) };
        seed.deserialize(OneNumber(number)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.numbers.len())
    }
}

/// A reader of bytes: of all numbers the ones of which there are most, so in a loop of their own.
pub(super) struct ByteReader<'b>(pub(super) std::slice::Iter<'b, u8>);

impl<'de> de::SeqAccess<'de> for &mut ByteReader<'de> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, CodecError> {
        match self.0.next() {
            Some(byte) => seed.deserialize(OneNumber(Number::U8(*byte))).map(Some),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct OneNumber(Number);

impl<'de> de::Deserializer<'de> for OneNumber {
    type Error = CodecError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.0.visit(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_some(self)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// A serializer of numbers of the kinds that are moved in bulk; every other value is an error.
struct NumberSerializer;

/// The value is no such number.
#[derive(Debug)]
struct NoNumber;

impl fmt::Display for NoNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no number")
    }
}

impl std::error::Error for NoNumber {}

impl ser::Error for NoNumber {
    fn custom<T: fmt::Display>(_: T) -> NoNumber {
        NoNumber
    }
}

macro_rules! numbers {
    ($($method:ident($type:ty) => $kind:ident)*) => {
        $(#[inline]
        fn $method(self, number: $type) -> Result<Number, NoNumber> {
            Ok(Number::$kind(number))
        })*
    };
}

macro_rules! refused {
    ($($method:ident$(<$T:ident>)?($($type:ty),*) -> $ok:ty;)*) => {
        $(#[inline]
        fn $method$(<$T: ?Sized + Serialize>)?(self $(, _: $type)*) -> Result<$ok, NoNumber> {
            Err(NoNumber)
        })*
    };
}

impl ser::Serializer for NumberSerializer {
    type Ok = Number;
    type Error = NoNumber;
    type SerializeSeq = Impossible<Number, NoNumber>;
    type SerializeTuple = Impossible<Number, NoNumber>;
    type SerializeTupleStruct = Impossible<Number, NoNumber>;
    type SerializeTupleVariant = Impossible<Number, NoNumber>;
    type SerializeMap = Impossible<Number, NoNumber>;
    type SerializeStruct = Impossible<Number, NoNumber>;
    type SerializeStructVariant = Impossible<Number, NoNumber>;

    numbers! {
        serialize_u8(u8) => U8
        serialize_i8(i8) => I8
        serialize_u16(u16) => U16
        serialize_i16(i16) => I16
        serialize_u32(u32) => U32
        serialize_i32(i32) => I32
        serialize_f32(f32) => F32
        serialize_f64(f64) => F64
    }

    refused! {
        serialize_bool(bool) -> Number;
        serialize_i64(i64) -> Number;
        serialize_i128(i128) -> Number;
        serialize_u64(u64) -> Number;
        serialize_u128(u128) -> Number;
        serialize_char(char) -> Number;
        serialize_str(&str) -> Number;
        serialize_bytes(&[u8]) -> Number;
        serialize_none() -> Number;
        serialize_some<T>(&T) -> Number;
        serialize_unit() -> Number;
        serialize_unit_struct(&'static str) -> Number;
        serialize_unit_variant(&'static str, u32, &'static str) -> Number;
        serialize_newtype_variant<T>(&'static str, u32, &'static str, &T) -> Number;
        serialize_seq(Option<usize>) -> Impossible<Number, NoNumber>;
        serialize_tuple(usize) -> Impossible<Number, NoNumber>;
        serialize_tuple_struct(&'static str, usize) -> Impossible<Number, NoNumber>;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Impossible<Number, NoNumber>;
        serialize_map(Option<usize>) -> Impossible<Number, NoNumber>;
        serialize_struct(&'static str, usize) -> Impossible<Number, NoNumber>;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Impossible<Number, NoNumber>;
    }

    #[inline]
    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Number, NoNumber> {
        value.serialize(self)
    }

    #[inline]
    fn collect_seq<I>(self, _: I) -> Result<Number, NoNumber>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        Err(NoNumber)
    }

    fn collect_str<T: ?Sized + fmt::Display>(self, _: &T) -> Result<Number, NoNumber> {
        Err(NoNumber)
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}
