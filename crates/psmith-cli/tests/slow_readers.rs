//! Whoever reads events or messages may be slow, or stand still: no deadline waits for him, memory stays bounded, and
//! nothing is lost without a word.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use psmith_testkit::records::Events;
use psmith_testkit::{Signal, scene};
use rustix::fs::{CWD, Mode, OFlags};

/// A FIFO whose reader takes nothing until it is asked to.
struct StandsStill(File);

impl StandsStill {
    fn at(path: &Path) -> StandsStill {
        rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).expect("a FIFO in a fresh directory");
        // Without O_NONBLOCK the open would wait for a writer.
        let fifo = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
            .expect("our FIFO opens");
        rustix::fs::fcntl_setfl(&fifo, OFlags::empty()).expect("a FIFO can be made to block");
        StandsStill(fifo.into())
    }

    /// Reads until all writers are gone.
    fn go_on(mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).expect("what comes is text");
        text
    }
}

// proves: F-34a, P-3, P-7
#[test]
fn a_reader_of_events_that_stands_still_holds_up_no_deadline() {
    let scene = scene!();
    let events = StandsStill::at(&scene.path("e"));
    // The first writes more than may wait for the reader, and both hang.
    let job = "echo {} > began{}; if [ {} = 1 ]; then yes | head -c 30000000; fi; sleep 300";
    let running = scene
        .psmith(["-j2", "-k", "--timeout", "1", "--events", "e", "--events-output", "-s", job])
        .args([":::", "1", "2", "3"])
        .start();
    running.wait_for_err("job 1 failed: timeout");
    running.wait_for_err("job 2 failed: timeout");
    assert!(!scene.path("began3").exists(), "nothing starts while so much waits");
    let text = events.go_on();
    let ended = running.wait();
    ended.assert_code(3);
    let told = Events::parse(&text);
    told.assert_whole();
    assert!(told.named("held").iter().any(|event| event["reason"] == "events"));
    assert!(told.named("held").last().expect("it was held")["reason"].is_null());
    let data: usize =
        told.named("job_output").iter().map(|event| event["data"].as_str().expect("text").len()).sum();
    assert_eq!(ended.stdout.len(), data, "what was read was told");
    // What waits for the reader, in the FIFO, in the job's pipe, and a read or two.
    assert!(data < 12_000_000, "{data} bytes were read while nobody took them");
}

// proves: F-46: the user need not wait for a reader
#[test]
fn a_run_whose_last_events_nobody_reads_can_be_left() {
    let scene = scene!();
    let _events = StandsStill::at(&scene.path("e"));
    let running = scene
        .psmith(["--events", "e", "--events-output", "-s", "yes | head -c 1000000; echo end >&2", ":::", "a"])
        .start();
    running.wait_for_err("end");
    while !running.has_ended() {
        running.signal(Signal::INT);
        std::thread::yield_now();
    }
    assert_eq!(running.wait().signal(), Some(2));
}

// proves: P-7: messages that nobody reads are dropped and counted
#[test]
fn messages_that_nobody_reads_do_not_pile_up() {
    let scene = scene!();
    let messages = StandsStill::at(&scene.path("messages"));
    let long = "x".repeat(1000);
    let inputs: String = (0..5000).map(|number| format!("{number}\n")).collect();
    let running = scene
        .psmith(["-v", "-j2", "--events", "e", "--summary", "text", "true", &long])
        .stdin(inputs)
        .stderr_file(scene.path("messages"))
        .start();
    let _ = Events::wait_for(&scene.path("e"), "run_end", 1);
    let text = messages.go_on();
    running.wait().assert_code(0);
    assert!(text.len() < 2_000_000, "{} bytes waited", text.len());
    assert!(text.contains(" messages were dropped, because nobody read them"), "{}", tail(&text));
    assert!(text.contains("5000 jobs"), "the summary is never dropped: {}", tail(&text));
}

fn tail(text: &str) -> &str {
    &text[text.len() - text.len().min(500)..]
}
