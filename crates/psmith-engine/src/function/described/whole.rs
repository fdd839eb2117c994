//! Values that are nothing but bytes, a text or numbers: made of the bytes that brought them, or copied as a whole. serde
//! gives and takes bytes one by one, and a text is copied where it is taken from bytes that go on.
//!
//! The format is the same: where these functions find no value of theirs the reader of all values finds one, or says what
//! is wrong.

use std::any::Any;

use crate::function::codec::CodecError;
use crate::function::described::de::ValueReader;
use crate::function::described::numbers::Number;
use crate::function::described::{NUMBERS_LEAST, mark, ser};

/// Appends bytes, as the sequence of numbers that they are.
pub(super) fn write_bytes(bytes: &[u8], into: &mut Vec<u8>) {
    if bytes.len() < NUMBERS_LEAST {
        // A few numbers do not fail to be written.
        let _ = super::Described::write(bytes, into);
        return;
    }
    into.reserve(bytes.len() + 16);
    into.extend_from_slice(&[mark::NUMBERS, Number::U8(0).kind()]);
    ser::varint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// Returns the value that the bytes from `from` on are, if it is a `Vec<u8>` or a `String`, and nothing else is there;
/// else the bytes.
pub(super) fn of_bytes<T: 'static>(
    mut bytes: Vec<u8>,
    from: usize,
) -> Result<Result<T, CodecError>, Vec<u8>> {
    let mut value: Option<T> = None;
    let place = &mut value as &mut dyn Any;
    if let Some(place) = place.downcast_mut::<Option<Vec<u8>>>() {
        if let Some((0, numbers)) = numbers_in(bytes.get(from..).unwrap_or_default()) {
            bytes.drain(..bytes.len() - numbers.len());
            *place = Some(std::mem::take(&mut bytes));
        }
    } else if let Some(place) = place.downcast_mut::<Option<String>>()
        && let Some(text) = text_in(bytes.get(from..).unwrap_or_default())
    {
        bytes.drain(..bytes.len() - text.len());
        match String::from_utf8(std::mem::take(&mut bytes)) {
            Ok(text) => *place = Some(text),
            Err(error) => return Ok(Err(CodecError::new(error.utf8_error().to_string()))),
        }
    }
    value.map(Ok).ok_or(bytes)
}

/// Returns the value that these bytes are, if it is a `Vec` of numbers that are moved in bulk.
pub(super) fn of_numbers<T: 'static>(bytes: &[u8]) -> Option<T> {
    if bytes.first() != Some(&mark::NUMBERS) {
        return None;
    }
    let mut value: Option<T> = None;
    let place = &mut value as &mut dyn Any;
    macro_rules! numbers {
        ($($number:ty: $kind:ident)+) => {
            $(if let Some(place) = place.downcast_mut::<Option<Vec<$number>>>() {
                let kind = Number::$kind(<$number>::default()).kind();
                let (_, numbers) = numbers_in(bytes).filter(|(found, _)| *found == kind)?;
                let (numbers, _) = numbers.as_chunks();
                *place = Some(numbers.iter().map(|number| <$number>::from_le_bytes(*number)).collect());
            } else)+ {}
        };
    }
    numbers!(u8: U8  i8: I8  u16: U16  i16: I16  u32: U32  i32: I32  f32: F32  f64: F64);
    value
}

/// Returns the kind and the bytes of the sequence of numbers that is all there is.
fn numbers_in(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut reader = ValueReader::new(bytes);
    if reader.mark().ok()? != mark::NUMBERS {
        return None;
    }
    let (kind, _, numbers) = reader.numbers().ok()?;
    reader.end().ok().map(|()| (kind, numbers))
}

/// Returns the bytes of the long text that is all there is.
fn text_in(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = ValueReader::new(bytes);
    if reader.mark().ok()? != mark::TEXT {
        return None;
    }
    let length = reader.length().ok()?;
    let text = reader.take(length).ok()?;
    reader.end().ok().map(|()| text)
}
