//! The benchmarks S-4, S-5 and S-10: memory, and the throughput and processor time that belong to it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::race::Spread;
use super::report::Row;
use super::watch::{self, Samples, Watched};
use super::workshop::Workshop;
use crate::shell::Result;

const MIB: f64 = 1_048_576.0;

/// Measures S-4: memory does not grow with the number of jobs.
pub(super) fn many_jobs(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-4", "many trivial jobs: resident memory of host and warden together");
    let simulated = workshop.pick(1_000_000, 100_000);
    let real = workshop.pick(100_000, 3000);
    for (count, flag) in [(simulated, "--dry-run"), (real, "-j2")] {
        let lines = workshop.numbers(count)?;
        let words = ["run", flag, "/bin/true"];
        let mut command = Command::new(&workshop.psmith);
        command.args(words).stdin(open(&lines)?).stdout(Stdio::null());
        let (samples, seconds) = Watched::start(&mut command)?.sample_to_end(Duration::from_millis(3))?;
        let name = format!("{count} lines, {flag}");
        row.at_most(&format!("{name}: peak"), single(samples.peak() as f64 / MIB), 16.0, "MiB", 1);
        let growth = samples.growth_between_tenths() as f64 / MIB;
        row.at_most(&format!("{name}: last tenth above first"), single(growth), 1.0, "MiB", 2);
        row.figure(&format!("{name}: jobs a second"), single(f64::from(count) / seconds), "/s", 0);
        row.line(&name, &format!("{} {} <{}", workshop.psmith.display(), words.join(" "), lines.display()));
        if samples.count() < 50 {
            row.note(&format!("{name}: only {} samples, its tenths mean little", samples.count()));
        }
    }
    Ok(row)
}

/// Measures S-5: memory does not grow with the output of a job.
pub(super) fn much_output(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-5", "one job that prints much");
    let bytes = u64::from(workshop.pick(1024, 64)) * 1_048_576;
    let size = bytes as f64 / MIB;
    let fifo = workshop.directory.join("slow-first-job");
    make_fifo(&fifo)?;
    // The first job ends when the second has written all: so all output is held back behind it.
    let slow = format!(
        "if [ {{}} = 1 ]; then read line <{0}; else head -c {bytes} /dev/zero; echo >{0}; fi",
        fifo.display()
    );
    let bytes_text = bytes.to_string();
    let grouped = vec!["run", "-j2", "-N0", "head", "-c", &bytes_text, "/dev/zero", ":::", "1"];
    let ordered = vec!["run", "-k", "-j2", "-s", &slow, ":::", "1", "2"];
    let through_cat = format!("head -c {bytes} /dev/zero | cat");
    let spool = workshop.directory.join("spool");
    let through_file = format!("head -c {bytes} /dev/zero >{0}; cat {0}; rm {0}", spool.display());

    let (mut cat, mut file) = (Vec::new(), Vec::new());
    let mut ours = [
        (grouped, "grouped", Vec::new(), Vec::new()),
        (ordered, "-k behind a slow job", Vec::new(), Vec::new()),
    ];
    for _ in 0..workshop.rounds.min(5) {
        for (words, _, rates, growths) in &mut ours {
            let (samples, rate) = into_cat(Command::new(&workshop.psmith).args(&*words), size)?;
            rates.push(rate);
            growths.push((samples.peak() - samples.first()) as f64 / MIB);
        }
        cat.push(into_cat(Command::new("sh").args(["-c", &through_cat]), size)?.1);
        file.push(into_cat(Command::new("sh").args(["-c", &through_file]), size)?.1);
    }
    for (words, name, rates, growths) in &ours {
        row.at_most(&format!("{name}: growth of host and warden"), Spread::of(growths), 16.0, "MiB", 1);
        row.at_least(&format!("{name}: throughput, of `cat` in its place"), ratios(rates, &cat), 0.7, "x", 2);
        row.figure(
            &format!("{name}: throughput, of a file written, then read"),
            ratios(rates, &file),
            "x",
            2,
        );
        row.figure(&format!("{name}: throughput"), Spread::of(rates), "MiB/s", 0);
        row.line(
            &format!("psmith, {name}"),
            &format!("{} {} | cat", workshop.psmith.display(), quoted(words)),
        );
    }
    row.figure("`cat` in its place: throughput", Spread::of(&cat), "MiB/s", 0);
    row.figure("a file written, then read: throughput", Spread::of(&file), "MiB/s", 0);
    row.line("cat in its place", &format!("{through_cat} | cat"));
    row.line("a file written, then read", &format!("{{ {through_file}; }} | cat"));
    row.argue(
        "what must be held back and is more than memory may hold goes through a file, which `cat` has no need of: beside \
         a file that is written and then read, in the table too, there is nothing to gain",
    );
    Ok(row)
}

