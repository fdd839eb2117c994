//! A value's bytes as a short text for people: the input in the line that reports a failure. Never needs the value's
//! type.

use crate::function::codec::CodecError;
use crate::function::described::de::ValueReader;
use crate::function::described::mark;
use crate::function::described::numbers::Number;

/// Formats the value as text, cut after `chars_max` characters. Undecodable bytes end the text early.
pub fn show(bytes: &[u8], chars_max: usize) -> String {
    let mut text = String::new();
    let mut reader = ValueReader::new(bytes);
    // An error only ends the text early.
    let _ = value(&mut reader, &mut text, chars_max, 0);
    if text.chars().count() > chars_max {
        text = text.chars().take(chars_max).collect();
        text.push('…');
    }
    text
}

fn value(reader: &mut ValueReader<'_>, out: &mut String, most: usize, depth: u32) -> Result<(), CodecError> {
    use std::fmt::Write;
    if out.len() > most * 4 || depth > crate::function::described::DEPTH_MAX {
        return Err(CodecError::new(String::new()));
    }
    // Writing to a string does not fail.
    let _ = match reader.mark()? {
        mark::UNIT => write!(out, "()"),
        mark::NONE => write!(out, "None"),
        mark::SOME => {
            out.push_str("Some(");
            value(reader, out, most, depth + 1)?;
            write!(out, ")")
        }
        mark::FALSE => write!(out, "false"),
        mark::TRUE => write!(out, "true"),
        kind @ mark::UINT..mark::UINT_END => write!(out, "{}", reader.uint(kind)?),
        mark::NEGATIVE => write!(out, "{}", -1 - i128::from(reader.varint()?)),
        mark::U128 | mark::I128 => write!(out, "0x{}", hex(reader.take(16)?)),
        mark::F32 => {
            let bytes = reader.take(4)?;
            write!(out, "{:?}", f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        }
        mark::F64 => {
            let bytes: [u8; 8] = reader.take(8)?.try_into().unwrap_or_default();
            write!(out, "{:?}", f64::from_le_bytes(bytes))
        }
        mark::CHAR => {
            let found = u32::try_from(reader.varint()?).ok().and_then(char::from_u32);
            write!(out, "{:?}", found.unwrap_or(char::REPLACEMENT_CHARACTER))
        }
        mark::TEXT => {
            let length = reader.length()?;
            write!(out, "{:?}", cut(reader.text(length)?, most))
        }
        mark::BYTES => {
            let length = reader.length()?;
            reader.take(length)?;
            write!(out, "{length} bytes")
        }
        kind @ (mark::SEQ | mark::MAP) => {
            let length = reader.length()?;
            items(reader, out, most, depth, kind == mark::MAP, Some(length))?;
            Ok(())
        }
        mark::NUMBERS => {
            let (kind, width, bytes) = reader.numbers()?;
            out.push('[');
            // Each is three characters at least.
            for (count, number) in bytes.chunks_exact(width).take(most).enumerate() {
                let before = if count > 0 { ", " } else { "" };
                let _ = Number::read(kind, number).map(|number| write!(out, "{before}{number}"));
            }
            write!(out, "]")
        }
        kind @ (mark::OPEN_SEQ | mark::OPEN_MAP) => {
            items(reader, out, most, depth, kind == mark::OPEN_MAP, None)?;
            Ok(())
        }
        kind @ (mark::UNIT_VARIANT | mark::VARIANT) => {
            let length = reader.length()?;
            out.push_str(cut(reader.text(length)?, most));
            if kind == mark::VARIANT {
                out.push('(');
                value(reader, out, most, depth + 1)?;
                out.push(')');
            }
            Ok(())
        }
        small @ mark::SMALL..mark::SHORT => write!(out, "{}", small - mark::SMALL),
        short @ mark::SHORT.. if short < mark::SHORT + mark::FITS => {
            write!(out, "{:?}", reader.text((short - mark::SHORT).into())?)
        }
        _ => return Err(CodecError::new(String::new())),
    };
    Ok(())
}

fn items(
    reader: &mut ValueReader<'_>,
    out: &mut String,
    most: usize,
    depth: u32,
    is_map: bool,
    length: Option<usize>,
) -> Result<(), CodecError> {
    out.push(if is_map { '{' } else { '[' });
    let mut count = 0;
    loop {
        let over = match length {
            Some(length) => count >= length,
            None => reader.peek()? == mark::END,
        };
        if over {
            break;
        }
        if count > 0 {
            out.push_str(", ");
        }
        value(reader, out, most, depth + 1)?;
        if is_map {
            out.push_str(": ");
            value(reader, out, most, depth + 1)?;
        }
        count += 1;
    }
    if length.is_none() {
        reader.mark()?;
    }
    out.push(if is_map { '}' } else { ']' });
    Ok(())
}

fn cut(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max + 1).map_or(text, |(end, _)| &text[..end])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect()
}
