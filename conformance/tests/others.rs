//! `CASES.md`: each case of another suite has one here, or a reason.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use websock_conformance::cases;

const CASES: &str = include_str!("../CASES.md");

/// What stands in the last column, by what stands in the first.
fn rows() -> BTreeMap<&'static str, &'static str> {
    let mut rows = BTreeMap::new();
    for line in CASES.lines().filter(|line| line.starts_with("| ")) {
        let (number, rest) = line.trim_matches('|').split_once('|').unwrap();
        let here = rest.rsplit_once('|').unwrap().1.trim();
        if here != "here" {
            assert_eq!(rows.insert(number.trim(), here), None, "{number} stands twice");
        }
    }
    rows
}

#[test]
fn no_case_of_another_suite_is_missing() {
    let rows = rows();
    for (suite, count) in [
        ("", 250),
        ("Phoenix ", 9),
        ("Cowboy ", 37),
        ("Cowboy handler ", 9),
        ("rfc8441 ", 15),
        ("uvicorn ", 15),
        ("crossws ", 11),
        ("N", 38),
    ] {
        for number in 1..=count {
            let number = format!("{suite}{number}");
            assert!(rows.contains_key(&*number), "{number} is missing");
        }
    }
}

#[test]
fn each_names_a_case_that_there_is_or_a_reason() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name()).collect();
    for (number, here) in rows() {
        let named: Vec<_> = here.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
        for name in &named {
            assert!(names.contains(name), "{number}: there is no case {name}");
        }
        assert!(!named.is_empty() || here.contains(' '), "{number}: neither a case nor a reason: {here:?}");
    }
}
