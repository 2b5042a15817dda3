//! A second evaluator, written from `docs/api/ram-policy.md` alone: it walks the JSON of the
//! documents, shares nothing with the crate, knows no index and no shortcut. It is slow and
//! expects well-formed documents. What the page marks as a proposal it takes as it stands there.

use std::collections::BTreeMap;

use serde_json::Value;
use tongguan_model::policy::Decision;

/// A call: condition keys as the caller spells them, with their values.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub action: String,
    pub resource: String,
    pub context: BTreeMap<String, Vec<String>>,
}

/// A caller of AssumeRole.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// `user`, `role` or `service`.
    pub kind: &'static str,
    pub account: String,
    pub name: String,
}

/// Evaluation of one set: Deny, else Allow, else nothing.
pub(crate) fn decide(policies: &[Value], call: &Call) -> Decision {
    combine(policies, |statement| {
        action_covered(statement, &call.action)
            && several(&statement["Resource"]).iter().any(|r| resource_covered(r, &call.resource))
            && conditions_hold(statement, &call.context)
    })
}

/// The same for a trust policy.
pub(crate) fn decide_trust(policy: &Value, call: &Call, caller: &Caller) -> Decision {
    combine(std::slice::from_ref(policy), |statement| {
        action_covered(statement, &call.action)
            && trusted(&statement["Principal"], caller)
            && conditions_hold(statement, &call.context)
    })
}

fn combine(policies: &[Value], applies: impl Fn(&Value) -> bool) -> Decision {
    let mut effects = Vec::new();
    for policy in policies {
        for statement in policy["Statement"].as_array().unwrap() {
            if applies(statement) {
                effects.push(statement["Effect"].as_str().unwrap());
            }
        }
    }
    if effects.contains(&"Deny") {
        Decision::ExplicitDeny
    } else if effects.contains(&"Allow") {
        Decision::Allow
    } else {
        Decision::ImplicitDeny
    }
}

fn action_covered(statement: &Value, action: &str) -> bool {
    let listed = |member: &str| {
        several(&statement[member])
            .iter()
            .any(|p| like(&p.to_ascii_lowercase(), &action.to_ascii_lowercase()))
    };
    if statement.get("NotAction").is_some() { !listed("NotAction") } else { listed("Action") }
}

/// RAM's own resources without case and without region, others as given.
fn resource_covered(pattern: &str, resource: &str) -> bool {
    let lower = resource.to_ascii_lowercase();
    if !lower.starts_with("acs:ram:") {
        return like(pattern, resource);
    }
    let without_region = match lower.strip_prefix("acs:ram:*:") {
        Some(rest) => format!("acs:ram::{rest}"),
        None => lower,
    };
    like(&pattern.to_ascii_lowercase(), &without_region)
}

fn trusted(principal: &Value, caller: &Caller) -> bool {
    let service = several(&principal["Service"]);
    if caller.kind == "service" {
        return service.iter().any(|name| name.eq_ignore_ascii_case(&caller.name));
    }
    let names = [
        format!("acs:ram::{}:root", caller.account),
        format!("acs:ram::{}:{}/{}", caller.account, caller.kind, caller.name),
    ];
    several(&principal["RAM"]).iter().any(|listed| {
        let listed = listed.replace("acs:ram:*:", "acs:ram::").to_ascii_lowercase();
        names.iter().any(|name| name.to_ascii_lowercase() == listed)
    })
}

/// Strings of a value that is absent, alone or in an array.
fn several(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().flat_map(several).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

/// `*` any number of characters, `?` exactly one: a table of which prefix matches which.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let mut table = vec![vec![false; text.len() + 1]; pattern.len() + 1];
    table[0][0] = true;
    for p in 1..=pattern.len() {
        for t in 0..=text.len() {
            table[p][t] = match pattern[p - 1] {
                '*' => table[p - 1][t] || (t > 0 && table[p][t - 1]),
                '?' => t > 0 && table[p - 1][t - 1],
                letter => t > 0 && table[p - 1][t - 1] && letter == text[t - 1],
            };
        }
    }
    table[pattern.len()][text.len()]
}

