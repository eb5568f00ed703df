//! The program that runs the suite on every adapter: what it does with adapters of all kinds.
//!
//! They are a workspace of its own whose tests write results without running anything, so that each builds at once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes a plan for two cases, and one that passes; then the rest of a program.
const BEGIN: &str = r##"
use std::io::Write;
fn main() {
    let path = std::env::args().skip_while(|argument| argument != "--report").nth(1).unwrap();
    let mut report = std::fs::File::create(path).unwrap();
    writeln!(report, "{}", r#"{"plan":{"servers":["one"],"cases":2}}"#).unwrap();
    writeln!(report, "{}", r#"{"case":{"server":"one","case":"frames::first","rules":["F1"],"outcome":"pass","seconds":0.1}}"#).unwrap();
"##;
const SKIP: &str = r##"
    writeln!(report, "{}", r#"{"case":{"server":"one","case":"frames::second","rules":["F2"],"outcome":"skip","seconds":0.1,"message":"not here"}}"#).unwrap();
}
"##;
const FAIL: &str = r##"
    writeln!(report, "{}", r#"{"case":{"server":"one","case":"frames::second","rules":["F2"],"outcome":"fail","seconds":0.1,"message":"left: <1>"}}"#).unwrap();
    std::process::exit(101);
}
"##;

/// A workspace with a package for each name, whose test has this source.
fn workspace(name: &str, packages: &[(&str, String)]) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report").join(name);
    let _ = fs::remove_dir_all(&root);
    for (package, source) in packages {
        let folder = root.join(package);
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::create_dir_all(folder.join("tests")).unwrap();
        fs::write(folder.join("src/lib.rs"), "").unwrap();
        fs::write(folder.join("tests/conformance.rs"), source).unwrap();
        let manifest = format!(
            "[package]\nname = \"{package}\"\nedition = \"2024\"\n\
             [[test]]\nname = \"conformance\"\nharness = false\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    }
    let members: Vec<_> = packages.iter().map(|(package, _)| *package).collect();
    fs::write(root.join("Cargo.toml"), format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n"))
        .unwrap();
    root
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    page: Option<String>,
}

fn report(workspace: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_websock-conformance"));
    command.args(arguments).current_dir(workspace).env("CARGO_TARGET_DIR", workspace.join("target"));
    // One after the other, so that what comes behind a package that does not compile has not been built before.
    command.env("CARGO_BUILD_JOBS", "1");
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        page: fs::read_to_string(workspace.join("target/conformance/index.html")).ok(),
    }
}

#[test]
fn where_nothing_fails_the_exit_code_is_0_and_skips_have_their_reason() {
    let workspace = workspace("good", &[("good", format!("{BEGIN}{SKIP}"))]);
    let ended = report(&workspace, &["--package", "good"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("  pass  first\n  skip  second\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("not here"), "{}", ended.stdout);
    assert!(ended.stderr.contains("good: 1 passed, 0 failed, 1 skipped"), "{}", ended.stderr);
    assert!(ended.page.unwrap().contains("not here"));
}

#[test]
fn a_failing_case_is_shown_and_the_exit_code_is_1() {
    let workspace = workspace("failing", &[("failing", format!("{BEGIN}{FAIL}"))]);
    let ended = report(&workspace, &["--package", "failing"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("  pass  first\n  FAIL  second\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("FAILED on one: frames::second (F2)\n  left: <1>\n"), "{}", ended.stdout);
    assert!(ended.stderr.contains("failing: FAIL frames::second on one"), "{}", ended.stderr);
    let page = ended.page.unwrap();
    assert!(page.contains("One case failed.") && page.contains("<pre>left: &lt;1&gt;</pre>"));
}

#[test]
fn an_adapter_that_does_not_compile_or_dies_does_not_hide_the_others() {
    let workspace = workspace(
        "mixed",
        &[
            ("broken", "fn main() { nonsense }".to_owned()),
            ("dying", format!("{BEGIN} std::process::abort(); }}")),
            ("silent", "fn main() {}".to_owned()),
            ("good", format!("{BEGIN}{SKIP}")),
        ],
    );
    let ended = report(&workspace, &["-p", "broken", "-p", "dying", "-p", "silent", "-p", "good"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for line in [
        "FAILED: broken: its test `conformance` does not compile",
        "FAILED: dying: ended after 1 of 2 cases",
        "FAILED: silent: its test `conformance` wrote no report",
    ] {
        assert!(ended.stdout.contains(line), "{line:?} is not in\n{}", ended.stdout);
    }
    assert!(ended.stderr.contains("cannot find value `nonsense`"), "{}", ended.stderr);
    assert!(ended.stderr.contains("good: 1 passed, 0 failed, 1 skipped"), "{}", ended.stderr);
    let page = ended.page.unwrap();
    assert!(page.contains("Not everything could be run.") && page.contains("<b>dying</b>"));
}

#[test]
fn wrong_arguments_are_told_in_one_line_and_the_exit_code_is_2() {
    let workspace = workspace("arguments", &[("good", format!("{BEGIN}{SKIP}"))]);
    fs::remove_file(workspace.join("good/tests/conformance.rs")).unwrap();
    let manifest = "[package]\nname = \"good\"\nedition = \"2024\"\n";
    fs::write(workspace.join("good/Cargo.toml"), manifest).unwrap();
    for (arguments, told) in [
        (&["--package", "other"][..], "this workspace has no package `other` (--package names yours)"),
        (&["--package", "good"], "the package `good` has no test `conformance`"),
        (&[], "this workspace has no package `websock-hyper` (--package names yours)"),
    ] {
        let ended = report(&workspace, arguments);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert_eq!(ended.stderr, format!("websock-conformance: {told}\n"));
        assert!(ended.page.is_none());
    }
    assert_eq!(report(&workspace, &["--nonsense"]).code, Some(2));
}
