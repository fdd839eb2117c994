//! The rows of a board that a program writes itself: their order, what is bold, what leaves, when to paint again.
//!
//! A change to a row that is completed, or never was, changes nothing and harms no other row.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::elapsed::format_elapsed;
use super::row::{Progress, Row, RowStatus, bounded};
use crate::Time;

/// At most so many completed rows stay until they are dimmed; of more the oldest leave at once.
pub const DONE_MAX: usize = 256;

/// When a board is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// At most one paint in this time.
    pub update: Duration,
    /// A row is bold for so long after its last change.
    pub dim_after: Duration,
}

impl Default for Timing {
    /// 100 ms and 1000 ms.
    fn default() -> Timing {
        Timing { update: Duration::from_millis(100), dim_after: Duration::from_millis(1000) }
    }
}

/// The name of a row, unique on its board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(u64);

/// A row as it is to be shown now.
#[derive(Clone, Debug, PartialEq)]
pub struct RowView<'a> {
    /// Which row.
    pub id: RowId,
    /// What stands before the summary.
    pub prefix: Cow<'a, str>,
    /// The text.
    pub summary: Cow<'a, str>,
    /// What it means.
    pub status: RowStatus,
    /// How far it is, if it counts.
    pub progress: Option<Progress>,
    /// The time that it shows, if it is a row that shows the time.
    pub elapsed: Option<Duration>,
    /// Whether it changed lately: bold.
    pub highlighted: bool,
    /// Whether nothing more will come: italic.
    pub completed: bool,
}

/// The rows that fit, from top to bottom.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardFrame<'a> {
    /// The rows.
    pub rows: Vec<RowView<'a>>,
    /// So many more are there, and not shown.
    pub more: usize,
    /// After so many of the rows shown stand those that are not: what is below is pinned.
    pub more_at: usize,
}

impl RowView<'_> {
    /// The row with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> RowView<'static> {
        let RowView { id, prefix, summary, status, progress, elapsed, highlighted, completed } = self;
        let (prefix, summary) = (Cow::Owned(prefix.into_owned()), Cow::Owned(summary.into_owned()));
        RowView { id, prefix, summary, status, progress, elapsed, highlighted, completed }
    }
}

impl BoardFrame<'_> {
    /// The frame with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> BoardFrame<'static> {
        let rows = self.rows.into_iter().map(RowView::into_owned).collect();
        BoardFrame { rows, more: self.more, more_at: self.more_at }
    }
}

/// All rows of a board.
#[derive(Debug)]
pub struct RowTable {
    timing: Timing,
    open: BTreeMap<RowId, RowEntry>,
    /// The oldest completion first.
    done: VecDeque<(RowId, RowEntry)>,
    ids: u64,
    /// Counts changes: pinned rows are ordered by their last one.
    changes: u64,
    painted_at: Option<Time>,
    is_dirty: bool,
}

#[derive(Clone, Debug)]
struct RowEntry {
    row: Row,
    progress: Option<Progress>,
    /// For a row that shows the time since.
    since: Option<Time>,
    changed_at: Time,
    change: u64,
    until: Option<Time>,
}

impl RowTable {
    /// No rows yet.
    #[must_use]
    pub fn new(timing: Timing) -> RowTable {
        RowTable {
            timing,
            open: BTreeMap::new(),
            done: VecDeque::new(),
            ids: 0,
            changes: 0,
            painted_at: None,
            is_dirty: false,
        }
    }

    /// Adds a row at the bottom, above the pinned ones. It is shown from the next paint on.
    pub fn add(&mut self, row: Row, now: Time) -> RowId {
        self.insert(row, None, now)
    }

    /// Adds a row that shows the time since `now` in words, and wants to be painted each second. Never bold.
    pub fn add_elapsed(&mut self, row: Row, now: Time) -> RowId {
        self.insert(row, Some(now), now)
    }

    /// Whether this row is there and not completed.
    #[must_use]
    pub fn is_open(&self, id: RowId) -> bool {
        self.open.contains_key(&id)
    }

    /// How many rows are not completed.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Replaces the summary. True if that changed the row.
    pub fn set_summary(&mut self, id: RowId, summary: impl Into<String>, now: Time) -> bool {
        let summary = bounded(summary.into());
        self.change(id, now, |state| core::mem::replace(&mut state.row.summary, summary.clone()) != summary)
    }

    /// Replaces the prefix; an empty one removes it. True if that changed the row.
    pub fn set_prefix(&mut self, id: RowId, prefix: impl Into<String>, now: Time) -> bool {
        let prefix = bounded(prefix.into());
        self.change(id, now, |state| core::mem::replace(&mut state.row.prefix, prefix.clone()) != prefix)
    }

