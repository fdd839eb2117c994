//! The state that the board's handles and its thread share: the rows, and the lines that wait to be written.
//!
//! The lock is held for changes to the model alone: never while anything is written, and never while one of the user's
//! formatters runs. So no change waits for a terminal, and whatever a formatter does, the model is whole.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use psmith_core::Time;
use psmith_core::board::{BoardFrame, Progress, Row, RowId, RowTable, RowView, Timing};
use psmith_sys::generation::generation;

use crate::below::LinesBelow;
use crate::output::BoardStream;
use crate::screen::Size;
use crate::text::shown_line;

/// The bound of the bytes of lines that wait for a stream that takes none; of more the oldest are dropped and counted.
pub(crate) const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// The longest time that a caller that ends a board waits for a stream that makes no progress.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// A formatter: makes the text of a progress.
pub(crate) type Formatter = Arc<dyn Fn(Progress) -> String + Send + Sync>;

/// A clock: the time since the board began.
pub(crate) type BoardClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The board's kind of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Rows in place.
    Console,
    /// A line for each change.
    Minimal,
    /// Silence: nothing is written.
    Off,
}

/// The board behind its handles.
pub(crate) struct BoardShared {
    mode: Mode,
    clock: BoardClock,
    state: Mutex<BoardState>,
    /// Signalled when something changed: the thread checks what is due.
    changed: Condvar,
    /// Signalled when the thread has ended, or has erased its rows.
    ended: Condvar,
    /// The count of the thread's finished writes.
    moves: Arc<AtomicU64>,
    /// The generation of the process that has the thread.
    process: u64,
}

thread_local! {
    /// True on a thread that draws a board.
    pub(crate) static DRAWS: Cell<bool> = const { Cell::new(false) };
}

/// The state under the lock.
struct BoardState {
    rows: RowTable,
    formatters: HashMap<RowId, Formatter>,
    /// Sources of lines below the rows.
    below: Vec<Arc<dyn LinesBelow>>,
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    dropped: u64,
    /// The number of writers that write to the screen themselves; no rows are drawn meanwhile.
    asides: u32,
    /// True while rows may be on the screen.
    is_drawn: bool,
    is_closing: bool,
    has_ended: bool,
}

/// The thread's next output.
pub(crate) struct Turn {
    /// Lines that stay, without their newlines.
    pub(crate) lines: Vec<String>,
    /// Rows that leave the board and stay on the screen, below those lines.
    pub(crate) left: Vec<RowView<'static>>,
    /// The rows on the board.
    pub(crate) frame: BoardFrame<'static>,
    /// Formatters of rows that have one of their own.
    pub(crate) formatters: HashMap<RowId, Formatter>,
    /// Sources of lines below them.
    pub(crate) below: Vec<Arc<dyn LinesBelow>>,
    pub(crate) size: Size,
    pub(crate) is_last: bool,
}

