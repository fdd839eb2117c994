//! Bytes in JSON: a string if they are UTF-8, else `{"b64":".."}`. For short ones, and for streams of any length.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::Stream;
use super::stream::{CopyError, for_each_chunk};

/// Bytes as JSON shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

/// A list of bytes as JSON shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BytesList<'a, T>(pub &'a [T]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut encoded = String::with_capacity(self.0.len().div_ceil(3) * 4);
                encode(self.0, &mut encoded);
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("b64", &encoded)?;
                map.end()
            }
        }
    }
}

impl<T: AsRef<[u8]>> Serialize for BytesList<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|bytes| Bytes(bytes.as_ref())))
    }
}

/// Writes a whole stream as one JSON value. Reads it twice: only its end shows whether it is UTF-8.
pub(crate) fn write_stream(stream: &mut dyn Stream, out: &mut dyn Write) -> Result<(), CopyError> {
    if is_utf8(stream).map_err(CopyError::Read)? {
        out.write_all(b"\"").map_err(CopyError::Write)?;
        for_each_chunk(stream, |chunk, _| {
            // The first pass found it valid: an incomplete character continues in the next chunk.
            let text = longest_text(chunk);
            let quoted = serde_json::to_vec(text).map_err(|error| CopyError::Write(error.into()))?;
            out.write_all(&quoted[1..quoted.len() - 1]).map_err(CopyError::Write)?;
            Ok(text.len())
        })?;
        out.write_all(b"\"").map_err(CopyError::Write)
    } else {
        out.write_all(b"{\"b64\":\"").map_err(CopyError::Write)?;
        let mut encoded = String::new();
        for_each_chunk(stream, |chunk, last| {
            let used = if last { chunk.len() } else { chunk.len() / 3 * 3 };
            encoded.clear();
            encode(&chunk[..used], &mut encoded);
            out.write_all(encoded.as_bytes()).map_err(CopyError::Write)?;
            Ok(used)
        })?;
        out.write_all(b"\"}").map_err(CopyError::Write)
    }
}

fn is_utf8(stream: &mut dyn Stream) -> io::Result<bool> {
    let mut valid = true;
    let outcome = for_each_chunk(stream, |chunk, last| match std::str::from_utf8(chunk) {
        Ok(_) => Ok(chunk.len()),
        Err(error) if error.error_len().is_none() && !last => Ok(error.valid_up_to()),
        Err(_) => {
            valid = false;
            Ok(chunk.len())
        }
    });
    match outcome {
        Ok(()) => Ok(valid),
        Err(CopyError::Read(error) | CopyError::Write(error)) => Err(error),
    }
}

fn longest_text(chunk: &[u8]) -> &str {
    match std::str::from_utf8(chunk) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&chunk[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// Appends base64 as in RFC 4648, with padding.
fn encode(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let three = [group[0], *group.get(1).unwrap_or(&0), *group.get(2).unwrap_or(&0)];
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            if place <= group.len() {
                out.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::CHUNK_BYTES;
    use super::*;
    use std::io::Cursor;

    use proptest::prelude::*;

    fn streamed(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write_stream(&mut Cursor::new(bytes), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in cases {
            let mut out = String::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn bytes_are_a_string_where_they_can_be() {
        let json = |bytes: &[u8]| serde_json::to_string(&Bytes(bytes)).unwrap();
        assert_eq!(json("a\n\"é\u{1b}".as_bytes()), r#""a\n\"é\u001b""#);
        assert_eq!(json(b"\xff\xfe"), r#"{"b64":"//4="}"#);
        assert_eq!(streamed(b""), "\"\"");
    }

    #[test]
    fn streams_longer_than_a_chunk_come_out_whole() {
        // Characters of three bytes, shifted so that one spans each border of a chunk.
        for shift in 0..3 {
            let text = format!("{}{}", "x".repeat(shift), "日".repeat(CHUNK_BYTES));
            assert_eq!(streamed(text.as_bytes()), serde_json::to_string(&text).unwrap());
            let mut broken = text.into_bytes();
            broken.push(0xff);
            assert_eq!(streamed(&broken), serde_json::to_string(&Bytes(&broken)).unwrap());
            broken.pop();
            broken.pop();
            assert_eq!(streamed(&broken), serde_json::to_string(&Bytes(&broken)).unwrap());
        }
    }

    proptest! {
        #[test]
        fn a_stream_is_shown_as_its_bytes_are(bytes: Vec<u8>) {
            prop_assert_eq!(streamed(&bytes), serde_json::to_string(&Bytes(&bytes)).unwrap());
        }
    }
}
