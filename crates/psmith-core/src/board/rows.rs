//! The rows of a board that a program writes itself: their order, highlighting, removal, and the time of the next
//! paint.
//!
//! A change to a row that is completed, or never existed, changes nothing and harms no other row.

use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::elapsed::format_elapsed;
use super::row::{Progress, Row, RowStatus, bounded};
use crate::{Table, TableKey, Time};

/// The maximum number of completed rows that stay until they are dimmed; beyond it the oldest leave at once.
pub const DONE_MAX: usize = 256;

/// The timing of a board's repaints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The minimum time between two paints.
    pub update: Duration,
    /// The time for which a row is bold after its last change.
    pub dim_after: Duration,
}

impl Default for Timing {
    /// Returns 100 ms and 1000 ms.
    fn default() -> Timing {
        Timing { update: Duration::from_millis(100), dim_after: Duration::from_millis(1000) }
    }
}

/// The name of a row, unique on its board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(u64);

impl TableKey for RowId {
    fn from_number(number: u64) -> RowId {
        RowId(number)
    }

    fn number(self) -> u64 {
        self.0
    }
}

/// A row as it is to be shown now.
#[derive(Clone, Debug, PartialEq)]
pub struct RowView<'a> {
    /// The row's id.
    pub id: RowId,
    /// The text before the summary.
    pub prefix: Cow<'a, str>,
    /// The text that changes.
    pub summary: Cow<'a, str>,
    /// The status.
    pub status: RowStatus,
    /// The progress, if the row counts.
    pub progress: Option<Progress>,
    /// The time that the row shows, if it is a row that shows the time.
    pub elapsed: Option<Duration>,
    /// True if the row changed lately: bold.
    pub highlighted: bool,
    /// True if the row is completed: italic.
    pub completed: bool,
}

/// The rows that fit, from top to bottom.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardFrame<'a> {
    /// The rows.
    pub rows: Vec<RowView<'a>>,
    /// The number of rows that are not shown.
    pub more: usize,
    /// The index, among the rows shown, at which the hidden ones belong: the rows below it are pinned.
    pub more_at: usize,
}

impl RowView<'_> {
    /// Returns the row with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> RowView<'static> {
        let RowView { id, prefix, summary, status, progress, elapsed, highlighted, completed } = self;
        let (prefix, summary) = (Cow::Owned(prefix.into_owned()), Cow::Owned(summary.into_owned()));
        RowView { id, prefix, summary, status, progress, elapsed, highlighted, completed }
    }
}

impl BoardFrame<'_> {
    /// Returns the frame with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> BoardFrame<'static> {
        let rows = self.rows.into_iter().map(RowView::into_owned).collect();
        BoardFrame { rows, more: self.more, more_at: self.more_at }
    }
}

/// The rows of a board.
#[derive(Debug)]
pub struct RowTable {
    timing: Timing,
    open: Table<RowId, RowEntry>,
    /// Completed rows, the oldest completion first.
    done: VecDeque<(RowId, RowEntry)>,
    ids: u64,
    /// The number of changes: pinned rows are ordered by their last one.
    changes: u64,
    painted_at: Option<Time>,
    is_dirty: bool,
}

#[derive(Clone, Debug)]
struct RowEntry {
    row: Row,
    progress: Option<Progress>,
    /// The start of the time that the row shows, for a row that shows one.
    since: Option<Time>,
    changed_at: Time,
    change: u64,
    until: Option<Time>,
}

impl RowTable {
    /// Creates an empty table.
    #[must_use]
    pub fn new(timing: Timing) -> RowTable {
        RowTable {
            timing,
            open: Table::new(),
            done: VecDeque::new(),
            ids: 0,
            changes: 0,
            painted_at: None,
            is_dirty: false,
        }
    }

    /// Adds a row at the bottom, above the pinned ones. The row is shown from the next paint on.
    pub fn add(&mut self, row: Row, now: Time) -> RowId {
        self.insert(row, None, now)
    }

    /// Adds a row that shows the time since `now` in words, and is repainted each second. Never bold.
    pub fn add_elapsed(&mut self, row: Row, now: Time) -> RowId {
        self.insert(row, Some(now), now)
    }

    /// Returns whether this row exists and is not completed.
    #[must_use]
    pub fn is_open(&self, id: RowId) -> bool {
        self.open.contains(id)
    }

