//! The benchmarks S-1, S-2, S-3 and S-15: the time that a start takes.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::image;
use super::race::{self, Contender, Spread, Times};
use super::report::Row;
use super::watch::Watched;
use super::workshop::Workshop;
use crate::shell::Result;

const TRUE: &str = "/bin/true";

/// The program with a word, as every job of the others has one: then GNU's `true` does more, because it might be
/// `--help`.
const TRUE_WITH_WORD: &str = "/bin/true %d";

/// The number of jobs: a few seconds of starts. On a busy machine many short rounds are more precise than few long
/// ones.
const JOBS: u32 = 1000;

/// The argument of the rows of short programs if they miss the bare loop.
const WHY_NOT_THE_LOOP: &str = "an end goes from the warden to the host and a start back before the slot is taken \
     again, which the bare loop does within one process: two wake-ups for each job, in which a processor has nothing to \
     do if there are no more slots than processors. They are the price of a host that may have threads and be killed. \
     The rest is a session, a group, both pipes and their reading, which the loop lacks; the processor time that host \
     and warden use for a job stands in the table of S-1";

/// Measures S-1: programs without a shell, output captured and grouped.
pub(super) fn start_true(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-1", "`/bin/true`, 2 slots, output captured, contained, no shell");
    let jobs = workshop.pick(JOBS, 300);
    let lines = workshop.numbers(jobs)?;
    let lines = lines.display();
    let mut contenders = vec![
        ours(&workshop.psmith, jobs, &format!("run -j2 {TRUE} <{lines}")),
        floor(workshop, jobs, "null", TRUE_WITH_WORD),
        floor(workshop, jobs, "capture", TRUE_WITH_WORD),
    ];
    for peer in &workshop.peers {
        let jobs = jobs / peer.share;
        let lines = workshop.numbers(jobs)?;
        let line = peer.argv_line(TRUE, &lines.display().to_string());
        contenders.push(Contender::new(peer.name, jobs, line));
    }
    let times = race::race(&contenders, workshop.rounds * 3)?;
    row.at_most("psmith, of the C posix_spawn loop", race::ratio(&times[0], &times[1]), 1.25, "x", 2);
    row.figure("psmith, of the C loop that captures both outputs", race::ratio(&times[0], &times[2]), "x", 2);
    for (peer, peers) in workshop.peers.iter().zip(&times[3..]) {
        let ratio = race::ratio(peers, &times[0]);
        let what = format!("{}, of psmith", peer.name);
        if peer.is_xargs() {
            row.at_least(&what, ratio, 1.0, "x", 2);
        } else if peer.is_gnu_parallel() {
            row.at_least(&what, ratio, 5.0, "x", 1);
        } else {
            row.figure(&what, ratio, "x", 2);
        }
    }
    row.times(&times);
    let mut used = Vec::new();
    for _ in 0..workshop.rounds {
        let input = workshop.numbers(jobs)?;
        let input =
            File::open(&input).map_err(|error| format!("failed to open {}: {error}", input.display()))?;
        let mut command = Command::new(&workshop.psmith);
        command.args(["run", "-j2", TRUE]).stdin(input).stdout(Stdio::null());
        let seconds = Watched::start(&mut command)?.processor_to_end(Duration::from_millis(3))?;
        used.push(seconds / f64::from(jobs) * 1e6);
    }
    row.figure("processor time of host and warden, each", Spread::of(&used), "us", 0);
    row.argue(WHY_NOT_THE_LOOP);
    Ok(row)
}

/// Measures S-2: a shell for each job, and the case in which psmith may leave out the shell.
pub(super) fn start_shell(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-2", "`-s 'echo {}'`, 2 slots");
    let jobs = workshop.pick(JOBS, 300);
    let lines = workshop.numbers(jobs)?;
    let lines = lines.display();
    let mut contenders = vec![
        ours(&workshop.psmith, jobs, &format!("run -j2 -s 'echo {{}}' <{lines}")),
        floor(workshop, jobs, "null", "sh -c 'echo %d'"),
        floor(workshop, jobs, "capture", "sh -c 'echo %d'"),
        // Shell syntax that cannot be a plain command: here a shell must run.
        Contender {
            name: "psmith, a script that needs its shell".into(),
            ..ours(&workshop.psmith, jobs, &format!("run -j2 -s 'echo {{}} && :' <{lines}"))
        },
    ];
    for peer in &workshop.peers {
        let jobs = jobs / peer.share;
        let lines = workshop.numbers(jobs)?;
        let line = peer.shell_line("echo {}", &lines.display().to_string());
        contenders.push(Contender::new(peer.name, jobs, line));
    }
    let times = race::race(&contenders, workshop.rounds * 3)?;
    row.at_most("psmith, of the C loop of `sh -c`", race::ratio(&times[0], &times[1]), 1.25, "x", 2);
    row.at_most(
        "the script that needs its shell, of the same",
        race::ratio(&times[3], &times[1]),
        1.25,
        "x",
        2,
    );
    for (peer, peers) in workshop.peers.iter().zip(&times[4..]) {
        row.figure(&format!("{}, of psmith", peer.name), race::ratio(peers, &times[0]), "x", 2);
    }
    row.times(&times);
    row.argue(WHY_NOT_THE_LOOP);
    Ok(row)
}

