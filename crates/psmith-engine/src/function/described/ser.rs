//! The encoder. Refuses values that are nested too deep; reads no bytes.

use serde::ser::{self, Serialize, SerializeSeq as _};

use crate::function::codec::CodecError;
use crate::function::described::numbers::{self, Number};
use crate::function::described::{DEPTH_MAX, NUMBERS_LEAST, VARINT_BYTES_MAX, mark};

/// A writer of one value.
pub(super) struct ValueWriter<'a> {
    out: &'a mut Vec<u8>,
    depth: u32,
}

impl<'a> ValueWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> ValueWriter<'a> {
        ValueWriter { out, depth: 0 }
    }

    #[inline]
    fn number(self, number: u64) {
        match u8::try_from(number) {
            Ok(small @ 0..mark::FITS) => self.out.push(mark::SMALL + small),
            _ => {
                let length = 8 - number.leading_zeros() as usize / 8;
                let mut bytes = [0; 9];
                bytes[0] = mark::UINT + length as u8 - 1;
                bytes[1..].copy_from_slice(&number.to_le_bytes());
                let whole = self.out.len() + 1 + length;
                self.out.extend_from_slice(&bytes);
                self.out.truncate(whole);
            }
        }
    }

    fn text(mut self, text: &str) {
        match u8::try_from(text.len()) {
            Ok(short @ 0..mark::FITS) => {
                self.out.push(mark::SHORT + short);
                self.out.extend_from_slice(text.as_bytes());
            }
            _ => self.counted(mark::TEXT, text.as_bytes()),
        }
    }

    fn many(self, known: u8, open: u8, length: Option<usize>) -> Result<ItemWriter<'a>, CodecError> {
        match length {
            Some(length) => {
                self.out.push(known);
                varint(self.out, length as u64);
            }
            None => self.out.push(open),
        }
        let ValueWriter { out, depth } = self.deeper()?;
        Ok(ItemWriter { out, depth, open: length.is_none() })
    }

    /// Writes a sequence of `length` items, which begins with this number.
    fn numbers<T: Serialize>(
        self,
        first: Number,
        mut items: impl Iterator<Item = T>,
        length: usize,
    ) -> Result<(), CodecError> {
        let start = self.out.len();
        self.out.extend_from_slice(&[mark::NUMBERS, first.kind()]);
        varint(self.out, length as u64);
        let numbers = self.out.len();
        let Some(other) = numbers::pack(self.out, first, &mut items, length)? else { return Ok(()) };
        // Of several kinds, such as those of an untagged enum: each is written by itself.
        let packed = self.out.split_off(numbers);
        self.out.truncate(start);
        let width = numbers::width(first.kind()).unwrap_or(1);
        let mut writer = ser::Serializer::serialize_seq(self, Some(length))?;
        for bytes in packed.chunks_exact(width) {
            if let Some(number) = Number::read(first.kind(), bytes) {
                writer.item(&number)?;
            }
        }
        writer.item(&other)?;
        items.try_for_each(|item| writer.item(&item))?;
        writer.finish();
        Ok(())
    }

    /// Writes a mark, then these bytes with their length before them.
    fn counted(&mut self, mark: u8, bytes: &[u8]) {
        self.out.push(mark);
        varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn deeper(self) -> Result<ValueWriter<'a>, CodecError> {
        if self.depth >= DEPTH_MAX {
            return Err(CodecError::new(format!("the value is nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(ValueWriter { out: self.out, depth: self.depth + 1 })
    }
}

/// Writes a number of variable length: as a whole and then cut, so that one check for room is enough.
#[inline]
pub(super) fn varint(out: &mut Vec<u8>, mut number: u64) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let mut length = 0;
    while number >= 0x80 {
        bytes[length] = number as u8 | 0x80;
        number >>= 7;
        length += 1;
    }
    bytes[length] = number as u8;
    let whole = out.len() + length + 1;
    out.extend_from_slice(&bytes);
    out.truncate(whole);
}

impl<'a> ser::Serializer for ValueWriter<'a> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = ItemWriter<'a>;
    type SerializeTuple = ItemWriter<'a>;
    type SerializeTupleStruct = ItemWriter<'a>;
    type SerializeTupleVariant = ItemWriter<'a>;
    type SerializeMap = ItemWriter<'a>;
    type SerializeStruct = ItemWriter<'a>;
    type SerializeStructVariant = ItemWriter<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), CodecError> {
        self.out.push(if value { mark::TRUE } else { mark::FALSE });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), CodecError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), CodecError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), CodecError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), CodecError> {
        match u64::try_from(value) {
            Ok(number) => self.number(number),
            Err(_) => {
                self.out.push(mark::NEGATIVE);
                // The complement of a negative number is -1 less the number.
                varint(self.out, !value as u64);
            }
        }
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), CodecError> {
        match i64::try_from(value) {
            Ok(number) => self.serialize_i64(number),
            Err(_) => {
                self.out.push(mark::I128);
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
        }
    }

    fn serialize_u8(self, value: u8) -> Result<(), CodecError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), CodecError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), CodecError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), CodecError> {
        self.number(value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), CodecError> {
        match u64::try_from(value) {
            Ok(number) => self.serialize_u64(number),
            Err(_) => {
                self.out.push(mark::U128);
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
        }
    }

    fn serialize_f32(self, value: f32) -> Result<(), CodecError> {
        self.out.push(mark::F32);
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), CodecError> {
        self.out.push(mark::F64);
        self.out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), CodecError> {
        self.out.push(mark::CHAR);
        varint(self.out, u64::from(u32::from(value)));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), CodecError> {
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(mut self, value: &[u8]) -> Result<(), CodecError> {
        self.counted(mark::BYTES, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), CodecError> {
        self.out.push(mark::NONE);
        Ok(())
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), CodecError> {
        self.out.push(mark::SOME);
        value.serialize(self.deeper()?)
    }

    fn serialize_unit(self) -> Result<(), CodecError> {
        self.out.push(mark::UNIT);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), CodecError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), CodecError> {
        self.counted(mark::UNIT_VARIANT, variant.as_bytes());
        Ok(())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        value.serialize(self.deeper()?)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        self.counted(mark::VARIANT, variant.as_bytes());
        value.serialize(self.deeper()?)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<ItemWriter<'a>, CodecError> {
        self.many(mark::SEQ, mark::OPEN_SEQ, length)
    }

    // Called by the sequences of the standard library, as a whole.
    fn collect_seq<I>(self, items: I) -> Result<(), CodecError>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        let mut items = items.into_iter();
        let length = match items.size_hint() {
            (least, most) if most == Some(least) => Some(least),
            _ => None,
        };
        let Some(first) = items.next() else { return self.serialize_seq(Some(0))?.end() };
        let number = length.filter(|length| *length >= NUMBERS_LEAST).and(numbers::number_of(&first));
        match (number, length) {
            (Some(number), Some(length)) => self.numbers(number, items, length),
            _ => {
                let mut writer = self.serialize_seq(length)?;
                writer.item(&first)?;
                items.try_for_each(|item| writer.item(&item))?;
                writer.end()
            }
        }
    }

    fn serialize_tuple(self, length: usize) -> Result<ItemWriter<'a>, CodecError> {
        self.many(mark::SEQ, mark::OPEN_SEQ, Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<ItemWriter<'a>, CodecError> {
        self.many(mark::SEQ, mark::OPEN_SEQ, Some(length))
    }

    fn serialize_tuple_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<ItemWriter<'a>, CodecError> {
        self.counted(mark::VARIANT, variant.as_bytes());
        self.many(mark::SEQ, mark::OPEN_SEQ, Some(length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<ItemWriter<'a>, CodecError> {
        self.many(mark::MAP, mark::OPEN_MAP, length)
    }

    // The number of fields that serde passes counts those that are skipped, too, so structs are open.
    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<ItemWriter<'a>, CodecError> {
        self.many(mark::MAP, mark::OPEN_MAP, None)
    }

    fn serialize_struct_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<ItemWriter<'a>, CodecError> {
        self.counted(mark::VARIANT, variant.as_bytes());
        self.many(mark::MAP, mark::OPEN_MAP, None)
    }
}

