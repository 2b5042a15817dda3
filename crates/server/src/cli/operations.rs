//! `tongguan operations`: the table of operations, for people, programs and the reference page.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_service::catalogue::{self, Origin};
use tongguan_service::operation::{self, DryRun, Empty, Kind, Operation, Product, Shape};

/// List every operation with its permission.
#[derive(Debug, Args)]
pub(crate) struct OperationsArgs {
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Aligned columns.
    Table,
    /// One array of objects.
    Json,
    /// The reference page (docs/reference.md).
    Markdown,
}

/// Prints the table.
pub(crate) fn run(args: &OperationsArgs) -> anyhow::Result<ExitCode> {
    let text = match args.format {
        Form::Table => table(),
        Form::Json => format!("{:#}\n", json_table()),
        Form::Markdown => markdown(),
    };
    super::terminal::out().bytes(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn table() -> String {
    let widest = operation::ALL.iter().map(|operation| operation.action.len()).max().unwrap_or(0);
    let mut text = String::new();
    for operation in operation::ALL {
        let product = operation.product;
        let _ = writeln!(
            text,
            "{:<8} {}  {:<widest$}  {:<5}  {}",
            product.as_str(),
            product.version(),
            operation.action,
            kind(operation),
            operation.permission.unwrap_or("-")
        );
    }
    text
}

fn json_table() -> Value {
    operation::ALL
        .iter()
        .map(|operation| {
            json!({
                "product": operation.product.as_str(),
                "version": operation.product.version(),
                "action": operation.action,
                "kind": kind(operation),
                "permission": operation.permission,
                "resource": operation.resource,
                "summary": operation.summary,
            })
        })
        .collect()
}

/// The reference page. `docs/reference.md` is this text; a test fails when it is stale.
pub(crate) fn markdown() -> String {
    let mut page = String::from(
        "# Operations\n\n\
         <!-- Made by `tongguan operations --format markdown`; a test fails when it is stale. -->\n\n\
         Every operation that this release answers, from the table that routes them. All products share one\n\
         port; the product is told by the version. Codes that the gateway answers before an operation is\n\
         reached stand at the end, each with its origin: *documented* (printed by the vendor), *seen* (in\n\
         answers of the real service, or a documented pattern), *code only* (the vendor's code, our text), *ours*.\n",
    );
    for product in Product::ALL {
        let _ = writeln!(page, "\n## {} {}", product.as_str(), product.version());
        for operation in operation::ALL.iter().filter(|operation| operation.product == *product) {
            section(&mut page, operation);
        }
    }
    page.push_str("\n## Quotas\n\nEach is set with `--quota NAME=VALUE`, `TONGGUAN_QUOTA`, or under `[quota]` in the configuration file.\n\n");
    page.push_str("| name | default | |\n|---|---|---|\n");
    for (name, value, about) in Quotas::default().iter() {
        let _ = writeln!(page, "| `{name}` | {value} | {} |", escape(about));
    }
    page.push_str("\n## Codes\n\n| HTTP | code | message | origin | when |\n|---|---|---|---|---|\n");
    for code in catalogue::ALL {
        let _ = writeln!(
            page,
            "| {} | `{}` | {} | {} | {} |",
            code.status,
            code.code,
            escape(code.message),
            code.origin.as_str(),
            escape(code.when)
        );
    }
    page
}

fn section(page: &mut String, operation: &Operation) {
    let _ = writeln!(page, "\n### {}\n\n{} {}.", operation.action, operation.summary, sentence(operation));
    if !operation.parameters.is_empty() {
        page.push_str("\n| parameter | type | required | |\n|---|---|---|---|\n");
    }
    for parameter in operation.parameters {
        let (suffix, shape) = match parameter.shape {
            Shape::Text => ("", "text"),
            Shape::Integer => ("", "integer"),
            Shape::Boolean => ("", "boolean"),
            Shape::List => (".N", "list"),
            Shape::Tags => (".N", "tags"),
            Shape::Structures => (".N", "structures"),
            Shape::Json => ("", "JSON text"),
        };
        let required = if parameter.required { "yes" } else { "" };
        let empty = match parameter.empty {
            Empty::Absent => "",
            Empty::Sets => " Sent empty, it is emptied.",
            Empty::Refused(_) => " Sent empty, it is refused.",
        };
        let _ = writeln!(
            page,
            "| `{}{suffix}` | {shape} | {required} | {}{empty} |",
            parameter.name,
            escape(parameter.about)
        );
    }
    if !operation.errors.is_empty() {
        let codes = operation.errors.iter().map(|code| match code.origin {
            Origin::Ours => format!("{} `{}` (ours)", code.status, code.code),
            Origin::CodeOnly => format!("{} `{}` (code only)", code.status, code.code),
            Origin::Documented | Origin::Seen => format!("{} `{}`", code.status, code.code),
        });
        let _ = writeln!(page, "\nErrors: {}.", codes.collect::<Vec<_>>().join(", "));
    }
}

fn sentence(operation: &Operation) -> String {
    let permission = match operation.permission {
        Some(permission) => format!("Permission `{permission}` on `{}`", operation.resource),
        None => "Needs no permission".to_owned(),
    };
    match operation.dry_run {
        DryRun::None => permission,
        DryRun::Succeeds => format!("{permission}. A dry run that passes answers 200 and changes nothing"),
        DryRun::Refuses => format!("{permission}. A dry run that passes answers `DryRunOperation`"),
    }
}

fn kind(operation: &Operation) -> &'static str {
    match operation.kind() {
        Kind::Read => "read",
        Kind::Write => "write",
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == super::markdown(),
            "docs/reference.md is stale: run `tongguan operations --format markdown > docs/reference.md`"
        );
    }
}
