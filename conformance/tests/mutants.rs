//! What the suite does with servers that are wrong in one way each: just the cases that are named for it fail.
//!
//! `MUTANTS.md` names them. It is true of the whole suite; here each mutant meets the cases of the rules that it breaks
//! and those that are named, and with `--ignored` all.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "mutants/handler.rs"]
mod handler;
#[path = "mutants/proxy.rs"]
mod proxy;
#[path = "mutants/server.rs"]
mod server;
#[path = "mutants/table.rs"]
mod table;
#[path = "mutants/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use table::{GOOD, MUTANTS, Mutant};
use websock_conformance::{Case, Host, cases};

const TABLE: &str = include_str!("../MUTANTS.md");

/// Cases of mutants wait for what never comes most of the time.
const AT_ONCE: usize = 128;
/// And few, where the machine is not to be busy.
const FEW: usize = 4;
/// How long cases wait. What fails without being named for it is tried again with more.
const PATIENCE: Duration = Duration::from_secs(1);
/// A peer may be faster than a mutant that drops what is under way, so that one try tells little of what it passes.
const TRIES: usize = 3;

/// Held by the test that runs cases: what it tries again among few would else be among the many of another test.
static RUNS: Mutex<()> = Mutex::new(());

/// A line of the table.
struct Row {
    rules: Vec<&'static str>,
    /// Names of cases, with `*` for any letters.
    patterns: Vec<&'static str>,
    /// Names of cases that fail where a race ends so.
    sometimes: Vec<&'static str>,
}

fn rows() -> BTreeMap<&'static str, Row> {
    let mut rows = BTreeMap::new();
    for line in TABLE.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (sometimes, patterns): (Vec<_>, Vec<_>) =
            cells[2].split('`').skip(1).step_by(2).partition(|name| name.ends_with('?'));
        let sometimes = sometimes.iter().map(|name| name.trim_end_matches('?')).collect();
        let row = Row { rules: cells[1].split(' ').collect(), patterns, sometimes };
        assert!(rows.insert(cells[0], row).is_none(), "{} stands twice", cells[0]);
    }
    rows
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).any(|at| name.is_char_boundary(at) && matches(rest, &name[at..]))
        }),
    }
}

fn named<'a>(row: &Row, cases: &'a [Case]) -> BTreeSet<&'a str> {
    let names = cases.iter().map(Case::name);
    let names = names.filter(|name| row.patterns.iter().any(|pattern| matches(pattern, name)));
    names.filter(|name| !row.sometimes.contains(name)).collect()
}

type Run<'a> = (&'static Mutant, &'a Case);

/// Runs these cases, so many at once, and gives those that fail, with what they tell.
fn run<'a>(
    runs: &[Run<'a>],
    at_once: usize,
    how: impl Fn(&Run<'a>) -> Result<(), String> + Sync,
) -> Vec<(Run<'a>, String)> {
    let next = Mutex::new(runs.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let run = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(run) = run else { return };
                    if let Err(told) = how(run) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push((*run, told));
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs these cases and gives those that fail, with what they tell. Where a failure is not expected the case is run
/// once more, with all its time and among few.
fn failing<'a>(
    runs: &[Run<'a>],
    expected: impl Fn(&Mutant, &str) -> bool,
) -> BTreeMap<(&'static str, &'a str), String> {
    let failed = run(runs, AT_ONCE, |(mutant, case)| case.run_impatiently(PATIENCE, *mutant));
    let (mut failed, unexpected): (Vec<_>, Vec<_>) =
        failed.into_iter().partition(|((mutant, case), _)| expected(mutant, case.name()));
    let again: Vec<_> = unexpected.into_iter().map(|(run, _)| run).collect();
    failed.extend(run(&again, FEW, |(mutant, case)| case.run(*mutant)));
    failed.into_iter().map(|((mutant, case), told)| ((mutant.name, case.name()), told)).collect()
}

fn can(mutant: &Mutant, case: &Case) -> bool {
    mutant.cannot().iter().all(|(name, _)| *name != case.name())
}

/// Each mutant meets the cases that are chosen, and fails just those that the table names for it.
fn expect_failures(chosen: impl Fn(&Row, &Case) -> bool) {
    let _runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    let (cases, rows) = (cases(), rows());
    let named: BTreeMap<&str, BTreeSet<&str>> =
        rows.iter().map(|(mutant, row)| (*mutant, named(row, &cases))).collect();
    let is_named = |mutant: &str, case: &str| named.get(mutant).is_some_and(|named| named.contains(case));
    let mut runs = Vec::new();
    for mutant in &MUTANTS {
        let row = &rows[mutant.name];
        let is_chosen = |case: &Case| is_named(mutant.name, case.name()) || chosen(row, case);
        let is_settled = |case: &Case| can(mutant, case) && !row.sometimes.contains(&case.name());
        let meets = |case: &&Case| is_settled(case) && is_chosen(case);
        runs.extend(cases.iter().filter(meets).map(|case| (mutant, case)));
    }
    let failed = failing(&runs, |mutant, case| is_named(mutant.name, case));
    let mut wrong = String::new();
    for ((mutant, case), told) in &failed {
        if !is_named(mutant, case) {
            let _ = writeln!(
                wrong,
                "a mutant that {mutant} fails {case}: {}",
                told.lines().nth(1).unwrap_or(told)
            );
        }
    }
    let missed = |(mutant, case): &Run<'_>| {
        is_named(mutant.name, case.name()) && !failed.contains_key(&(mutant.name, case.name()))
    };
    let mut passed: Vec<_> = runs.into_iter().filter(missed).collect();
    for _ in 1..TRIES {
        let caught: BTreeSet<_> = run(&passed, FEW, |(mutant, case)| case.run_impatiently(PATIENCE, *mutant))
            .into_iter()
            .map(|((mutant, case), _)| (mutant.name, case.name()))
            .collect();
        passed.retain(|(mutant, case)| !caught.contains(&(mutant.name, case.name())));
    }
    for (mutant, case) in passed {
        let _ = writeln!(wrong, "a mutant that {} passes {}", mutant.name, case.name());
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_server_behind_a_proxy_that_changes_nothing_passes_every_case() {
    let _runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    let cases = cases();
    let runs: Vec<_> = cases.iter().filter(|case| can(&GOOD, case)).map(|case| (&GOOD, case)).collect();
    let failed = failing(&runs, |_, _| false);
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn each_mutant_fails_just_its_cases() {
    expect_failures(|row, case| case.rules().iter().any(|rule| row.rules.contains(rule)));
}

#[test]
#[ignore = "takes minutes"]
fn each_mutant_fails_just_its_cases_of_the_whole_suite() {
    expect_failures(|_, _| true);
}

#[test]
fn the_table_has_each_mutant_and_no_others() {
    let listed: BTreeSet<_> = rows().into_keys().collect();
    let mutants: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
    assert_eq!(listed, mutants);
}

#[test]
fn each_rule_that_a_mutant_breaks_is_proved_by_a_case_that_fails() {
    let cases = cases();
    for (mutant, row) in rows() {
        let named = named(&row, &cases);
        for rule in &row.rules {
            let proving = |case: &Case| named.contains(case.name()) && case.rules().contains(rule);
            assert!(cases.iter().any(proving), "{mutant}: no case that fails names {rule}");
        }
        for pattern in row.patterns.iter().chain(&row.sometimes) {
            assert!(
                cases.iter().any(|case| matches(pattern, case.name())),
                "{mutant}: there is no case {pattern}"
            );
        }
    }
}
