//! Values with a code that only this program and its workers can make: a forged, changed or cut value is never decoded.

use std::collections::BTreeMap;

use psmith::codec::{Authenticated, Codec, CodecError, Described, Raw};
use psmith::{Cause, Failure, Isolation, Job, Pool};
use psmith_testkit::leak::LeakGuard;
use serde::{Deserialize, Serialize};

/// What a hostile end makes of the bytes that it sends.
trait Damage {
    const BY_WORKER: bool;
    fn done(bytes: &mut Vec<u8>);
}

/// [`Authenticated`], on whose way one side's bytes are damaged.
struct Damaged<D>(std::marker::PhantomData<D>);

impl<T, D: Damage> Codec<T> for Damaged<D>
where
    Described: Codec<T>,
{
    fn encode(value: &T, into: &mut Vec<u8>) -> Result<(), CodecError> {
        let mut bytes = Vec::new();
        <Authenticated as Codec<T>>::encode(value, &mut bytes)?;
        if psmith::cx().is_some() == D::BY_WORKER {
            D::done(&mut bytes);
        }
        into.append(&mut bytes);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<T, CodecError> {
        <Authenticated as Codec<T>>::decode(bytes)
    }
}

macro_rules! damages {
    ($($name:ident: $by_worker:literal, $done:expr;)*) => {
        $(struct $name;
        impl Damage for $name {
            const BY_WORKER: bool = $by_worker;
            fn done(bytes: &mut Vec<u8>) {
                let done: fn(&mut Vec<u8>) = $done;
                done(bytes);
            }
        })*
    };
}

damages! {
    FlippedResult: true, |bytes| *bytes.last_mut().unwrap() ^= 1;
    FlippedCode: true, |bytes| bytes[3] ^= 0x80;
    CutResult: true, |bytes| bytes.truncate(bytes.len() - 1);
    NoResult: true, Vec::clear;
    PlainResult: true, |bytes| drop(bytes.drain(..32));
    FlippedInput: false, |bytes| *bytes.last_mut().unwrap() ^= 1;
    CutInput: false, |bytes| bytes.truncate(20);
}

fn by<D: Damage + 'static>(isolation: Isolation) -> Failure {
    let echo = |text: String| text;
    let mut got =
        psmith::map(["some text".to_owned()], echo).codec::<Damaged<D>>().isolation(isolation).into_iter();
    let failure = got.next().unwrap().unwrap_err();
    assert!(got.next().is_none());
    failure
}

// proves: authenticated-codec, own-codecs
#[test]
fn a_changed_cut_or_forged_message_breaks_the_protocol_and_nothing_hangs() {
    psmith::init();
    let _guard = LeakGuard::alone();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        for (failure, of) in [
            (by::<FlippedResult>(isolation), "its result: "),
            (by::<FlippedCode>(isolation), "its result: "),
            (by::<CutResult>(isolation), "its result: "),
            (by::<NoResult>(isolation), "its result: "),
            (by::<PlainResult>(isolation), "its result: "),
            (by::<FlippedInput>(isolation), "its input: "),
            (by::<CutInput>(isolation), "its input: "),
        ] {
            let Cause::Protocol(why) = &failure.cause else { panic!("{failure}") };
            assert!(why.starts_with(of), "{failure}");
        }
    }
}

/// Bytes that carry the right code and stand for no number.
enum Mute {}

impl Codec<u32> for Mute {
    fn encode(_: &u32, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.push(b'?');
        Ok(())
    }

    fn decode(_: &[u8]) -> Result<u32, CodecError> {
        Err(CodecError::new("no number".into()))
    }
}

/// A codec whose decoding shows that an unauthenticated value was accepted.
enum Trusting {}

impl Codec<u32> for Trusting {
    fn encode(value: &u32, into: &mut Vec<u8>) -> Result<(), CodecError> {
        into.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn decode(_: &[u8]) -> Result<u32, CodecError> {
        panic!("decoded")
    }
}

// proves: authenticated-codec, own-codecs
#[test]
fn nothing_is_decoded_before_its_code_was_right_and_bad_bytes_with_the_right_one_are_undecodable() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let failure =
        psmith::map([1], |n: u32| n).codec::<Authenticated<Mute>>().into_iter().next().unwrap().unwrap_err();
    assert_eq!(failure.cause, Cause::Undecodable("its input: no number".into()));

    let mut bytes = Vec::new();
    <Authenticated<Trusting> as Codec<u32>>::encode(&7, &mut bytes).unwrap();
    let genuine = std::panic::catch_unwind(|| <Authenticated<Trusting> as Codec<u32>>::decode(&bytes));
    assert!(genuine.is_err(), "with the right code it is decoded");
    *bytes.last_mut().unwrap() ^= 1;
    assert!(<Authenticated<Trusting> as Codec<u32>>::decode(&bytes).unwrap_err().is_forged());
    assert!(<Authenticated<Trusting> as Codec<u32>>::decode_owned(bytes, 0).unwrap_err().is_forged());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Complex {
    name: String,
    places: BTreeMap<String, Vec<Option<i64>>>,
    share: f64,
}

// proves: authenticated-codec, own-codecs
#[test]
fn values_of_every_kind_pass_by_either_inner_codec_and_errors_stay_errors() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let small: Result<Vec<u8>, _> = psmith::map(0..20, |n: u8| n + 1).codec::<Authenticated>().collect();
    assert_eq!(small.unwrap(), (1..21).collect::<Vec<u8>>());

