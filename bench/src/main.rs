//! The program of `cargo xtask compare`: psmith beside its floors, its peers and its own earlier builds.
//!
//! Absolute figures are noisy, so every claim is a ratio of two commands run in turn (A B A B ..) in one sitting, with
//! the median, the least and the greatest over all rounds. Contenders are lines for `sh`, shown as they ran, so that
//! each can be run by hand. A missing peer is reported with the command that installs it. No figure here is an
//! assertion of the test suite.

mod against;
mod build;
mod function_peers;
mod functions;
mod image;
mod latency;
mod memory;
mod observed;
mod peers;
mod race;
mod report;
mod speed;
mod watch;
mod workshop;

use std::path::PathBuf;
use std::process::ExitCode;

use report::{Report, Row};
use workshop::Workshop;
use xtask::shell::Result;
use xtask::{needs, shell};

/// The benchmarks to run, and for how long.
pub(crate) struct Options {
    quick: bool,
    only: Vec<String>,
    psmith: Option<PathBuf>,
    cargo_peers: bool,
    install: bool,
    /// The commit whose build is measured beside this tree's, instead of floors and peers.
    against: Option<String>,
}

impl Options {
    /// Parses the words after `compare`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            quick: false,
            only: Vec::new(),
            psmith: None,
            cargo_peers: false,
            install: true,
            against: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match *word {
                "--quick" => options.quick = true,
                "--with-cargo-peers" => options.cargo_peers = true,
                "--no-install" => options.install = false,
                "--psmith" => options.psmith = Some(value()?.into()),
                "--against" => options.against = Some((*value()?).to_owned()),
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                other => return Err(format!("unknown word {other}: see `cargo xtask help`")),
            }
        }
        let known: Vec<&str> = match options.against {
            Some(_) => against::ids().collect(),
            None => BENCHMARKS.iter().map(|(id, _)| *id).collect(),
        };
        for only in &options.only {
            if !known.contains(&only.as_str()) {
                return Err(format!("no benchmark {only}: there are {}", known.join(", ")));
            }
        }
        Ok(options)
    }

    fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == id)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = Options::parse(&words).and_then(|options| match &options.against {
        Some(commit) => against::run(&options, commit),
        None => run(&options),
    });
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("compare: {message}");
            ExitCode::FAILURE
        }
    }
}

type Benchmark = fn(&Workshop) -> Result<Row>;

/// The rows, in the order of the table. P-3 and P-4 promise times that no test asserts: they are published here.
const BENCHMARKS: &[(&str, Benchmark)] = &[
    ("S-1", speed::start_true),
    ("S-2", speed::start_shell),
    ("S-3", speed::one_true),
    ("S-4", memory::many_jobs),
    ("S-5", memory::much_output),
    ("S-6", functions::process_each),
    ("S-7", functions::short_jobs),
    ("S-8", functions::one_by_one),
    ("S-9", functions::large_values),
    ("S-17", functions::ordinary_values),
    ("S-10", memory::many_sleepers),
    ("S-11", observed::board),
    ("S-11w", observed::observed),
    ("W-1", observed::web_list),
    ("S-14", build::empty_program),
    ("S-15", speed::heavy_image),
    ("P-3", latency::held_pipe),
    ("P-4", latency::killed_host),
];

/// Runs the requested benchmarks. The results are saved after each row, so that an interrupted sitting is not lost.
fn run(options: &Options) -> Result<()> {
    let workshop = Workshop::open(options)?;
    let mut report = Report::new(&workshop);
    let whole = !options.quick && options.only.is_empty();
    for (id, benchmark) in BENCHMARKS {
        if !options.wants(id) {
            continue;
        }
        eprintln!("{id} ..");
        // One row that cannot run must not hide the others.
        let row = benchmark(&workshop).unwrap_or_else(|error| Row::failed(id, &error));
        report.add(row);
        report.save(whole)?;
    }
    println!("{}\n{}", report.table(), report.remarks());
    println!("{}", report.saved_where(whole));
    Ok(())
}