/// Measures S-10: many running jobs cost nothing while they sleep.
pub(super) fn many_sleepers(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-10", "10,000 slots declared, 1,000 sleeping jobs at once");
    let seconds = workshop.pick(30, 12);
    let window = Duration::from_secs(u64::from(workshop.pick(10, 3)));
    let (alone, _) = sleepers(workshop, 1, seconds, Duration::ZERO)?;
    let (crowd, share) = sleepers(workshop, 1000, seconds, window)?;
    row.at_most("processor, of one core", single(share * 100.0), 1.0, "%", 3);
    let kib = |more: u64, fewer: u64| single((more as f64 - fewer as f64) / 999.0 / 1024.0);
    row.at_most("resident memory for each running job", kib(crowd.resident, alone.resident), 16.0, "KiB", 2);
    row.figure(
        "the same, shared pages by their share",
        kib(crowd.proportional, alone.proportional),
        "KiB",
        2,
    );
    row.figure("all thousand running after", single(crowd.started_ms), "ms", 0);
    row.line(
        "psmith",
        &format!("{} run -j 10000 -N0 sleep {seconds} <lines-1000", workshop.psmith.display()),
    );
    row.note("the memory of a run with one sleeping job is taken off");
    Ok(row)
}

struct Held {
    resident: u64,
    proportional: u64,
    started_ms: f64,
}

/// Runs this many sleeping jobs, and measures host and warden while all of them sleep.
fn sleepers(workshop: &Workshop, count: u32, seconds: u32, window: Duration) -> Result<(Held, f64)> {
    let lines = workshop.numbers(count)?;
    let mut command = Command::new(&workshop.psmith);
    command.args(["run", "-j", "10000", "-N0", "sleep", &seconds.to_string()]);
    command.stdin(open(&lines)?).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let mut watched = Watched::start(&mut command)?;
    let family = loop {
        let family = watch::host_and_warden(watched.pid());
        let below = family.iter().flat_map(|pid| watch::children(*pid));
        let sleeping = below.filter(|pid| watch::name(*pid) == "sleep").count();
        if sleeping >= count as usize {
            break family;
        }
        if watched.has_ended() || begin.elapsed() > Duration::from_secs(60) {
            return Err(format!("only {sleeping} of {count} jobs came to sleep"));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let started_ms = begin.elapsed().as_secs_f64() * 1e3;
    // The last starts may not have been recorded yet.
    std::thread::sleep(Duration::from_millis(500));
    let sum = |read: fn(u32) -> u64| family.iter().map(|pid| read(*pid)).sum();
    let held = Held {
        resident: sum(watch::resident_bytes),
        proportional: sum(watch::proportional_bytes),
        started_ms,
    };
    let worked = || family.iter().map(|pid| watch::processor_seconds(*pid)).sum::<f64>();
    let (before, since) = (worked(), Instant::now());
    std::thread::sleep(window);
    let share = (worked() - before) / since.elapsed().as_secs_f64().max(1e-9);
    watched.terminate()?;
    Ok((held, share))
}

/// Runs a command whose stdout goes through a pipe to `cat`; returns memory, and MiB a second.
fn into_cat(command: &mut Command, mebibytes: f64) -> Result<(Samples, f64)> {
    let mut cat = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("failed to start cat: {error}"))?;
    let pipe = cat.stdin.take().ok_or("cat has no stdin")?;
    command.stdin(Stdio::null()).stdout(Stdio::from(pipe));
    let begin = Instant::now();
    let watched = Watched::start(command)?;
    // The command still holds our end of the pipe: otherwise cat would wait for ever.
    command.stdout(Stdio::null());
    let (samples, _) = watched.sample_to_end(Duration::from_millis(5))?;
    cat.wait().map_err(|error| format!("failed to wait for cat: {error}"))?;
    Ok((samples, mebibytes / begin.elapsed().as_secs_f64()))
}

fn ratios(ours: &[f64], other: &[f64]) -> Spread {
    Spread::of(&ours.iter().zip(other).map(|(ours, other)| ours / other).collect::<Vec<f64>>())
}

fn single(value: f64) -> Spread {
    Spread { median: value, min: value, max: value }
}

fn quoted(words: &[&str]) -> String {
    let plain = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c));
    let quote = |word: &&str| if plain(word) { (*word).to_owned() } else { format!("'{word}'") };
    words.iter().map(quote).collect::<Vec<String>>().join(" ")
}

fn open(file: &Path) -> Result<File> {
    File::open(file).map_err(|error| format!("failed to open {}: {error}", file.display()))
}

fn make_fifo(path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::remove_file(path)
            .map_err(|error| format!("failed to remove {}: {error}", path.display()))?;
    }
    crate::shell::run(Command::new("mkfifo").arg(path))
}
