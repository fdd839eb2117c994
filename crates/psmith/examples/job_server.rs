//! A job server: a producer that blocks until there is work, two kinds of jobs, a consumer of every outcome.
//!
//! `seq 5 | cargo run -p psmith --example job_server`

use std::io::BufRead;

use psmith::{Job, LogLevel, Server};

fn square(n: i64) -> i64 {
    n * n
}

fn count_letters(text: String) -> Result<i64, String> {
    if text.is_empty() { Err("an empty line".into()) } else { Ok(text.len() as i64) }
}

fn main() -> Result<(), psmith::ServerError> {
    psmith::init();
    let mut lines = std::io::BufReader::new(std::io::stdin()).lines();
    let producer = move || {
        let line = lines.next()?.ok()?;
        Some(match line.parse() {
            Ok(number) => Job::new(square, number),
            Err(_) => Job::fallible(count_letters, line),
        })
    };
    let report = Server::new(producer)
        .consumer(|job, result| match result {
            Ok(number) => println!("job {} by {}: {number}", job.id(), job.process_name()),
            Err(failure) => println!("job {}: {failure}", job.id()),
        })
        .logger(|level, text| {
            if level == LogLevel::Error {
                eprintln!("{text}");
            }
        })
        .run()?;
    println!("{} jobs, {} failed", report.jobs, report.failed);
    Ok(())
}
