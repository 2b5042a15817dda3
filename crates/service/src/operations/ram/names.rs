//! What names and texts of product Ram may look like, and the refusal for each way of breaking a rule.
//!
//! Source: the operation files in `docs/api/ram/` and `docs/api/ram-policy.md`, section 4. Lengths are in characters.
//! Where the documents leave the characters open, control characters are still refused: an answer in XML 1.0 cannot
//! carry them.

use tongguan_model::text;

use crate::args::Args;
use crate::catalogue::{self as c, Refusal};
use crate::operation::{Parameter, Shape, required};

/// `UserName`, required.
pub const USER_NAME: Parameter = required(
    "UserName",
    Shape::Text,
    "Name of the RAM user: 1 to 64 ASCII letters, digits, periods, hyphens and underscores.",
);
/// `GroupName`, required.
pub const GROUP_NAME: Parameter = required(
    "GroupName",
    Shape::Text,
    "Name of the group: 1 to 64 ASCII letters, digits, periods, hyphens and underscores.",
);
/// A rule for a name or a text.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Characters at most; at least one.
    pub most: usize,
    /// Whether it may hold this character.
    pub allows: fn(char) -> bool,
}

/// Names of users and groups.
pub const PLAIN_NAME: Rule =
    Rule { most: 64, allows: |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') };
/// Names of roles.
pub const ROLE_NAME: Rule =
    Rule { most: 64, allows: |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-') };
/// Names of policies.
pub const POLICY_NAME: Rule = Rule { most: 128, allows: |c| c.is_ascii_alphanumeric() || c == '-' };
/// Display names of users.
pub const DISPLAY_NAME: Rule = Rule { most: 128, allows: text::fits_line };
/// Comments of users and groups.
pub const COMMENTS: Rule = Rule { most: 128, allows: text::fits_prose };
/// Descriptions of roles and policies.
pub const DESCRIPTION: Rule = Rule { most: 1024, allows: text::fits_prose };

impl Rule {
    /// The refusal for a value that breaks the rule.
    ///
    /// # Errors
    /// `InvalidParameter.<Param>.Length` or `InvalidParameter.<Param>.InvalidChars`.
    pub fn check(self, name: &'static str, value: &str) -> Result<(), Refusal> {
        if value.is_empty() || value.chars().nth(self.most).is_some() {
            return Err(too_long(name));
        }
        if value.chars().all(self.allows) { Ok(()) } else { Err(bad_characters(name)) }
    }
}

/// The parameter's value, which keeps the rule; empty counts as absent.
///
/// # Errors
/// As [`Rule::check`].
pub fn checked<'a>(args: &Args<'a>, name: &'static str, rule: Rule) -> Result<Option<&'a str>, Refusal> {
    let value = args.text(name);
    if let Some(value) = value {
        rule.check(name, value)?;
    }
    Ok(value)
}

/// The text that a parameter of a change sets, if it is sent: empty, or what keeps the rule.
///
/// # Errors
/// As [`Rule::check`].
pub fn new_text(args: &Args<'_>, name: &'static str, rule: Rule) -> Result<Option<String>, Refusal> {
    match args.set(name) {
        Some("") | None => {}
        Some(value) => rule.check(name, value)?,
    }
    Ok(args.set(name).map(ToOwned::to_owned))
}

/// As [`checked`], for a parameter that the table requires.
///
/// # Errors
/// As [`Rule::check`].
pub fn required_name<'a>(args: &Args<'a>, name: &'static str, rule: Rule) -> Result<&'a str, Refusal> {
    let value = args.required(name);
    rule.check(name, value)?;
    Ok(value)
}

/// Name of a user, which is required.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn user_name(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    required_name(args, name, PLAIN_NAME).map(Into::into)
}

/// Name of a user, if it is given.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn optional_user_name(args: &Args<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    checked(args, name, PLAIN_NAME).map(owned)
}

/// Name of a group, which is required.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn group_name(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    required_name(args, name, PLAIN_NAME).map(Into::into)
}

/// Name of a role, which is required.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn role_name(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    required_name(args, name, ROLE_NAME).map(Into::into)
}

/// Name of a policy, which is required.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn policy_name(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    required_name(args, name, POLICY_NAME).map(Into::into)
}

/// Display name of something new; empty if it is not given.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn display_name(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    checked(args, name, DISPLAY_NAME).map(or_empty)
}

/// The display name that a parameter of a change sets, if it is sent; may be empty.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn new_display_name(args: &Args<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    new_text(args, name, DISPLAY_NAME)
}

/// Comments on something new; empty if they are not given.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn comments(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    checked(args, name, COMMENTS).map(or_empty)
}

/// The comments that a parameter of a change sets, if it is sent; may be empty.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn new_comments(args: &Args<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    new_text(args, name, COMMENTS)
}

/// Description of something new; empty if it is not given.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn description(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    checked(args, name, DESCRIPTION).map(or_empty)
}

