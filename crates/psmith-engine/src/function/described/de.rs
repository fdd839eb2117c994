//! The decoder. Trusts no byte.

use serde::de::{self, DeserializeSeed, Visitor};
use serde::forward_to_deserialize_any;

use crate::function::codec::CodecError;
use crate::function::described::numbers::{self, ByteReader, NumberReader};
use crate::function::described::{DEPTH_MAX, VARINT_BYTES_MAX, mark};
use crate::function::packed::word;

/// The kind of bytes, of which a sequence is read in a loop of its own.
const BYTES_KIND: u8 = 0;

/// A reader of one value from the front of the bytes that are left.
pub(super) struct ValueReader<'b> {
    rest: &'b [u8],
    depth: u32,
}

impl<'b> ValueReader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> ValueReader<'b> {
        ValueReader { rest: bytes, depth: 0 }
    }

    /// Checks that nothing is left over.
    pub(super) fn end(&self) -> Result<(), CodecError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(CodecError::new(format!("{left} bytes are left over after the value"))),
        }
    }

    #[inline]
    pub(super) fn peek(&self) -> Result<u8, CodecError> {
        self.rest.first().copied().ok_or_else(cut_short)
    }

    #[inline]
    pub(super) fn mark(&mut self) -> Result<u8, CodecError> {
        let mark = self.peek()?;
        self.rest = &self.rest[1..];
        Ok(mark)
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'b [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, CodecError> {
        let mut number = 0_u64;
        for (place, byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                if place + 1 == VARINT_BYTES_MAX && *byte > 1 {
                    return Err(too_long());
                }
                self.rest = &self.rest[place + 1..];
                return Ok(number);
            }
        }
        Err(if self.rest.len() < VARINT_BYTES_MAX { cut_short() } else { too_long() })
    }

    /// Reads the number that follows this mark.
    #[inline]
    pub(super) fn uint(&mut self, mark: u8) -> Result<u64, CodecError> {
        self.take(usize::from(mark - mark::UINT) + 1).map(word)
    }

    /// Reads a length that is possible for the bytes that are left: every item takes at least one byte.
    pub(super) fn length(&mut self) -> Result<usize, CodecError> {
        let length = usize::try_from(self.varint()?).map_err(|_| cut_short())?;
        if length > self.rest.len() { Err(cut_short()) } else { Ok(length) }
    }

    pub(super) fn text(&mut self, length: usize) -> Result<&'b str, CodecError> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|error| CodecError::new(error.to_string()))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, CodecError>) -> Result<T, CodecError> {
        if self.depth >= DEPTH_MAX {
            return Err(CodecError::new(format!("the value is nested deeper than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// Gives the visitor a sequence or a map, and checks that it took all of it.
    fn many<T>(
        &mut self,
        length: Option<usize>,
        visit: impl FnOnce(&mut ItemReader<'_, 'b>) -> Result<T, CodecError>,
    ) -> Result<T, CodecError> {
        self.deeper(|reader| {
            let mut items = ItemReader { reader, left: length, over: false };
            let value = visit(&mut items)?;
            if !items.at_end()? {
                return Err(too_many());
            }
            Ok(value)
        })
    }

    /// Reads what follows the mark of a sequence of numbers: their kind, the width of each, their bytes.
    pub(super) fn numbers(&mut self) -> Result<(u8, usize, &'b [u8]), CodecError> {
        let kind = self.mark()?;
        let width =
            numbers::width(kind).ok_or_else(|| CodecError::new(format!("{kind} is no kind of numbers")))?;
        let count = self.length()?;
        let bytes = count.checked_mul(width).ok_or_else(cut_short)?;
        Ok((kind, width, self.take(bytes)?))
    }

    fn variant_name(&mut self) -> Result<&'b str, CodecError> {
        let length = self.length()?;
        self.text(length)
    }
}

#[cold]
fn too_many() -> CodecError {
    CodecError::new("the value has more items than were asked for".into())
}

#[cold]
fn too_long() -> CodecError {
    CodecError::new("a number is longer than 64 bits".into())
}

#[cold]
fn cut_short() -> CodecError {
    CodecError::new("the value is cut short".into())
}

impl<'de> de::Deserializer<'de> for &mut ValueReader<'de> {
    type Error = CodecError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.mark()? {
            mark::UNIT => visitor.visit_unit(),
            mark::NONE => visitor.visit_none(),
            mark::SOME => self.deeper(|reader| visitor.visit_some(reader)),
            mark::FALSE => visitor.visit_bool(false),
            mark::TRUE => visitor.visit_bool(true),
            kind @ mark::UINT..mark::UINT_END => visitor.visit_u64(self.uint(kind)?),
            mark::NEGATIVE => {
                let complement = i64::try_from(self.varint()?).map_err(|_| too_long())?;
                visitor.visit_i64(!complement)
            }
            mark::U128 => visitor.visit_u128(u128::from_le_bytes(self.array()?)),
            mark::I128 => visitor.visit_i128(i128::from_le_bytes(self.array()?)),
            mark::F32 => visitor.visit_f32(f32::from_le_bytes(self.array()?)),
            mark::F64 => visitor.visit_f64(f64::from_le_bytes(self.array()?)),
            mark::CHAR => {
                let number = self.varint()?;
                let found = u32::try_from(number).ok().and_then(char::from_u32);
                visitor.visit_char(found.ok_or_else(|| CodecError::new(format!("{number} is no character")))?)
            }
            mark::TEXT => {
                let length = self.length()?;
                visitor.visit_borrowed_str(self.text(length)?)
            }
            mark::BYTES => {
                let length = self.length()?;
                visitor.visit_borrowed_bytes(self.take(length)?)
            }
            mark::SEQ => {
                let length = self.length()?;
                self.many(Some(length), |items| visitor.visit_seq(items))
            }
            mark::NUMBERS => {
                let (kind, width, bytes) = self.numbers()?;
                let mut numbers = NumberReader::new(kind, width, bytes);
                let value = visitor.visit_seq(&mut numbers)?;
                if numbers.is_over() { Ok(value) } else { Err(too_many()) }
            }
            mark::OPEN_SEQ => self.many(None, |items| visitor.visit_seq(items)),
            mark::MAP => {
                let length = self.length()?;
                self.many(Some(length), |items| visitor.visit_map(items))
            }
            mark::OPEN_MAP => self.many(None, |items| visitor.visit_map(items)),
            // As self-describing formats show an enum to a visitor that does not ask for one: a name, or a map of one
            // entry.
            mark::UNIT_VARIANT => visitor.visit_borrowed_str(self.variant_name()?),
            mark::VARIANT => {
                let name = self.variant_name()?;
                self.deeper(|reader| visitor.visit_map(SingleEntry { reader, name: Some(name) }))
            }
            small @ mark::SMALL..mark::SHORT => visitor.visit_u64((small - mark::SMALL).into()),
            short @ mark::SHORT.. if short < mark::SHORT + mark::FITS => {
                visitor.visit_borrowed_str(self.text((short - mark::SHORT).into())?)
            }
            unknown => Err(CodecError::new(format!("{unknown} is no mark of a value"))),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        if self.rest.starts_with(&[mark::NUMBERS, BYTES_KIND]) {
            self.mark()?;
            let (_, _, bytes) = self.numbers()?;
            let mut numbers = ByteReader(bytes.iter());
            let value = visitor.visit_seq(&mut numbers)?;
            return if numbers.0.len() == 0 { Ok(value) } else { Err(too_many()) };
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.peek()? {
            mark::NONE | mark::SOME => self.deserialize_any(visitor),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.deeper(|reader| visitor.visit_newtype_struct(reader))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        match self.mark()? {
            mark::UNIT_VARIANT => {
                let name = self.variant_name()?;
                visitor.visit_enum(de::value::StrDeserializer::new(name))
            }
            mark::VARIANT => {
                let name = self.variant_name()?;
                self.deeper(|reader| visitor.visit_enum(VariantReader { reader, name }))
            }
            other => Err(CodecError::new(format!("an enum was expected, and mark {other} was found"))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// A reader of the items of a sequence or a map.
struct ItemReader<'r, 'b> {
    reader: &'r mut ValueReader<'b>,
    /// The number of items to come, if that is known.
    left: Option<usize>,
    over: bool,
}

impl<'b> ItemReader<'_, 'b> {
    fn at_end(&mut self) -> Result<bool, CodecError> {
        Ok(match self.left {
            Some(left) => left == 0,
            None if self.over => true,
            None if self.reader.peek()? == mark::END => {
                self.reader.mark()?;
                self.over = true;
                true
            }
            None => false,
        })
    }

    fn next<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<Option<S::Value>, CodecError> {
        if self.at_end()? {
            return Ok(None);
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        self.read(seed).map(Some)
    }

    fn read<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<S::Value, CodecError> {
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> de::SeqAccess<'de> for &mut ItemReader<'_, 'de> {
    type Error = CodecError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, CodecError> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.left
    }
}

impl<'de> de::MapAccess<'de> for &mut ItemReader<'_, 'de> {
    type Error = CodecError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, CodecError> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, CodecError> {
        self.read(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.left
    }
}

/// A variant with content, shown as a map of one entry.
struct SingleEntry<'r, 'b> {
    reader: &'r mut ValueReader<'b>,
    name: Option<&'b str>,
}

impl<'de> de::MapAccess<'de> for SingleEntry<'_, 'de> {
    type Error = CodecError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, CodecError> {
        let Some(name) = self.name.take() else { return Ok(None) };
        seed.deserialize(de::value::BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, CodecError> {
        seed.deserialize(&mut *self.reader)
    }
}

/// A variant with content, for a visitor that asks for an enum.
struct VariantReader<'r, 'b> {
    reader: &'r mut ValueReader<'b>,
    name: &'b str,
}

impl<'de> de::EnumAccess<'de> for VariantReader<'_, 'de> {
    type Error = CodecError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), CodecError> {
        let name = de::value::BorrowedStrDeserializer::<CodecError>::new(self.name);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for VariantReader<'_, 'de> {
    type Error = CodecError;

    fn unit_variant(self) -> Result<(), CodecError> {
        Err(CodecError::new(format!("variant {} holds something, and nothing was expected", self.name)))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, CodecError> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, CodecError> {
        de::Deserializer::deserialize_any(self.reader, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        de::Deserializer::deserialize_any(self.reader, visitor)
    }
}
