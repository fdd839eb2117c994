//! The board and its builder: for a terminal, for a log, or off. Never writes to the stream: the board's thread does.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use psmith_core::board::{Progress, Row, Timing};

use crate::aside;
use crate::below::{LinesBelow, WeakBoard};
use crate::handle::RowHandle;
use crate::output::BoardStream;
use crate::shared::{BoardClock, BoardShared, Formatter, Mode};
use crate::thread;

/// A status board. Shared by reference, or in an `Arc`, among any number of threads; dropped, it is shut down.
///
/// No method blocks on the stream but [`Board::shutdown`]. A board whose stream is gone (a closed pipe, a terminal
/// that was closed) goes on without it.
pub struct Board {
    shared: Arc<BoardShared>,
}

impl Board {
    /// Makes the board that suits the stream: rows in place if the stream is a terminal, one line for each change if it
    /// is not, or if `TERM` is `dumb` or `CI` is set. The board keeps a descriptor of its own for the stream.
    ///
    /// ```
    /// use psmith::board::Board;
    /// let board = Board::auto(std::io::stderr());
    /// board.println("ready");
    /// board.shutdown();
    /// ```
    #[must_use]
    pub fn auto(stream: impl AsFd) -> Board {
        Board::builder().auto(stream)
    }

    /// Makes a board with rows in place, whatever the stream is.
    ///
    /// ```
    /// use psmith::board::Board;
    /// # let file = tempfile::tempfile().unwrap();
    /// let board = Board::console(&file);
    /// board.println("ready");
    /// board.shutdown();
    /// ```
    #[must_use]
    pub fn console(stream: impl AsFd) -> Board {
        Board::builder().console(stream)
    }

    /// Makes a board that writes one line for each change of a prefix or a summary, without escape codes. Rows that
    /// show the time write it when they end.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// # let mut file = tempfile::tempfile().unwrap();
    /// let board = Board::minimal(&file);
    /// let row = board.add_row(Row::new().prefix("copy: "));
    /// row.set_summary("done");
    /// board.shutdown();
    /// # use std::io::{Read, Seek};
    /// # file.rewind().unwrap();
    /// let mut text = String::new();
    /// file.read_to_string(&mut text).unwrap();
    /// assert!(text.ends_with("copy: done\n"));
    /// ```
    #[must_use]
    pub fn minimal(stream: impl AsFd) -> Board {
        Board::builder().minimal(stream)
    }

    /// Makes a board that shows nothing; all its methods can be called.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new());
    /// row.set_summary("nobody sees this");
    /// ```
    #[must_use]
    pub fn off() -> Board {
        Board::builder().off()
    }

    /// Returns a builder for a board with other times, another clock or another formatter.
    ///
    /// ```
    /// use psmith::board::{Board, Colors};
    /// let board = Board::builder().colors(Colors::Never).auto(std::io::stderr());
    /// board.shutdown();
    /// ```
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Adds a row, at the bottom, above the pinned ones. It is shown at once, with the text that it has.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let row = board.add_row(Row::new().prefix("copy: ").summary("waiting"));
    /// row.set_summary("at work");
    /// ```
    #[must_use = "a row whose handle is dropped is completed"]
    pub fn add_row(&self, row: Row) -> RowHandle {
        RowHandle::new(Arc::clone(&self.shared), self.shared.add(row, false))
    }

    /// Adds a row that shows the time from now on, in words: `elapsed time: 1 minute, 1 second`.
    ///
    /// ```
    /// use psmith::board::Board;
    /// let board = Board::off();
    /// let _row = board.elapsed();
    /// ```
    #[must_use = "a row whose handle is dropped is completed"]
    pub fn elapsed(&self) -> RowHandle {
        self.elapsed_row(Row::new().prefix("elapsed time: "))
    }

