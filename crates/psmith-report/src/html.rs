//! Text in HTML and SVG: escaped, so that it is text and nothing else.

use std::fmt::{self, Display, Write as _};

/// A text whose special characters are written as entities; safe in content and in quoted attributes alike.
pub struct EscapedText<T>(pub T);

impl<T: Display> Display for EscapedText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            self.0.write_str(&rest[..at])?;
            self.0.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        self.0.write_str(rest)
    }
}

/// Appends to a page. Writing to a `String` never fails.
#[doc(hidden)]
#[macro_export]
macro_rules! __put {
    ($page:expr, $($format:tt)*) => {
        { use std::fmt::Write as _; let _ = write!($page, $($format)*); }
    };
}
pub use __put as put;
