//! Runs test commands, one a line of standard input: on 60 % of the processors but two at least, or on as many as
//! `PSMITH_WORKERS` sets. Prints each result, in their order, and the output of the failed ones; succeeds if all
//! passed.
//!
//! `printf '%s\n' true 'echo out of luck; false' 'sleep 0.1' | cargo run -p psmith --example test_runner`

use std::process::ExitCode;

use psmith::{Job, Output};

fn main() -> ExitCode {
    psmith::init();
    let lines = std::io::stdin().lines().map_while(Result::ok);
    let tests = lines.map(|line| Job::command("sh").args(["-c", &line]).job().label(line));
    let (mut passed, mut failed) = (0, 0);
    let mut run = psmith::run_jobs(tests).output(Output::OnFailure).on_done(|test, outcome| {
        let name = test.label().unwrap_or_default();
        println!("{} {name}", if outcome.is_ok() { "ok  " } else { "FAIL" });
    });
    if std::env::var_os("PSMITH_WORKERS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        run = run.workers((cores as u32 * 6 / 10).max(2));
    }
    for outcome in run {
        match outcome {
            Ok(_) => passed += 1,
            Err(failure) => {
                failed += 1;
                println!("     {failure}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
