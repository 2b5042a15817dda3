//! `tongguan operations`: the table of operations, for people, programs and the reference page.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tongguan_model::limits::Quotas;
use tongguan_service::catalogue::{self, Origin};
use tongguan_service::operation::{
    self, Difference, DifferenceKind, DryRun, Empty, Kind, Operation, Product, Shape,
};

use super::terminal::columns;

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
    let rows = operation::ALL.iter().map(|operation| {
        let Operation { product, action, permission, .. } = operation;
        [product.as_str(), product.version(), action, kind(operation), permission.unwrap_or("-")]
            .map(str::to_owned)
            .to_vec()
    });
    columns(rows, &[])
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
         port; the product is told by the version.\n\n\
         What is not marked is **exact**: the vendor's pages print it, and names, types, codes and members are theirs. **Seen**:\n\
         no page prints it; it is in answers of the real service, in official clients, or follows a documented pattern. **Code\n\
         only**: the code is the vendor's, status and text are ours. **Ours**: nobody publishes it, or we decided it; of a\n\
         parameter that it is not offered, or has no effect; of a member of an answer that it is left out, added, typed\n\
         otherwise or always empty, each with the reason. A code is marked as it is in the list at the end, which has those\n\
         too that are answered before an operation is reached. The pages, and where they disagree, are in [docs/api](api/README.md).\n",
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
            "| `{}{suffix}`{} | {shape} | {required} | {}{empty} |",
            parameter.name,
            mark(parameter.origin),
            escape(parameter.about)
        );
    }
    if !operation.errors.is_empty() {
        let codes = operation.errors.iter();
        let codes = codes.map(|code| format!("{} `{}`{}", code.status, code.code, mark(code.origin)));
        let _ = writeln!(page, "\nErrors: {}.", codes.collect::<Vec<_>>().join(", "));
    }
    page.push_str("\nAnswer: exact");
    if operation.differences.is_empty() {
        page.push_str(".\n");
        return;
    }
    page.push_str(", but for (ours):\n\n");
    for Difference { kind, member, reason } in operation.differences {
        let reason = escape(reason);
        let _ = match kind {
            DifferenceKind::Omitted => writeln!(page, "- `{member}` is left out. {reason}"),
            DifferenceKind::Added => writeln!(page, "- `{member}` is added. {reason}"),
            DifferenceKind::Retyped => writeln!(page, "- `{member}` is of another type. {reason}"),
            DifferenceKind::AlwaysEmpty => writeln!(page, "- `{member}` is always empty. {reason}"),
            DifferenceKind::NeverSucceeds => writeln!(page, "- no call succeeds. {reason}"),
        };
    }
}

/// How what is not exact is marked.
fn mark(origin: Origin) -> String {
    match origin {
        Origin::Documented => String::new(),
        Origin::Seen | Origin::CodeOnly | Origin::Ours => format!(" ({})", origin.as_str()),
    }
}

fn sentence(operation: &Operation) -> String {
    let permission = match operation.permission {
        Some(permission) => {
            format!(
                "Permission `{permission}` on `{}`{}",
                operation.resource,
                mark(operation.permission_origin)
            )
        }
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
