//! The benchmarks S-6, S-7, S-8 and S-9: the cost of a function job compared with the kernel alone and with other
//! libraries.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::function_peers::FunctionPeers;
use super::race::{self, Contender, Spread, Times};
use super::report::Row;
use super::watch::Watched;
use super::workshop::{Workshop, compile, target};
use crate::shell::{self, Result};

const MIB: f64 = 1_048_576.0;

/// The programs that run: psmith's example, the C floor, and the peers.
struct Tools<'a> {
    ours: PathBuf,
    floor: PathBuf,
    peers: &'a FunctionPeers,
}

impl<'a> Tools<'a> {
    /// Builds our own programs and finds the peers.
    fn get(workshop: &'a Workshop, row: &mut Row) -> Result<Tools<'a>> {
        let example = ["build", "--release", "--package", "psmith", "--example", "function_speed"];
        shell::run(&mut shell::cargo(example))?;
        Ok(Tools {
            ours: target().join("release/examples/function_speed"),
            floor: compile("function_loop", &workshop.directory)?,
            peers: workshop.function_peers(row),
        })
    }

    fn ours(&self, name: &str, jobs: u32, words: &str) -> Contender {
        Contender::new(name, jobs, format!("{} {words}", self.ours.display()))
    }

    fn floor(&self, name: &str, jobs: u32, words: &str) -> Contender {
        Contender::new(name, jobs, format!("{} {words}", self.floor.display()))
    }
}

/// The argument of S-6, and of its part in S-15.
pub(super) const WHY_NOT_THE_BARE_FORK: &str = "the bare loop forks itself and looks after nothing. A job is promised to be \
     borne and reaped by a process that outlives a killed host, in a control group and a session of its own, without any \
     descriptor of the host's, both outputs captured to their ends. The C loop that holds its children does just that, \
     without a frame, a checksum, a deadline or a panic that is told; how much longer it takes than the bare one, and \
     psmith than it, stands in the table";

/// Measures S-6: a process for each job.
pub(super) fn process_each(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-6", "function jobs, a process each, 2 workers, `u64 -> u64`");
    let tools = Tools::get(workshop, &mut row)?;
    let jobs = workshop.pick(5000, 500);
    let large = large_bytes(&mut row);
    let group = GroupDirectory::make();
    let held = match &group {
        Some(group) => format!("held {jobs} {}", group.0.display()),
        None => format!("held {jobs}"),
    };
    let mut contenders = vec![
        tools.ours("psmith", jobs, &format!("per-job {jobs}")),
        tools.floor("C loop of fork, pipe and exit", jobs, &format!("fork {jobs}")),
        tools.floor("C loop that holds its children", jobs, &held),
    ];
    let few = jobs / 10;
    let peers = tools.peers;
    contenders.extend(peers.python(
        "multiprocessing.Pool, a process each",
        few,
        &format!("pool fresh {few}"),
    ));
    contenders.extend(peers.ruby("Ruby parallel, isolated", few, "in_processes: 2, isolation: true"));
    contenders.extend(peers.procspawn("procspawn::spawn", few, &format!("spawn {few}")));
    let times = race::race(&contenders, workshop.rounds)?;
    row.at_most("psmith, of the C loop", race::ratio(&times[0], &times[1]), 1.3, "x", 2);
    row.figure("psmith, of the C loop that holds its children", race::ratio(&times[0], &times[2]), "x", 2);
    row.figure("that loop, of the one that does not", race::ratio(&times[2], &times[1]), "x", 2);
    for peer in &times[3..] {
        row.figure(&format!("{}, of psmith", peer.name), race::ratio(peer, &times[0]), "x", 1);
    }
    row.times(&times);
    drop(group);
    row.argue(WHY_NOT_THE_BARE_FORK);

    // The example measures its own time, because touching that much memory takes longer than all jobs.
    let seconds_for = |bytes: u64| -> Result<f64> {
        let mut command = Command::new(&tools.ours);
        let text = shell::output(command.args(["per-job", &jobs.to_string(), &bytes.to_string()]))?;
        let each = text.split(' ').next().and_then(|each| each.parse().ok());
        each.ok_or_else(|| format!("the example told no time: {text}"))
    };
    let mut ratios = Vec::new();
    for _ in 0..workshop.rounds {
        let without = seconds_for(0)?;
        ratios.push(seconds_for(large)? / without);
    }
    row.at_most("with much memory touched in the host, of without", Spread::of(&ratios), 1.1, "x", 2);
    Ok(row)
}

/// Measures S-7: reused workers, short jobs, in order.
pub(super) fn short_jobs(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-7", "function jobs in workers that stay, 2 workers, `u64 -> u64`, in order");
    let tools = Tools::get(workshop, &mut row)?;
    let jobs = workshop.pick(10_000_000, 1_000_000);
    let mut contenders = vec![tools.ours("psmith, default settings", jobs, &format!("map {jobs}"))];
    // Each at the chunk sizes among which its best lies.
    let peers = tools.peers;
    let some = jobs / 5;
    for chunk in [1_000, 10_000, 50_000] {
        let words = format!("map {some} {chunk}");
        let named = |name: &str| format!("{name}, chunks of {chunk}");
        let python = |name: &str, words: String| peers.python(&named(name), some, &words);
        contenders.extend(python("concurrent.futures", format!("futures {words}")));
        contenders.extend(python("multiprocessing.Pool.imap", format!("pool {words}")));
        contenders.extend(peers.loky(&named("loky"), some, &words));
    }
    let chunked = contenders.len();
    let few = jobs / 200;
    contenders.extend(peers.python("concurrent.futures, its default", few, &format!("futures map {few}")));
    contenders.extend(peers.loky("loky, its default", few, &format!("map {few}")));
    contenders.extend(peers.procspawn("procspawn::Pool, 64 in flight", few, &format!("pool {few}")));
    contenders.extend(peers.ruby("Ruby parallel, its default", jobs / 20, "in_processes: 2"));
    let times = race::race(&contenders, workshop.rounds)?;
    let best = times[1..chunked].iter().min_by(|one, other| {
        let median = |times: &Times| Spread::of(&times.seconds).median;
        median(one).total_cmp(&median(other))
    });
    if let Some(best) = best {
        let what = format!("the best peer at its best ({}), of psmith", best.name);
        row.at_least(&what, race::ratio(best, &times[0]), 3.0, "x", 2);
    }
    for peer in &times[chunked..] {
        let (ratio, what) = (race::ratio(peer, &times[0]), format!("{}, of psmith", peer.name));
        if peer.name.starts_with("Ruby") {
            row.at_least(&what, ratio, 80.0, "x", 0);
        } else {
            row.figure(&what, ratio, "x", 0);
        }
    }
    for times in &times {
        let nanos = Spread::of(&times.seconds.iter().map(|each| each * 1e9).collect::<Vec<f64>>());
        row.figure(&format!("{}, each", times.name), nanos, "ns", 0);
        row.line(&times.name, &times.line);
    }
    let mut command = Command::new(&tools.ours);
    command.args(["map", &jobs.to_string()]).stdout(std::process::Stdio::null());
    let (samples, _) = Watched::start(&mut command)?.sample_to_end(Duration::from_millis(3))?;
    let growth = samples.growth_between_tenths() as f64 / MIB;
    row.at_most("memory of host and warden, last tenth above first", single(growth), 1.0, "MiB", 2);
    row.figure("the same, peak", single(samples.peak() as f64 / MIB), "MiB", 1);
    row.argue(
        "each job has its own outcome, index and failure, can be told from its neighbours should its worker die, and keeps \
         what it printed to itself. For the last of these the standard library's output is flushed after each job, and its \
         lock costs two locked steps of the processor: a fifth of all time, host's and workers', by `perf record` of \
         `function_speed map 30000000`. A peer's chunk has one outcome",
    );
    Ok(row)
}

/// Measures S-8: one job at a time through an idle pool.
pub(super) fn one_by_one(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-8", "one job at a time through an idle pool: submit, wait");
    let tools = Tools::get(workshop, &mut row)?;
    let jobs = workshop.pick(50_000, 5_000);
    let mut contenders = vec![
        tools.ours("psmith", jobs, &format!("one-by-one {jobs}")),
        tools.floor("C pipe round trip", jobs, &format!("round {jobs}")),
        tools.floor("C round trip by a watched socket", jobs, &format!("watched {jobs}")),
    ];
    let (peers, few) = (tools.peers, jobs / 10);
    let words = format!("one {few}");
    contenders.extend(peers.python("concurrent.futures", few, &format!("futures {words}")));
    contenders.extend(peers.loky("loky", few, &words));
    contenders.extend(peers.procspawn("procspawn::Pool", few, &words));
    let times = race::race(&contenders, workshop.rounds)?;
    row.at_most("psmith, of the C round trip", race::ratio(&times[0], &times[1]), 1.5, "x", 2);
    row.figure("psmith, of the C round trip by a watched socket", race::ratio(&times[0], &times[2]), "x", 2);
    figures_beside_psmith(&mut row, &times);
    row.times(&times);
    row.note("all figures but C's hold the start of a pool of one process");
    row.argue(
        "each way is one wake-up, as in C's round trip, for the thread that waits drives the engine itself. But the letters \
         go through a socket that is watched together with everything else that may happen to a job, and that alone costs \
         what the row of the watched socket tells; around it stand a dispatcher, checksums, a clock for timeouts and two \
         pipes that are looked at. Messages in the memory that host and worker share would save the socket",
    );
    Ok(row)
}

/// Measures S-9: one large argument and one large result.
pub(super) fn large_values(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-9", "one argument and one result, large");
    let tools = Tools::get(workshop, &mut row)?;
    let bytes = workshop.pick(256, 16) << 20;
    let mut contenders = vec![
        tools.ours("psmith", 1, &format!("large {bytes}")),
        tools.floor("C pipe copy there and back", 1, &format!("copy {bytes}")),
    ];
    let (peers, words) = (tools.peers, format!("large {bytes}"));
    contenders.extend(peers.python("concurrent.futures", 1, &format!("futures {words}")));
    contenders.extend(peers.loky("loky", 1, &words));
    contenders.extend(peers.procspawn("procspawn::spawn", 1, &words));
    let times = race::race(&contenders, workshop.rounds)?;
    row.at_least("throughput, of the C copy", race::ratio(&times[1], &times[0]), 0.5, "x", 2);
    figures_beside_psmith(&mut row, &times);
    row.times(&times);
    let mut command = Command::new(&tools.ours);
    let output = shell::output(command.args(["large", &bytes.to_string()]))?;
    for who in ["host", "worker"] {
        let figure = output.split(&format!("{who} peak ")).nth(1).and_then(|rest| rest.split(' ').next());
        let peak = figure.and_then(|figure| figure.parse::<f64>().ok());
        let peak = peak.ok_or_else(|| format!("the example told no peak of its {who}: {output}"))?;
        row.at_most(&format!("peak memory of the {who}, of the payload"), single(peak), 2.2, "x", 2);
    }
    Ok(row)
}

/// Measures S-17: large values of ordinary types, by the default codec.
pub(super) fn ordinary_values(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("S-17", "64 MiB of ordinary types, there and back through a worker that stays");
    let tools = Tools::get(workshop, &mut row)?;
    let bytes = workshop.pick(64, 8) << 20;
    // The example measures its own time, because making the value takes longer than its way.
    let seconds_of = |kind: &str| -> Result<f64> {
        let text = shell::output(Command::new(&tools.ours).args([kind, &bytes.to_string()]))?;
        let seconds = text.split(' ').next().and_then(|seconds| seconds.parse().ok());
        seconds.ok_or_else(|| format!("the example told no time: {text}"))
    };
    let kinds = [("bytes", "Vec<u8>"), ("floats", "Vec<f32>"), ("text", "String")];
    let mut seconds: [Vec<f64>; 4] = Default::default();
    for _ in 0..workshop.rounds {
        seconds[0].push(seconds_of("raw")?);
        for (times, (kind, _)) in seconds[1..].iter_mut().zip(kinds) {
            times.push(seconds_of(kind)?);
        }
    }
    let [raw, others @ ..] = &seconds;
    for (times, (_, name)) in others.iter().zip(kinds) {
        let ratios: Vec<f64> = raw.iter().zip(times).map(|(raw, ours)| raw / ours).collect();
        row.at_least(&format!("throughput of `{name}`, of `Raw`"), Spread::of(&ratios), 0.5, "x", 2);
    }
    for (times, name) in seconds.iter().zip(["Raw", "Vec<u8>", "Vec<f32>", "String"]) {
        let rates: Vec<f64> = times.iter().map(|seconds| f64::from(bytes) / 1e6 / seconds).collect();
        row.figure(&format!("`{name}`"), Spread::of(&rates), "MB/s", 0);
    }
    Ok(row)
}

/// Adds the peers' times as multiples of ours: they come after psmith and the floor.
fn figures_beside_psmith(row: &mut Row, times: &[Times]) {
    for peer in times[2..].iter().filter(|times| !times.name.starts_with("C ")) {
        row.figure(&format!("{}, of psmith", peer.name), race::ratio(peer, &times[0]), "x", 1);
    }
}

/// A control group of the second version for children of the C loop, if one can be made.
struct GroupDirectory(PathBuf);

impl GroupDirectory {
    fn make() -> Option<GroupDirectory> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
        let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
        let path = PathBuf::from(mount.split(' ').nth(1)?).join(format!("floor-{}", std::process::id()));
        std::fs::create_dir(&path).is_ok().then_some(GroupDirectory(path))
    }
}

impl Drop for GroupDirectory {
    fn drop(&mut self) {
        // Empty by now; one that is not shows by its name.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Returns the memory that the host touches: what the machine has free, 4 GiB at most.
fn large_bytes(row: &mut Row) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: u64 = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    let bytes = (kib * 1024 / 2).min(4 << 30);
    if bytes < 4 << 30 {
        row.note(&format!("much memory is {} MiB here, not 4 GiB: half of what is free", bytes >> 20));
    }
    bytes
}

fn single(value: f64) -> Spread {
    Spread { median: value, min: value, max: value }
}