impl BoardShared {
    pub(crate) fn new(mode: Mode, moves: Arc<AtomicU64>, timing: Timing, clock: BoardClock) -> BoardShared {
        let state = BoardState {
            rows: RowTable::new(timing),
            formatters: HashMap::new(),
            below: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            dropped: 0,
            asides: 0,
            is_drawn: false,
            is_closing: false,
            has_ended: false,
        };
        let (changed, ended) = (Condvar::new(), Condvar::new());
        BoardShared { mode, clock, state: Mutex::new(state), changed, ended, moves, process: generation() }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns whether nothing is written: there is no board, or only in the process that this one is a forked copy of,
    /// whose thread may even have held the lock.
    fn is_off(&self) -> bool {
        self.mode == Mode::Off || self.process != generation()
    }

    /// Adds a row; an `elapsed` one shows the time since now. `None` if the board has ended.
    pub(crate) fn add(&self, row: Row, elapsed: bool) -> Option<RowId> {
        self.update(|state, now| {
            if elapsed {
                return (state.rows.add_elapsed(row, now), None);
            }
            let has_text = !(row.prefix.is_empty() && row.summary.is_empty());
            let id = state.rows.add(row, now);
            (id, has_text.then_some(id))
        })
    }

    /// Makes a change that is not written as a line: of status or progress.
    pub(crate) fn change(&self, change: impl FnOnce(&mut RowTable, Time)) {
        self.update(|state, now| (change(&mut state.rows, now), None));
    }

    /// Changes the text of a row; `change` returns whether it did change.
    pub(crate) fn change_text(&self, id: RowId, change: impl FnOnce(&mut RowTable, Time) -> bool) {
        self.update(|state, now| ((), change(&mut state.rows, now).then_some(id)));
    }

    /// Sets or removes the row's own formatter.
    pub(crate) fn set_formatter(&self, id: RowId, formatter: Option<Formatter>) {
        self.update(|state, _| {
            // The previous one is dropped outside of the lock: it is the user's code, and may do anything.
            let before = match formatter {
                Some(formatter) if state.rows.is_open(id) => state.formatters.insert(id, formatter),
                Some(formatter) => Some(formatter),
                None => state.formatters.remove(&id),
            };
            state.rows.touch();
            (before, None)
        });
    }

    pub(crate) fn complete(&self, id: RowId) {
        self.change(|rows, now| {
            rows.complete(id, now);
        });
    }

    /// Prints lines that stay above the rows. Returns false if there is no board, or if it has ended.
    pub(crate) fn println(&self, text: &str) -> bool {
        let printed = self.update(|state, _| {
            for line in text.split('\n') {
                state.wait(shown_line(line));
            }
            state.rows.touch();
            ((), None)
        });
        printed.is_some()
    }

    /// Shows these lines below the rows.
    pub(crate) fn attach(&self, below: Arc<dyn LinesBelow>) {
        self.update(|state, _| {
            state.below.push(below);
            ((), None)
        });
        self.wake();
    }

    /// Removes these lines; their last line stays above the rows.
    pub(crate) fn detach(&self, below: &Arc<dyn LinesBelow>) {
        self.update(|state, _| {
            let before = state.below.len();
            state.below.retain(|of| !Arc::ptr_eq(of, below));
            if state.below.len() < before {
                below.last_line().into_iter().for_each(|line| state.wait(line));
            }
            state.rows.touch();
            ((), None)
        });
    }

    /// Wakes the thread to check whether anything is due.
    pub(crate) fn wake(&self) {
        if self.is_off() {
            return;
        }
        // The thread checks and begins to wait under the lock: so it either sees the change or receives this signal.
        drop(self.lock());
        self.changed.notify_one();
    }

    /// Makes a change and wakes the thread if it has to act. The second value that `change` returns is a row whose text
    /// changed.
    fn update<T>(&self, change: impl FnOnce(&mut BoardState, Time) -> (T, Option<RowId>)) -> Option<T> {
        if self.is_off() {
            return None;
        }
        let now = Time((self.clock)());
        let mut state = self.lock();
        if state.is_closing {
            return None;
        }
        let was_dirty = state.rows.is_dirty();
        let (value, changed_row) = change(&mut state, now);
        if self.mode == Mode::Minimal {
            state.write_line(changed_row, now);
        }
        // If a paint was already due, the thread wakes by itself.
        let wakes = self.mode == Mode::Minimal || !was_dirty;
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
        Some(value)
    }

    /// Completes all rows, and waits until all is written, or until writing makes no progress any more.
    pub(crate) fn shutdown(&self) {
        if self.is_off() {
            return;
        }
        let now = Time((self.clock)());
        let mut state = self.lock();
        if !state.is_closing {
            state.rows.complete_all(now);
            if self.mode == Mode::Minimal {
                state.write_line(None, now);
            }
            state.is_closing = true;
        }
        self.wait_for_thread(state, |state| state.has_ended);
    }

    /// Erases the rows until [`BoardShared::step_back`]; returns also if the terminal takes no output.
    pub(crate) fn step_aside(&self) {
        if self.is_off() {
            return;
        }
        let mut state = self.lock();
        state.asides += 1;
        self.wait_for_thread(state, |state| state.has_ended || !state.is_drawn);
    }

    pub(crate) fn step_back(&self) {
        if self.is_off() {
            return;
        }
        let mut state = self.lock();
        state.asides -= 1;
        state.rows.touch();
        drop(state);
        self.changed.notify_one();
    }

    /// Wakes the thread and waits until `is_done`, or until writing makes no progress any more.
    fn wait_for_thread(&self, mut state: MutexGuard<'_, BoardState>, is_done: impl Fn(&BoardState) -> bool) {
        self.changed.notify_one();
        let moves = || self.moves.load(Ordering::Relaxed);
        let (mut seen, mut since) = (moves(), Instant::now());
        while !is_done(&state) {
            if moves() != seen {
                (seen, since) = (moves(), Instant::now());
            }
            let left = STALLED_AFTER.saturating_sub(since.elapsed());
            if left.is_zero() {
                // The terminal is suspended by Ctrl-S, or the pipe has no reader: the thread is left to wait for it
                // alone.
                return;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    // Methods for the thread.

    /// Waits until there is something to write, and takes it; `None`: the rows are to be erased.
    pub(super) fn next_turn(&self, output: &BoardStream) -> Option<Turn> {
        let mut state = self.lock();
        loop {
            if state.asides > 0 {
                if state.is_drawn {
                    return None;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let now = Time((self.clock)());
            let below = state.below.iter().filter_map(|below| below.due(self.mode == Mode::Console)).min();
            let below = below.map(|left| now + left);
            let due = match self.mode {
                _ if state.is_closing => Some(now),
                Mode::Console => state.rows.next_repaint(now).into_iter().chain(below).min(),
                Mode::Minimal | Mode::Off if !state.waiting.is_empty() => Some(now),
                Mode::Minimal | Mode::Off => below,
            };
            match due {
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) if due > now => {
                    let left = due.since(now);
                    state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(_) => return Some(state.take_turn(output.size(), self.mode, now)),
            }
        }
    }

    /// Reacts to the rows having been erased.
    pub(crate) fn on_cleared(&self) {
        self.lock().is_drawn = false;
        self.ended.notify_all();
    }

    /// Drops formatters that panicked, so that they are not called again.
    pub(crate) fn drop_formatters(&self, ids: &[RowId]) {
        for id in ids {
            let dropped = self.lock().formatters.remove(id);
            drop(dropped);
        }
    }

    /// Reacts to the end of the thread: nothing is written any more, and all who wait for it are woken.
    pub(crate) fn on_ended(&self) {
        let mut state = self.lock();
        state.is_closing = true;
        state.has_ended = true;
        state.waiting.clear();
        let below = std::mem::take(&mut state.below);
        drop(state);
        drop(below);
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        // A change is made completely or not at all: no code of the user's runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BoardState {
    /// Writes, if no rows are drawn, the line of a row whose text changed, and of rows that show the time at their end.
    fn write_line(&mut self, changed: Option<RowId>, now: Time) {
        let line = |row: &RowView<'_>| shown_line(&format!("{}{}", row.prefix, row.summary));
        if let Some(changed) = changed.and_then(|id| self.rows.get(id, now)).map(|row| line(&row)) {
            self.wait(changed);
        }
        for row in self.rows.take_all_left(now) {
            self.formatters.remove(&row.id);
            if row.elapsed.is_some() {
                self.wait(line(&row));
            }
        }
    }

    fn wait(&mut self, line: String) {
        self.waiting_bytes += line.len() + 1;
        self.waiting.push_back(line);
        while self.waiting_bytes > WAITING_BYTES_MAX {
            let Some(oldest) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= oldest.len() + 1;
            self.dropped += 1;
        }
    }

    fn take_turn(&mut self, size: Size, mode: Mode, now: Time) -> Turn {
        self.is_drawn = mode == Mode::Console;
        let mut lines = Vec::new();
        if std::mem::take(&mut self.dropped) > 0 {
            lines.push("(lines were dropped here: nobody took them)".to_owned());
        }
        lines.extend(self.waiting.drain(..));
        self.waiting_bytes = 0;
        for below in &self.below {
            let own_lines = match mode {
                _ if self.is_closing => below.last_line(),
                Mode::Minimal => below.log_line(),
                Mode::Console | Mode::Off => None,
            };
            lines.extend(own_lines);
        }
        let (mut left, mut frame) = (Vec::new(), BoardFrame { rows: Vec::new(), more: 0, more_at: 0 });
        if mode == Mode::Console {
            let wanted = self.below.iter().map(|below| below.lines_wanted()).sum::<usize>();
            // The rows and the lines below them share a screen that is too small for both.
            let rows_max = size.board_rows() - wanted.min(size.board_rows() / 2);
            let rows = &mut self.rows;
            left = if self.is_closing { rows.take_all_left(now) } else { rows.take_left(rows_max, now) };
            frame = rows.frame(rows_max, now).into_owned();
            rows.painted(now);
        }
        let mut formatters = HashMap::new();
        for row in &left {
            formatters.extend(self.formatters.remove_entry(&row.id));
        }
        for row in frame.rows.iter().filter(|row| row.progress.is_some()) {
            formatters.extend(self.formatters.get(&row.id).map(|of| (row.id, Arc::clone(of))));
        }
        let below = if self.is_closing { std::mem::take(&mut self.below) } else { self.below.clone() };
        Turn { lines, left, frame, formatters, below, size, is_last: self.is_closing }
    }
}
