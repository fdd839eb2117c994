//! A counter of items that shows their number in a row. Never changes the items.

use psmith_core::board::is_report_due;

use crate::handle::RowHandle;

/// Counts items as they pass: at each multiple of `every` the row's summary becomes what `format` makes of the count,
/// and once more with the final count at the end, also if there were no items. With `every` 0 there is only that last
/// report.
///
/// ```
/// use psmith::board::{Board, Row, report_progress};
///
/// let board = Board::off();
/// let row = board.add_row(Row::new());
/// let sum: u64 = report_progress(0..33_u64, 5, &row, |count| format!("{count} / 33")).sum();
/// assert_eq!(sum, 528);
/// ```
pub fn report_progress<I, F>(
    items: I,
    every: u64,
    row: &RowHandle,
    format: F,
) -> ReportProgress<I::IntoIter, F>
where
    I: IntoIterator,
    F: FnMut(u64) -> String,
{
    ReportProgress { items: items.into_iter(), every, row: row.clone(), format, count: 0, has_ended: false }
}

/// The iterator of [`report_progress`]. It holds its row until it is dropped.
#[derive(Debug)]
pub struct ReportProgress<I, F> {
    items: I,
    every: u64,
    row: RowHandle,
    format: F,
    count: u64,
    has_ended: bool,
}

impl<I: Iterator, F: FnMut(u64) -> String> Iterator for ReportProgress<I, F> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let item = self.items.next();
        if item.is_some() {
            self.count += 1;
            if is_report_due(self.count, self.every) {
                self.row.set_summary((self.format)(self.count));
            }
        } else if !std::mem::replace(&mut self.has_ended, true) {
            self.row.set_summary((self.format)(self.count));
        }
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}
