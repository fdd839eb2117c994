//! Generator of `docs/limits.md`: every limit of psmith with its value, read from the constants of the source.
//!
//! A constant is a limit if its name ends like one (`_MAX`, `_EVERY`, ..) or if it is a duration. Its description is
//! the first sentence above it: the page never says more than the source.

use std::fmt::Write as _;
use std::path::Path;

use crate::shell::{self, Result};
use crate::source::Source;

/// Ends of the names of limits; one may be the whole name.
const ENDINGS: &[&str] = &[
    "_AFTER", "_AHEAD", "_A_TURN", "_BYTES", "_EVERY", "_FIRST", "_GRACE", "_LIMIT", "_MAX", "_MIN",
    "_TIMEOUT", "_TRIED", "_WAIT",
];

const HEADER: &str = "\
<!-- Written by `cargo xtask generate`. -->
# Limits

Every queue, buffer and window is bounded, and every wait that nobody asked for ends. These are the bounds that are
fixed, as the source names them; what a flag or a setting changes stands in the manual.
";

/// A limit, in the words of the source.
#[derive(Debug, PartialEq)]
struct Limit {
    name: String,
    value: String,
    what: String,
    file: String,
}

/// Returns the whole page.
pub(crate) fn page() -> Result<String> {
    let mut text = HEADER.to_owned();
    let mut crate_before = String::new();
    for file in shell::tracked_files()? {
        let Some((name, below)) = in_published_crate(&file) else { continue };
        let source = Source::new(&shell::read(&file)?);
        for Limit { name: limit, value, what, file } in limits(&below, &source) {
            if name != crate_before {
                let _ = write!(
                    text,
                    "\n## {name}\n\n| limit | value | what it limits | file |\n|---|---|---|---|\n"
                );
                name.clone_into(&mut crate_before);
            }
            let _ = writeln!(text, "| `{limit}` | {value} | {what} | `{file}` |");
        }
    }
    Ok(text)
}

/// Returns the crate of a source file, and the path below its `src`. The testkit is left out: it is not published.
fn in_published_crate(file: &Path) -> Option<(String, String)> {
    let below = file.strip_prefix("crates").ok()?.to_str()?.strip_suffix(".rs")?;
    let (name, below) = below.split_once("/src/")?;
    let is_test = below.rsplit('/').next().is_some_and(|stem| stem == "tests" || stem.ends_with("_tests"));
    (name != "psmith-testkit" && !is_test).then(|| (name.to_owned(), format!("{below}.rs")))
}

fn limits(file: &str, source: &Source) -> Vec<Limit> {
    let end = source.test_module_start();
    let mut found = Vec::new();
    for (number, line) in source.code[..end].iter().enumerate() {
        let Some((name, rest)) = constant(line) else { continue };
        let mut whole = rest.to_owned();
        for more in &source.code[number + 1..end] {
            if whole.contains(';') {
                break;
            }
            whole.push(' ');
            whole.push_str(more.trim());
        }
        let Some((kind, value)) = whole.split(';').next().and_then(|whole| whole.split_once(" = ")) else {
            continue;
        };
        let is_limit =
            kind.ends_with("Duration") || ENDINGS.iter().any(|end| format!("_{name}").ends_with(end));
        if is_limit && is_countable(kind) {
            let mut what = first_sentence(&source.comment_at(number));
            // A comment may be meant for several lines of constants.
            if what.is_empty() && number > 0 && source.code[number - 1].trim_end().ends_with(';') {
                "(as above)".clone_into(&mut what);
            }
            found.push(Limit {
                name: name.to_owned(),
                value: shown(value.trim(), name.contains("BYTES")),
                what,
                file: file.to_owned(),
            });
        }
    }
    found
}

/// Returns name and rest of `pub(crate) const NAME: rest`.
fn constant(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        rest.strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .map_or(rest, |(_, rest)| rest)
            .trim_start()
    });
    line.strip_prefix("const ")?.split_once(": ")
}

/// Returns whether it counts something: a single byte is a tag.
fn is_countable(kind: &str) -> bool {
    let kind = kind.trim();
    kind.ends_with("Duration") || ["u16", "u32", "u64", "usize", "i32", "i64", "f64"].contains(&kind)
}