/// The description that a parameter of a change sets, if it is sent; may be empty.
///
/// # Errors
/// As [`Rule::check`].
pub(crate) fn new_description(args: &Args<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    new_text(args, name, DESCRIPTION)
}

/// A telephone number; empty if it is not given.
///
/// # Errors
/// `InvalidParameter.<Param>.Format`.
pub(crate) fn telephone(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    formatted(args.text(name), name, is_telephone).map(or_empty)
}

/// A mail address; empty if it is not given.
///
/// # Errors
/// `InvalidParameter.<Param>.Format`.
pub(crate) fn mail(args: &Args<'_>, name: &'static str) -> Result<String, Refusal> {
    formatted(args.text(name), name, is_mail).map(or_empty)
}

/// The telephone number that a parameter of a change sets, if it is sent; may be empty.
///
/// # Errors
/// As [`telephone`].
pub(crate) fn new_telephone(args: &Args<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    formatted(args.set(name), name, |value| value.is_empty() || is_telephone(value)).map(owned)
}

/// The mail address that a parameter of a change sets, if it is sent; may be empty.
///
/// # Errors
/// As [`mail`].
pub(crate) fn new_mail(args: &Args<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    formatted(args.set(name), name, |value| value.is_empty() || is_mail(value)).map(owned)
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(ToOwned::to_owned)
}

fn or_empty(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn formatted<'a>(
    value: Option<&'a str>,
    name: &'static str,
    fits: fn(&str) -> bool,
) -> Result<Option<&'a str>, Refusal> {
    match value {
        Some(value) if !fits(value) => Err(ill_formed(name)),
        value => Ok(value),
    }
}

/// Country code, hyphen, number.
fn is_telephone(value: &str) -> bool {
    let digits = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    value.split_once('-').is_some_and(|(country, number)| digits(country, 1..=4) && digits(number, 4..=20))
}

/// Something, an at sign, a domain of two labels or more.
fn is_mail(value: &str) -> bool {
    let local = |text: &str| {
        (1..=64).contains(&text.len()) && text.chars().all(|c| !c.is_whitespace() && text::fits_line(c))
    };
    let label = |text: &str| {
        (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    value.split_once('@').is_some_and(|(before, domain)| {
        local(before) && domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label)
    })
}

/// The refusal for characters that are not allowed.
#[must_use]
pub fn bad_characters(name: &'static str) -> Refusal {
    Refusal::new(&c::RAM_INVALID_CHARS).parameter(name)
}

/// The refusal for a text that is too long.
#[must_use]
pub fn too_long(name: &'static str) -> Refusal {
    Refusal::new(&c::RAM_LENGTH).parameter(name)
}

/// The refusal for a text of the wrong form.
#[must_use]
pub fn ill_formed(name: &'static str) -> Refusal {
    Refusal::new(&c::RAM_FORMAT).parameter(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(rule: Rule, value: &str) -> Option<String> {
        rule.check("UserName", value).err().map(|refusal| refusal.code().into_owned())
    }

    #[test]
    fn names_are_told_too_long_or_of_bad_characters() {
        for (rule, most) in [(PLAIN_NAME, 64), (ROLE_NAME, 64), (POLICY_NAME, 128), (DISPLAY_NAME, 128)] {
            assert_eq!(code(rule, &"a".repeat(most)), None);
            let long = code(rule, &"a".repeat(most + 1));
            assert_eq!(long.as_deref(), Some("InvalidParameter.UserName.Length"));
        }
        assert_eq!(code(DISPLAY_NAME, &"名".repeat(128)), None, "characters, not bytes");
        let bad = Some("InvalidParameter.UserName.InvalidChars".to_owned());
        for (rule, good, wrong) in [
            (PLAIN_NAME, "a.B-9_", "a@b"),
            (PLAIN_NAME, "0", "a b"),
            (PLAIN_NAME, "-", "é"),
            (ROLE_NAME, "a.B-9", "a_b"),
            (POLICY_NAME, "a-B9", "a.b"),
            (DISPLAY_NAME, "A. Name @ 名", "a\u{7}"),
            (COMMENTS, "two\nlines", "a\u{0}"),
        ] {
            assert_eq!(code(rule, good), None, "{good}");
            assert_eq!(code(rule, wrong), bad, "{wrong}");
        }
    }

    #[test]
    fn telephone_numbers_and_mail_addresses() {
        for good in ["86-18688888888", "1-5551234", "852-21234567"] {
            assert!(is_telephone(good), "{good}");
        }
        for bad in
            ["18688888888", "86-", "-1868888", "86-1868 8888", "86-18-6888", "86000-1868888", "+86-1868888"]
        {
            assert!(!is_telephone(bad), "{bad}");
        }
        for good in ["alice@example.com", "a.b+c@d.example", "用户@example.cn"] {
            assert!(is_mail(good), "{good}");
        }
        for bad in [
            "alice",
            "@example.com",
            "alice@",
            "alice@example",
            "a b@example.com",
            "a@b@example.com",
            "a@-b.c",
        ] {
            assert!(!is_mail(bad), "{bad}");
        }
    }
}
