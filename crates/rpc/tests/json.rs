//! Answers as JSON: the same bytes that serde_json writes.
#![allow(clippy::unwrap_used, reason = "a test may stop where something is wrong")]

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::Value;
use tongguan_rpc::{Format, RenderError, render};

fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, RenderError> {
    render(value, Format::Json, "")
}

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(rename = "RequestId")]
    id: String,
    #[serde(rename = "Items")]
    items: Vec<Item>,
    map: BTreeMap<String, Value>,
    pair: (i64, u64),
    none: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Item {
    name: String,
    number: i64,
    flag: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    letter: Option<char>,
}

/// Texts whose bytes that need an escape are anywhere, of all lengths around those that are looked at together.
fn texts() -> impl Strategy<Value = String> {
    let plain = vec(prop::sample::select(vec!['a', 'Z', ' ', '~', '\u{7f}', 'é', '网']), 0..40);
    let free = vec(any::<char>(), 0..40);
    let hard = vec(prop::sample::select(('\0'..' ').chain(['"', '\\', '/', 'a']).collect::<Vec<_>>()), 0..40);
    let letters = prop_oneof![plain, free, hard];
    (letters, any::<Option<(prop::sample::Index, char)>>()).prop_map(|(mut letters, other)| {
        if let Some((at, letter)) = other.filter(|_| !letters.is_empty()) {
            let at = at.index(letters.len());
            letters[at] = letter;
        }
        letters.into_iter().collect()
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(texts(), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn items() -> impl Strategy<Value = Item> {
    let parts = (texts(), any::<i64>(), any::<bool>(), any::<Option<char>>());
    parts.prop_map(|(name, number, flag, letter)| Item { name, number, flag, letter })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    /// A long text is not escaped again where it repeats.
    #[test]
    fn lists_of_texts_that_repeat_are_written_as_serde_json_writes_them(
        some in vec((texts(), 0..4_usize), 1..4),
        order in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let some: Vec<String> = some.into_iter().map(|(text, times)| text.repeat(times)).collect();
        let list: Vec<&String> = order.iter().map(|index| index.get(&some)).collect();
        prop_assert_eq!(to_vec(&list).unwrap(), serde_json::to_vec(&list).unwrap());
    }

    #[test]
    fn texts_are_written_as_serde_json_writes_them(text in texts()) {
        prop_assert_eq!(to_vec(&text).unwrap(), serde_json::to_vec(&text).unwrap());
    }

    #[test]
    fn answers_are_written_as_serde_json_writes_them(
        id in texts(),
        items in vec(items(), 0..5),
        map in btree_map(texts(), values(), 0..4),
        pair in any::<(i64, u64)>(),
        none in any::<Option<bool>>(),
    ) {
        let answer = Answer { id, items, map, pair, none };
        prop_assert_eq!(to_vec(&answer).unwrap(), serde_json::to_vec(&answer).unwrap());
    }
}

#[test]
fn every_byte_is_escaped_wherever_it_stands() {
    for byte in 0..=0x7f_u8 {
        for length in [1, 7, 8, 9, 15, 16, 17, 31, 33] {
            for at in 0..length {
                let mut text = "x".repeat(length);
                text.replace_range(at..=at, &char::from(byte).to_string());
                assert_eq!(to_vec(&text).unwrap(), serde_json::to_vec(&text).unwrap(), "{text:?}");
            }
        }
    }
}

#[test]
fn a_key_that_is_no_text_and_other_forms_are_refused() {
    assert!(to_vec(&BTreeMap::from([(1, 2)])).is_err());
    assert!(to_vec(&Ok::<u8, u8>(1)).is_err());
}