    /// Sets the status; the texts stay. True if that changed the row.
    pub fn set_status(&mut self, id: RowId, status: RowStatus, now: Time) -> bool {
        self.change(id, now, |state| core::mem::replace(&mut state.row.status, status) != status)
    }

    /// Begins to count to `target`, from 0.
    pub fn start(&mut self, id: RowId, target: u64, now: Time) -> bool {
        self.set_progress(id, now, |_| Some(Progress::start(target)))
    }

    /// Counts `steps` more. Nothing without a start before, and never beyond the target.
    pub fn tick(&mut self, id: RowId, steps: u64, now: Time) -> bool {
        self.set_progress(id, now, |progress| progress.map(|progress| progress.tick(steps)))
    }

    /// The count is at its target.
    pub fn finish(&mut self, id: RowId, now: Time) -> bool {
        self.set_progress(id, now, |progress| progress.map(Progress::finish))
    }

    /// Counts no more: the bar goes.
    pub fn clear(&mut self, id: RowId, now: Time) -> bool {
        self.set_progress(id, now, |_| None)
    }

    /// Nothing more comes for this row: it moves above all that are not completed, and leaves when it is dimmed.
    /// Returns its texts as they are now; `None` if it was completed before.
    pub fn complete(&mut self, id: RowId, now: Time) -> Option<RowView<'_>> {
        let mut state = self.open.remove(&id)?;
        state.changed_at = now;
        state.until = Some(now);
        self.is_dirty = true;
        self.done.push_back((id, state));
        self.done.back().map(|(id, state)| self.view(*id, state, now))
    }

    /// Completes all rows, the oldest first.
    pub fn complete_all(&mut self, now: Time) {
        let ids: Vec<RowId> = self.open.keys().copied().collect();
        for id in ids {
            self.complete(id, now);
        }
    }

    /// A row as it is now, completed or not.
    #[must_use]
    pub fn get(&self, id: RowId, now: Time) -> Option<RowView<'_>> {
        let done = || self.done.iter().find(|(done, _)| *done == id).map(|(_, state)| state);
        self.open.get(&id).or_else(done).map(|state| self.view(id, state, now))
    }

    /// Takes out the completed rows whose time is over, or for which `rows_max` leaves no room: their text is to
    /// stay on the screen, above the board, as the screen's own. The oldest first.
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

    /// The completed rows, all of them, at the end of the board. As [`RowTable::take_left`].
    pub fn take_all_left(&mut self, now: Time) -> Vec<RowView<'static>> {
        let done: Vec<_> = self.done.drain(..).collect();
        done.iter()
            .map(|(id, state)| RowView { highlighted: false, ..self.view(*id, state, now).into_owned() })
            .collect()
    }

    /// What to show on `rows_max` lines, the one that tells of more included: completed rows first, then the
    /// others, the oldest first, and the pinned ones at the bottom.
    #[must_use]
    pub fn frame(&self, rows_max: usize, now: Time) -> BoardFrame<'_> {
        let done = self.done.iter().map(|(id, state)| (*id, state));
        let open = |pinned| self.open.iter().filter(move |(_, state)| state.row.pinned == pinned);
        let mut above: Vec<(RowId, &RowEntry)> =
            done.chain(open(false).map(|(id, state)| (*id, state))).collect();
        let mut pinned: Vec<(RowId, &RowEntry)> = open(true).map(|(id, state)| (*id, state)).collect();
        pinned.sort_by_key(|(_, state)| state.change);
        let all = above.len() + pinned.len();
        if all > rows_max {
            // One line tells how many there are besides. Of the pinned rows the latest stay.
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

    /// When the board wants to be painted: `None` while nothing will change by itself and nothing has.
    #[must_use]
    pub fn next_repaint(&self, now: Time) -> Option<Time> {
        let painted = match self.painted_at {
            None => return self.is_dirty.then_some(now),
            Some(painted) => painted,
        };
        let due = if self.is_dirty { Some(now) } else { self.next_by_itself(painted) };
        due.map(|due| due.max(painted + self.timing.update).max(now))
    }

    /// Whether something changed since the last paint.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// It has been painted.
    pub fn painted(&mut self, now: Time) {
        self.painted_at = Some(now);
        self.is_dirty = false;
    }

    /// Something else than a row changed: paint again.
    pub fn touch(&mut self) {
        self.is_dirty = true;
    }

    /// What changes with time alone: bold rows are dimmed, completed ones leave, elapsed times grow.
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
        let Some(state) = self.open.get_mut(&id) else { return false };
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
