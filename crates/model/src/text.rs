//! What names, descriptions, tags and client tokens may look like.
//!
//! Pure predicates; the operation that calls one chooses the error code. All
//! lengths are counted in characters, not bytes. Prefixes are compared as the
//! documents print them, in lower case.
//!
//! Where the documents leave the characters open, control characters are still
//! refused: an answer in XML 1.0 cannot carry them.

/// Name of a VPN gateway: 2 to 128 characters, the first an ASCII or Chinese
/// letter, then ASCII or Chinese letters, digits, `_`, `-` and `.`.
///
/// The current pages say 2 to 100 ASCII characters. Those of 2021 said 2 to 128
/// and allowed Chinese letters; older clients may still send such names, so the
/// wider rule holds. The documented ban on `http://` and `https://` at the
/// beginning needs no check of its own, as neither `:` nor `/` is allowed.
#[must_use]
pub fn gateway_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || is_chinese_letter(c);
    let rest = |c: char| letter(c) || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    name.starts_with(letter) && name.chars().all(rest) && length_within(name, 2, 128)
}

/// Description of a VPN gateway: 1 to 100 characters (documented).
#[must_use]
pub fn gateway_description(description: &str) -> bool {
    length_within(description, 1, 100) && description.chars().all(fits_prose)
}

/// Name of a customer gateway or an IPsec connection: 1 to 128 characters, not beginning with `http://` or `https://`.
///
/// The current pages say 1 to 100 characters, those of 2021 said 2 to 128: older clients may still send such names.
#[must_use]
pub fn peer_name(name: &str) -> bool {
    vpc_name(name)
}

/// Description of a customer gateway: 1 to 256 characters (100 on the current pages), not beginning with `http://` or
/// `https://`.
#[must_use]
pub fn peer_description(description: &str) -> bool {
    vpc_description(description)
}

/// Description of a route: 1 to 100 characters, not beginning with `http://` or `https://` (documented).
#[must_use]
pub fn route_description(description: &str) -> bool {
    length_within(description, 1, 100) && !begins_with_url(description) && description.chars().all(fits_prose)
}

/// Key of BGP sessions: 1 to 64 ASCII characters, neither blanks nor question marks.
#[must_use]
pub fn bgp_key(key: &str) -> bool {
    (1..=64).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?')
}

/// Name of a VPC or vSwitch: 1 to 128 characters, not beginning with `http://` or `https://`.
#[must_use]
pub fn vpc_name(name: &str) -> bool {
    length_within(name, 1, 128) && !begins_with_url(name) && name.chars().all(fits_line)
}

/// Description of a VPC or vSwitch: 1 to 256 characters, not beginning with `http://` or `https://`.
#[must_use]
pub fn vpc_description(description: &str) -> bool {
    length_within(description, 1, 256) && !begins_with_url(description) && description.chars().all(fits_prose)
}

/// Key of a tag: 1 to 128 characters, not beginning with `aliyun` or `acs:`
/// (kept for the vendor) and without `http://` or `https://` anywhere.
#[must_use]
pub fn tag_key(key: &str) -> bool {
    length_within(key, 1, 128) && tag_text(key)
}

