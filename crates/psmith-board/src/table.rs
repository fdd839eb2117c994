//! Running jobs as lines: a heading, a row for each of the longest running, and the progress of the run. The command
//! and a program's own runs share it.
//!
//! Composes only: never decides when to paint, and never paints.

use psmith_core::Time;
use psmith_core::board::{JobRow, Progress, RowStatus};

use crate::screen::{Line, LineStyle, Size, more_text};
use crate::standing::whole;
use crate::text::{columns_of, visible};

/// The width below which the processor's share is left out.
const COLUMNS_WIDE: usize = 70;

/// The width below which the tries and the memory are left out.
const COLUMNS_FULL: usize = 60;

/// The width below which the slot is left out as well.
const COLUMNS_SOME: usize = 40;

/// The division of a screen of a given size among the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// True if there is room for a heading.
    pub heading: bool,
    /// Lines for jobs, the one for those that are not shown included.
    pub rows: usize,
}

impl Layout {
    /// Divides the screen: at most `rows_max` rows, a heading if there is room, and always the line of the run.
    #[must_use]
    pub fn of(size: Size, rows_max: usize) -> Layout {
        let room = size.board_rows() - 1;
        let heading = room >= 3;
        Layout { heading, rows: rows_max.min(room - usize::from(heading)) }
    }

    /// Returns how many of `running` jobs have a row of their own.
    #[must_use]
    pub fn shown(self, running: usize) -> usize {
        if running <= self.rows { running } else { self.rows.saturating_sub(1) }
    }
}

/// Returns the lines of the board. `rows` are the jobs to be shown, the longest running first, of `running` in all;
/// `run_line` makes the line of the run for a width.
#[must_use]
pub fn lines(
    rows: &[&JobRow],
    running: usize,
    tries: u32,
    now: Time,
    size: Size,
    layout: Layout,
    run_line: impl FnOnce(usize) -> String,
) -> Vec<Line> {
    let columns = size.columns;
    let table = TableColumns::of(rows, tries, now, columns);
    let mut lines = Vec::with_capacity(rows.len() + 3);
    if layout.heading && !rows.is_empty() {
        let look = LineStyle { dim: true, ..LineStyle::default() };
        lines.push(Line { text: visible(table.heading().as_bytes(), columns), look });
    }
    for (row, cells) in rows.iter().zip(&table.cells) {
        let head = table.head(cells);
        let text = row_text(row, columns.saturating_sub(columns_of(&head)));
        let look = LineStyle { status: row.status, ..LineStyle::default() };
        lines.push(Line { text: visible(format!("{head}{text}").as_bytes(), columns), look });
    }
    if running > rows.len() && layout.rows > 0 {
        let text = format!(" {}", more_text(running - rows.len()));
        lines.push(Line {
            text: visible(text.as_bytes(), columns),
            look: LineStyle { dim: true, ..LineStyle::default() },
        });
    }
    lines
        .push(Line { text: format!(" {}", run_line(columns.saturating_sub(1))), look: LineStyle::default() });
    lines
}

/// Returns all running jobs with their last lines, as the key `t` asks for them: several lines, each with its newline,
/// `run_line` the first.
#[must_use]
pub fn running_text(rows: &[&JobRow], tries: u32, now: Time, columns: usize, run_line: &str) -> String {
    let table = TableColumns::of(rows, tries, now, columns);
    let mut out = format!("{run_line}\n");
    if !rows.is_empty() {
        out.push_str(&format!("{}\n", visible(table.heading().as_bytes(), columns)));
    }
    for (row, cells) in rows.iter().zip(&table.cells) {
        let head = table.head(cells);
        let text = visible(format!("{head}{}", command(row)).as_bytes(), columns);
        out.push_str(&format!("{text}\n"));
        let said = message(row, columns);
        if !said.is_empty() {
            out.push_str(&format!("{}\n", visible(format!("        | {said}").as_bytes(), columns)));
        }
    }
    out
}

/// The columns before the text, as wide as their widest cell.
struct TableColumns {
    cells: Vec<[String; 6]>,
    widths: [usize; 6],
    /// The columns that are shown.
    has: [bool; 6],
}

