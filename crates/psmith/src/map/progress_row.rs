//! A row of a board that shows a run's progress. Counts outcomes as they are handed out; never changes one.

use std::io;
use std::time::{Duration, Instant};

use psmith_core::Time;
use psmith_core::board::{Progress, Rate, Row, RowStatus};

use crate::map::map::Map;
use psmith_board::{Board, RowHandle};

/// The least time between two changes of a row: the jobs may be short.
const ROW_EVERY: Duration = Duration::from_millis(50);

/// The least time between two changes where each is a line.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Settings of a run's progress row: [`Map::progress`](crate::Map::progress).
///
/// Where the number of items is known ([`Iterator::size_hint`] is exact, or [`total`](ShowProgress::total) was set) the
/// row has a bar, a percentage and the rate at which jobs end; where it is not, the count and the rate, and no
/// percentage. Jobs that failed are counted among the others, and separately. At the end the row is green, or red if a
/// job failed.
///
/// `true`, `false`, a title, or a row of your own may be given in its place.
///
/// ```
/// # psmith::init();
/// use psmith::board::{Board, Row, ShowProgress};
///
/// let board = Board::off();
/// let row = board.add_row(Row::new().prefix("squares: "));
/// let odd = (0..100).filter(|n| n % 2 == 1);
/// let squares = psmith::map(odd, |n: u32| n * n).progress(ShowProgress::new().row(&row).total(50));
/// assert_eq!(squares.count(), 50);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it shows nothing before a run has it"]
pub struct ShowProgress {
    is_shown: bool,
    title: Option<String>,
    row: Option<RowHandle>,
    total: Option<u64>,
}

impl ShowProgress {
    /// Shows progress on a board of the run's own, on standard error ([`Board::auto`]): a row in place on a terminal, a
    /// line every few seconds elsewhere.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::ShowProgress;
    /// assert_eq!(psmith::map(0..3, |n: u32| n).progress(ShowProgress::new()).count(), 3);
    /// ```
    pub fn new() -> ShowProgress {
        ShowProgress { is_shown: true, title: None, row: None, total: None }
    }

    /// Puts this word, and a colon, before the rest.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::ShowProgress;
    /// assert_eq!(psmith::map(0..3, |n: u32| n).progress(ShowProgress::new().title("squares")).count(), 3);
    /// ```
    pub fn title(mut self, title: impl Into<String>) -> ShowProgress {
        self.title = Some(title.into());
        self
    }

    /// Shows progress on this row of a board, which is completed with the run once its other handles are dropped.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::{Board, Row, ShowProgress};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new().prefix("squares: "));
    /// assert_eq!(psmith::map(0..3, |n: u32| n * n).progress(ShowProgress::new().row(&row)).count(), 3);
    /// ```
    pub fn row(mut self, row: &RowHandle) -> ShowProgress {
        self.row = Some(row.clone());
        self
    }

    /// Sets the number of items, where the iterator does not know it.
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::{Board, Row, ShowProgress};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// let even = (0..10).filter(|n| n % 2 == 0);
    /// assert_eq!(psmith::map(even, |n: u32| n).progress(ShowProgress::new().row(&row).total(5)).count(), 5);
    /// ```
    pub fn total(mut self, items: u64) -> ShowProgress {
        self.total = Some(items);
        self
    }
}

impl Default for ShowProgress {
    fn default() -> ShowProgress {
        ShowProgress::new()
    }
}

impl From<bool> for ShowProgress {
    fn from(is_shown: bool) -> ShowProgress {
        ShowProgress { is_shown, ..ShowProgress::new() }
    }
}

impl From<&str> for ShowProgress {
    fn from(title: &str) -> ShowProgress {
        ShowProgress::new().title(title)
    }
}

impl From<String> for ShowProgress {
    fn from(title: String) -> ShowProgress {
        ShowProgress::new().title(title)
    }
}

impl From<&RowHandle> for ShowProgress {
    fn from(row: &RowHandle) -> ShowProgress {
        ShowProgress::new().row(row)
    }
}