    /// Returns the number of rows that are not completed.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Replaces the summary. Returns true if that changed the row.
    pub fn set_summary(&mut self, id: RowId, summary: impl Into<String>, now: Time) -> bool {
        let summary = bounded(summary.into());
        self.change(id, now, |state| core::mem::replace(&mut state.row.summary, summary.clone()) != summary)
    }

    /// Replaces the prefix; an empty one removes it. Returns true if that changed the row.
    pub fn set_prefix(&mut self, id: RowId, prefix: impl Into<String>, now: Time) -> bool {
        let prefix = bounded(prefix.into());
        self.change(id, now, |state| core::mem::replace(&mut state.row.prefix, prefix.clone()) != prefix)
    }

    /// Sets the status; the texts stay. Returns true if that changed the row.
    pub fn set_status(&mut self, id: RowId, status: RowStatus, now: Time) -> bool {
        self.change(id, now, |state| core::mem::replace(&mut state.row.status, status) != status)
    }

    /// Begins to count to `target`, from 0.
    pub fn start(&mut self, id: RowId, target: u64, now: Time) -> bool {
        self.set_progress(id, now, |_| Some(Progress::start(target)))
    }

    /// Adds `steps` steps to the count. No effect without a start before; never exceeds the target.
    pub fn tick(&mut self, id: RowId, steps: u64, now: Time) -> bool {
        self.set_progress(id, now, |progress| progress.map(|progress| progress.tick(steps)))
    }

    /// Sets the count to its target.
    pub fn finish(&mut self, id: RowId, now: Time) -> bool {
        self.set_progress(id, now, |progress| progress.map(Progress::finish))
    }

    /// Ends the count: the bar is removed.
    pub fn clear(&mut self, id: RowId, now: Time) -> bool {
        self.set_progress(id, now, |_| None)
    }

