//! Tests of what `cargo check` says to whoever gives psmith what cannot be a job. Here rather than beside the library's
//! tests for the reason of `panic_abort.rs`.

mod outside;

/// Programs with mistakes, one for each stage of the compiler at which they are seen: an error at one stage hides those
/// of the next.
const TYPES: &str = r#"
use std::sync::{Arc, Mutex};

struct Opaque(u32);

fn for_ever(_: u32) -> ! {
    loop {}
}

fn main() {
    let factor = 3_u32;
    let text = String::from("captured");
    let shared = Arc::new(Mutex::new(0_u32));
    let list = vec![1_u32];
    let name = "borrowed".to_owned();
    let borrowed: &str = &name;
    let _ = psmith::map([1_u32], |n| n * factor);
    let _ = psmith::try_map([1_u32], move |n| if text.is_empty() { Err("empty") } else { Ok(n) });
    let _ = psmith::each([1_u32], move |n| *shared.lock().unwrap() += n);
    let _ = psmith::any([1_u32], |n| list.contains(&n));
    let _ = psmith::Job::new(move |n: u32| n as usize + borrowed.len(), 1);
    let setting = 7_u32;
    let _ = psmith::Pool::builder().init(move || setting);
    let level = 8_u32;
    psmith::init().worker_setup(|| drop(level));
    let port = 9_u32;
    let _ = psmith::Supervisor::new(1, |n: u32| drop(n + port));
    let _ = psmith::map([Opaque(7)], |opaque| opaque.0);
    let _ = psmith::map([Arc::new(7_u32)], |n| *n);
    let _ = psmith::map([1_u32], for_ever);
    let _ = psmith::Supervisor::new(1, |n| n);
}
"#;

const LIFETIMES: &str = r#"
fn main() {
    let _ = psmith::map(["borrowed"], |word: &str| word.len());
}
"#;

/// A program without a mistake: what looks as if it might be refused.
const RIGHT: &str = r#"
use std::num::NonZeroU32;
use std::ops::Range;

fn for_ever(_: u32) -> ! {
    loop {}
}

fn pair<T>(n: T) -> (T, Option<Result<u8, String>>) {
    (n, None)
}

fn main() {
    let _ = psmith::map(["own"].map(str::to_owned), String::into_bytes);
    let _ = psmith::map([1_u32], |n| n.pow(2));
    let _ = psmith::map([1_u32], pair::<u32>);
    let _ = psmith::map([1_u32], NonZeroU32::new);
    let _ = psmith::map([1_u32], |n| -> Range<u32> { 0..n });
    let _ = psmith::each([1_u32], |_| loop {});
    let _ = psmith::Supervisor::new(1, for_ever);
    let _ = psmith::Supervisor::new(1, |_| loop {});
}
"#;

// proves: values-survive, ordered-map, caller-untouched, serde-values
#[test]
fn what_cannot_be_a_job_is_refused_by_a_check_in_words_that_lead_on() {
    let programs = [("types", TYPES), ("lifetimes", LIFETIMES), ("right", RIGHT)];
    let dir = outside::package("refusals", "debug = false", &programs);
    let mut cargo = outside::cargo(&dir);
    let output = cargo.args(["check", "--bins", "--keep-going", "--offline", "--color", "never"]).output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    for captured in ["factor", "text", "shared", "list", "borrowed", "setting", "level", "port"] {
        assert!(said.contains(&format!("`{captured}` captured here")), "{captured}: {said}");
    }
    for words in [
        "`Opaque` cannot travel between this program and its workers",
        "`Arc<u32>` cannot travel between this program and its workers",
        "derives `serde::Serialize` and `serde::Deserialize`",
        "what all jobs need by `map_with`",
        "`!` cannot travel between this program and its workers",
        "a function that never returns is given the result `()`",
        "a hook or a worker cannot return `u32`",
        "src/bin/lifetimes.rs:3:",
        "is not general enough",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("src/bin/right.rs"), "{said}");
    // No word of what lies behind the faces.
    for inner in ["JobFunction", "Trampoline", "size_of"] {
        assert!(!said.contains(inner), "{inner}: {said}");
    }
}