/// Identifier of a resource group: 2 to 50 ASCII letters, digits and hyphens, first a letter.
#[must_use]
pub fn resource_group_name(name: &str) -> bool {
    (2..=50).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Display name of a resource group: 1 to 50 characters.
#[must_use]
pub fn resource_group_display_name(name: &str) -> bool {
    length_within(name, 1, 50)
}

/// Id of a resource group: `rg-`, then 1 to 61 lower-case ASCII letters and digits. Nothing is published of its form
/// but the prefix; those that are printed look so.
#[must_use]
pub fn resource_group_id(id: &str) -> bool {
    id.strip_prefix("rg-").is_some_and(|rest| {
        (1..=61).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

/// Value of a tag on a role or policy: as [`tag_value`], up to 256 characters.
#[must_use]
pub fn ram_tag_value(value: &str) -> bool {
    length_within(value, 0, 256) && tag_text(value)
}

/// Value of a tag: as [`tag_key`], but it may be empty.
#[must_use]
pub fn tag_value(value: &str) -> bool {
    length_within(value, 0, 128) && tag_text(value)
}

/// Name of an uploaded certificate: 1 to 64 characters in one line.
#[must_use]
pub fn certificate_name(name: &str) -> bool {
    length_within(name, 1, 64) && name.chars().all(fits_line)
}

/// Name of a certificate request: 1 to 50 ASCII letters, digits, `_`, `-` and `.`.
#[must_use]
pub fn csr_name(name: &str) -> bool {
    (1..=50).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// What a list is searched for: 1 to 253 characters, as many as a domain name may have.
#[must_use]
pub fn keyword(text: &str) -> bool {
    length_within(text, 1, 253)
}

/// ClientToken: 1 to 64 printable ASCII characters (space to `~`). The documents
/// say at most 64 ASCII characters; an empty token is no token.
#[must_use]
pub fn client_token(token: &str) -> bool {
    (1..=64).contains(&token.len()) && token.bytes().all(|b| (b' '..=b'~').contains(&b))
}

fn tag_text(text: &str) -> bool {
    !text.starts_with("aliyun")
        && !text.starts_with("acs:")
        && !text.contains("http://")
        && !text.contains("https://")
        && text.chars().all(fits_line)
}

fn begins_with_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Stops counting after `max` characters, whatever the length of `text`.
fn length_within(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.chars().take(max + 1).count())
}

/// Whether a character can be part of one line of an XML document.
#[must_use]
pub fn fits_line(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// As [`fits_line`], and tabs and line feeds too.
#[must_use]
pub fn fits_prose(c: char) -> bool {
    fits_line(c) || matches!(c, '\t' | '\n')
}

/// Han ideographs: the unified block, its extensions, the compatibility blocks and zero.
fn is_chinese_letter(c: char) -> bool {
    matches!(c,
        '\u{3007}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3347f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks `accept` on both sides of the length limits, in one- and three-byte characters.
    fn check_lengths(accept: fn(&str) -> bool, min: usize, max: usize, fill: &str) {
        for (length, expected) in [(min.wrapping_sub(1), false), (min, true), (max, true), (max + 1, false)] {
            if length != usize::MAX {
                assert_eq!(accept(&fill.repeat(length)), expected, "{length} of {fill}");
            }
        }
    }

    #[test]
    fn lengths_are_in_characters() {
        for fill in ["a", "网"] {
            check_lengths(gateway_name, 2, 128, fill);
            check_lengths(gateway_description, 1, 100, fill);
            check_lengths(vpc_name, 1, 128, fill);
            check_lengths(vpc_description, 1, 256, fill);
            check_lengths(tag_key, 1, 128, fill);
            check_lengths(tag_value, 0, 128, fill);
            check_lengths(ram_tag_value, 0, 256, fill);
        }
        check_lengths(client_token, 1, 64, "a");
    }

    #[test]
    fn gateway_names() {
        for good in ["vpn-1", "V2", "a_b.c-d", "国密网关-1", "〇一"] {
            assert!(gateway_name(good), "{good}");
        }
        for bad in ["1vpn", "_vpn", "-a", ".a", "a b", "http://a", "https://a", "a/b", "ab\n", "éa", "a１"]
        {
            assert!(!gateway_name(bad), "{bad}");
        }
    }

    #[test]
    fn urls_may_not_begin_a_name() {
        for accept in [vpc_name, vpc_description] {
            assert!(!accept("http://x"));
            assert!(!accept("https://x"));
            assert!(accept("see http://x"));
            assert!(accept("httpx"));
        }
        assert!(gateway_description("http://x"));
    }

    #[test]
    fn tags() {
        for accept in [tag_key, tag_value] {
            for good in ["FinanceDept", "成本中心", "x-aliyun", "ACS", "acs", "a b"] {
                assert!(accept(good), "{good}");
            }
            for bad in ["aliyun", "aliyun-x", "acs:x", "see http://x", "https://", "a\nb", "\u{fffe}"] {
                assert!(!accept(bad), "{bad}");
            }
        }
    }

    #[test]
    fn control_characters() {
        assert!(gateway_description("two\nlines\tand a tab"));
        assert!(vpc_description("two\nlines"));
        for bad in ["a\0", "a\u{1b}", "a\r", "a\u{ffff}"] {
            assert!(!gateway_description(bad) && !vpc_description(bad) && !vpc_name(bad));
        }
        assert!(!vpc_name("two\nlines"));
    }

    #[test]
    fn keys_of_bgp_sessions() {
        check_lengths(bgp_key, 1, 64, "k");
        assert!(bgp_key("AuthKey!#~"));
        for bad in ["a b", "what?", "\t", "钥", "a\u{7f}"] {
            assert!(!bgp_key(bad), "{bad:?}");
        }
    }

    #[test]
    fn client_tokens() {
        assert!(client_token("123e4567-e89b-12d3-a456-426655440000"));
        assert!(client_token(" ~"));
        for bad in ["", "令", "a\t", "a\u{7f}"] {
            assert!(!client_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn tags_of_roles_are_longer_and_no_freer() {
        for bad in ["aliyun", "acs:x", "see http://x", "https://", "a\n"] {
            assert!(!ram_tag_value(bad), "{bad}");
            assert!(!tag_value(bad), "{bad}");
        }
        assert!(ram_tag_value("x aliyun acs: http:/"));
    }

    #[test]
    fn resource_group_ids() {
        let longest = format!("rg-{}", "a".repeat(61));
        for good in ["rg-a", "rg-7", "rg-acfmxazb4ph6aiy", longest.as_str()] {
            assert!(resource_group_id(good), "{good}");
        }
        let longer = format!("{longest}a");
        for bad in ["", "rg", "rg-", "RG-a", "acfm", "rg-A", "rg-a_b", "rg-a-b", "rg-网", longer.as_str()] {
            assert!(!resource_group_id(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn accepted_texts_survive_xml(text in any::<String>()) {
            let accepted = gateway_name(&text) || gateway_description(&text) || vpc_name(&text)
                || vpc_description(&text) || tag_key(&text) || tag_value(&text) || client_token(&text);
            let carried = text.chars().all(|c| matches!(c,
                '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..));
            prop_assert!(!accepted || carried);
        }

        #[test]
        fn documented_gateway_names_pass(name in "[A-Za-z][A-Za-z0-9_.-]{1,99}") {
            prop_assert!(gateway_name(&name));
        }
    }
}
