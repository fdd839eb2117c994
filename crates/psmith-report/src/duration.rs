//! Formats of times and sizes: each kind has one.

use std::time::Duration;

pub use psmith_board::standing::whole;

/// Formats a time that was measured: `0.4s`, `10s`, `1m02s`, `1h02m`, `2d03h`.
#[must_use]
pub fn measured(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    if tenths < 100 { format!("{}.{}s", tenths / 10, tenths % 10) } else { whole(duration.as_secs()) }
}

/// Formats a time that the user gave, exactly: `1s`, `1.5s`, `250ms`, `1m30s`, `2h`.
#[must_use]
pub fn asked_for(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let nanos = duration.subsec_nanos();
    if nanos != 0 {
        let milliseconds = duration.as_secs_f64() * 1000.0;
        return if duration < Duration::from_secs(1) {
            format!("{milliseconds}ms")
        } else {
            format!("{}s", duration.as_secs_f64())
        };
    }
    let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let text: String = parts.iter().filter(|part| part.0 > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Formats a size as a user would give it: `512M`, `500m`, `64K`; if neither is exact, `1.4G`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(char, char, u32); 4] = [('T', 't', 4), ('G', 'g', 3), ('M', 'm', 2), ('K', 'k', 1)];
    for (binary, decimal, power) in UNITS {
        for (unit, name) in [(1024u64.pow(power), binary), (1000u64.pow(power), decimal)] {
            if bytes >= unit && bytes.is_multiple_of(unit) {
                return format!("{}{name}", bytes / unit);
            }
        }
    }
    for (binary, _, power) in UNITS {
        let unit = 1024u64.pow(power);
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{}{binary}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_times() {
        let cases = [
            (0, "0.0s"),
            (432, "0.4s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (59_900, "59s"),
            (62_000, "1m02s"),
            (3_600_000 + 120_000, "1h02m"),
            (86_400_000 * 2 + 3_600_000 * 3, "2d03h"),
        ];
        for (milliseconds, text) in cases {
            assert_eq!(measured(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn times_asked_for() {
        let cases = [
            (0, "0s"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (250, "250ms"),
            (10_000, "10s"),
            (90_000, "1m30s"),
            (7_200_000, "2h"),
            (5_400_000, "1h30m"),
        ];
        for (milliseconds, text) in cases {
            assert_eq!(asked_for(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            (0, "0"),
            (900, "900"),
            (512 << 20, "512M"),
            (500_000_000, "500m"),
            (64 << 10, "64K"),
            (1 << 30, "1G"),
            (1_503_238_553, "1.3G"),
            (1536, "1.5K"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }
}