fn conditions_hold(statement: &Value, context: &BTreeMap<String, Vec<String>>) -> bool {
    let Some(operators) = statement.get("Condition").and_then(Value::as_object) else { return true };
    operators.iter().all(|(operator, keys)| {
        keys.as_object().unwrap().iter().all(|(key, listed)| {
            let given: Vec<&String> = context
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(key))
                .flat_map(|(_, values)| values)
                .collect();
            condition_holds(operator, &several(listed), &given)
        })
    })
}

fn condition_holds(operator: &str, listed: &[String], given: &[&String]) -> bool {
    let any = |test: &dyn Fn(&str, &str) -> bool| given.iter().any(|g| listed.iter().any(|l| test(g, l)));
    match operator {
        "StringEquals" => any(&|g, l| g == l),
        "StringNotEquals" => !any(&|g, l| g == l),
        "StringEqualsIgnoreCase" => any(&|g, l| g.to_lowercase() == l.to_lowercase()),
        "StringNotEqualsIgnoreCase" => !any(&|g, l| g.to_lowercase() == l.to_lowercase()),
        "StringLike" => any(&|g, l| like(l, g)),
        "StringNotLike" => !any(&|g, l| like(l, g)),
        "NumericEquals" => any(&|g, l| numbers(g, l, |g, l| g == l)),
        "NumericNotEquals" => !any(&|g, l| numbers(g, l, |g, l| g == l)),
        "NumericLessThan" => any(&|g, l| numbers(g, l, |g, l| g < l)),
        "NumericLessThanEquals" => any(&|g, l| numbers(g, l, |g, l| g <= l)),
        "NumericGreaterThan" => any(&|g, l| numbers(g, l, |g, l| g > l)),
        "NumericGreaterThanEquals" => any(&|g, l| numbers(g, l, |g, l| g >= l)),
        "DateEquals" => any(&|g, l| dates(g, l, |g, l| g == l)),
        "DateNotEquals" => !any(&|g, l| dates(g, l, |g, l| g == l)),
        "DateLessThan" => any(&|g, l| dates(g, l, |g, l| g < l)),
        "DateLessThanEquals" => any(&|g, l| dates(g, l, |g, l| g <= l)),
        "DateGreaterThan" => any(&|g, l| dates(g, l, |g, l| g > l)),
        "DateGreaterThanEquals" => any(&|g, l| dates(g, l, |g, l| g >= l)),
        "Bool" => any(&|g, l| {
            let (g, l) = (g.to_lowercase(), l.to_lowercase());
            (g == "true" || g == "false") && g == l
        }),
        "IpAddress" => any(&in_block),
        "NotIpAddress" => !any(&in_block),
        other => panic!("{other} is no operator"),
    }
}

fn numbers(given: &str, listed: &str, test: impl Fn(i128, i128) -> bool) -> bool {
    match (number(given), number(listed)) {
        (Some(given), Some(listed)) => test(given, listed),
        _ => false,
    }
}