/// Measures S-3: the time that psmith adds to one program, from start to finish; and that it writes nothing.
pub(super) fn one_true(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-3", "start to finish of one `true`");
    let mut contenders = vec![
        ours(&workshop.psmith, 1, &format!("run {TRUE} ::: 1")),
        Contender::new("bare", 1, TRUE.to_owned()),
    ];
    let gnu = workshop.peers.iter().find(|peer| peer.is_gnu_parallel());
    contenders.extend(
        gnu.map(|gnu| Contender::new(gnu.name, 1, format!("{} {TRUE} ::: 1", gnu.program.display()))),
    );
    // A single start is short: more rounds cost little.
    let times = race::race(&contenders, workshop.rounds * 5)?;
    let in_ms = |ours: &Times| {
        let Spread { median, min, max } = race::difference(ours, &times[1]);
        Spread { median: median * 1e3, min: min * 1e3, max: max * 1e3 }
    };
    row.at_most("psmith, more than bare", in_ms(&times[0]), 15.0, "ms", 1);
    if let Some(gnu) = times.get(2) {
        row.figure("GNU parallel, more than bare", in_ms(gnu), "ms", 1);
    }
    row.times(&times);

    let written = files_written(workshop)?;
    row.at_most("files written unasked", Spread::of(&[written as f64]), 0.0, "files", 0);
    Ok(row)
}

/// Measures S-15: the starts of S-1 and S-6 from a host whose image is large and full of relocations.
pub(super) fn heavy_image(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-15", "S-1 and S-6 from a host image of 100 MB with 262,144 relocations");
    let heavy = image::build(workshop)?;
    row.note(&heavy.described);
    let jobs = workshop.pick(JOBS, 300);
    let lines = workshop.numbers(jobs)?;
    let lines = lines.display();
    let contenders = [
        Contender {
            name: "psmith in the heavy image".into(),
            ..ours(&heavy.program, jobs, &format!("run -j2 {TRUE} <{lines}"))
        },
        floor(workshop, jobs, "null", TRUE_WITH_WORD),
        ours(&workshop.psmith, jobs, &format!("run -j2 {TRUE} <{lines}")),
    ];
    let times = race::race(&contenders, workshop.rounds * 3)?;
    row.at_most("heavy image, of the C posix_spawn loop", race::ratio(&times[0], &times[1]), 1.25, "x", 2);
    row.figure("heavy image, of the ordinary one", race::ratio(&times[0], &times[2]), "x", 2);
    row.times(&times);

    let single = [
        Contender {
            name: "one `true` from the heavy image".into(),
            ..ours(&heavy.program, 1, &format!("run {TRUE} ::: 1"))
        },
        ours(&workshop.psmith, 1, &format!("run {TRUE} ::: 1")),
    ];
    let times = race::race(&single, workshop.rounds * 3)?;
    let Spread { median, min, max } = race::difference(&times[0], &times[1]);
    let added = Spread { median: median * 1e3, min: min * 1e3, max: max * 1e3 };
    row.figure("one `true`, more than from the ordinary image", added, "ms", 1);

    let jobs = workshop.pick(5000, 500);
    let loops = |program: &Path, name: &str, words: &str| {
        Contender::new(name, jobs, format!("{} {words} {jobs}", program.display()))
    };
    let contenders = [
        loops(&heavy.functions, "function jobs from the heavy image, a process each", "per-job"),
        loops(&heavy.floor, "C loop of fork, pipe and exit in such an image", "fork"),
        loops(&heavy.floor, "C loop that holds its children, in such an image", "held"),
    ];
    let times = race::race(&contenders, workshop.rounds)?;
    let [ours, bare, held] = &times[..] else { return Err("three contenders have three times".into()) };
    row.at_most("function jobs, of the C loop of forks", race::ratio(ours, bare), 1.3, "x", 2);
    row.figure("the same, of the C loop that holds its children", race::ratio(ours, held), "x", 2);
    row.times(&times);
    row.argue(WHY_NOT_THE_LOOP);
    row.argue(super::functions::WHY_NOT_THE_BARE_FORK);
    Ok(row)
}

fn ours(program: &Path, jobs: u32, words: &str) -> Contender {
    Contender::new("psmith", jobs, format!("{} {words}", program.display()))
}

fn floor(workshop: &Workshop, jobs: u32, mode: &str, command: &str) -> Contender {
    let name = if mode == "null" { "C posix_spawn loop" } else { "C posix_spawn loop that captures" };
    Contender::new(name, jobs, format!("{} {jobs} 2 {mode} {command}", workshop.spawn_loop.display()))
}

/// Runs one job with all directories to which programs usually write pointed at one empty directory.
fn files_written(workshop: &Workshop) -> Result<usize> {
    let empty = tempfile::tempdir().map_err(|error| format!("failed to create a directory: {error}"))?;
    let mut command = Command::new(&workshop.psmith);
    command.args(["run", TRUE, ":::", "1"]).current_dir(empty.path());
    for name in ["HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
        command.env(name, empty.path());
    }
    crate::shell::run(&mut command)?;
    let entries =
        std::fs::read_dir(empty.path()).map_err(|error| format!("failed to list a directory: {error}"))?;
    Ok(entries.count())
}
