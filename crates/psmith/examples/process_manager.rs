//! A process manager: children with exit handlers, driven by the thread that made them. A child that fails is
//! restarted.
//!
//! `cargo run -p psmith --example process_manager`

use std::sync::Mutex;
use std::time::Duration;

use psmith::{Failure, Job, ProcessId, ProcessManager};

/// Fails at the first attempt if its number is odd.
fn visit((number, attempt): (u32, u32)) -> Result<u32, String> {
    if number % 2 == 1 && attempt == 1 {
        Err(format!("nobody at home at {number}"))
    } else {
        Ok(number * number)
    }
}

fn main() -> Result<(), psmith::EngineError> {
    psmith::init();
    let wanted = Mutex::new((1..=6).map(|number| (number, 1)).collect::<Vec<_>>());
    let mut manager = ProcessManager::new()?;
    while !wanted.lock().unwrap().is_empty() || manager.process_count() > 0 {
        for (number, attempt) in std::mem::take(&mut *wanted.lock().unwrap()) {
            let wanted = &wanted;
            let on_exit = move |id: ProcessId, result: Result<u32, Failure>| match result {
                Ok(value) => println!("process {} for {number}: {value}", id.0),
                Err(failure) => {
                    println!("process {} for {number}: {failure}", id.0);
                    wanted.lock().unwrap().push((number, attempt + 1));
                }
            };
            drop(manager.create_process(Job::fallible(visit, (number, attempt)), on_exit));
        }
        // Sleeps until a child has ended; its handler is called here.
        manager.step(Duration::from_secs(60));
    }
    drop(manager.drain());
    Ok(())
}
