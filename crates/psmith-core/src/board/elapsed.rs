//! Elapsed time in words, and the test when a count is worth a report. Counts nothing itself.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

/// Returns a duration in words: days, hours, minutes and seconds, those that are not zero, joined by a comma.
/// Fractions of a second are dropped; a duration below a second is `less than a second`.
///
/// ```
/// use core::time::Duration;
/// use psmith_core::board::format_elapsed;
///
/// assert_eq!(format_elapsed(Duration::from_secs(61)), "1 minute, 1 second");
/// assert_eq!(format_elapsed(Duration::from_millis(999)), "less than a second");
/// ```
#[must_use]
pub fn format_elapsed(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let terms = [
        (seconds / 86_400, "day"),
        (seconds / 3_600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let parts: Vec<String> = terms
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
        .collect();
    if parts.is_empty() { "less than a second".to_string() } else { parts.join(", ") }
}

/// Returns whether a counter that reports at each multiple of `every` has something to report at `count`. Never at 0,
/// and never where `every` is 0.
///
/// ```
/// use psmith_core::board::is_report_due;
///
/// assert!(is_report_due(10, 5) && !is_report_due(9, 5) && !is_report_due(0, 5));
/// ```
#[must_use]
pub fn is_report_due(count: u64, every: u64) -> bool {
    count > 0 && every > 0 && count.is_multiple_of(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves: board-pace-and-texts, words-of-time-and-count
    #[test]
    fn elapsed_times_have_correct_plurals() {
        let hour = 3_600;
        let day = 24 * hour;
        let cases = [
            (0, "less than a second"),
            (1, "1 second"),
            (2, "2 seconds"),
            (60, "1 minute"),
            (61, "1 minute, 1 second"),
            (122, "2 minutes, 2 seconds"),
            (hour, "1 hour"),
            (day, "1 day"),
            (day + hour + 1, "1 day, 1 hour, 1 second"),
            (25 * hour + 1, "1 day, 1 hour, 1 second"),
            (2 * day + 2 * hour + 3 * 60 + 4, "2 days, 2 hours, 3 minutes, 4 seconds"),
        ];
        for (seconds, text) in cases {
            assert_eq!(format_elapsed(Duration::from_secs(seconds)), text, "{seconds} s");
        }
        assert_eq!(format_elapsed(Duration::from_millis(1_999)), "1 second");
        assert_eq!(format_elapsed(Duration::from_millis(999)), "less than a second");
    }

    // proves: lines-without-terminal, words-of-time-and-count
    #[test]
    fn a_report_is_due_at_each_multiple() {
        let due: Vec<u64> = (0..=10).filter(|&count| is_report_due(count, 5)).collect();
        assert_eq!(due, [5, 10]);
        assert!(!is_report_due(0, 0) && !is_report_due(3, 0));
        assert!(is_report_due(1, 1));
    }
}
