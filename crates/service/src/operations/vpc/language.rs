//! In which language names of places are answered.

use crate::args::Args;
use crate::catalogue::Refusal;

/// A language that names are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// The default.
    Chinese,
    /// `en`, `en-US`, ...
    English,
}

impl Language {
    /// The name in this language.
    pub(crate) const fn of<'a>(self, chinese: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::Chinese => chinese,
            Self::English => english,
        }
    }
}

/// The language that is asked for: Chinese is the default, and there is no third.
pub(crate) fn language(args: &Args<'_>, name: &'static str) -> Result<Language, Refusal> {
    let english = args.text(name).is_some_and(|language| language.to_ascii_lowercase().starts_with("en"));
    Ok(if english { Language::English } else { Language::Chinese })
}