impl<I, F, R, C> Map<'_, I, F, R, C> {
    /// Shows the run's progress while it goes on: `true`, a title, a row of a board of yours, or a [`ShowProgress`].
    /// Jobs are counted as their outcomes are handed out, so a slow reader of results is a slow run. Hooks are called
    /// as without it. Where no board can be had nothing is shown, and outcomes are the same.
    ///
    /// ```
    /// # psmith::init();
    /// let lengths = psmith::map(["a".to_owned(), "bc".to_owned()], |text: String| text.len());
    /// let lengths: Vec<usize> = lengths.progress("measured").map(Result::unwrap).collect();
    /// assert_eq!(lengths, [1, 2]);
    /// // On standard error, where that is no terminal: measured: 2/2 (100%), 2.0/s
    /// ```
    pub fn progress(mut self, how: impl Into<ShowProgress>) -> Self {
        self.hooks.shown = Shown::Wanted(how.into());
        self
    }
}

/// A run's progress, before its first step and from then on.
#[derive(Debug)]
pub(crate) enum Shown {
    Wanted(ShowProgress),
    Counting(Box<Counting>),
    /// Nothing to show: no progress was asked for, or the run is over.
    Over,
}

impl Shown {
    /// Begins with the run's first step; `hint` is the size hint of its items.
    pub(crate) fn begin(&mut self, hint: impl FnOnce() -> (usize, Option<usize>)) {
        if let Shown::Wanted(_) = self
            && let Shown::Wanted(how) = std::mem::replace(self, Shown::Over)
            && how.is_shown
        {
            let known = match hint() {
                (least, Some(most)) if least == most => u64::try_from(least).ok(),
                _ => None,
            };
            *self = Shown::Counting(Box::new(Counting::new(how, known)));
        }
    }

    /// Counts an outcome that is handed out, good or not; `None`: there are no more.
    pub(crate) fn on_outcome(&mut self, outcome: Option<bool>) {
        let Shown::Counting(counting) = self else { return };
        match outcome {
            Some(is_good) => counting.on_end(is_good),
            None => {
                let status = if counting.failed > 0 { RowStatus::Error } else { RowStatus::Success };
                counting.row.set_status(status);
                *self = Shown::Over;
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Counting {
    row: RowHandle,
    /// The run's own board; dropped with the run.
    _board: Option<Board>,
    total: Option<u64>,
    done: u64,
    failed: u64,
    /// The count that the row's bar shows.
    ticked: u64,
    began: Instant,
    every: Duration,
    due: Duration,
    rate: Rate,
}

impl Counting {
    fn new(how: ShowProgress, known: Option<u64>) -> Counting {
        let prefix = how.title.map(|title| format!("{title}: "));
        let (board, row) = match how.row {
            Some(row) => {
                prefix.into_iter().for_each(|prefix| row.set_prefix(prefix));
                (None, row)
            }
            None => {
                let board = Board::auto(io::stderr());
                let row = board.add_row(Row::new().prefix(prefix.unwrap_or_default()));
                (Some(board), row)
            }
        };
        let total = how.total.or(known);
        if let Some(total) = total {
            row.start(total);
        }
        let every = if row.is_told_in_lines() { LINE_EVERY } else { ROW_EVERY };
        Counting {
            row,
            _board: board,
            total,
            done: 0,
            failed: 0,
            ticked: 0,
            began: Instant::now(),
            every,
            due: every,
            rate: Rate::default(),
        }
    }

    fn on_end(&mut self, is_good: bool) {
        let now = self.began.elapsed();
        self.done += 1;
        self.failed += u64::from(!is_good);
        self.rate.on_end(Time(now));
        if now >= self.due {
            self.due = now + self.every;
            self.update_row(now);
        }
    }

    fn update_row(&mut self, now: Duration) {
        let rate = self.rate.per_second(Time(now));
        let mut words = Vec::new();
        match self.total {
            // On a row the bar shows it.
            Some(total) if self.every == LINE_EVERY => {
                words.push(format!("{}/{total} ({}%)", self.done, Progress::at(self.done, total).percent()));
            }
            Some(_) => {}
            None => words.push(format!("{} done", self.done)),
        }
        if self.failed > 0 {
            words.push(format!("{} failed", self.failed));
        }
        words.push(format!("{rate:.1}/s"));
        self.row.tick(self.done - self.ticked);
        self.ticked = self.done;
        self.row.set_summary(words.join(", "));
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.update_row(self.began.elapsed());
    }
}
