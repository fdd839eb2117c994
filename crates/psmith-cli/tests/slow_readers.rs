//! Readers of events and messages may be slow, or suspended: no deadline waits for them, memory stays bounded, and
//! nothing is lost without a message.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use psmith_testkit::records::RecordedEvents;
use psmith_testkit::{Signal, scene};
use rustix::fs::{CWD, Mode, OFlags};

/// A FIFO whose reader reads nothing until it is asked to.
struct SuspendedReader(File);

impl SuspendedReader {
    fn at(path: &Path) -> SuspendedReader {
        rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).expect("a FIFO in a fresh directory");
        // Without O_NONBLOCK the open would wait for a writer.
        let fifo = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
            .expect("our FIFO opens");
        rustix::fs::fcntl_setfl(&fifo, OFlags::empty()).expect("a FIFO can be made to block");
        SuspendedReader(fifo.into())
    }

    /// Reads until all writers have closed it.
    fn go_on(mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).expect("what comes is text");
        text
    }
}

// proves: F-34a, P-3, P-7
#[test]
fn a_suspended_reader_of_events_delays_no_deadline() {
    let scene = scene!();
    let events = SuspendedReader::at(&scene.path("e"));
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
    let events_seen = RecordedEvents::parse(&text);
    events_seen.assert_whole();
    assert!(events_seen.named("held").iter().any(|event| event["reason"] == "events"));
    assert!(events_seen.named("held").last().expect("it was held")["reason"].is_null());
    let data: usize =
        events_seen.named("job_output").iter().map(|event| event["data"].as_str().expect("text").len()).sum();
    assert_eq!(ended.stdout.len(), data, "what was read was reported");
    // The bytes that wait for the reader, in the FIFO, in the job's pipe, and a read or two.
    assert!(data < 12_000_000, "{data} bytes were read while nobody took them");
}

// proves: F-46: the user need not wait for a reader
#[test]
fn a_run_whose_last_events_nobody_reads_can_be_left() {
    let scene = scene!();
    let _events = SuspendedReader::at(&scene.path("e"));
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
    let messages = SuspendedReader::at(&scene.path("messages"));
    let long = "x".repeat(1000);
    let inputs: String = (0..5000).map(|number| format!("{number}\n")).collect();
    let running = scene
        .psmith(["-v", "-j2", "--events", "e", "--summary", "text", "true", &long])
        .stdin(inputs)
        .stderr_file(scene.path("messages"))
        .start();
    let _ = RecordedEvents::wait_for(&scene.path("e"), "run_end", 1);
    let text = messages.go_on();
    running.wait().assert_code(0);
    assert!(text.len() < 2_000_000, "{} bytes waited", text.len());
    assert!(text.contains(" messages were dropped, because nobody read them"), "{}", tail(&text));
    assert!(text.contains("5000 jobs"), "the summary is never dropped: {}", tail(&text));
}

fn tail(text: &str) -> &str {
    &text[text.len() - text.len().min(500)..]
}

// proves: F-41: a short write is continued, and a descriptor that another process made non-blocking is waited for
#[test]
fn every_byte_passes_a_pipe_that_takes_little_and_never_blocks() {
    let scene = scene!();
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("a smaller pipe");
    rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK).expect("a pipe need not block");
    let inputs: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let mut command =
        scene.psmith(["-j3", "-k", "--tag", "-s", "seq 1 9000; echo {}", ":::"]).args(&inputs).command();
    let mut child = command.stdin(std::process::Stdio::null()).stdout(writer).spawn().expect("psmith starts");
    scene.guard(|guard| guard.host(child.id().cast_signed()));
    // The command holds a copy of the writing end.
    drop(command);
    let mut out = Vec::new();
    let mut reader = File::from(reader);
    let mut little = [0; 777];
    loop {
        match reader.read(&mut little).expect("a pipe can be read") {
            0 => break,
            length => out.extend_from_slice(&little[..length]),
        }
    }
    assert!(child.wait().expect("our child").success());
    let expected: String = inputs
        .iter()
        .flat_map(|input| (1..=9000).chain([input.parse().expect("a number")]).map(move |line| (input, line)))
        .map(|(input, line)| format!("{input}\t{line}\n"))
        .collect();
    assert!(String::from_utf8_lossy(&out) == expected, "{} bytes of {}", out.len(), expected.len());
}
