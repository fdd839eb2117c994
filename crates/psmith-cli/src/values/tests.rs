//! Tests of durations, sizes, slots, ladders and their refusals.

use std::ffi::OsStr;
use std::time::Duration;

use psmith_core::outcome::CauseKind;
use psmith_core::policy::{Halt, HaltCount, HaltMode, HaltOn, RetryCause, RetryOn, TermStep, Timeout};

use super::*;

fn os(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn durations() {
    let ms = |text| duration("--delay", os(text)).map(|d| d.as_millis()).ok();
    for (text, expected) in [
        ("10", 10_000),
        ("1.5", 1500),
        ("250ms", 250),
        ("10s", 10_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1h30m", 5_400_000),
        ("0", 0),
        (".5", 500),
    ] {
        assert_eq!(ms(text), Some(expected), "{text}");
    }
    for text in ["", "10x", "-1", "1e3", "inf", "nan", "s", "5m1h", "1m1m", "1.2.3", "10 s", "99999999999d"] {
        assert_eq!(ms(text), None, "{text}");
    }
    assert_eq!(timeout("--timeout", os("200%")), Ok(Timeout::PercentOfMedian(200.0)));
    assert_eq!(timeout("--timeout", os("0")), Ok(Timeout::Never));
}

#[test]
fn sizes() {
    let bytes = |text| size("--mem", os(text)).ok();
    for (text, expected) in [
        ("4096", 4096),
        ("1K", 1024),
        ("1k", 1000),
        ("2M", 2 << 20),
        ("1.5G", 3 << 29),
        ("1t", 1_000_000_000_000),
    ] {
        assert_eq!(bytes(text), Some(expected), "{text}");
    }
    for text in ["", "K", "1X", "-1", "1.5", "1KB", "99999999999999T", "é"] {
        assert_eq!(bytes(text), None, "{text}");
    }
}

#[test]
fn rates() {
    assert_eq!(rate_gap("--rate", os("5/s")), Ok(Duration::from_millis(200)));
    assert_eq!(rate_gap("--rate", os("30/m")), Ok(Duration::from_secs(2)));
    assert_eq!(rate_gap("--rate", os("1/h")), Ok(Duration::from_secs(3600)));
    for text in ["5", "0/s", "/s", "5/d", "-1/s"] {
        assert!(rate_gap("--rate", os(text)).is_err(), "{text}");
    }
}

#[test]
fn slots_of_cpus() {
    let on_four = |text| slots("-j", os(text)).and_then(|slots| slots.resolve(4, 500)).ok();
    for (text, expected) in
        [("3", 3), ("+2", 6), ("-1", 3), ("-9", 1), ("50%", 2), ("1%", 1), ("0", 500), ("150%", 6)]
    {
        assert_eq!(on_four(text), Some(expected), "{text}");
    }
    assert_eq!(on_four("nonsense"), None);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "+1\n").unwrap();
    assert_eq!(on_four(file.path().to_str().unwrap()), Some(5));
}

#[test]
fn halt_policies() {
    assert_eq!(halt("--halt", os("never")), Ok(Halt::Never));
    assert_eq!(
        halt("--halt", os("soon,fail=2")),
        Ok(Halt::When { what: HaltOn::Fail, count: HaltCount::Number(2), mode: HaltMode::Soon })
    );
    assert_eq!(
        halt("--halt", os("now,done=20%")),
        Ok(Halt::When { what: HaltOn::Done, count: HaltCount::Percent(20.0), mode: HaltMode::Now })
    );
    for text in ["", "now,", "now,fail", "now,fail=0", "now,fail=-1", "now,fail=101%", "later,fail=1", "1"] {
        assert!(halt("--halt", os(text)).is_err(), "{text}");
    }
}

#[test]
fn retries() {
    assert_eq!(
        retry_on("--retry-on", os("exit=1+75,signal,oom")),
        Ok(RetryOn::Only(vec![
            RetryCause::ExitCodes(vec![1, 75]),
            RetryCause::Kind(CauseKind::Signal),
            RetryCause::Kind(CauseKind::OutOfMemory),
        ]))
    );
    for text in ["", "exit=", "exit=0", "exit=256", "lost", "exit,,leak"] {
        assert!(retry_on("--retry-on", os(text)).is_err(), "{text}");
    }
    let pause = backoff("--retry-delay", os("2s..1m")).unwrap();
    assert_eq!((pause.first.as_secs(), pause.max.map(|max| max.as_secs())), (2, Some(60)));
    assert!(backoff("--retry-delay", os("1m..2s")).is_err());
    assert!(backoff("--retry-delay", os("1..")).is_err());
}

#[test]
fn ladders() {
    let steps = |text| term_seq("--term-seq", os(text)).map(|seq| seq.steps().to_vec());
    let step = |signal, ms| TermStep { signal, wait: Duration::from_millis(ms) };
    assert_eq!(steps("TERM,2000,KILL,25"), Ok(vec![step(15, 2000), step(9, 25)]));
    assert_eq!(steps("SIGint,100,15"), Ok(vec![step(2, 100), step(15, 2000), step(9, 25)]));
    assert_eq!(steps("KILL,5,TERM,5"), Ok(vec![step(9, 5)]));
    for text in ["", "NOPE,1", "TERM,x", "0,1", "TERM,-1", "99"] {
        assert!(steps(text).is_err(), "{text}");
    }
}

#[test]
fn escapes() {
    assert_eq!(unescape("-d", br"a\n\t\0\\\x41"), Ok(b"a\n\t\0\\A".to_vec()));
    for text in [&br"\q"[..], br"\", br"\x4", br"\xgg"] {
        assert!(unescape("-d", text).is_err());
    }
}
