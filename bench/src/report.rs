//! Figures with what they are to be compared with, as a table for the terminal and as Markdown.

use std::fmt::Write as _;
use std::path::Path;

/// A figure.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    what: String,
    figure: f64,
    unit: &'static str,
    against: Option<f64>,
    target: Option<(String, bool)>,
    disturbed: bool,
}

impl Row {
    /// A figure by itself.
    pub(crate) fn new(what: impl Into<String>, figure: f64, unit: &'static str) -> Self {
        Self { what: what.into(), figure, unit, against: None, target: None, disturbed: false }
    }

    /// Beside its ceiling, or what else it is compared with.
    pub(crate) fn against(mut self, ceiling: f64) -> Self {
        self.against = Some(ceiling);
        self
    }

    /// With a target that is met or not.
    pub(crate) fn target(mut self, text: impl Into<String>, met: bool) -> Self {
        self.target = Some((text.into(), met));
        self
    }

    /// With the most it may be.
    pub(crate) fn at_most(self, limit: f64) -> Self {
        let met = self.figure < limit;
        let text = format!("< {}", number(limit));
        self.target(text, met)
    }

    /// With the least part of its ceiling that it must be.
    pub(crate) fn at_least_part(self, part: f64) -> Self {
        let met = self.against.is_some_and(|ceiling| self.figure >= part * ceiling);
        self.target(format!("≥ {:.0} %", part * 100.0), met)
    }

    /// With no verdict, if something else had the core while it was measured.
    pub(crate) fn disturbed(mut self, disturbed: bool) -> Self {
        self.disturbed = disturbed;
        self
    }

    fn cells(&self) -> [String; 7] {
        let (target, verdict) = match &self.target {
            Some((text, _)) if self.disturbed => (text.clone(), "disturbed".to_owned()),
            Some((text, true)) => (text.clone(), "ok".to_owned()),
            Some((text, false)) => (text.clone(), "MISSED".to_owned()),
            None => (String::new(), String::new()),
        };
        [
            self.what.clone(),
            number(self.figure),
            self.unit.to_owned(),
            self.against.map(number).unwrap_or_default(),
            self.against.map(|ceiling| format!("{:.1} %", 100.0 * self.figure / ceiling)).unwrap_or_default(),
            target,
            verdict,
        ]
    }
}

/// Numbers of targets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    /// Not met.
    pub(crate) missed: usize,
    /// Not judged, because something else had the core.
    pub(crate) disturbed: usize,
    /// All.
    pub(crate) all: usize,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What the run ran on, and how.
    facts: Vec<(&'static str, String)>,
    sections: Vec<(String, &'static str, Vec<Row>)>,
}

const HEAD: [&str; 6] = ["figure", "unit", "", "ratio", "target", "verdict"];

impl Report {
    /// Says something about the run.
    pub(crate) fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push((name, value.into()));
    }

    /// Adds a table; `against` heads the column of what figures are compared with.
    pub(crate) fn section(&mut self, title: impl Into<String>, against: &'static str, rows: Vec<Row>) {
        self.sections.push((title.into(), against, rows));
    }

    /// For the terminal.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.facts {
            out.push_str(&format!("{name}: {value}\n"));
        }
        for (title, against, rows) in &self.sections {
            let table = table(title, against, rows);
            let widths: [usize; 7] = std::array::from_fn(|i| {
                table.iter().map(|cells| cells[i].chars().count()).max().unwrap_or(0)
            });
            out.push('\n');
            for cells in table {
                let line = cells.iter().zip(widths).enumerate().map(|(i, (cell, width))| match i {
                    1 | 3 | 4 => format!("{cell:>width$}"),
                    _ => format!("{cell:<width$}"),
                });
                let line = line.collect::<Vec<_>>().join("  ");
                out.push_str(line.trim_end());
                out.push('\n');
            }
        }
        out
    }

    /// For the documentation.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.facts {
            out.push_str(&format!("- {name}: {value}\n"));
        }
        for (title, against, rows) in &self.sections {
            for (i, cells) in table(title, against, rows).iter().enumerate() {
                // Writing to a String does not fail.
                let _ = if i == 0 { writeln!(out) } else { Ok(()) };
                let _ = writeln!(out, "| {} |", cells.join(" | "));
                let _ = if i == 0 { writeln!(out, "|---|---:|---|---:|---:|---|---|") } else { Ok(()) };
            }
        }
        out
    }

    /// How many targets were missed, were not judged, and are.
    pub(crate) fn verdicts(&self) -> Verdicts {
        let rows = self.sections.iter().flat_map(|(_, _, rows)| rows);
        let mut verdicts = Verdicts::default();
        for (row, met) in rows.filter_map(|row| row.target.as_ref().map(|(_, met)| (row, *met))) {
            verdicts.all += 1;
            verdicts.disturbed += usize::from(row.disturbed);
            verdicts.missed += usize::from(!row.disturbed && !met);
        }
        verdicts
    }

    /// Writes the Markdown.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, self.markdown())
    }
}

fn table(title: &str, against: &str, rows: &[Row]) -> Vec<[String; 7]> {
    let [figure, unit, _, ratio, target, verdict] = HEAD;
    let head = [title, figure, unit, against, ratio, target, verdict].map(str::to_owned);
    std::iter::once(head).chain(rows.iter().map(Row::cells)).collect()
}

/// Three significant digits or whole, with thousands apart.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => thousands(value),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 && digit.is_ascii_digit() && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(number(1_234_567.0), "1,234,567");
        assert_eq!(number(123.4), "123");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(0.456), "0.46");
    }

    #[test]
    fn targets_are_judged() {
        let mut report = Report::default();
        let row = |figure| Row::new("reads", figure, "requests/s").against(100.0).at_least_part(0.55);
        report.section(
            "Reads",
            "ceiling",
            vec![row(60.0), row(54.0), Row::new("p99", 1.0, "ms").at_most(2.0)],
        );
        assert_eq!(report.verdicts(), Verdicts { missed: 1, disturbed: 0, all: 3 });
        report.section("Again", "ceiling", vec![row(54.0).disturbed(true)]);
        assert_eq!(report.verdicts(), Verdicts { missed: 1, disturbed: 1, all: 4 });
        assert!(report.markdown().contains("| reads | 54.0 | requests/s | 100 | 54.0 % | ≥ 55 % | MISSED |"));
        assert!(report.text().lines().any(|line| line.starts_with("p99") && line.ends_with("ok")));
    }
}
