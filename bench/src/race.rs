//! Contenders run in turn, and the ratios of their times. Knows no benchmark.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::shell::Result;

/// A line for `sh` that does a known number of jobs.
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) line: String,
    pub(super) jobs: f64,
    /// The exit code that is no failure of the benchmark: 0 unless another is set.
    pub(super) code: i32,
}

impl Contender {
    /// Makes a contender that must end with 0.
    pub(super) fn new(name: &str, jobs: u32, line: String) -> Self {
        Self { name: name.to_owned(), line, jobs: f64::from(jobs), code: 0 }
    }
}

/// The seconds for each job, one value for each round.
pub(super) struct Times {
    pub(super) name: String,
    pub(super) line: String,
    pub(super) seconds: Vec<f64>,
}

/// The median, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Makes it of at least one value.
    pub(super) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Self { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }

    /// Formats `median (min to max)`, each multiplied and with that many digits after the point.
    pub(super) fn shown(&self, factor: f64, digits: usize) -> String {
        let Self { median, min, max } = *self;
        format!("{:.digits$} ({:.digits$} to {:.digits$})", median * factor, min * factor, max * factor)
    }
}

/// Runs all contenders in turn, round after round, every other one backwards, so that a machine that grows slower or
/// faster meanwhile favours none of them. One round before, which warms caches, is dropped.
pub(super) fn race(contenders: &[Contender], rounds: usize) -> Result<Vec<Times>> {
    let mut times: Vec<Times> = contenders
        .iter()
        .map(|contender| Times {
            name: contender.name.clone(),
            line: contender.line.clone(),
            seconds: Vec::new(),
        })
        .collect();
    for round in 0..=rounds {
        for turn in 0..contenders.len() {
            let which = if round % 2 == 0 { turn } else { contenders.len() - 1 - turn };
            let seconds = once(&contenders[which])?;
            if round > 0 {
                times[which].seconds.push(seconds / contenders[which].jobs);
            }
        }
    }
    Ok(times)
}

/// Returns ratios of two contenders, round by round: neighbours in time ran under the same conditions.
pub(super) fn ratio(ours: &Times, other: &Times) -> Spread {
    let ratios: Vec<f64> =
        ours.seconds.iter().zip(&other.seconds).map(|(ours, other)| ours / other).collect();
    Spread::of(&ratios)
}

/// Returns differences in seconds, round by round.
pub(super) fn difference(ours: &Times, other: &Times) -> Spread {
    let differences: Vec<f64> =
        ours.seconds.iter().zip(&other.seconds).map(|(ours, other)| ours - other).collect();
    Spread::of(&differences)
}

fn once(contender: &Contender) -> Result<f64> {
    let mut command = Command::new("sh");
    command.args(["-c", &contender.line]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begin = Instant::now();
    let output = command.output().map_err(|error| format!("failed to start sh: {error}"))?;
    let seconds = begin.elapsed().as_secs_f64();
    if output.status.code() == Some(contender.code) {
        Ok(seconds)
    } else {
        let text = String::from_utf8_lossy(&output.stderr);
        let first = text.lines().next().unwrap_or("nothing on stderr");
        Err(format!("{}: `{}` ended with {}: {first}", contender.name, contender.line, output.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_median_least_and_greatest() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0]).median, 2.5);
        assert_eq!(Spread::of(&[0.5]).shown(1000.0, 0), "500 (500 to 500)");
    }

    #[test]
    fn ratios_pair_neighbours() {
        let times =
            |seconds: &[f64]| Times { name: String::new(), line: String::new(), seconds: seconds.to_vec() };
        let spread = ratio(&times(&[2.0, 4.0]), &times(&[1.0, 4.0]));
        assert_eq!((spread.min, spread.max), (1.0, 2.0));
    }

    #[test]
    fn a_contender_that_fails_is_reported_with_its_line() {
        let broken = Contender::new("broken", 1, "echo no such thing >&2; exit 3".into());
        let message = once(&broken).expect_err("it fails");
        assert!(message.contains("no such thing") && message.contains("exit 3"), "{message}");
    }
}