    /// Adds a row as [`Board::elapsed`] does, with another prefix or pinned. The summary is the time.
    ///
    /// ```
    /// use psmith::board::{Board, Row};
    /// let board = Board::off();
    /// let _row = board.elapsed_row(Row::new().prefix("so far: "));
    /// ```
    #[must_use = "a row whose handle is dropped is completed"]
    pub fn elapsed_row(&self, row: Row) -> RowHandle {
        RowHandle::new(Arc::clone(&self.shared), self.shared.add(row, true))
    }

    /// Writes one line or several above the rows; they stay. Control characters in them are made visible, not obeyed.
    ///
    /// Lines wait for a stream that takes none, up to 1 MiB. Of more the oldest are dropped; a line then tells how
    /// many.
    ///
    /// ```
    /// use psmith::board::Board;
    /// # let mut file = tempfile::tempfile().unwrap();
    /// let board = Board::minimal(&file);
    /// board.println("one line");
    /// board.shutdown();
    /// # use std::io::{Read, Seek};
    /// # file.rewind().unwrap();
    /// let mut text = String::new();
    /// file.read_to_string(&mut text).unwrap();
    /// assert_eq!(text, "one line\n");
    /// ```
    pub fn println(&self, text: impl AsRef<str>) {
        self.shared.println(text.as_ref());
    }

    /// Paints the board again at the thread's next turn: after a resize, when nothing else changes.
    ///
    /// ```
    /// use psmith::board::Board;
    /// let board = Board::off();
    /// board.refresh();
    /// ```
    pub fn refresh(&self) {
        self.shared.change(|rows, _| rows.touch());
    }

    /// Returns a weak reference to the board, for a source of lines.
    #[must_use]
    pub fn weak(&self) -> WeakBoard {
        WeakBoard::of(&self.shared)
    }

    /// Shows these lines below the rows, until they are detached or the board ends.
    pub fn attach(&self, below: Arc<dyn LinesBelow>) {
        self.shared.attach(below);
    }

    /// Completes all rows, writes all that has not been written, and returns when that is done, or when the stream has
    /// taken nothing for two seconds. The board's descriptor is closed. Later changes are not shown.
    ///
    /// ```
    /// use psmith::board::Board;
    /// let board = Board::auto(std::io::stderr());
    /// board.shutdown();
    /// board.println("not shown");
    /// ```
    pub fn shutdown(&self) {
        self.shared.shutdown();
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("mode", &self.shared.mode()).finish_non_exhaustive()
    }
}

/// The choice of colours for a board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colors {
    /// Colours unless `NO_COLOR` is set and not empty.
    #[default]
    Auto,
    /// Colours whatever `NO_COLOR` says.
    Always,
    /// Bold and italic only, no colours.
    Never,
}

/// A builder for a board. End with [`Builder::auto`], [`Builder::console`], [`Builder::minimal`] or [`Builder::off`].
///
/// ```
/// use std::time::Duration;
/// use psmith::board::Board;
///
/// let board = Board::builder().update(Duration::from_millis(50)).off();
/// board.println("nobody sees this");
/// ```
#[derive(Clone, Default)]
pub struct Builder {
    timing: Timing,
    colors: Colors,
    clock: Option<BoardClock>,
    formatter: Option<Formatter>,
}

impl Builder {
    /// Sets the shortest time between two paints (100 ms).
    ///
    /// ```
    /// use psmith::board::Board;
    /// use std::time::Duration;
    /// let _board = Board::builder().update(Duration::from_millis(250)).off();
    /// ```
    #[must_use]
    pub fn update(mut self, update: Duration) -> Builder {
        self.timing.update = update;
        self
    }

    /// Sets for how long a row is bold after its last change (1000 ms); a completed row stays on the board for as long.
    ///
    /// ```
    /// use psmith::board::Board;
    /// use std::time::Duration;
    /// let _board = Board::builder().dim_after(Duration::from_secs(3)).off();
    /// ```
    #[must_use]
    pub fn dim_after(mut self, dim_after: Duration) -> Builder {
        self.timing.dim_after = dim_after;
        self
    }