/// A writer of the items of a value that has several.
pub(super) struct ItemWriter<'a> {
    out: &'a mut Vec<u8>,
    depth: u32,
    open: bool,
}

impl ItemWriter<'_> {
    fn item<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), CodecError> {
        value.serialize(ValueWriter { out: self.out, depth: self.depth })
    }

    fn field<T: ?Sized + Serialize>(&mut self, key: &str, value: &T) -> Result<(), CodecError> {
        ValueWriter { out: self.out, depth: self.depth }.text(key);
        self.item(value)
    }

    fn finish(self) {
        if self.open {
            self.out.push(mark::END);
        }
    }
}

/// Implements one of serde's seven traits for values of several items: each method writes an item, or a field's name
/// and an item.
macro_rules! items {
    ($($name:ident { $($method:ident $(($key:ident: $of:ty))? => $write:ident),+ })*) => {$(
        impl ser::$name for ItemWriter<'_> {
            type Ok = ();
            type Error = CodecError;

            $(fn $method<T: ?Sized + Serialize>(&mut self, $($key: $of,)? value: &T) -> Result<(), CodecError> {
                self.$write($($key,)? value)
            })+

            fn end(self) -> Result<(), CodecError> {
                self.finish();
                Ok(())
            }
        }
    )*};
}

items! {
    SerializeSeq { serialize_element => item }
    SerializeTuple { serialize_element => item }
    SerializeTupleStruct { serialize_field => item }
    SerializeTupleVariant { serialize_field => item }
    SerializeMap { serialize_key => item, serialize_value => item }
    SerializeStruct { serialize_field(key: &'static str) => field }
    SerializeStructVariant { serialize_field(key: &'static str) => field }
}
