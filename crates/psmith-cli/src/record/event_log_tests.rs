//! Tests of the lines of events, byte for byte.

use std::os::fd::AsRawFd as _;

use super::*;
use crate::record::sample;

fn line(event: &LoggedEvent<'_>) -> String {
    let mut line = Vec::new();
    event.write_line(&mut line, 1_767_225_600.0, "7k2m");
    String::from_utf8(line).unwrap()
}

const COMMON: &str = r#"{"v":1,"t":1767225600.000000,"run":"7k2m","#;

#[test]
fn each_event_of_a_run_is_byte_for_byte_that_of_the_manual() {
    let template = [b"gzip".to_vec(), b"{}".to_vec()];
    assert_lines([
        (
            LoggedEvent::RunStart {
                psmith: "0.1.0",
                template: BytesList(&template),
                shell: false,
                slots: 8,
                total: None,
                contain: "cgroup",
                cwd: Bytes(b"/data"),
                resumed_from: None,
            },
            r#""event":"run_start","psmith":"0.1.0","template":["gzip","{}"],"shell":false,"slots":8,"total":null,"contain":"cgroup","cwd":"/data","resumed_from":null}"#,
        ),
        (
            LoggedEvent::Held { reason: Some("memory"), ready: 12 },
            r#""event":"held","reason":"memory","ready":12}"#,
        ),
        (LoggedEvent::Held { reason: None, ready: 0 }, r#""event":"held","reason":null,"ready":0}"#),
        (LoggedEvent::Width { slots: 4, by: "key" }, r#""event":"width","slots":4,"by":"key"}"#),
        (
            LoggedEvent::RunEnd(RunEndEvent {
                jobs: 20,
                ok: 17,
                failed: 1,
                left: 2,
                flaky: 1,
                wall: Duration::from_secs(61),
                stopped_by: Some("INT"),
                exit: 130,
                ..RunEndEvent::default()
            }),
            r#""event":"run_end","jobs":20,"ok":17,"failed":1,"cancelled":0,"skipped":0,"left":2,"flaky":1,"leaked":0,"wall":61.0,"stopped_by":"INT","exit":130}"#,
        ),
    ]);
}

#[test]
fn each_event_of_a_running_job_is_byte_for_byte_that_of_the_manual() {
    let argv = [b"gzip".to_vec(), b"a.txt".to_vec()];
    let inputs: [&[u8]; 1] = [b"a.txt"];
    assert_lines([
        (
            LoggedEvent::JobStart {
                job: 17,
                attempt: 1,
                slot: 3,
                pid: 4242,
                argv: BytesList(&argv),
                inputs: BytesList(&inputs),
            },
            r#""event":"job_start","job":17,"attempt":1,"slot":3,"pid":4242,"argv":["gzip","a.txt"],"inputs":["a.txt"]}"#,
        ),
        (
            LoggedEvent::JobOutput {
                job: 17,
                attempt: 1,
                stream: OutputStream::Stderr,
                data: Bytes(b"warning\n"),
            },
            r#""event":"job_output","job":17,"attempt":1,"stream":"stderr","data":"warning\n"}"#,
        ),
        (
            LoggedEvent::JobSlow { job: 17, attempt: 1, after: Duration::from_secs(60) },
            r#""event":"job_slow","job":17,"attempt":1,"after":60.0}"#,
        ),
        (
            LoggedEvent::JobStopped { job: 17, attempt: 1, signal: 19 },
            r#""event":"job_stopped","job":17,"attempt":1,"signal":19}"#,
        ),
        (
            LoggedEvent::JobContinued { job: 17, attempt: 1 },
            r#""event":"job_continued","job":17,"attempt":1}"#,
        ),
        (
            LoggedEvent::retry(17, 1, &Cause::Exit(1), Duration::from_secs(2), true),
            r#""event":"job_retry","job":17,"attempt":1,"cause":"exit","code":1,"signal":null,"delay":2.0,"charged":true}"#,
        ),
    ]);
}

fn assert_lines<const N: usize>(cases: [(LoggedEvent<'_>, &str); N]) {
    for (event, rest) in cases {
        assert_eq!(line(&event), format!("{COMMON}{rest}\n"));
    }
}

#[test]
fn job_end_holds_outcome_and_resources() {
    let mut outcome = sample::failed(Cause::Timeout(Duration::from_secs(10)));
    outcome.attempts = 2;
    outcome.last.as_mut().unwrap().wall = Duration::from_nanos(10_200_000_300);
    let mut record = sample::record(17, &outcome, b"gzip a.txt");
    (record.stdout_bytes, record.stderr_bytes, record.stderr_tail) = (0, 8, b"warning\n");
    assert_eq!(
        line(&LoggedEvent::JobEnd(JobEnd::of(&record))),
        format!(
            r#"{COMMON}"event":"job_end","job":17,"status":"failed","cause":"timeout","code":null,"signal":15,"core":false,"attempts":2,"wall":10.2,"user":0.1,"sys":0.0,"maxrss":4194304,"leaked":0,"stdout_bytes":0,"stderr_bytes":8,"stderr_tail":"warning\n"}}
"#
        )
    );
    let outcome = sample::succeeded();
    let ok = line(&LoggedEvent::JobEnd(JobEnd::of(&sample::record(1, &outcome, b"x"))));
    assert!(ok.contains(r#""status":"ok","cause":null,"code":0,"signal":null,"core":false,"#), "{ok}");
    let outcome = psmith_core::Outcome { last: None, ..sample::failed(Cause::Cancelled) };
    let never = line(&LoggedEvent::JobEnd(JobEnd::of(&sample::record(1, &outcome, b"x"))));
    assert!(
        never.contains(r#""status":"cancelled","cause":"cancelled","code":null,"signal":null,"#),
        "{never}"
    );
}

#[test]
fn bytes_that_are_no_text_are_base64() {
    let argv = [b"echo".to_vec(), b"\xff\xfe".to_vec()];
    let event = LoggedEvent::JobStart {
        job: 1,
        attempt: 1,
        slot: 1,
        pid: 1,
        argv: BytesList(&argv),
        inputs: BytesList(&[]),
    };
    assert!(line(&event).ends_with("\"argv\":[\"echo\",{\"b64\":\"//4=\"}],\"inputs\":[]}\n"));
}

#[test]
fn events_that_cannot_be_written_name_their_file() {
    let mut log = EventLog::create(Path::new("/dev/full")).unwrap();
    let error = log.write(b"line\n").unwrap_err();
    assert_eq!(error.to_string(), "cannot write /dev/full: no space left on device");
    let error = EventLog::create(Path::new("/nodir/x")).unwrap_err();
    assert_eq!(error.to_string(), "cannot write /nodir/x: no such directory");
}

#[test]
fn an_inherited_descriptor_is_written_where_it_stands() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"before\n").unwrap();
    let mut log = EventLog::descriptor(file.as_raw_fd()).unwrap();
    log.write(b"line\n").unwrap();
    let mut text = String::new();
    std::io::Seek::rewind(&mut file).unwrap();
    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
    assert_eq!(text, "before\nline\n");
}

#[test]
fn a_descriptor_that_takes_no_events_is_refused() {
    let refused = |number| EventLog::descriptor(number).unwrap_err();
    assert_eq!(refused(2).to_string(), "--events: descriptor 2 is not for events: 3 and up");
    assert_eq!(refused(1_000_000).to_string(), "--events: descriptor 1000000 is not open");
    let reading = File::open("/dev/null").unwrap();
    let number = reading.as_raw_fd();
    let error = refused(number);
    assert_eq!(error.kind(), RecordErrorKind::BadDescriptor);
    assert_eq!(error.to_string(), format!("--events: descriptor {number} is not open for writing"));
}
