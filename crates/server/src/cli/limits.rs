//! `tongguan limits`: every bound, who can fill it, and whose share is what.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tongguan_model::limits::Quotas;

use crate::bounds;

/// Show every bound, who can fill it, and whose share is what
#[derive(Debug, Args)]
pub(crate) struct LimitsArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A paragraph for each
    Text,
    /// One array of objects
    Json,
    /// The table of docs/security.md
    Markdown,
}

/// Prints the table with the default quotas.
pub(crate) fn run(args: &LimitsArgs) -> anyhow::Result<ExitCode> {
    let quotas = Quotas::default();
    let text = match args.format {
        Form::Text => bounds::text(&quotas),
        Form::Json => format!("{:#}\n", bounds::as_json(&quotas)),
        Form::Markdown => bounds::markdown(&quotas),
    };
    super::terminal::out().bytes(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
