//! [`text`]: the report for a terminal.

use std::fmt::Write;

use websock_conformance::results::{Outcome, Record};

use crate::report::{Report, split};

/// The marks stand before the cases' names, which are too long to be a column that others follow.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let labels: Vec<Vec<&str>> =
        report.columns.iter().map(|column| column.label.split(' ').collect()).collect();
    let widths: Vec<usize> = labels
        .iter()
        .map(|label| label.iter().map(|word| word.len()).max().unwrap_or(0).max(5) + 1)
        .collect();
    // The words of a label stand one below the other, which keeps the columns narrow.
    let height = labels.iter().map(Vec::len).max().unwrap_or(0);
    let head: Vec<Vec<&str>> = (0..height)
        .map(|line| {
            let word = |label: &Vec<&'_ str>| (line + label.len()).checked_sub(height).map_or(0, |at| at + 1);
            labels.iter().map(|label| word(label).checked_sub(1).map_or("", |at| label[at])).collect()
        })
        .collect();

    for (group, rows) in report.groups() {
        writeln!(text)?;
        for (at, words) in head.iter().enumerate() {
            row(text, &widths, words, if at + 1 == height { group } else { "" })?;
        }
        for case in rows {
            let marks: Vec<_> = case.cells.iter().map(|cell| mark(cell.as_ref())).collect();
            row(text, &widths, &marks, split(&case.case).1)?;
        }
    }

    writeln!(text)?;
    for (at, words) in head.iter().enumerate() {
        row(text, &widths, words, if at + 1 == height { "cases" } else { "" })?;
    }
    let outcomes = [(Outcome::Pass, "passed"), (Outcome::Fail, "failed"), (Outcome::Skip, "skipped")];
    let mut totals = vec![0; report.columns.len()];
    for (outcome, name) in outcomes {
        let counts = report.counts(outcome);
        totals.iter_mut().zip(&counts).for_each(|(total, count)| *total += count);
        numbers(text, &widths, &counts, name)?;
    }
    numbers(text, &widths, &totals, "in total")?;

    let skips = report.skips();
    if !skips.is_empty() {
        writeln!(text, "\nskipped")?;
    }
    for (case, reason, labels) in skips {
        writeln!(text, "  {case}\n    on {}: {reason}", labels.join(", "))?;
    }
    for (column, record) in report.failures() {
        writeln!(text, "\nFAILED on {}: {} ({})", column.label, record.case, record.rules.join(" "))?;
        for line in record.message.trim_end().lines() {
            writeln!(text, "  {line}")?;
        }
        writeln!(text, "  {}", column.command(record))?;
    }
    for (package, problem) in &report.problems {
        writeln!(text, "\nFAILED: {package}: {problem}")?;
    }
    Ok(())
}

fn mark(cell: Option<&Record>) -> &'static str {
    match cell.map(|record| record.outcome) {
        Some(Outcome::Pass) => "pass",
        Some(Outcome::Fail) => "FAIL",
        Some(Outcome::Skip) => "skip",
        None => "-",
    }
}

fn numbers(text: &mut String, widths: &[usize], numbers: &[usize], name: &str) -> std::fmt::Result {
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    let name = format!("{name} ({})", sum(&numbers));
    row(text, widths, &numbers.iter().map(|number| &**number).collect::<Vec<_>>(), &name)
}

fn sum(numbers: &[String]) -> usize {
    numbers.iter().filter_map(|number| number.parse::<usize>().ok()).sum()
}

fn row(text: &mut String, widths: &[usize], words: &[&str], name: &str) -> std::fmt::Result {
    let marks: String = widths.iter().zip(words).map(|(width, word)| format!("{word:>width$}")).collect();
    writeln!(text, "{}", format!("{marks}  {name}").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn every_case_has_a_mark_below_every_server() {
        let text = text(&report());
        let head =
            "       double double\n  mine    one    two  closing\n     -   pass   pass  data_is_ignored\n";
        assert!(text.contains(head), "{text}");
        assert!(text.contains("     -   FAIL   skip  a_frame_is_<b>bold</b>\n"), "{text}");
    }

    #[test]
    fn totals_reasons_failures_and_problems_are_told() {
        let text = text(&report());
        for part in [
            "     0      1      1  passed (2)\n",
            "     0      1      0  failed (1)\n",
            "     0      2      2  in total (4)\n",
            "on double two: it <cannot>\n",
            "FAILED on double one: frames::a_frame_is_<b>bold</b> (F1)\n  left: \"<script>alert(1)</script>\" & more\n",
            "FAILED: mine: does not compile\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
