//! List of running jobs, as requested by `SIGUSR1`.

use std::time::Duration;

use super::display::visible;
use super::duration::whole;
use super::standing::StatusLine;

/// A job that has a process.
#[derive(Clone, Copy, Debug)]
pub struct RunningJob<'a> {
    /// The job's number.
    pub job: u64,
    /// The number of this try, from 1.
    pub attempt: u32,
    /// The number of tries that it has; 0: no bound.
    pub tries: u32,
    /// The time since this try began.
    pub elapsed: Duration,
    /// The command, as `--dry-run` prints it.
    pub command: &'a [u8],
}

/// Returns the list, the longest running first, several lines, each with its newline and no wider than `columns`.
#[must_use]
pub fn list(running: &mut [RunningJob<'_>], standing: &StatusLine, columns: usize) -> String {
    running.sort_by_key(|job| (std::cmp::Reverse(job.elapsed), job.job));
    let number = |job: &RunningJob<'_>| format!("#{}", job.job);
    let tries = |job: &RunningJob<'_>| match job.tries {
        0 | 1 => format!("try {}", job.attempt),
        tries => format!("try {}/{tries}", job.attempt),
    };
    let time = |job: &RunningJob<'_>| whole(job.elapsed.as_secs());
    let widest = |text: &dyn Fn(&RunningJob<'_>) -> String| running.iter().map(|job| text(job).len()).max();
    let (numbers, tried, times) =
        (widest(&number).unwrap_or(0), widest(&tries).unwrap_or(0), widest(&time).unwrap_or(0));
    let mut out = format!("psmith: {}\n", standing.line(0.0, columns));
    for job in running.iter() {
        let command = visible(job.command, columns);
        let line =
            format!("  {:numbers$}  {:tried$}  {:>times$}  {command}", number(job), tries(job), time(job));
        out.push_str(&visible(line.as_bytes(), columns));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_jobs_are_listed_with_number_tries_time_and_command() {
        let job = |job, attempt, seconds, command| RunningJob {
            job,
            attempt,
            tries: 3,
            elapsed: Duration::from_secs(seconds),
            command,
        };
        let mut running =
            [job(121, 1, 9, b"convert b.tif".as_slice()), job(17, 2, 72, b"convert \x1b a.tif")];
        let standing = StatusLine { done: 12, total: Some(20), ok: 12, running: 2, ..StatusLine::default() };
        assert_eq!(
            list(&mut running, &standing, 80),
            "\
psmith: 12/20  ok 12  running 2
  #17   try 2/3  1m12s  convert \\x1b a.tif
  #121  try 1/3     9s  convert b.tif
"
        );
    }
}
