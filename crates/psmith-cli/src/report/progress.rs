//! How far a run is, on one line: `412/2000  ok 405  failed 3  flaky 4  running 4  32/s  eta 50s`.

use std::fmt::Write as _;
use std::time::Duration;

use psmith::core::Time;
use psmith::core::event::HoldReason;

use super::display::visible;
use super::duration::whole;
use super::tally::Tally;

/// Rate and eta are those of so many seconds.
const RATE_SECONDS: u64 = 30;
/// A line on a terminal appears when the run has lasted this long.
pub const LINE_AFTER: Duration = Duration::from_millis(500);
/// And is drawn again at most this often.
pub const LINE_EVERY: Duration = Duration::from_millis(100);

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// Jobs done.
    pub done: u64,
    /// All jobs there will be, if that is known.
    pub total: Option<u64>,
    /// Jobs that succeeded at their first try.
    pub ok: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that succeeded at a later try.
    pub flaky: u64,
    /// Attempts that live.
    pub running: u64,
    /// Why starts are held, if they are.
    pub held: Option<HoldReason>,
    /// Nothing more will happen, so there is nothing to foretell.
    pub over: bool,
}

impl Standing {
    /// The counts of this tally, and the rest as given.
    #[must_use]
    pub fn of(tally: &Tally, total: Option<u64>, running: u64, held: Option<HoldReason>) -> Standing {
        let flaky = tally.flaky_ok();
        let (done, failed) = (tally.done(), tally.failed());
        Standing { done, total, ok: tally.ok() - flaky, failed, flaky, running, held, over: false }
    }

    /// The line, cut at `columns`. `per_second` is the run's [`Rate`].
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

/// How many jobs end in a second, over the last thirty.
#[derive(Debug, Default)]
pub struct Rate {
    ended: [u64; RATE_SECONDS as usize],
    /// The second that was counted last.
    second: u64,
}

impl Rate {
    /// A job ended.
    pub fn on_end(&mut self, now: Time) {
        self.forget(now);
        self.ended[(self.second % RATE_SECONDS) as usize] += 1;
    }

    /// Jobs a second.
    pub fn per_second(&mut self, now: Time) -> f64 {
        self.forget(now);
        let in_second = f64::from(now.0.subsec_nanos()) / 1e9;
        let whole = now.0.as_secs().min(RATE_SECONDS - 1);
        // The first second counts as whole: a rate by three jobs in two milliseconds would promise too much.
        self.ended.iter().sum::<u64>() as f64 / (whole as f64 + in_second).max(1.0)
    }

    fn forget(&mut self, now: Time) {
        let second = now.0.as_secs();
        for passed in (self.second + 1..=second).take(RATE_SECONDS as usize) {
            // Each of these, or, after a long silence, as many as there are: all.
            self.ended[(passed % RATE_SECONDS) as usize] = 0;
        }
        self.second = self.second.max(second);
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

/// The line at the bottom of a terminal: drawn over itself, taken away before anything else is written.
#[derive(Debug, Default)]
pub struct LiveLine {
    drawn: Option<String>,
    drawn_at: Option<Time>,
    ever: bool,
}

impl LiveLine {
    /// When the line may be drawn again.
    #[must_use]
    pub fn next_draw(&self) -> Time {
        self.drawn_at.map_or(Time::ZERO + LINE_AFTER, |at| at + LINE_EVERY)
    }

    /// What to write to the terminal to show this text; nothing if it stands there or it is too early.
    pub fn draw(&mut self, now: Time, text: &str) -> Option<String> {
        if now < self.next_draw() || self.drawn.as_deref() == Some(text) {
            return None;
        }
        self.drawn_at = Some(now);
        self.drawn = Some(text.to_owned());
        self.ever = true;
        Some(format!("\r{text}\x1b[K"))
    }

    /// What to write to the terminal before anything else is: nothing if there is no line.
    pub fn clear(&mut self) -> Option<&'static str> {
        self.drawn.take().map(|_| "\r\x1b[K")
    }

    /// What to write when the run is over: the line stays, as the last one.
    pub fn leave(&mut self, text: &str) -> Option<String> {
        self.drawn = None;
        self.ever.then(|| format!("\r{text}\x1b[K\n"))
    }

    /// Whether the line was ever seen.
    #[must_use]
    pub fn was_up(&self) -> bool {
        self.ever
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time(Duration::from_millis(milliseconds))
    }

    #[test]
    fn the_line_has_the_form_of_the_manual() {
        let mut standing = Standing {
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
            standing.line(32.0, 100),
            "412/2000  ok 405  failed 3  flaky 4  running 4  held: memory  32/s  eta 50s"
        );
        standing.total = None;
        standing.held = None;
        assert_eq!(standing.line(32.0, 100), "412 done  ok 405  failed 3  flaky 4  running 4  32/s");
        assert_eq!(standing.line(32.0, 20), "412 done  ok 405 ...");
        let over = Standing { total: Some(2), done: 1, ok: 1, over: true, ..Standing::default() };
        assert_eq!(over.line(2.0, 100), "1/2  ok 1  2.0/s");
        assert_eq!(Standing { total: Some(2), ..Standing::default() }.line(0.0, 100), "0/2  ok 0  running 0");
    }

    #[test]
    fn rates_are_told_in_readable_units() {
        let texts = [1234.0, 32.4, 9.96, 3.21, 0.5, 0.01].map(rate_text);
        assert_eq!(texts, ["1234/s", "32/s", "10/s", "3.2/s", "30/min", "0.6/min"]);
    }

    #[test]
    fn the_rate_is_that_of_the_last_thirty_seconds() {
        let mut rate = Rate::default();
        for _ in 0..3 {
            rate.on_end(at(2));
        }
        assert_eq!(rate.per_second(at(2)), 3.0);
        assert_eq!(rate.per_second(at(2_000)), 1.5);
        for second in 1..100 {
            for _ in 0..10 {
                rate.on_end(at(second * 1000));
            }
        }
        assert_eq!(rate.per_second(at(100_000)), 10.0);
        assert_eq!(rate.per_second(at(115_000)), 14.0 * 10.0 / 29.0);
        assert_eq!(rate.per_second(at(130_000)), 0.0);
        rate.on_end(at(1_000_000));
        assert!(rate.per_second(at(1_000_000)) > 0.0);
    }

    #[test]
    fn the_live_line_comes_late_and_not_too_often() {
        let mut line = LiveLine::default();
        assert_eq!(line.draw(at(499), "a"), None);
        assert_eq!(line.leave("end"), None);
        assert_eq!(line.draw(at(500), "a").unwrap(), "\ra\x1b[K");
        assert_eq!(line.draw(at(550), "b"), None);
        assert_eq!(line.next_draw(), at(600));
        assert_eq!(line.draw(at(600), "a"), None);
        assert_eq!(line.clear(), Some("\r\x1b[K"));
        assert_eq!(line.clear(), None);
        assert_eq!(line.draw(at(700), "a").unwrap(), "\ra\x1b[K");
        assert_eq!(line.leave("end").unwrap(), "\rend\x1b[K\n");
        assert!(line.was_up());
    }
}