    let complex = Complex {
        name: "n\u{fc}".into(),
        places: BTreeMap::from([("a".into(), vec![None, Some(-1)]), (String::new(), vec![])]),
        share: 0.5,
    };
    let echoed = psmith::map([complex.clone()], |it: Complex| it).codec::<Authenticated>().into_iter().next();
    assert_eq!(echoed.unwrap().unwrap(), complex);

    let many: Result<Vec<u64>, _> =
        psmith::map(0..2000, |n: u64| n * n).codec::<Authenticated>().workers(2).collect();
    assert!(many.unwrap().into_iter().eq((0..2000).map(|n| n * n)));

    let long: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let turned = |mut bytes: Vec<u8>| {
            bytes.reverse();
            bytes
        };
        let mut got = psmith::map([long.clone()], turned)
            .codec::<Authenticated<Raw>>()
            .isolation(isolation)
            .into_iter();
        assert!(got.next().unwrap().unwrap().iter().rev().eq(&long));
    }

    let check = |n: u32| if n == 3 { Err("three") } else { Ok(n) };
    let got: Vec<_> = psmith::try_map(0..5, check).codec::<Authenticated>().collect();
    assert_eq!(got[3].as_ref().unwrap_err().cause, Cause::Error("three".into()));
    assert_eq!(got[3].as_ref().unwrap_err().input::<u32>(), Some(3), "the input is given back");
    assert_eq!(got.iter().filter(|it| it.is_ok()).count(), 4);
}

// proves: authenticated-codec, own-codecs
#[test]
fn jobs_of_a_pool_travel_by_it_too() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let pool = Pool::builder().workers(1).build().unwrap();
    // Its worker may exist before the first value is encoded.
    assert_eq!(pool.submit(Job::new(|n: u32| n, 1)).unwrap().wait().unwrap(), 1);
    let job = Job::by_codec::<Authenticated, _>(|n: u32| n + 1, 1);
    assert_eq!(pool.submit(job).unwrap().wait().unwrap(), 2);
    let job = Job::by_codec::<Damaged<FlippedResult>, _>(|n: u32| n + 1, 1);
    let failure = pool.submit(job).unwrap().wait().unwrap_err();
    assert!(matches!(failure.cause, Cause::Protocol(_)), "{failure}");
}

// proves: authenticated-codec
#[test]
fn a_worker_that_dies_without_a_word_has_died_and_forged_nothing() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let die = |how: u32| -> u32 {
        match how {
            0 => std::process::exit(0),
            7 => std::process::exit(7),
            _ => std::process::abort(),
        }
    };
    for isolation in [Isolation::PerJob, Isolation::Reuse] {
        let got = psmith::map([0, 7, 6], die).codec::<Authenticated>().isolation(isolation);
        let causes: Vec<Cause> = got.map(|got| got.unwrap_err().into_cause()).collect();
        assert_eq!(causes[..2], [Cause::Exit(0), Cause::Exit(7)]);
        assert!(matches!(causes[2], Cause::Signal { signal: 6, .. }), "{causes:?}");
    }
}

/// The bytes of the secret that this process has.
fn secret() -> Vec<u8> {
    let secret = psmith_engine::function::authenticated::Secret::of_this_program().unwrap();
    serde_json::from_str(&serde_json::to_string(&secret).unwrap()).unwrap()
}

// proves: own-codecs
#[test]
fn a_worker_has_its_hosts_secret_and_no_argument_environment_or_program_of_its_jobs_shows_it() {
    psmith::init();
    let _guard = LeakGuard::alone();
    let search = |_: ()| {
        let own = secret();
        let warden = rustix::process::getppid().unwrap().as_raw_nonzero();
        let mut found = Vec::new();
        for file in ["cmdline", "environ"] {
            found.extend(std::fs::read(format!("/proc/self/{file}")).unwrap());
            found.extend(std::fs::read(format!("/proc/{warden}/{file}")).unwrap());
            let executed = std::process::Command::new("cat").arg(format!("/proc/self/{file}")).output();
            found.extend(executed.unwrap().stdout);
        }
        (own, found)
    };
    let (own, found) =
        psmith::map([()], search).codec::<Authenticated>().into_iter().next().unwrap().unwrap();
    let secret = secret();
    assert_eq!(own, secret);
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(found.len() > 100);
    assert!(!found.windows(secret.len()).any(|bytes| bytes == &secret[..]));
    assert!(!String::from_utf8_lossy(&found).to_lowercase().contains(&hex));
}
