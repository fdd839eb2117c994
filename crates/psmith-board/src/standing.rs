//! Progress of a run on one line: `412/2000  ok 405  failed 3  flaky 4  running 4  32/s  eta 50s`. Never draws it.

use std::fmt::Write as _;
use std::time::Duration;

use psmith_core::event::HoldReason;

use crate::text::visible;

/// Formats a time that is still running, or only estimated, to the second: `0s`, `9s`, `1m02s`.
#[must_use]
pub fn whole(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{}d{:02}h", hours / 24, hours % 24),
    }
}

/// The time between two lines of counts if there is no screen.
pub const COUNT_EVERY: Duration = Duration::from_secs(30);

/// The progress of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusLine {
    /// Jobs done.
    pub done: u64,
    /// The number of all jobs, if it is known.
    pub total: Option<u64>,
    /// Jobs that succeeded at their first try.
    pub ok: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that succeeded at a later try.
    pub flaky: u64,
    /// Attempts that are running.
    pub running: u64,
    /// The reason why starts are held, if they are.
    pub held: Option<HoldReason>,
    /// True when nothing more will happen, so that there is nothing to estimate.
    pub over: bool,
}

impl StatusLine {
    /// Returns the line, cut at `columns`. `per_second` is the run's rate ([`Rate`](psmith_core::board::Rate)).
    #[must_use]
    pub fn line(&self, per_second: f64, columns: usize) -> String {
        let mut text = match self.total {
            Some(total) => format!("{}/{total}", self.done),
            None => format!("{} done", self.done),
        };
        let _ = write!(text, "  ok {}", self.ok);
        for (word, count) in [("failed", self.failed), ("flaky", self.flaky)] {
            if count > 0 {
                let _ = write!(text, "  {word} {count}");
            }
        }
        if !self.over {
            let _ = write!(text, "  running {}", self.running);
        }
        if let Some(reason) = self.held {
            let _ = write!(text, "  held: {}", reason.word());
        }
        if per_second > 0.0 {
            let _ = write!(text, "  {}", rate_text(per_second));
            if let Some(left) =
                self.total.map(|total| total.saturating_sub(self.done)).filter(|left| *left > 0 && !self.over)
            {
                let _ = write!(text, "  eta {}", whole((left as f64 / per_second).round() as u64));
            }
        }
        visible(text.as_bytes(), columns)
    }
}

fn rate_text(per_second: f64) -> String {
    if per_second >= 9.95 {
        format!("{per_second:.0}/s")
    } else if per_second >= 0.95 {
        format!("{per_second:.1}/s")
    } else if per_second * 60.0 >= 0.95 {
        format!("{:.0}/min", per_second * 60.0)
    } else {
        format!("{:.1}/min", per_second * 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_form_of_the_manual() {
        let mut status_line = StatusLine {
            done: 412,
            total: Some(2000),
            ok: 405,
            failed: 3,
            flaky: 4,
            running: 4,
            held: Some(HoldReason::Memory),
            over: false,
        };
        assert_eq!(
            status_line.line(32.0, 100),
            "412/2000  ok 405  failed 3  flaky 4  running 4  held: memory  32/s  eta 50s"
        );
        status_line.total = None;
        status_line.held = None;
        assert_eq!(status_line.line(32.0, 100), "412 done  ok 405  failed 3  flaky 4  running 4  32/s");
        assert_eq!(status_line.line(32.0, 20), "412 done  ok 405 ...");
        let over = StatusLine { total: Some(2), done: 1, ok: 1, over: true, ..StatusLine::default() };
        assert_eq!(over.line(2.0, 100), "1/2  ok 1  2.0/s");
        assert_eq!(
            StatusLine { total: Some(2), ..StatusLine::default() }.line(0.0, 100),
            "0/2  ok 0  running 0"
        );
    }

    #[test]
    fn rates_are_shown_in_readable_units() {
        let texts = [1234.0, 32.4, 9.96, 3.21, 0.5, 0.01].map(rate_text);
        assert_eq!(texts, ["1234/s", "32/s", "10/s", "3.2/s", "30/min", "0.6/min"]);
    }
}
