//! Tests: every kind of value arrives as it was, and nothing that is read is trusted.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::function::described::*;

#[track_caller]
fn keeps<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: T) {
    let mut bytes = Vec::new();
    Described::encode(&value, &mut bytes).unwrap();
    assert_eq!(<Described as Codec<T>>::decode(&bytes).unwrap(), value, "{}", show(&bytes, 200));
    let owned = [&b"head"[..], &bytes].concat();
    assert_eq!(<Described as Codec<T>>::decode_owned(owned, 4).unwrap(), value, "{}", show(&bytes, 200));
    for length in 0..bytes.len() {
        let owned: Result<T, _> = Described::decode_owned(bytes[..length].to_vec(), 0);
        assert!(owned.is_err(), "owned, cut at {length} of {}", bytes.len());
        let cut: Result<T, _> = Described::decode(&bytes[..length]);
        assert!(cut.is_err(), "cut at {length} of {}", bytes.len());
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct PlainStruct {
    name: String,
    size: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    tags: Vec<char>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Outer {
    #[serde(flatten)]
    plain: PlainStruct,
    #[serde(flatten)]
    rest: BTreeMap<String, Untagged>,
    tail: (),
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Real(f64),
    Address(IpAddr),
    Pair(bool, Option<TaggedKind>),
    Fields { kind: TaggedKind },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "type")]
enum Internal {
    Empty,
    Held(PlainStruct),
    Fields { at: IpAddr, wait: Duration, kind: TaggedKind },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Empty,
    One(u8),
    Two(u8, i8),
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
enum TaggedKind {
    Unit,
    One(Box<Option<TaggedKind>>),
    Two(i32, String),
    Fields { a: u8, b: Option<()> },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Meters(f32);

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Nothing;

fn plain() -> PlainStruct {
    PlainStruct { name: "x".repeat(70), size: Some(1 << 40), tags: vec!['ü', '\0'] }
}

// proves: serde-values
#[test]
fn numbers_texts_and_bytes() {
    keeps((0_u8, 63_u8, 64_u8, u64::MAX, i64::MIN, -1_i8, i32::MIN));
    for bits in 0..64 {
        keeps((1_u64 << bits, (1_u64 << bits) - 1, -1_i64 << bits));
    }
    keeps((u128::MAX, i128::MIN, u128::from(u64::MAX), -1_i128));
    keeps((0.1_f32, f64::MIN_POSITIVE, f64::INFINITY, 'ß', true, false));
    keeps((String::new(), "ü".repeat(31), "ü".repeat(32), "x".repeat(1000)));
    keeps((Vec::<u8>::from([0, 255, 64]), (), Nothing, Meters(2.5)));
}

// proves: serde-values, values-survive
#[test]
fn nothing_and_something_that_is_nothing_stay_apart() {
    keeps::<[Option<()>; 2]>([None, Some(())]);
    keeps::<[Option<Option<u8>>; 3]>([None, Some(None), Some(Some(1))]);
    keeps::<Vec<Vec<Option<Vec<u8>>>>>(vec![vec![], vec![None, Some(vec![])], vec![Some(vec![1])]]);
}

// proves: serde-values, values-survive, large-values
#[test]
fn numbers_in_a_row_keep_their_values_whatever_reads_them() {
    for length in [0, 1, 15, 16, 17, 300, 5000_u32] {
        let numbers = || (0..length).map(|n| n.wrapping_mul(2_654_435_761));
        keeps(numbers().map(|n| n as u8).collect::<Vec<_>>());
        keeps(numbers().map(|n| n as i8).collect::<Vec<_>>());
        keeps(numbers().map(|n| n as u16).collect::<std::collections::VecDeque<_>>());
        keeps(numbers().map(|n| n as i16).collect::<Vec<_>>());
        keeps(numbers().collect::<std::collections::BTreeSet<_>>());
        keeps(numbers().map(|n| n as i32).collect::<Vec<_>>());
        keeps(numbers().map(|n| n as f32 * 0.7).collect::<Vec<_>>());
        keeps(numbers().map(|n| f64::from(n) * -0.7).collect::<Vec<_>>());
        keeps(numbers().map(|n| Meters(n as f32)).collect::<Vec<_>>());
        keeps((numbers().map(|n| n as u8).collect::<Vec<_>>(), "beside".to_owned(), vec![Some(1_u8); 20]));
        // As flattened and untagged fields are read: without knowing their type.
        let row = BTreeMap::from([("row".to_owned(), numbers().map(|n| n as i32).collect::<Vec<_>>())]);
        keeps(Flat { rest: row });
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Flat {
    #[serde(flatten)]
    rest: BTreeMap<String, Vec<i32>>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(untagged)]
enum AnyNumber {
    Small(u8),
    Real(f64),
    Word(String),
}

// proves: serde-values, values-survive
#[test]
fn a_row_that_begins_with_numbers_of_one_kind_may_go_on_with_anything() {
    for place in [0, 1, 15, 16, 200, 8190] {
        let mut row = vec![AnyNumber::Small(200); 8200];
        row[place] = AnyNumber::Real(0.5);
        keeps_fast(&row);
        row[place] = AnyNumber::Word("word".into());
        keeps_fast(&row);
        row.truncate(place + 1);
        keeps_fast(&row);
    }
}

/// Checks that a long value arrives, and not at each of its lengths.
#[track_caller]
fn keeps_fast<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: &T) {
    let mut bytes = Vec::new();
    Described::encode(value, &mut bytes).unwrap();
    assert!(<Described as Codec<T>>::decode(&bytes).unwrap() == *value);
}

#[test]
fn a_text_that_is_none_is_refused_and_a_row_of_another_kind_is_read_as_the_numbers_that_it_holds() {
    let mut text = Vec::new();
    Described::encode(&"x".repeat(100), &mut text).unwrap();
    *text.last_mut().unwrap() = 0xff;
    assert!(<Described as Codec<String>>::decode_owned(text.clone(), 0).is_err());
    assert!(<Described as Codec<String>>::decode(&text).is_err());
    let mut bytes = Vec::new();
    Described::encode(&vec![7_i32; 40], &mut bytes).unwrap();
    assert_eq!(<Described as Codec<Vec<u64>>>::decode(&bytes).unwrap(), vec![7; 40]);
    assert_eq!(<Described as Codec<Vec<u8>>>::decode_owned(bytes.clone(), 0).unwrap(), vec![7; 40]);
    Described::encode(&vec![-7_i32; 40], &mut bytes).unwrap();
    assert!(<Described as Codec<Vec<u8>>>::decode(&bytes).is_err());
    assert_eq!(show(&bytes[..bytes.len() / 2], 9), "[7, 7, 7,…");
}

#[test]
fn enums_of_every_tagging() {
    keeps(vec![
        TaggedKind::Unit,
        TaggedKind::One(Box::new(None)),
        TaggedKind::One(Box::new(Some(TaggedKind::Unit))),
        TaggedKind::Two(-7, "a".into()),
        TaggedKind::Fields { a: 1, b: Some(()) },
    ]);
    let at = "::1".parse().unwrap();
    keeps(vec![
        Internal::Empty,
        Internal::Held(plain()),
        Internal::Fields { at, wait: Duration::from_micros(3), kind: TaggedKind::Fields { a: 1, b: None } },
    ]);
    keeps(vec![Adjacent::Empty, Adjacent::One(1), Adjacent::Two(1, -1)]);
    keeps(vec![
        Untagged::Number(-5),
        Untagged::Real(0.5),
        Untagged::Address(at),
        Untagged::Pair(true, Some(TaggedKind::Two(1, "b".into()))),
        Untagged::Fields { kind: TaggedKind::One(Box::new(Some(TaggedKind::Unit))) },
    ]);
}

#[test]
fn flattened_fields_and_maps() {
    let rest = BTreeMap::from([("n".to_owned(), Untagged::Number(3)), ("r".to_owned(), Untagged::Real(1.5))]);
    keeps(Outer { plain: plain(), rest, tail: () });
    keeps(BTreeMap::from([((1_u8, 'a'), None), ((2, 'b'), Some(TaggedKind::Unit))]));
}

#[test]
fn a_struct_that_skips_fields_is_no_shorter_map_than_it_says() {
    keeps(PlainStruct { name: String::new(), size: None, tags: Vec::new() });
}

#[test]
fn what_is_nested_too_deep_is_refused_by_both_sides() {
    let mut kind = TaggedKind::Unit;
    for _ in 0..DEPTH_MAX {
        kind = TaggedKind::One(Box::new(Some(kind)));
    }
    assert!(Described::encode(&kind, &mut Vec::new()).unwrap_err().to_string().contains("deeper"));
    let deep = vec![mark::SOME; 100_000];
    let read: Result<Option<TaggedKind>, _> = Described::decode(&deep);
    assert!(read.is_err());
}

#[test]
fn lengths_are_compared_with_what_is_there() {
    for bytes in [
        &[mark::SEQ, 0xff, 0xff, 0xff, 0xff, 0x0f][..],
        &[mark::TEXT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[mark::UINT + 3, 1, 2, 3],
        &[mark::NEGATIVE, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[mark::END],
        &[mark::NUMBERS],
        &[mark::NUMBERS, 8, 0],
        &[mark::NUMBERS, 0, 2, 1],
        &[mark::NUMBERS, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[mark::SHORT + 2, 0xff, 0xff],
        &[mark::SMALL, mark::SMALL],
        &[255],
    ] {
        assert!(<Described as Codec<Vec<String>>>::decode(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_value_is_shown_in_a_few_words() {
    let mut bytes = Vec::new();
    Described::encode(&(TaggedKind::Two(-7, "a\n".into()), Some(1.5), [TaggedKind::Unit]), &mut bytes)
        .unwrap();
    assert_eq!(show(&bytes, 60), r#"[Two([-7, "a\n"]), Some(1.5), [Unit]]"#);
    assert_eq!(show(&bytes, 9), "[Two([-7,…");
    assert_eq!(show(&[255], 9), "");
}