const HEADINGS: [&str; 6] = ["  slot", "job", "try", "time", "rss", "cpu"];
const WIDTHS: [usize; 6] = [6, 4, 3, 5, 5, 4];

impl TableColumns {
    fn of(rows: &[&JobRow], tries: u32, now: Time, columns: usize) -> TableColumns {
        let cells: Vec<[String; 6]> = rows.iter().map(|row| cells(row, tries, now)).collect();
        let mut widths = WIDTHS;
        for row in &cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        let (some, full) = (columns >= COLUMNS_SOME, columns >= COLUMNS_FULL);
        TableColumns { cells, widths, has: [some, true, full, true, full, columns >= COLUMNS_WIDE] }
    }

    fn heading(&self) -> String {
        let cells = HEADINGS.map(str::to_owned);
        format!("{}last line", self.head(&cells))
    }

    fn head(&self, cells: &[String; 6]) -> String {
        let mut out = String::new();
        for (number, cell) in cells.iter().enumerate().filter(|(number, _)| self.has[*number]) {
            let width = self.widths[number];
            // The job's number is at the left of its column, as in every other text.
            out.push_str(&if number == 1 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
            out.push_str("  ");
        }
        out.push(' ');
        out
    }
}

fn cells(row: &JobRow, tries: u32, now: Time) -> [String; 6] {
    let tried = match tries {
        0 | 1 => row.attempt.to_string(),
        tries => format!("{}/{tries}", row.attempt),
    };
    [
        (row.slot.0 + 1).to_string(),
        format!("#{}", row.number),
        tried,
        whole(now.since(row.since).as_secs()),
        row.memory_bytes.map_or_else(|| "-".to_owned(), memory),
        row.cpu_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%")),
    ]
}

/// Returns the command, and behind it the last line that it wrote. A long command is cut so far that the line can be
/// read.
fn row_text(row: &JobRow, columns: usize) -> String {
    let said = message(row, columns);
    if said.is_empty() {
        return visible(command(row).as_bytes(), columns);
    }
    let room = columns.saturating_sub(columns_of(&said) + 2).max(columns / 2);
    visible(format!("{}: {said}", visible(command(row).as_bytes(), room)).as_bytes(), columns)
}

/// Returns a job's progress and the last line that it wrote.
fn message(row: &JobRow, columns: usize) -> String {
    let said = visible(row.last_line(), columns);
    match row.progress {
        None => said,
        Some(progress) if said.is_empty() => far(progress),
        Some(progress) => visible(format!("{}  {said}", far(progress)).as_bytes(), columns),
    }
}

fn far(progress: Progress) -> String {
    format!("{}/{}", progress.current(), progress.target())
}

/// Returns the command with its state in words, so that no state is shown by a colour alone.
fn command(row: &JobRow) -> String {
    match row.status {
        RowStatus::Normal | RowStatus::Success => row.title.clone(),
        RowStatus::Warning => format!("(slow) {}", row.title),
        RowStatus::Error => format!("(cannot be killed) {}", row.title),
    }
}

/// Formats an amount of memory in at most five characters: `980K`, `410M`, `1.2G`.
fn memory(bytes: u64) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let unit = UNITS[unit];
    if tenths < 100 && unit != 'K' {
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    } else {
        format!("{}{unit}", tenths / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use psmith_core::board::{RunBoard, Timing, Update};
    use psmith_core::{JobId, SlotId};

    fn at(seconds: u64) -> Time {
        Time(Duration::from_secs(seconds))
    }

    fn run_board() -> RunBoard {
        let mut board = RunBoard::new(Timing::default());
        let jobs = [
            (17, 2, 0, "convert scan-017.tif", "page 8 of 20", 410 << 20),
            (21, 0, 63, "convert scan-021.tif", "page 2 of 20", 120 << 20),
        ];
        for (number, slot, since, title, said, memory_bytes) in jobs {
            let job = JobId(number);
            let slot = SlotId(slot);
            board.on(Update::Started { job, number, slot, attempt: 2, pid: 1, title }, at(since));
            board.on(Update::Wrote { job, bytes: said.as_bytes() }, at(since));
            let cpu = Some(Duration::from_millis(number * 100));
            board.on(Update::Used { job, memory_bytes, cpu }, at(since + 1));
        }
        board
    }

    fn texts(board: &RunBoard, size: Size, rows_max: usize) -> Vec<String> {
        let layout = Layout::of(size, rows_max);
        let running = board.running_count();
        let rows: Vec<&JobRow> =
            board.longest(layout.shown(running)).into_iter().map(|(_, row)| row).collect();
        let run_line = |columns| visible(b"412/2000  ok 405  failed 3", columns);
        let lines = lines(&rows, running, 3, at(72), size, layout, run_line);
        assert!(lines.len() <= size.board_rows() && lines.len() <= rows_max + 2);
        assert!(lines.iter().all(|line| columns_of(&line.text) <= size.columns));
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn the_board_has_the_form_of_the_manual() {
        assert_eq!(
            texts(&run_board(), Size { columns: 80, rows: 24 }, 8),
            [
                "  slot  job   try   time    rss   cpu   last line",
                "     3  #17   2/3  1m12s   410M  170%   convert scan-017.tif: page 8 of 20",
                "     1  #21   2/3     9s   120M  210%   convert scan-021.tif: page 2 of 20",
                " 412/2000  ok 405  failed 3",
            ]
        );
    }

    #[test]
    fn jobs_without_a_row_are_counted() {
        let mut board = run_board();
        for number in 30..33 {
            let slot = SlotId(number as u32);
            let started =
                Update::Started { job: JobId(number), number, slot, attempt: 1, pid: 1, title: "x" };
            board.on(started, at(70));
        }
        let shown = texts(&board, Size { columns: 80, rows: 24 }, 3);
        assert_eq!(shown.len(), 5);
        assert!(shown[2].contains("#21"), "{shown:?}");
        assert_eq!(shown[3], " ... and 3 more");
    }

    #[test]
    fn small_screens_lose_columns_and_rows_but_not_the_standing() {
        let board = run_board();
        assert_eq!(
            texts(&board, Size { columns: 50, rows: 5 }, 8),
            [
                "  slot  job    time   last line",
                "     3  #17   1m12s   convert sca...: page 8 of 20",
                "     1  #21      9s   convert sca...: page 2 of 20",
                " 412/2000  ok 405  failed 3",
            ]
        );
        assert_eq!(
            texts(&board, Size { columns: 30, rows: 3 }, 8),
            [" ... and 2 more", " 412/2000  ok 405  failed 3"]
        );
        assert_eq!(texts(&board, Size { columns: 12, rows: 2 }, 8), [" 412/2000..."]);
        assert_eq!(texts(&board, Size { columns: 1, rows: 1 }, 8), [" "]);
    }

    #[test]
    fn what_a_colour_means_is_said() {
        let mut board = run_board();
        board.on(Update::Slow { job: JobId(17) }, at(72));
        board.on(Update::Unkillable { job: JobId(21) }, at(72));
        let shown = texts(&board, Size { columns: 100, rows: 24 }, 8);
        assert!(shown[1].ends_with("(slow) convert scan-017.tif: page 8 of 20"), "{shown:?}");
        assert!(shown[2].contains("(cannot be killed) convert scan"), "{shown:?}");
    }

    #[test]
    fn all_running_jobs_are_listed_with_their_last_lines() {
        let board = run_board();
        let rows: Vec<&JobRow> = board.longest(9).into_iter().map(|(_, row)| row).collect();
        assert_eq!(
            running_text(&rows, 3, at(72), 80, "psmith: 2 done"),
            "\
psmith: 2 done
  slot  job   try   time    rss   cpu   last line
     3  #17   2/3  1m12s   410M  170%   convert scan-017.tif
        | page 8 of 20
     1  #21   2/3     9s   120M  210%   convert scan-021.tif
        | page 2 of 20
"
        );
    }

    #[test]
    fn memory_is_shown_in_few_characters() {
        let cases = [
            (0, "0K"),
            (980 << 10, "980K"),
            (1 << 20, "1.0M"),
            (410 << 20, "410M"),
            (1_288_490_188, "1.1G"),
            (u64::MAX, "15E"),
        ];
        for (bytes, text) in cases {
            assert_eq!(memory(bytes), text, "{bytes}");
        }
    }
}
