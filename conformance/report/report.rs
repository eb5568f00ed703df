//! [`Report`]: cases by servers.

use std::collections::{BTreeMap, BTreeSet};

use websock_conformance::cases;
use websock_conformance::results::{Outcome, Record};

use crate::run::Run;

/// What became of every case on every server.
pub(crate) struct Report {
    /// The servers.
    pub(crate) columns: Vec<Column>,
    /// The cases that ran somewhere, in the suite's order.
    pub(crate) rows: Vec<Row>,
    /// Why something is missing, by package.
    pub(crate) problems: Vec<(String, String)>,
}

/// A server.
pub(crate) struct Column {
    /// The package that runs the suite on it.
    pub(crate) package: String,
    /// What it is called: the adapter, and the server where the adapter has several.
    pub(crate) label: String,
    /// How long the package's test took, all of its servers together.
    pub(crate) seconds: f64,
    /// Whether it is one of several servers of its package.
    shares: bool,
}

/// A case on every server.
pub(crate) struct Row {
    /// The case's name.
    pub(crate) case: String,
    /// The ids of the rules that it proves.
    pub(crate) rules: Vec<String>,
    /// What became of it, by column. Nothing where it did not run.
    pub(crate) cells: Vec<Option<Record>>,
}

impl Report {
    pub(crate) fn new(runs: Vec<Run>) -> Self {
        let (mut columns, mut problems) = (Vec::new(), Vec::new());
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for run in &runs {
            let adapter = run.package.strip_prefix("websock-").unwrap_or(&run.package);
            // A package whose test did not come that far has a column too: an empty one.
            let servers = if run.servers.is_empty() { &[adapter.to_owned()][..] } else { &run.servers };
            for server in servers {
                let shares = servers.len() > 1;
                let label = if shares { format!("{adapter} {server}") } else { server.clone() };
                let package = run.package.clone();
                columns.push(Column { package, label, seconds: run.seconds, shares });
            }
            problems.extend(run.problem.clone().map(|problem| (run.package.clone(), problem)));
        }
        let mut first = 0;
        for run in runs {
            for record in run.records {
                let column = run.servers.iter().position(|server| *server == record.server);
                let row = rows.entry(record.case.clone()).or_insert_with(|| Row {
                    case: record.case.clone(),
                    rules: record.rules.clone(),
                    cells: vec![None; columns.len()],
                });
                if let Some(column) = column {
                    row.cells[first + column] = Some(record);
                }
            }
            first += run.servers.len().max(1);
        }
        // An adapter that lives elsewhere may have another version of the suite, and so cases that this one has not.
        let known: Vec<_> = cases().iter().filter_map(|case| rows.remove(case.name())).collect();
        Report { columns, rows: known.into_iter().chain(rows.into_values()).collect(), problems }
    }

    /// Whether everything ran, and nothing failed.
    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty() && self.failures().next().is_none()
    }

    /// The failures, each with its column.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&Column, &Record)> {
        self.with(Outcome::Fail)
    }

    fn with(&self, outcome: Outcome) -> impl Iterator<Item = (&Column, &Record)> {
        let cells = self.rows.iter().flat_map(|row| self.columns.iter().zip(&row.cells));
        cells
            .filter_map(|(column, cell)| Some((column, cell.as_ref()?)))
            .filter(move |(_, cell)| cell.outcome == outcome)
    }

    /// The skips, by case and reason, each with the labels of the servers that gave it.
    pub(crate) fn skips(&self) -> Vec<(&str, &str, Vec<&str>)> {
        let mut skips: Vec<(&str, &str, Vec<&str>)> = Vec::new();
        for (column, record) in self.with(Outcome::Skip) {
            let known =
                skips.iter_mut().find(|(case, why, _)| (*case, *why) == (&record.case, &record.message));
            match known {
                Some((_, _, labels)) => labels.push(&column.label),
                None => skips.push((&record.case, &record.message, vec![&column.label])),
            }
        }
        skips
    }

    /// How many cases had this outcome, by column.
    pub(crate) fn counts(&self, outcome: Outcome) -> Vec<usize> {
        let count = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.cells[column].as_ref());
            cells.filter(|cell| cell.outcome == outcome).count()
        };
        (0..self.columns.len()).map(count).collect()
    }

    /// The rows in their groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, &[Row])> {
        self.rows.chunk_by(|one, other| one.group() == other.group()).map(|rows| (rows[0].group(), rows))
    }

    /// The names of the cases, by the rules that they prove.
    pub(crate) fn cases_of(&self, rule: &str) -> BTreeSet<&str> {
        let names = self.rows.iter().filter(|row| row.rules.iter().any(|id| id == rule));
        names.map(|row| &*row.case).collect()
    }
}

