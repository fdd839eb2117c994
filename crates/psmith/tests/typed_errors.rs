//! A job's own error comes back as a value, beside its text; its sources are in the text, each once.

use std::error::Error;
use std::fmt;

use psmith::codec::{Codec, CodecError, Described, Raw, WithErrors};
use psmith::{Cause, Failure, Flow, Isolation, Job, OnError, Retry, Server};
use psmith_testkit::leak::LeakGuard;
use serde::{Deserialize, Serialize, Serializer};

/// An error with a source, which its own text repeats or not.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Trouble {
    /// Says nothing of its cause.
    Short { line: u32, cause: Box<Cut> },
    /// Has its cause in its own words.
    Wordy(Box<Cut>),
    /// Longer than a frame may be.
    Long(String),
    #[serde(serialize_with = "never")]
    Unencodable(u32),
    #[serde(serialize_with = "panics")]
    Panics(u32),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cut {
    at: u64,
}

fn never<S: Serializer>(_: &u32, _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom("never"))
}

fn panics<S: Serializer>(_: &u32, _: S) -> Result<S::Ok, S::Error> {
    panic!("while it is encoded")
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cut at byte {}", self.at)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Short { line, .. } => write!(f, "line {line} is bad"),
            Trouble::Wordy(cut) => write!(f, "a bad line ({cut})"),
            Trouble::Long(_) => f.write_str("long"),
            Trouble::Unencodable(_) => f.write_str("not to be encoded"),
            Trouble::Panics(_) => f.write_str("panics"),
        }
    }
}

impl Error for Cut {}

impl Error for Trouble {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Trouble::Short { cause, .. } | Trouble::Wordy(cause) => Some(cause),
            Trouble::Long(_) | Trouble::Unencodable(_) | Trouble::Panics(_) => None,
        }
    }
}

fn fail(how: u32) -> Result<u32, Trouble> {
    Err(match how {
        0 => return Ok(0),
        1 => Trouble::Short { line: 7, cause: Box::new(Cut { at: 80 }) },
        2 => Trouble::Wordy(Box::new(Cut { at: 80 })),
        3 => Trouble::Long("x".repeat(10_000)),
        4 => Trouble::Unencodable(4),
        _ => Trouble::Panics(5),
    })
}

fn words(failure: &Failure) -> &str {
    match &failure.cause {
        Cause::Error(words) => words,
        cause => panic!("{cause:?}"),
    }
}

// proves: errors-as-text
#[test]
fn an_error_comes_back_as_a_value_and_its_text_names_its_source_once() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let run = || psmith::try_map(0..3, fail).error_type::<Trouble>();
    let runs = [run().workers(1), run().isolation(Isolation::PerJob), run().workers(0)];
    for run in runs {
        let got: Vec<_> = run.collect();
        assert_eq!(*got[0].as_ref().unwrap(), 0);
        let short = got[1].as_ref().unwrap_err();
        let trouble = Trouble::Short { line: 7, cause: Box::new(Cut { at: 80 }) };
        assert_eq!(short.error::<Trouble>(), Some(trouble));
        assert_eq!(words(short), "line 7 is bad: cut at byte 80");
        assert_eq!(short.error::<Cut>(), None, "of another type");
        let wordy = got[2].as_ref().unwrap_err();
        assert_eq!(words(wordy), "a bad line (cut at byte 80)", "not said twice");
        assert!(wordy.error::<Trouble>().is_some());
        assert!(wordy.stderr_tail.is_empty(), "not printed either");
    }
}

// proves: errors-as-text, errors-reach-caller
#[test]
fn an_error_that_cannot_travel_arrives_in_words() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let run = psmith::try_map(3..7, |how: u32| if how == 6 { Ok(how) } else { fail(how) });
        let got: Vec<_> = run.error_type::<Trouble>().isolation(isolation).max_message_bytes(4096).collect();
        for (got, text) in got.iter().zip(["long", "not to be encoded", "panics"]) {
            let failure = got.as_ref().unwrap_err();
            assert_eq!(words(failure), text);
            assert_eq!(failure.error::<Trouble>(), None);
        }
        assert_eq!(*got[3].as_ref().unwrap(), 6);
    }
}