/// In millionths; more digits do not occur in the tests.
fn number(text: &str) -> Option<i128> {
    let (sign, text) = match text.chars().next()? {
        '-' => (-1, &text[1..]),
        '+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut parts = text.split('.');
    let whole = parts.next()?;
    let fraction = parts.next();
    let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if parts.next().is_some() || !plain(whole) || fraction.is_some_and(|fraction| !plain(fraction)) {
        return None;
    }
    let fraction = fraction.unwrap_or("0");
    assert!(fraction.len() <= 6, "{text}");
    let millionths: i128 = format!("{fraction:0<6}").parse().unwrap();
    Some(sign * (whole.parse::<i128>().unwrap() * 1_000_000 + millionths))
}

fn dates(given: &str, listed: &str, test: impl Fn(i128, i128) -> bool) -> bool {
    match (moment(given), moment(listed)) {
        (Some(given), Some(listed)) => test(given, listed),
        _ => false,
    }
}

/// Nanoseconds since the beginning of the year 0, in UTC.
fn moment(text: &str) -> Option<i128> {
    let letters: Vec<char> = text.chars().collect();
    let field = |from: usize, to: usize| -> Option<i128> {
        let part: String = letters.get(from..to)?.iter().collect();
        if part.chars().all(|c| c.is_ascii_digit()) { part.parse().ok() } else { None }
    };
    let is = |at: usize, letter: char| letters.get(at) == Some(&letter);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute) = (field(11, 13)?, field(14, 16)?);
    if !(is(4, '-') && is(7, '-') && is(10, 'T') && is(13, ':')) {
        return None;
    }
    let (mut second, mut nanoseconds, mut at) = (0, 0, 16);
    if is(at, ':') {
        second = field(17, 19)?;
        at = 19;
        if is(at, '.') {
            let digits: String = letters[20..].iter().take_while(|c| c.is_ascii_digit()).collect();
            if digits.is_empty() || digits.len() > 9 {
                return None;
            }
            at = 20 + digits.len();
            nanoseconds = format!("{digits:0<9}").parse().ok()?;
        }
    }
    let zone: String = letters[at..].iter().collect();
    let offset = match zone.replace(':', "") {
        zone if zone == "Z" => 0,
        zone if zone.len() == 5 && (zone.starts_with('+') || zone.starts_with('-')) => {
            let (hours, minutes): (i128, i128) = (zone[1..3].parse().ok()?, zone[3..].parse().ok()?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if zone.starts_with('-') { -60 } else { 60 }
        }
        _ => return None,
    };
    let leap = |year: i128| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let months = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let in_month = *months.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if !(1..=in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let years: i128 = (0..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let days = years + months[..usize::try_from(month).unwrap() - 1].iter().sum::<i128>() + day - 1;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second - offset) * 1_000_000_000 + nanoseconds)
}

/// Whether an address is in a block, or is that address; compared bit by bit.
fn in_block(given: &str, block: &str) -> bool {
    let (address, length) = match block.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<usize>().unwrap())),
        None => (block, None),
    };
    let (Some(given), Some(address)) = (bits(given), bits(address)) else { return false };
    let length = length.unwrap_or(address.len());
    // An IPv4 address in the clothes of an IPv6 one is that IPv4 address.
    let (given, _) = bare(given, 128);
    let (address, length) = bare(address, length);
    given.len() == address.len() && given[..length] == address[..length]
}

fn bare(address: Vec<bool>, length: usize) -> (Vec<bool>, usize) {
    let mapped = address.len() == 128
        && address[..80].iter().all(|bit| !bit)
        && address[80..96].iter().all(|bit| *bit)
        && length >= 96;
    if mapped { (address[96..].to_vec(), length - 96) } else { (address, length) }
}

fn bits(text: &str) -> Option<Vec<bool>> {
    let groups = |text: &str| -> Option<Vec<u16>> {
        if text.is_empty() {
            return Some(Vec::new());
        }
        let mut numbers = Vec::new();
        for part in text.split(':') {
            if part.contains('.') {
                let v4 = quad(part)?;
                numbers.push(u16::from(v4[0]) * 256 + u16::from(v4[1]));
                numbers.push(u16::from(v4[2]) * 256 + u16::from(v4[3]));
            } else if part.len() <= 4 {
                numbers.push(u16::from_str_radix(part, 16).ok()?);
            } else {
                return None;
            }
        }
        Some(numbers)
    };
    let spread = |value: u32, width: u32| (0..width).rev().map(move |bit| value >> bit & 1 == 1);
    if !text.contains(':') {
        return Some(quad(text)?.iter().flat_map(|byte| spread(u32::from(*byte), 8)).collect());
    }
    let all = match text.split_once("::") {
        Some((before, after)) => {
            let (before, after) = (groups(before)?, groups(after)?);
            let zeros = 8usize.checked_sub(before.len() + after.len())?;
            [before, vec![0; zeros], after].concat()
        }
        None => groups(text)?,
    };
    (all.len() == 8).then(|| all.iter().flat_map(|group| spread(u32::from(*group), 16)).collect())
}

fn quad(text: &str) -> Option<[u8; 4]> {
    let numbers: Vec<u8> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}
