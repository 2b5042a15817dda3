//! What can be wrong with a parameter.

use tongguan_service::operation::{Parameter, Shape};

/// Parameters as on the wire.
pub(crate) type Parameters = Vec<(String, String)>;

/// Whether a name on the wire belongs to a parameter: it itself, or an item of its list.
pub(crate) fn is_of(name: &str, parameter: &str) -> bool {
    name.strip_prefix(parameter).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The parameters without this one.
pub(crate) fn without(parameters: &[(String, String)], parameter: &str) -> Parameters {
    parameters.iter().filter(|(name, _)| !is_of(name, parameter)).cloned().collect()
}

/// The parameters with this one in place of what they have of it.
pub(crate) fn with(parameters: &[(String, String)], parameter: &str, value: &Parameters) -> Parameters {
    let mut changed = without(parameters, parameter);
    changed.extend(value.iter().cloned());
    changed
}

/// Values that are wrong, or nearly: empty, not of its type, too long, outside of every range, no known word.
pub(crate) fn values(parameter: &Parameter, good: Option<&str>) -> Vec<Parameters> {
    let name = parameter.name;
    let plain = |values: &[&str]| -> Vec<Parameters> {
        values.iter().map(|value| vec![(name.to_owned(), (*value).to_owned())]).collect()
    };
    match parameter.shape {
        Shape::Text => {
            let mut all = plain(TEXTS);
            // As it should be, but for the case of its letters, a blank, or a letter more.
            if let Some(good) = good.filter(|good| good.len() < 100) {
                all.extend(plain(&[&format!("{good} "), &format!("{good}x")]));
                if !good.contains("${") {
                    all.extend(plain(&[&good.to_uppercase(), &good.to_lowercase()]));
                    all.retain(|value| value[0].1 != good);
                }
            }
            all
        }
        Shape::Integer => plain(INTEGERS),
        Shape::Boolean => plain(BOOLEANS),
        Shape::Json => {
            let mut all = plain(DOCUMENTS);
            let tags: Vec<_> = (1..=21).map(|number| format!("{{\"Key\":\"{number}\"}}")).collect();
            all.extend(plain(&[&format!("[{}]", tags.join(","))]));
            all
        }
        Shape::List => lists(name, good),
        Shape::Tags => tags(name),
        Shape::Structures => structures(name),
    }
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "nonsense",
    "x",
    "a b",
    "通关",
    "http://x",
    "<a>&\"'\u{7}\n",
    "${65*a}",
    "${129*a}",
    "${257*a}",
    "${2000*a}",
];
const INTEGERS: &[&str] = &[
    "",
    "nonsense",
    "-1",
    "0",
    "1",
    "+5",
    "1.5",
    " 5",
    "007",
    "51",
    "101",
    "1001",
    "100000",
    "18446744073709551615",
    "18446744073709551616",
];
const BOOLEANS: &[&str] = &["", "nonsense", "1", "TRUE", "False", "true ", "${300*a}"];
const DOCUMENTS: &[&str] = &[
    "",
    "nonsense",
    "{",
    "{}",
    "[]",
    "null",
    "[1]",
    "[\"\"]",
    "[\"a..b\"]",
    "[\"nonsense\",\"nonsense\"]",
    "[\"Ü\",\"${129*a}\"]",
    "[${20*\"a\",}\"a\"]",
    "[${50*\"a\",}\"a\"]",
    "[{\"Key\":\"k\"}]",
    "[{\"Value\":\"v\"}]",
    "[{\"Key\":\"\",\"Value\":\"v\"}]",
    "[{\"Key\":\"acs:k\",\"Value\":\"v\"}]",
    "[{\"Key\":\"${129*k}\",\"Value\":\"v\"}]",
    "[{\"Key\":\"k\",\"Value\":\"${129*v}\"}]",
    "[{\"Key\":\"k\",\"Value\":\"v\"},{\"Key\":\"K\",\"Value\":\"w\"}]",
    "[{\"Key\":1,\"Value\":2}]",
    "{\"Version\":\"1\"}",
    "{\"Version\":\"2\",\"Statement\":[]}",
    "{\"Version\":\"1\",\"Statement\":[]}",
    "{\"Version\":\"1\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"nonsense\",\"Resource\":\"*\"}]}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"vpc:*\",\"Resource\":\"nonsense\"}]}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"vpc:*\"}]}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"vpc:DescribeNothing\",\"Resource\":\"*\"}]}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":{\"Nonsense\":{\"a\":\"b\"}}}]}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Nonsense\":1}]}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{\"RAM\":\"nonsense\"}}]}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{\"RAM\":\"acs:ram::1234567890123456:user/nothing-here\"}}]}",
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\",\"Principal\":{\"Service\":\"ecs.aliyuncs.com\"}}]}",
    "${7000*a}",
];

fn lists(name: &str, good: Option<&str>) -> Vec<Parameters> {
    let item = |index: &str, value: &str| (format!("{name}.{index}"), value.to_owned());
    let many = |number: usize| (1..=number).map(|index| item(&index.to_string(), "nonsense")).collect();
    let good = good.unwrap_or("nonsense");
    vec![
        vec![(name.to_owned(), "nonsense".to_owned())],
        vec![item("1", "")],
        vec![item("1", "nonsense")],
        vec![item("1", "${129*a}")],
        vec![item("0", "nonsense")],
        vec![item("01", good)],
        vec![item("x", "nonsense")],
        vec![item("1.Key", "nonsense")],
        vec![item("3", good)],
        vec![item("1", good), item("2", good)],
        vec![item("1", good), item("2", "nonsense")],
        vec![item("1", good), item("2", "")],
        many(20),
        many(21),
        many(51),
    ]
}

fn tags(name: &str) -> Vec<Parameters> {
    let member =
        |index: usize, member: &str, value: &str| (format!("{name}.{index}.{member}"), value.to_owned());
    let one = |key: &str, value: &str| vec![member(1, "Key", key), member(1, "Value", value)];
    let many = |number| (1..=number).map(|index| member(index, "Key", &format!("k{index}"))).collect();
    vec![
        vec![(name.to_owned(), "nonsense".to_owned())],
        vec![(format!("{name}.1"), "nonsense".to_owned())],
        vec![member(1, "Key", "k")],
        vec![member(1, "Value", "v")],
        one("", "v"),
        one("k", ""),
        one("none", "none"),
        one("acs:k", "v"),
        one("aliyun", "v"),
        one("http://k", "v"),
        one("k", "https://v"),
        one("${129*k}", "v"),
        one("k", "${129*v}"),
        vec![member(1, "Key", "k"), member(2, "Key", "k")],
        vec![member(1, "Key", "k"), member(2, "Key", "K")],
        vec![member(1, "Key", "k"), member(1, "Nonsense", "x")],
        vec![member(0, "Key", "k")],
        many(20),
        many(21),
    ]
}

fn structures(name: &str) -> Vec<Parameters> {
    let member =
        |index: usize, member: &str, value: &str| (format!("{name}.{index}.{member}"), value.to_owned());
    vec![
        vec![(name.to_owned(), "nonsense".to_owned())],
        vec![(format!("{name}.1"), "nonsense".to_owned())],
        vec![member(0, "Nonsense", "x")],
        vec![member(1, "Nonsense", "x")],
        vec![member(1, "Nonsense.Nonsense", "x"), member(2, "Nonsense", "x")],
        vec![member(1, "Nonsense", "x"), member(2, "Nonsense", "x"), member(3, "Nonsense", "x")],
    ]
}
