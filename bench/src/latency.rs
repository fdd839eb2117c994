//! The benchmarks P-3 and P-4: promised times that no test asserts, measured and published instead.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::race::{self, Contender, Spread};
use super::report::Row;
use super::watch::{self, Watched};
use super::workshop::Workshop;
use crate::shell::Result;

/// Measures P-3: a job whose descendant holds its stdout open ends as if no process did.
pub(super) fn held_pipe(workshop: &Workshop) -> Result<Row> {
    let mut row = Row::new("P-3", "a descendant holds stdout open for a minute");
    let psmith = workshop.psmith.display();
    let contenders = [
        Contender::new("held", 1, format!("{psmith} run --quiet -s 'sleep 60 & exit 0' ::: 1")),
        Contender::new("free", 1, format!("{psmith} run --quiet -s 'sleep 0 & exit 0' ::: 1")),
    ];
    let times = race::race(&contenders, workshop.rounds)?;
    let Spread { median, min, max } = race::difference(&times[0], &times[1]);
    let added = Spread { median: median * 1e3, min: min * 1e3, max: max * 1e3 };
    row.at_most("later than without it", added, 200.0, "ms", 0);
    row.times(&times);
    Ok(row)
}

/// Measures P-4: a host that is SIGKILLed takes all its processes along.
pub(super) fn killed_host(workshop: &Workshop) -> Result<Row> {
    const JOBS: usize = 8;
    let mut row =
        Row::new("P-4", "psmith SIGKILLed with 8 jobs of 5 processes, `setsid` and deaf ones among them");
    // A number that no other process has in its arguments, so that survivors can be found.
    let mark = format!("98{}.5", std::process::id());
    let script =
        format!("setsid sleep {mark} & setsid sh -c 'trap \"\" TERM; sleep {mark}; :' & sleep {mark}");
    let mut gone_ms = Vec::new();
    for _ in 0..workshop.rounds.max(5) {
        let mut command = Command::new(&workshop.psmith);
        command.args(["run", "-j8", "-N0", "-s", &script, ":::"]).args((0..JOBS).map(|n| n.to_string()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut watched = Watched::start(&mut command)?;
        let host = watched.pid();
        let others = || watch::with_argument(&mark).into_iter().filter(move |pid| *pid != host);
        until(Duration::from_secs(20), || {
            others().filter(|pid| watch::name(*pid) == "sleep").count() >= 3 * JOBS
        })
        .ok_or("the jobs did not come up")?;
        watched.kill()?;
        let begin = Instant::now();
        let gone = until(Duration::from_secs(10), || others().next().is_none());
        gone_ms.push(begin.elapsed().as_secs_f64() * 1e3);
        if gone.is_none() {
            let survivors: Vec<u32> = others().collect();
            row.note(&format!("{} processes outlived their host by ten seconds", survivors.len()));
            for pid in survivors {
                crate::shell::run(Command::new("kill").args(["-KILL", &pid.to_string()]))?;
            }
        }
    }
    row.at_most("until none is left", Spread::of(&gone_ms), 1000.0, "ms", 1);
    row.line("psmith", &format!("{} run -j8 -N0 -s '..' ::: 0 1 2 3 4 5 6 7", workshop.psmith.display()));
    Ok(row)
}

fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> Option<()> {
    let begin = Instant::now();
    while !holds() {
        if begin.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(())
}
