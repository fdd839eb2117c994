//! Replacement strings that GNU parallel has and psmith has not. They are refused, each with the nearest form: none of
//! them may stay in a word as text without a word.

use super::placeholder::ValueForm;
use crate::error::CliError;
use crate::quote::shown;

/// The words in braces that GNU parallel replaces with `--plus`; only there they are unlikely to be meant as text.
const PLUS_WORDS: [&[u8]; 5] = [b"slot", b"host", b"sshlogin", b"hgrp", b"agrp"];

/// Returns the error for the text between braces, if GNU parallel would replace it and psmith does not. `last` is the
/// number of the last source, if known; in a script, braces with a comma are the shell's own.
pub(super) fn foreign(content: &[u8], script: bool, plus: bool, last: Option<u64>) -> Option<CliError> {
    if content.contains(&b'\n') || script && content.contains(&b',') {
        return None;
    }
    if content.len() >= 2 && content.starts_with(b"=") && content.ends_with(b"=") {
        return Some(
            CliError::new("{= perl =} is left out of psmith").hint("filter the input: sed .. | psmith .."),
        );
    }
    let (from_end, rest) = position(content);
    if let Some(from_end) = from_end
        && (ValueForm::parse(rest).is_some() || hint(rest, plus).is_some())
    {
        let number = last.filter(|last| *last >= from_end).map(|last| last + 1 - from_end);
        let rest = shown(rest);
        let form = match number {
            Some(number) => format!("{{{number}{rest}}}: sources are counted from the first"),
            None => format!("sources are counted from the first: {{1{rest}}}, {{2{rest}}}"),
        };
        return Some(error(content, &form));
    }
    hint(rest, plus).map(|form| error(content, &form))
}

fn error(content: &[u8], form: &str) -> CliError {
    CliError::new(format!("{{{}}} is a replacement string of GNU parallel, not of psmith", shown(content)))
        .hint(form)
}

/// Takes the position off the front: the number if it counts from the end, and the rest.
fn position(content: &[u8]) -> (Option<u64>, &[u8]) {
    let negative = content.starts_with(b"-");
    let digits = &content[usize::from(negative)..];
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = std::str::from_utf8(&digits[..length]).ok().and_then(|text| text.parse().ok());
    match number.filter(|number| *number > 0) {
        Some(_) if !negative => (None, &digits[length..]),
        Some(number) => (Some(number), &digits[length..]),
        None => (None, content),
    }
}

/// Returns what to type instead of a suffix that psmith has not.
fn hint(suffix: &[u8], plus: bool) -> Option<String> {
    let bash = |expansion: &str| {
        Some(format!("psmith -s --shell bash 'x={{}}; .. \"${{x{expansion}}}\"' lets bash do it"))
    };
    let text = shown(suffix);
    match suffix {
        b"..." => bash("%.*.*.*"),
        b"/..." => Some("{/..} removes two extensions; basename and sed remove more".to_owned()),
        b"+..." => Some("{+..} are two extensions; sed finds more".to_owned()),
        b"0%" => Some("{%} is the slot's number".to_owned()),
        b"uniq" => Some(combinations("!=")),
        b"choose_k" => Some(combinations("<")),
        b"slot" if plus => Some("{%} is the slot's number".to_owned()),
        word if plus && PLUS_WORDS.contains(&word) => {
            Some("psmith runs on this machine: leave it out".to_owned())
        }
        [b':', digits @ ..] if is_range(digits) => bash(&text),
        [b'^' | b',', rest @ ..] => {
            let pattern = rest.strip_prefix(&suffix[..1]).unwrap_or(rest);
            // With digits alone it is the count of a regular expression: `a{,3}`.
            (!pattern.is_empty() && !pattern.iter().all(u8::is_ascii_digit)).then(|| bash(&text))?
        }
        [b'/', rest @ ..] if rest.get(1..).is_some_and(|rest| rest.contains(&b'/')) => bash(&text),
        [mark @ (b'#' | b'%'), pattern @ ..]
            if pattern.len() > 1 && pattern.first() == Some(mark)
                || pattern.iter().any(|b| b"*+?[]()|^$\\".contains(b)) =>
        {
            bash(&text)
        }
        _ => None,
    }
}

fn combinations(relation: &str) -> String {
    format!(
        "psmith echo {{1}} {{2}} ::: A.. ::: B.. | awk '$1 {relation} $2' | psmith -C ' ' COMMAND {{1}} {{2}}"
    )
}

fn is_range(digits: &[u8]) -> bool {
    digits
        .split(|b| *b == b':')
        .take(3)
        .enumerate()
        .all(|(part, digits)| part < 2 && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gnu_parallel_would_replace_is_refused_with_a_form() {
        for content in [
            "-1",
            "-2.",
            ":2",
            ":2:3",
            "^a",
            "^^a",
            ",a",
            ",,A",
            "...",
            "/...",
            "+...",
            "uniq",
            "choose_k",
            "2choose_k",
            "1uniq",
            "= $_++ =",
            "=3 uc =",
            "/foo/bar",
            "/demo_/",
            "//a/b",
            "/#a/b",
            "/%a/b",
            "2/a/b",
            "0%",
            "%%x",
            "##x",
            "%.*",
            "#z.*z.",
            "2:1",
        ] {
            let error = foreign(content.as_bytes(), false, false, Some(2));
            assert!(error.is_some_and(|error| !error.hints.is_empty()), "{content}");
        }
    }

    #[test]
    fn what_neither_replaces_stays_text() {
        for content in
            ["", "foo", "print", "host", ",3", "3,", ",", "^", "/foo", "%.gz", "#dir/", ":-x", ":x", "1", "."]
        {
            assert_eq!(foreign(content.as_bytes(), false, false, None), None, "{content}");
        }
        assert!(foreign(b"host", false, true, None).is_some());
        assert!(foreign(b",.bak", true, false, None).is_none(), "the shell's");
    }

    #[test]
    fn a_position_from_the_end_is_told_from_the_front() {
        let error = foreign(b"-1.", false, false, Some(3)).unwrap();
        assert_eq!(error.hints, ["{3.}: sources are counted from the first"]);
    }
}