    /// Completes the row: it moves above all that are not completed, and leaves when it is dimmed. Returns its texts
    /// as they are now; `None` if it was completed before.
    pub fn complete(&mut self, id: RowId, now: Time) -> Option<RowView<'_>> {
        let mut state = self.open.remove(id)?;
        state.changed_at = now;
        state.until = Some(now);
        self.is_dirty = true;
        self.done.push_back((id, state));
        self.done.back().map(|(id, state)| self.view(*id, state, now))
    }

    /// Completes all rows, the oldest first.
    pub fn complete_all(&mut self, now: Time) {
        let ids: Vec<RowId> = self.open.keys().collect();
        for id in ids {
            self.complete(id, now);
        }
    }

    /// Returns a row as it is now, completed or not.
    #[must_use]
    pub fn get(&self, id: RowId, now: Time) -> Option<RowView<'_>> {
        let done = || self.done.iter().find(|(done, _)| *done == id).map(|(_, state)| state);
        self.open.get(id).or_else(done).map(|state| self.view(id, state, now))
    }

    /// Takes out the completed rows whose time is over, or for which `rows_max` leaves no room, the oldest first. The
    /// caller leaves their text on the screen, above the board, outside of it.
    pub fn take_left(&mut self, rows_max: usize, now: Time) -> Vec<RowView<'static>> {
        let mut left = Vec::new();
        while let Some((id, state)) = self.done.front() {
            let crowded = self.done.len() > DONE_MAX || self.done.len() + self.open.len() > rows_max;
            if !crowded && now < state.changed_at + self.timing.dim_after {
                break;
            }
            left.push(RowView { highlighted: false, ..self.view(*id, state, now).into_owned() });
            self.done.pop_front();
        }
        left
    }

    /// Takes out all completed rows, at the end of the board; see [`RowTable::take_left`].
    pub fn take_all_left(&mut self, now: Time) -> Vec<RowView<'static>> {
        let done: Vec<_> = self.done.drain(..).collect();
        done.iter()
            .map(|(id, state)| RowView { highlighted: false, ..self.view(*id, state, now).into_owned() })
            .collect()
    }

    /// Returns the rows to show on `rows_max` lines, the line that counts the hidden rows included: completed rows
    /// first, then the others, the oldest first, and the pinned ones at the bottom.
    #[must_use]
    pub fn frame(&self, rows_max: usize, now: Time) -> BoardFrame<'_> {
        let done = self.done.iter().map(|(id, state)| (*id, state));
        let open = |pinned| self.open.iter().filter(move |(_, state)| state.row.pinned == pinned);
        let mut above: Vec<(RowId, &RowEntry)> = done.chain(open(false)).collect();
        let mut pinned: Vec<(RowId, &RowEntry)> = open(true).collect();
        pinned.sort_by_key(|(_, state)| state.change);
        let all = above.len() + pinned.len();
        if all > rows_max {
            // One line shows the number of hidden rows. Of the pinned rows the latest stay.
            let room = rows_max.saturating_sub(1);
            let pinned_shown = pinned.len().min(room);
            pinned.drain(..pinned.len() - pinned_shown);
            above.truncate(room - pinned_shown);
        }
        let more = all - above.len() - pinned.len();
        let more_at = above.len();
        let rows = above.into_iter().chain(pinned).map(|(id, state)| self.view(id, state, now)).collect();
        BoardFrame { rows, more, more_at }
    }

    /// Returns when the board is to be painted; `None` while nothing has changed and nothing changes with time alone.
    #[must_use]
    pub fn next_repaint(&self, now: Time) -> Option<Time> {
        let painted = match self.painted_at {
            None => return self.is_dirty.then_some(now),
            Some(painted) => painted,
        };
        let due = if self.is_dirty { Some(now) } else { self.next_by_itself(painted) };
        due.map(|due| due.max(painted + self.timing.update).max(now))
    }

    /// Returns whether something changed since the last paint.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Records a paint.
    pub fn painted(&mut self, now: Time) {
        self.painted_at = Some(now);
        self.is_dirty = false;
    }

    /// Requests a paint because something else than a row changed.
    pub fn touch(&mut self) {
        self.is_dirty = true;
    }

    /// Returns the time of the next change that comes with time alone: bold rows are dimmed, completed ones leave,
    /// elapsed times grow.
    fn next_by_itself(&self, painted: Time) -> Option<Time> {
        let dims = self.open.values().filter(|state| state.since.is_none()).filter_map(|state| {
            let dim = state.changed_at + self.timing.dim_after;
            (dim > painted).then_some(dim)
        });
        let leaves = self.done.front().map(|(_, state)| state.changed_at + self.timing.dim_after);
        let ticks = self.open.values().filter_map(|state| {
            let shown = painted.since(state.since?).as_secs();
            Some(state.since? + Duration::from_secs(shown + 1))
        });
        dims.chain(leaves).chain(ticks).min()
    }

    fn insert(&mut self, row: Row, since: Option<Time>, now: Time) -> RowId {
        self.ids += 1;
        self.changes += 1;
        let id = RowId(self.ids);
        let state =
            RowEntry { row, progress: None, since, changed_at: now, change: self.changes, until: None };
        self.open.insert(id, state);
        self.is_dirty = true;
        id
    }

    fn set_progress(
        &mut self,
        id: RowId,
        now: Time,
        next: impl Fn(Option<Progress>) -> Option<Progress>,
    ) -> bool {
        self.change(id, now, |state| {
            let next = next(state.progress);
            core::mem::replace(&mut state.progress, next) != next
        })
    }

    fn change(&mut self, id: RowId, now: Time, change: impl FnOnce(&mut RowEntry) -> bool) -> bool {
        let Some(state) = self.open.get_mut(id) else { return false };
        if !change(state) {
            return false;
        }
        self.changes += 1;
        state.changed_at = now;
        state.change = self.changes;
        self.is_dirty = true;
        true
    }

    fn view<'a>(&self, id: RowId, state: &'a RowEntry, now: Time) -> RowView<'a> {
        let elapsed = state.since.map(|since| state.until.unwrap_or(now).since(since));
        let lately = now < state.changed_at + self.timing.dim_after;
        RowView {
            id,
            prefix: Cow::Borrowed(&state.row.prefix),
            summary: match elapsed {
                Some(elapsed) => Cow::Owned(format_elapsed(elapsed)),
                None => Cow::Borrowed(&state.row.summary),
            },
            status: state.row.status,
            progress: state.progress,
            elapsed,
            highlighted: lately && (state.since.is_none() || state.until.is_some()),
            completed: state.until.is_some(),
        }
    }
}