/// Formats a value for readers: durations and bytes with their unit, plain sums computed, all else as it is written.
fn shown(value: &str, is_bytes: bool) -> String {
    for (call, unit) in
        [("from_secs(", "s"), ("from_millis(", "ms"), ("from_micros(", "us"), ("from_nanos(", "ns")]
    {
        let inside = value.split_once(call).and_then(|(_, rest)| rest.strip_suffix(')'));
        if let Some(amount) = inside.and_then(worked_out) {
            return format!("{amount} {unit}");
        }
    }
    let Some(number) = worked_out(value) else { return format!("`{}`", value.replace('|', "\\|")) };
    let is_bytes = is_bytes || (value.contains("<<") && number.is_multiple_of(1 << 20));
    if !is_bytes {
        return number.to_string();
    }
    let (mut number, mut unit) = (number, 0);
    while number >= 1024 && number.is_multiple_of(1024) && unit + 1 < UNITS.len() {
        number /= 1024;
        unit += 1;
    }
    format!("{number} {}", UNITS[unit])
}

const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];

/// Computes the value of numbers with `*`, `/` and `<<` between them, from left to right as they bind here; none for
/// anything else.
fn worked_out(expression: &str) -> Option<u64> {
    if let Some((left, right)) = expression.rsplit_once("<<") {
        return worked_out(left)?.checked_shl(u32::try_from(worked_out(right)?).ok()?);
    }
    if let Some(at) = expression.rfind(['*', '/']) {
        let (left, right) = (worked_out(&expression[..at])?, worked_out(&expression[at + 1..])?);
        return if expression[at..].starts_with('*') {
            left.checked_mul(right)
        } else {
            left.checked_div(right)
        };
    }
    expression.trim().replace('_', "").parse().ok()
}

/// Returns the first sentence of a comment, fit for a table.
fn first_sentence(comment: &str) -> String {
    let lines = comment.lines().map(|line| line.trim().trim_start_matches(['/', '!']).trim());
    let text: Vec<&str> =
        lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("#[")).collect();
    let text = text.join(" ").replace("[`", "`").replace("`]", "`").replace('|', "\\|");
    match text.split_once(". ") {
        Some((sentence, _)) => sentence.to_owned(),
        None => text.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_people_read_them() {
        assert_eq!(shown("Duration::from_millis(1_500)", false), "1500 ms");
        assert_eq!(shown("64 << 10", true), "64 KiB");
        assert_eq!(shown("16 * 1024 * 1024", true), "16 MiB");
        assert_eq!(shown("3 << 9", true), "1536 bytes");
        assert_eq!(shown("4 << 20", false), "4 MiB");
        assert_eq!(shown("1 << 16", false), "65536");
        assert_eq!(shown("1_000_000", false), "1000000");
        assert_eq!(shown("AHEAD_MAX / 2", false), "`AHEAD_MAX / 2`");
    }

    #[test]
    fn limits_are_known_by_their_names() {
        let source = Source::new(
            "/// How many wait. More are\n/// refused.\npub(crate) const WAITING_MAX: usize =\n    32 * 1024;\n\
             const PROTOCOL: u16 = 5;\nconst TICK: Duration = Duration::from_secs(1);\nconst NAME_MAX: &str = \"a\";\n\
             #[cfg(test)]\nmod tests {\n    const X_MAX: u8 = 1;\n}\n",
        );
        let found: Vec<(String, String, String)> =
            limits("a.rs", &source).into_iter().map(|limit| (limit.name, limit.value, limit.what)).collect();
        let text = |text: &str| text.to_owned();
        assert_eq!(
            found,
            [
                (text("WAITING_MAX"), text("32768"), text("How many wait")),
                (text("TICK"), text("1 s"), text("(as above)")),
            ]
        );
    }

    #[test]
    fn tests_and_the_testkit_have_none() {
        assert_eq!(
            in_published_crate("crates/psmith/src/api/map.rs".as_ref()),
            Some(("psmith".to_owned(), "api/map.rs".to_owned()))
        );
        assert_eq!(in_published_crate("crates/psmith-testkit/src/lib.rs".as_ref()), None);
        assert_eq!(in_published_crate("crates/psmith/src/api/tests.rs".as_ref()), None);
        assert_eq!(in_published_crate("crates/psmith/tests/map.rs".as_ref()), None);
    }
}
