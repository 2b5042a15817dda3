//! The wildcards of actions, resources and `StringLike`.
//!
//! `*` stands for any number of characters, also none, also `:` and `/`; `?` for
//! exactly one. A match never needs to reconsider any `*` but the last, so the
//! work is bounded by pattern length times text length and no pattern makes it
//! explode.

use std::str::Chars;

/// Whether letters of different case are the same; only ASCII letters are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Exact,
    Ignored,
}

/// Whether `pattern` matches the whole of `text`.
pub(super) fn matches(pattern: &str, text: &str, case: Case) -> bool {
    let (mut wanted, mut given) = (pattern.chars(), text.chars());
    // What follows the last `*` seen, and the text from where it was tried last.
    let mut retry: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        match wanted.next() {
            Some('*') => {
                retry = Some((wanted.clone(), given.clone()));
                continue;
            }
            Some(want) => match given.next() {
                Some(got) if want == '?' || same(want, got, case) => continue,
                Some(_) => {}
                // Whatever `*` took before, too little text is left.
                None => return false,
            },
            None if given.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after_star, rest)) = &mut retry else { return false };
        if rest.next().is_none() {
            return false;
        }
        (wanted, given) = (after_star.clone(), rest.clone());
    }
}

fn same(a: char, b: char, case: Case) -> bool {
    match case {
        Case::Exact => a == b,
        Case::Ignored => a.eq_ignore_ascii_case(&b),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "acs:vpc:*:*:*", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("?", "", false),
            ("?", "网", true),
            ("??", "网", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*b*c", "a:x/b:y/c", true),
            ("a*b*c", "acb", false),
            ("*ab", "aab", true),
            ("*?b", "b", false),
            ("**", "x", true),
            ("vpc:*Vpn*", "vpc:DescribeVpnGateway", true),
            ("vpc:*Vpn*", "vpc:DescribeVpcs", false),
        ] {
            assert_eq!(matches(pattern, text, Case::Exact), expected, "{pattern} {text}");
        }
        assert!(matches("VPC:describe*", "vpc:DescribeVpcs", Case::Ignored));
        assert!(!matches("VPC:describe*", "vpc:DescribeVpcs", Case::Exact));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "*a".repeat(3_000);
        let text = "a".repeat(2_999) + "b";
        assert!(!matches(&pattern, &text, Case::Exact));
        let pattern = "a*".repeat(2_000) + "c";
        assert!(!matches(&pattern, &"a".repeat(6_000), Case::Exact));
    }

    /// The definition, straight and exponential.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skip| reference(rest, &text[skip..])),
            [want, rest @ ..] => text
                .split_first()
                .is_some_and(|(got, tail)| (*want == '?' || want == got) && reference(rest, tail)),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?网]{0,8}", text in "[ab网]{0,10}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text, Case::Exact), reference(&p, &t));
        }

        #[test]
        fn every_text_matches_itself_and_the_star(text in "[^*?]{0,40}") {
            prop_assert!(matches(&text, &text, Case::Exact));
            prop_assert!(matches("*", &text, Case::Exact));
            let around = format!("*{text}*");
            prop_assert!(matches(&around, &text, Case::Ignored));
        }
    }
}
