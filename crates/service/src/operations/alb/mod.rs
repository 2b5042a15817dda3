//! Product Alb, version 2020-06-16: where load balancers can be made, which Terraform asks before it makes gateways in
//! zones that have them.

pub mod describe_zones;

use crate::args::Args;
use crate::catalogue::Refusal;
use crate::operations::vpc::language::Language;

/// The language that is asked for; Chinese is the default.
pub(crate) fn language(args: &Args<'_>, name: &'static str) -> Result<Language, Refusal> {
    let named = args.one_of_words(name, &["zh-CN", "en-US", "ja"])?;
    Ok(if named.unwrap_or("zh-CN") == "zh-CN" { Language::Chinese } else { Language::English })
}