// proves: errors-as-text
#[test]
fn where_it_was_not_asked_for_an_error_is_words_and_a_boxed_one_keeps_its_chain() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let plain = psmith::try_map([1], fail).into_iter().next().unwrap().unwrap_err();
    assert_eq!(words(&plain), "line 7 is bad");
    assert_eq!(plain.error::<Trouble>(), None);
    let boxed = |how: u32| -> Result<u32, Box<dyn Error + Send + Sync>> { Ok(fail(how)?) };
    let boxed = psmith::try_map([1], boxed).into_iter().next().unwrap().unwrap_err();
    assert_eq!(words(&boxed), "line 7 is bad: cut at byte 80");
    let boxed = |how: u32| -> Result<u32, Box<dyn Error>> { Ok(fail(how)?) };
    let boxed = psmith::try_map([2], boxed).into_iter().next().unwrap().unwrap_err();
    assert_eq!(words(&boxed), "a bad line (cut at byte 80)");
}

// proves: errors-as-text
#[test]
fn all_faces_give_the_error_back_and_a_job_that_dies_has_none() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let each = psmith::try_each([1], |how: u32| fail(how).map(drop)).error_type::<Trouble>().run();
    assert!(each.unwrap_err().error::<Trouble>().is_some());
    let all = psmith::try_all([1], |how: u32| fail(how).map(|_| true)).error_type::<Trouble>().run();
    assert!(all.unwrap_err().error::<Trouble>().is_some());
    let until = |how: u32| fail(how).map(|_| Flow::<u32, u32>::Next(1));
    let until = psmith::try_map_until([1], until).error_type::<Trouble>().run();
    assert!(until.unwrap_err().error::<Trouble>().is_some());

    let job = |how| Job::fallible_by_codec::<WithErrors<Trouble, Described>, _, _>(fail, how);
    let mut jobs = vec![job(1), job(0)].into_iter();
    let mut got = Vec::new();
    Server::new(move || jobs.next()).in_order().consumer(|_, result| got.push(result)).run().unwrap();
    assert!(got[0].as_ref().unwrap_err().error::<Trouble>().is_some());
    assert!(got[1].is_ok());

    // The first attempt's error is not the last one's end.
    let die = |_: u32| -> Result<u32, Trouble> {
        if psmith::cx().unwrap().attempt() == 1 { fail(1) } else { std::process::abort() }
    };
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let run =
            psmith::try_map([1], die).error_type::<Trouble>().retry(Retry::tries(2)).isolation(isolation);
        let failure = run.on_error(OnError::Continue).into_iter().last().unwrap().unwrap_err();
        assert!(matches!(failure.cause, Cause::Signal { signal: 6, .. }), "{failure}");
        assert_eq!(failure.error::<Trouble>(), None);
    }

    // A codec that carries the values need not be the default one.
    let turn = |_: Vec<u8>| -> Result<Vec<u8>, RawTrouble> { Err(RawTrouble(vec![1, 2])) };
    let run = psmith::try_map([vec![0]], turn).codec::<WithErrors<RawTrouble, ByRaw>>();
    assert_eq!(
        run.into_iter().last().unwrap().unwrap_err().error::<RawTrouble>(),
        Some(RawTrouble(vec![1, 2]))
    );
}

#[derive(Debug, PartialEq)]
struct RawTrouble(Vec<u8>);

impl fmt::Display for RawTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("raw")
    }
}

impl Error for RawTrouble {}

enum ByRaw {}

impl Codec<Vec<u8>> for ByRaw {
    fn encode(value: &Vec<u8>, into: &mut Vec<u8>) -> Result<(), CodecError> {
        Raw::encode(value, into)
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        Raw::decode(bytes)
    }
}

impl Codec<RawTrouble> for ByRaw {
    fn encode(value: &RawTrouble, into: &mut Vec<u8>) -> Result<(), CodecError> {
        Raw::encode(&value.0, into)
    }

    fn decode(bytes: &[u8]) -> Result<RawTrouble, CodecError> {
        Raw::decode(bytes).map(RawTrouble)
    }
}
