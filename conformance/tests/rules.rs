//! Every rule of the SPEC is proved by somebody: by a case of the suite, or by a test of `websock-core`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use websock_conformance::cases;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rules, by id, each with its text, in which the ways stand in which it is proved.
fn rules() -> BTreeMap<String, String> {
    let mut rules = BTreeMap::new();
    let mut rule: Option<String> = None;
    for line in fs::read_to_string(workspace().join("SPEC.md")).unwrap().lines() {
        let id = line.strip_prefix("**").and_then(|rest| rest.split_once("** ")).map(|(id, _)| id);
        if let Some(id) = id.filter(|id| ids(id).len() == 1) {
            assert_eq!(rules.insert(id.to_owned(), String::new()), None, "{id} stands twice");
            rule = Some(id.to_owned());
        } else if line.starts_with('#') {
            rule = None;
        }
        if let Some(rule) = &rule {
            rules.get_mut(rule).unwrap().push_str(line);
        }
    }
    assert!(rules.len() > 60, "the SPEC was not understood");
    rules
}

fn proved(way: &str) -> BTreeSet<String> {
    let rules = rules().into_iter().filter(|(_, text)| text.contains(&format!("*{way}*")));
    rules.map(|(id, _)| id).collect()
}

/// The ids that stand in a text: `B1`, and those between in `B1-B4`.
fn ids(text: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut last: Option<(char, u32)> = None;
    for word in text.split_inclusive(|at: char| !at.is_ascii_alphanumeric()) {
        let end = word.trim_end_matches(|at: char| !at.is_ascii_alphanumeric()).len();
        let (word, behind) = word.split_at(end);
        let id = word.split_at_checked(1).and_then(|(letter, number)| {
            let letter = letter.chars().next().filter(|letter| "LOXFCTBSEU".contains(*letter))?;
            Some((letter, number.parse::<u32>().ok()?))
        });
        if let Some((letter, number)) = id {
            let first = match last {
                Some((same, from)) if same == letter => from,
                _ => number,
            };
            found.extend((first..=number).map(|number| format!("{letter}{number}")));
        }
        last = id.filter(|_| behind == "-");
    }
    found
}

#[test]
fn every_rule_says_how_it_is_proved() {
    for (id, text) in rules() {
        assert!(["*wire*", "*core*", "*type*"].iter().any(|way| text.contains(way)), "{id}");
    }
}

#[test]
fn every_rule_that_shows_on_the_wire_has_a_case() {
    let cases = cases();
    let proved_by_cases: BTreeSet<&str> = cases.iter().flat_map(|case| case.rules()).copied().collect();
    let mut wanting = proved("wire");
    wanting.retain(|id| !proved_by_cases.contains(&**id));
    assert!(wanting.is_empty(), "no case names {wanting:?}");
}

#[test]
fn no_case_names_a_rule_that_there_is_not() {
    let rules = rules();
    for case in cases() {
        assert!(!case.rules().is_empty(), "{} names no rule", case.name());
        for id in case.rules() {
            assert!(rules.contains_key(*id), "{} names {id}", case.name());
        }
    }
}

#[test]
fn each_case_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(names.insert(case.name().to_owned()), "two cases are called {}", case.name());
    }
}

/// A module's cases are about the module's rules.
#[test]
fn each_case_names_a_rule_of_its_group() {
    for case in cases() {
        let (group, _) = case.name().split_once("::").unwrap();
        let letters = match group {
            "lifecycle" => "L",
            "outcomes" => "O",
            "closing" => "X",
            "frames" => "F",
            "compression" => "C",
            "time" => "T",
            "backpressure" => "B",
            "shutdown" => "S",
            "errors" => "E",
            "upgrade" => "U",
            other => panic!("there is no group {other}"),
        };
        assert!(
            case.rules().iter().any(|id| id.starts_with(letters)),
            "{} names {:?}",
            case.name(),
            case.rules()
        );
    }
}

#[test]
fn every_rule_that_core_or_a_type_proves_is_cited_by_a_test_of_core() {
    let mut cited = BTreeSet::new();
    for path in sources(&workspace().join("websock-core")) {
        let text = fs::read_to_string(&path).unwrap();
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        let tests =
            if is_test { &*text } else { text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests) };
        // `SPEC B5`, `SPEC B1-B4, B6`: what follows the word on its line.
        cited.extend(
            tests.lines().filter_map(|line| line.split_once("SPEC ")).flat_map(|(_, rest)| ids(rest)),
        );
    }
    let mut wanting: BTreeSet<_> = proved("core").union(&proved("type")).cloned().collect();
    wanting.retain(|id| !cited.contains(id));
    assert!(wanting.is_empty(), "no test of websock-core cites {wanting:?}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn ids_are_found_one_by_one_and_in_ranges() {
    let found: Vec<_> = ids("(SPEC B1-B4, B6), X12; not A1, B or 7").into_iter().collect();
    assert_eq!(found, ["B1", "B2", "B3", "B4", "B6", "X12"]);
}
