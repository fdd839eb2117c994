//! The texts of the kernel's errors, as they fit into a sentence. Adds nothing to them.

use std::io;

/// Returns the text of an error, in lower case and without its number: `no such file or directory`.
#[must_use]
pub fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_left_out_and_the_first_letter_is_small() {
        assert_eq!(os_text(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(os_text(&io::Error::other("TAB in it")), "tAB in it");
        assert_eq!(os_text(&io::Error::other("")), "");
    }
}
