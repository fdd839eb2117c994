//! The board of the run: the times at which it is drawn, and its content.
//!
//! It only reads the run's events, so a run is the same without it. It draws through the writer, which alone writes to
//! the terminal.

use std::io;
use std::time::Duration;

use psmith_board::Size;
use psmith_core::board::{JobRow, RowEnding, RunBoard, Timing, Update};
use psmith_core::{JobId, Time};
use psmith_sys::{proc_memory, terminal};

use super::keys::Keys;
use super::writer::WriterHandle;
use crate::record::Status;
use crate::report::table::{Layout, lines, running_text};
use crate::report::tally::is_flaky;

/// The age of the run at which the board appears.
pub(super) const BOARD_AFTER: Duration = Duration::from_millis(500);

/// The shortest time between two samples of the memory and CPU time of the jobs on the screen.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The time between two checks of a run in the background whether it has the terminal again.
const BACKGROUND_CHECK_EVERY: Duration = Duration::from_secs(1);

/// The number of a job's processes that are counted in what it uses.
const SAMPLED_PROCESSES_MAX: usize = 32;

/// The number of jobs that are listed when a key requests it.
const LISTED_MAX: usize = 100;

/// The board, if there is one.
#[derive(Debug)]
pub(super) struct BoardDisplay {
    board: RunBoard,
    rows_max: usize,
    tries: u32,
    sampled_at: Option<Time>,
    /// True if the terminal was another group's at the last check.
    is_away: bool,
}

impl BoardDisplay {
    pub(super) fn new(rows_max: u16, tries: u32) -> BoardDisplay {
        let board = RunBoard::new(Timing::default());
        BoardDisplay { board, rows_max: rows_max.into(), tries, sampled_at: None, is_away: false }
    }

    pub(super) fn on(&mut self, update: Update<'_>, now: Time) {
        self.board.on(update, now);
    }

    pub(super) fn on_output(&mut self, job: JobId, bytes: &[u8]) {
        self.board.on_output(job, bytes);
    }

    /// Notes that the screen was cleared, or has another size.
    pub(super) fn redraw(&mut self) {
        self.board.touch();
    }

    /// Draws if it is time to. `standing` makes the line of the run for a width. Returns the time of the next call.
    pub(super) fn tick(
        &mut self,
        now: Time,
        writer: &WriterHandle,
        keys: Option<&mut Keys>,
        standing: impl FnOnce(usize) -> String,
    ) -> Option<Duration> {
        let due = self.board.next_repaint(now)?.max(Time::ZERO + BOARD_AFTER);
        if due > now {
            return Some(due - now);
        }
        if !terminal::is_foreground(io::stderr()).unwrap_or(true) {
            // The terminal belongs to another group at present; a board would be drawn into its output.
            self.is_away = true;
            return Some(BACKGROUND_CHECK_EVERY);
        }
        // The kernel sends no signal when a shell brings a running job to the foreground.
        if std::mem::take(&mut self.is_away)
            && let Some(keys) = keys
        {
            keys.take_again();
        }
        let size = Size::of(io::stderr());
        let layout = Layout::of(size, self.rows_max);
        let running = self.board.running_count();
        let shown = layout.shown(running);
        self.sample(shown, now);
        let rows: Vec<&JobRow> = self.board.longest(shown).into_iter().map(|(_, row)| row).collect();
        writer.board(lines(&rows, running, self.tries, now, size, layout, standing), size);
        self.board.painted(now);
        self.board.next_repaint(now).map(|due| due - now)
    }

    fn sample(&mut self, shown: usize, now: Time) {
        if self.sampled_at.is_some_and(|at| now < at + SAMPLE_EVERY) {
            return;
        }
        self.sampled_at = Some(now);
        let processes: Vec<(JobId, u32)> =
            self.board.longest(shown).into_iter().map(|(job, row)| (job, row.pid)).collect();
        for (job, pid) in processes {
            // A process that has just ended uses nothing, and its row is about to be removed.
            if let Ok(used) = proc_memory::usage_of_tree(pid, SAMPLED_PROCESSES_MAX) {
                let (memory_bytes, cpu) = (used.resident_bytes, Some(used.cpu));
                self.board.on(Update::Used { job, memory_bytes, cpu }, now);
            }
        }
    }

    pub(super) fn running_text(&self, now: Time, columns: usize, standing: &str) -> String {
        let rows: Vec<&JobRow> = self.board.longest(LISTED_MAX).into_iter().map(|(_, row)| row).collect();
        running_text(&rows, self.tries, now, columns, &format!("psmith: {standing}"))
    }
}

/// Returns how a job counts on a board.
pub(super) fn ending(status: Status, outcome: &psmith_core::Outcome) -> RowEnding {
    match status {
        Status::Ok if is_flaky(outcome) => RowEnding::Flaky,
        Status::Ok => RowEnding::Ok,
        Status::Failed => RowEnding::Failed,
        Status::Cancelled | Status::Skipped => RowEnding::Cancelled,
    }
}
