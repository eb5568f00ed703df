//! The command line: every case on every host as a test.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use libtest_mimic::{Arguments, Completion, Conclusion, Trial};

use crate::case::Case;
use crate::cases::cases;
use crate::host::Host;
use crate::results::{Line, Outcome, Record, Results};

/// Most cases wait for a server or a timer most of the time, so more of them run at once than there are processors.
const AT_ONCE: usize = 32;

/// What the command line says: what `cargo test` says to every test, and what is ours.
#[derive(Parser)]
#[command(disable_version_flag = true)]
struct Command {
    #[command(flatten)]
    tests: Arguments,
    /// Write what becomes of each case to this file, as lines of JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs the suite against these servers, as the arguments of the command line say: they are those of `cargo test`,
/// and `--report FILE`, which writes [results](crate::results) for programs.
///
/// A test is called as its case, behind the host's name where there are several. What a host says it cannot do is
/// shown as ignored, with the reason; `--include-ignored` runs it all the same.
///
/// # Panics
/// Where a host says that it cannot run a case that there is not, and where the report cannot be written.
pub fn main(hosts: &[&'static dyn Host]) -> ExitCode {
    run(Command::parse(), hosts).exit_code()
}

fn run(command: Command, hosts: &[&'static dyn Host]) -> Conclusion {
    let mut arguments = command.tests;
    arguments.test_threads.get_or_insert(AT_ONCE);
    let all = arguments.ignored || arguments.include_ignored;
    let results = command.report.filter(|_| !arguments.list).map(|path| {
        let created = Results::create(&path);
        Arc::new(created.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display())))
    });
    let mut trials = Vec::new();
    let cases: Vec<_> = cases().into_iter().map(Arc::new).collect();
    for &host in hosts {
        for (name, _) in host.cannot() {
            assert!(
                cases.iter().any(|case| case.name() == *name),
                "{}: there is no case {name}",
                host.name()
            );
        }
        for case in &cases {
            let name = match hosts {
                [_] => case.name().to_owned(),
                _ => format!("{}::{}", host.name(), case.name()),
            };
            let reason =
                host.cannot().iter().find(|(name, _)| *name == case.name()).map(|(_, reason)| *reason);
            let (case, results) = (case.clone(), results.clone());
            let trial = Trial::ignorable_test(name, move || {
                let skipped = reason.filter(|_| !all);
                let record = conclude(&case, host, skipped);
                let failed = (record.outcome == Outcome::Fail).then(|| record.message.clone());
                if let Some(results) = results {
                    results.write(&Line::Case(record)).unwrap();
                }
                match (failed, skipped) {
                    (Some(message), _) => Err(message.into()),
                    (None, Some(reason)) => Ok(Completion::ignored_with(reason)),
                    (None, None) => Ok(Completion::Completed),
                }
            });
            trials.push(trial.with_ignored_flag(all && reason.is_some()));
        }
    }
    if let Some(results) = results {
        let runs = |trial: &&Trial| !arguments.is_filtered_out(trial) && !arguments.is_ignored(trial);
        let servers = hosts.iter().map(|host| host.name().to_owned()).collect();
        results.write(&Line::Plan { servers, cases: trials.iter().filter(runs).count() }).unwrap();
    }
    libtest_mimic::run(&arguments, trials)
}

/// Runs a case, unless there is a reason to skip it.
fn conclude(case: &Case, host: &'static dyn Host, skipped: Option<&str>) -> Record {
    let began = Instant::now();
    let (outcome, message) = match skipped {
        Some(reason) => (Outcome::Skip, reason.to_owned()),
        None => match case.run(host) {
            Ok(()) => (Outcome::Pass, String::new()),
            Err(message) => (Outcome::Fail, message),
        },
    };
    Record {
        server: host.name().to_owned(),
        case: case.name().to_owned(),
        rules: case.rules().iter().map(ToString::to_string).collect(),
        outcome,
        seconds: began.elapsed().as_secs_f64(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::host::{Running, TokioServer};
    use crate::site::Site;

    const FAILS: &str = "closing::a_close_is_answered_with_its_code_and_no_reason";
    const SKIPPED: &str = "closing::what_follows_the_close_is_ignored";

    struct Broken;

    #[async_trait]
    impl Host for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }

        fn cannot(&self) -> &'static [(&'static str, &'static str)] {
            &[(SKIPPED, "it is \"broken\"")]
        }

        async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
            TokioServer::start(site, async |_, _| panic!("out of order"))
        }
    }

    fn report_of(arguments: &[&str]) -> (Vec<Line>, Conclusion) {
        let path = std::env::temp_dir().join(format!("websock-{}-{:?}", std::process::id(), Instant::now()));
        let before = ["conformance", "--exact", "--format", "terse", "--report", path.to_str().unwrap()];
        let conclusion = run(Command::parse_from(before.iter().chain(arguments)), &[&Broken]);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), conclusion)
    }

    #[test]
    fn a_failure_is_reported_with_its_message_and_rules() {
        let (lines, conclusion) = report_of(&[FAILS]);
        assert!(conclusion.has_failed());
        assert_eq!(lines[0], Line::Plan { servers: vec!["broken".to_owned()], cases: 1 });
        let [_, Line::Case(record)] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&*record.server, &*record.case, record.outcome), ("broken", FAILS, Outcome::Fail));
        assert_eq!(record.rules, ["X2"]);
        assert!(record.message.contains("out of order") && record.seconds > 0.0, "{record:?}");
    }

    #[test]
    fn a_skipped_case_is_reported_with_its_reason() {
        let (lines, conclusion) = report_of(&[SKIPPED]);
        assert!(!conclusion.has_failed());
        let [_, Line::Case(record)] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((record.outcome, &*record.message), (Outcome::Skip, "it is \"broken\""));
    }

    #[test]
    fn what_is_included_all_the_same_is_no_longer_skipped() {
        let (lines, conclusion) = report_of(&["--include-ignored", SKIPPED]);
        assert!(conclusion.has_failed());
        assert!(
            matches!(&lines[..], [Line::Plan { cases: 1, .. }, Line::Case(record)] if record.outcome == Outcome::Fail)
        );
    }
}
