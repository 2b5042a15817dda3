//! Names on the wire as Rust has them.

/// Words of the API that are one word, as it does not write them.
const WORDS: [(&str, &str); 4] =
    [("VSwitch", "Vswitch"), ("VRouter", "Vrouter"), ("IPsec", "Ipsec"), ("VPN", "Vpn")];

/// `VpnGatewayId` → `vpn_gateway_id`.
pub(crate) fn field(wire: &str) -> String {
    let mut wire = wire.to_owned();
    for (word, one) in WORDS {
        wire = wire.replace(word, one);
    }
    let letters: Vec<char> = wire.chars().collect();
    let mut name = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(at + 1);
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                !before.is_ascii_uppercase() && before != '_' || after.is_some_and(char::is_ascii_lowercase)
            });
        if begins && !name.ends_with('_') {
            name.push('_');
        }
        if letter.is_ascii_alphanumeric() || *letter == '_' {
            name.push(letter.to_ascii_lowercase());
        } else {
            name.push('_');
        }
    }
    match name.as_str() {
        "type" | "as" | "in" | "ref" | "use" | "match" | "move" | "mod" => format!("r#{name}"),
        _ => name,
    }
}

/// A doc comment of lines that fit a window.
pub(crate) fn comment(text: &str) -> String {
    const WIDTH: usize = 100;
    let (mut comment, mut line) = (String::new(), String::new());
    // What stands in angle brackets is a slot, and no tag of HTML.
    let text = text.replace('<', r"\<");
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
            comment.push_str(&format!("/// {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    comment.push_str(&format!("/// {line}\n"));
    comment
}

/// `DescribeVSwitches` → `DESCRIBE_VSWITCHES`.
pub(crate) fn constant(action: &str) -> String {
    field(action).to_uppercase()
}

/// The type of an operation's input.
pub(crate) fn type_name(action: &str) -> String {
    action.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_where_a_reader_would() {
        for (wire, name) in [
            ("VpnGatewayId", "vpn_gateway_id"),
            ("VSwitchId", "vswitch_id"),
            ("DisasterRecoveryVSwitchId", "disaster_recovery_vswitch_id"),
            ("Ipv6CidrBlock", "ipv6_cidr_block"),
            ("MFADevice", "mfa_device"),
            ("Type", "r#type"),
            ("RequestId", "request_id"),
            ("EnableDNS", "enable_dns"),
        ] {
            assert_eq!(field(wire), name);
        }
        assert_eq!(constant("UnTagResources"), "UN_TAG_RESOURCES");
    }
}
