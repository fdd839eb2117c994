//! The board of jobs that a program makes and gives to its runs. Never delays a run.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use psmith_sys::{signal_handler, signals};

use crate::observe::snapshot::Snapshot;
use crate::observe::terminal::BoardJobs;
use psmith_board::{Board, LinesBelow, Size, WeakBoard};

/// Live display of the jobs of runs: a row for each of the longest running ones (slot, job, attempt, time, memory, CPU,
/// progress, last line), and a line with the counts. It shows the runs that have it among their settings:
/// `map(..).board(&jobs)`, as pools, servers, schedulers, managers and the other faces; several runs may share one.
///
/// It only observes. A run never waits for it: with a screen that takes nothing, or with a board that is dropped, every
/// outcome is as it would be without. Inline (`workers(0)`) there is nothing to show. The output of jobs that a run
/// passes on to a terminal ([`Output::Whole`](crate::Output::Whole)) appears above the rows.
///
/// ```
/// # psmith::init();
/// use psmith::board::{Board, JobBoard};
///
/// let screen = Board::auto(std::io::stderr());
/// let jobs = JobBoard::on(&screen);
/// let squares: Vec<u32> = psmith::map(0..4, |n: u32| n * n).board(&jobs).map(Result::unwrap).collect();
/// assert_eq!(squares, [0, 1, 4, 9]);
/// assert_eq!(jobs.snapshot().ok, 4);
/// ```
///
/// When it is dropped, the line with the counts stays on its screen, and its runs are no longer shown.
pub struct JobBoard {
    jobs: Arc<BoardJobs>,
    printer: Option<Printer>,
}

/// Format in which [`JobBoard::print_on`] prints the running jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table, and below each job its last line.
    #[default]
    Text,
    /// A [`Snapshot`] as JSON, on one line.
    Json,
}

impl JobBoard {
    /// Makes a board on no screen: for [`snapshot`](JobBoard::snapshot) and [`print_on`](JobBoard::print_on).
    ///
    /// ```
    /// # psmith::init();
    /// use psmith::board::JobBoard;
    ///
    /// let jobs = JobBoard::new();
    /// let failed = psmith::try_map(0..3, |n: u32| if n == 1 { Err("one") } else { Ok(n) }).board(&jobs);
    /// assert_eq!(failed.into_iter().filter(Result::is_err).count(), 1);
    /// let now = jobs.snapshot();
    /// assert_eq!((now.ok, now.failed, now.total), (2, 1, Some(3)));
    /// ```
    #[must_use]
    pub fn new() -> JobBoard {
        JobBoard { jobs: Arc::new(BoardJobs::new(WeakBoard::default())), printer: None }
    }

    /// Makes a board of jobs on this board, below its rows. Where that draws rows in place, at most
    /// [`rows`](JobBoard::rows) jobs have one, as far as the screen has room; where it writes lines, the counts are
    /// written every 30 seconds and at the end.
    #[must_use]
    pub fn on(board: &Board) -> JobBoard {
        let jobs = Arc::new(BoardJobs::new(board.weak()));
        board.attach(Arc::clone(&jobs) as Arc<dyn LinesBelow>);
        JobBoard { jobs, printer: None }
    }

    /// Limits the jobs that have a row on the screen, the longest running ones (the default is 8); of the others only
    /// their number is shown. With 0 there is the line with the counts alone.
    #[must_use]
    pub fn rows(self, rows: usize) -> JobBoard {
        self.jobs.set_rows(rows);
        self
    }

    /// Returns the running jobs, and the counts, at this moment. Samples the memory and CPU time of up to 1,000 running
    /// jobs, at most once a second.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.jobs.snapshot()
    }

    /// Prints the running jobs whenever this signal arrives, until this board is dropped: above the rows of its
    /// [`Board`] if it has one, else to standard error. It replaces a signal that was set before.
    ///
    /// A signal that is ignored stays ignored, and nothing is printed. A handler of the program's own is called, too,
    /// and restored at the end.
    ///
    /// ```
    /// use psmith::board::{Format, JobBoard};
    /// use psmith::signals::USR1;
    ///
    /// let jobs = JobBoard::new().print_on(USR1, Format::Text).unwrap();
    /// # drop(jobs);
    /// ```
    ///
    /// # Errors
    /// The signal cannot be handled (KILL, STOP, no such number), or no thread could be started.
    pub fn print_on(mut self, signal: i32, format: Format) -> io::Result<JobBoard> {
        self.printer = None;
        self.printer = Printer::start(Arc::clone(&self.jobs), signal, format)?;
        Ok(self)
    }

    pub(crate) fn jobs(&self) -> Arc<BoardJobs> {
        Arc::clone(&self.jobs)
    }
}

impl Default for JobBoard {
    fn default() -> JobBoard {
        JobBoard::new()
    }
}

impl Drop for JobBoard {
    fn drop(&mut self) {
        self.printer = None;
        self.jobs.screen().detach(&(Arc::clone(&self.jobs) as Arc<dyn LinesBelow>));
    }
}

impl fmt::Debug for JobBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobBoard").finish_non_exhaustive()
    }
}

/// Thread that prints when a signal arrives.
struct Printer {
    over: Arc<AtomicBool>,
    _taken: signal_handler::HandledSignal,
}

impl Printer {
    /// Starts the thread; `None` if the signal is ignored.
    fn start(jobs: Arc<BoardJobs>, signal: i32, format: Format) -> io::Result<Option<Printer>> {
        let mut before = signal_handler::arrived(signal);
        let Some(taken) = signal_handler::take(signal)? else { return Ok(None) };
        let over = Arc::new(AtomicBool::new(false));
        let side = Arc::clone(&over);
        let work = move || {
            // Signals are for the program's own threads.
            signals::block_all();
            loop {
                let seen = signal_handler::arrivals();
                if side.load(Ordering::SeqCst) {
                    return;
                }
                let arrived = signal_handler::arrived(signal);
                if arrived == before {
                    signal_handler::wait(seen);
                } else {
                    // Several signals that arrived at once are one request.
                    before = arrived;
                    print(&jobs, format);
                }
            }
        };
        std::thread::Builder::new().name("psmith-print".into()).spawn(work)?;
        Ok(Some(Printer { over, _taken: taken }))
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        // The thread is not joined: it may be blocked in a write that is not read.
        self.over.store(true, Ordering::SeqCst);
        signal_handler::nudge();
    }
}

fn print(jobs: &BoardJobs, format: Format) {
    let text = match format {
        Format::Text => jobs.text(Size::of(io::stderr()).columns),
        Format::Json => jobs.snapshot().to_json() + "\n",
    };
    if jobs.screen().println(text.trim_end()) {
        return;
    }
    // Where standard error is closed there is no reader.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