    /// Sets whether there are colours.
    ///
    /// ```
    /// use psmith::board::{Board, Colors};
    /// let _board = Board::builder().colors(Colors::Always).off();
    /// ```
    #[must_use]
    pub fn colors(mut self, colors: Colors) -> Builder {
        self.colors = colors;
        self
    }

    /// Sets the clock: the time since the board began, in place of the machine's. It must never go back, and must not
    /// call the board.
    ///
    /// ```
    /// use psmith::board::Board;
    /// use std::time::Duration;
    /// // A clock that stands still.
    /// let _board = Board::builder().clock(|| Duration::ZERO).off();
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Builder {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Sets the text for the progress of rows that have no formatter of their own. The rules of
    /// [`RowHandle::formatter`] apply. The text stands right behind the summary, so the default one begins with a
    /// blank.
    ///
    /// ```
    /// use psmith::board::{Board, Progress};
    /// let counts = |progress: Progress| format!(" {} of {}", progress.current(), progress.target());
    /// let _board = Board::builder().formatter(counts).off();
    /// ```
    #[must_use]
    pub fn formatter(mut self, formatter: impl Fn(Progress) -> String + Send + Sync + 'static) -> Builder {
        self.formatter = Some(Arc::new(formatter));
        self
    }

    /// Makes the board of [`Board::auto`] with these settings.
    ///
    /// ```
    /// use psmith::board::Board;
    /// let board = Board::builder().auto(std::io::stderr());
    /// board.shutdown();
    /// ```
    #[must_use]
    pub fn auto(self, stream: impl AsFd) -> Board {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let output = BoardStream::new(stream);
        let terminal = output.as_ref().is_ok_and(BoardStream::is_terminal);
        self.build(if terminal && !dumb && !set("CI") { Mode::Console } else { Mode::Minimal }, output)
    }

    /// Makes the board of [`Board::console`] with these settings.
    ///
    /// ```
    /// use psmith::board::Board;
    /// # let file = tempfile::tempfile().unwrap();
    /// let board = Board::builder().console(&file);
    /// board.shutdown();
    /// ```
    #[must_use]
    pub fn console(self, stream: impl AsFd) -> Board {
        self.build(Mode::Console, BoardStream::new(stream))
    }

    /// Makes the board of [`Board::minimal`] with these settings.
    ///
    /// ```
    /// use psmith::board::Board;
    /// # let file = tempfile::tempfile().unwrap();
    /// let board = Board::builder().minimal(&file);
    /// board.shutdown();
    /// ```
    #[must_use]
    pub fn minimal(self, stream: impl AsFd) -> Board {
        self.build(Mode::Minimal, BoardStream::new(stream))
    }

    /// Makes the board of [`Board::off`].
    ///
    /// ```
    /// let board = psmith::board::Board::builder().off();
    /// board.println("nobody sees this");
    /// ```
    #[must_use]
    pub fn off(self) -> Board {
        self.build(Mode::Off, Err(io::ErrorKind::Unsupported.into()))
    }

    /// Starts the board's thread. If no descriptor or no thread can be had there is no board, and the program goes on:
    /// a missing board changes no outcome.
    fn build(self, mode: Mode, output: io::Result<BoardStream>) -> Board {
        let began = Instant::now();
        let clock = self.clock.unwrap_or_else(|| Arc::new(move || began.elapsed()));
        if let (Ok(output), true) = (output, mode != Mode::Off) {
            let colors = match self.colors {
                Colors::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
                Colors::Always => true,
                Colors::Never => false,
            };
            let shared = Arc::new(BoardShared::new(mode, output.moves(), self.timing, Arc::clone(&clock)));
            if thread::start(Arc::clone(&shared), output, self.formatter, colors).is_ok() {
                if mode == Mode::Console {
                    aside::register(&shared);
                }
                return Board { shared };
            }
        }
        Board { shared: Arc::new(BoardShared::new(Mode::Off, Arc::default(), self.timing, clock)) }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("timing", &self.timing)
            .field("colors", &self.colors)
            .finish_non_exhaustive()
    }
}