impl Column {
    /// What runs one case on it again.
    pub(crate) fn command(&self, record: &Record) -> String {
        let (package, case) = (&self.package, &record.case);
        let server = if self.shares { format!("{}::", record.server) } else { String::new() };
        format!("cargo test -p {package} --test conformance -- --exact {server}{case}")
    }
}

impl Row {
    fn group(&self) -> &str {
        split(&self.case).0
    }
}

/// The group of a case's name, and the sentence.
pub(crate) fn split(case: &str) -> (&str, &str) {
    case.split_once("::").unwrap_or(("", case))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PASSES: &str = "closing::data_is_ignored";
    pub(crate) const FAILS: &str = "frames::a_frame_is_<b>bold</b>";

    fn record(server: &str, case: &str, outcome: Outcome, message: &str) -> Record {
        let (server, case, message) = (server.to_owned(), case.to_owned(), message.to_owned());
        Record { server, case, rules: vec!["F1".to_owned()], outcome, seconds: 0.1, message }
    }

    /// An adapter with two servers, of which one fails a case and one skips it, and one that does not compile.
    pub(crate) fn report() -> Report {
        let records = vec![
            record("two", FAILS, Outcome::Skip, "it <cannot>"),
            record("one", FAILS, Outcome::Fail, "left: \"<script>alert(1)</script>\" & more"),
            record("one", PASSES, Outcome::Pass, ""),
            record("two", PASSES, Outcome::Pass, ""),
        ];
        let servers = vec!["one".to_owned(), "two".to_owned()];
        let good =
            Run { package: "websock-double".to_owned(), servers, records, seconds: 1.0, problem: None };
        let bad = Run {
            package: "mine".to_owned(),
            problem: Some("does not compile".to_owned()),
            ..Run::default()
        };
        Report::new(vec![bad, good])
    }

    #[test]
    fn each_server_has_a_column_and_a_package_without_servers_has_one_too() {
        let report = report();
        let labels: Vec<_> = report.columns.iter().map(|column| &*column.label).collect();
        assert_eq!(labels, ["mine", "double one", "double two"]);
        assert_eq!(report.counts(Outcome::Pass), [0, 1, 1]);
        assert_eq!(report.counts(Outcome::Fail), [0, 1, 0]);
        assert_eq!(report.counts(Outcome::Skip), [0, 0, 1]);
    }

    #[test]
    fn a_failure_or_a_problem_is_enough_to_be_not_good() {
        let run = |outcome| Run {
            servers: vec!["one".to_owned()],
            records: vec![record("one", PASSES, outcome, "")],
            ..Run::default()
        };
        assert!(Report::new(vec![run(Outcome::Pass), run(Outcome::Skip)]).is_good());
        assert!(!Report::new(vec![run(Outcome::Pass), run(Outcome::Fail)]).is_good());
        assert!(!Report::new(vec![Run { problem: Some(String::new()), ..run(Outcome::Pass) }]).is_good());
    }

    #[test]
    fn a_failure_comes_with_the_command_that_repeats_it() {
        let report = report();
        let (column, record) = report.failures().next().unwrap();
        let command = column.command(record);
        assert_eq!(
            command,
            format!("cargo test -p websock-double --test conformance -- --exact one::{FAILS}")
        );
    }

    #[test]
    fn cases_stand_in_the_order_of_the_suite() {
        let names: Vec<_> = cases().iter().map(|case| case.name().to_owned()).collect();
        let records = names.iter().rev().map(|name| record("one", name, Outcome::Pass, "")).collect();
        let report = Report::new(vec![Run { servers: vec!["one".to_owned()], records, ..Run::default() }]);
        assert!(report.rows.iter().map(|row| &row.case).eq(&names));
    }
}
