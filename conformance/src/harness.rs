//! The command line: every case on every host as a test.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial, run};

use crate::cases::cases;
use crate::host::Host;

/// Most cases wait for a server or a timer most of the time, so more of them run at once than there are processors.
const AT_ONCE: usize = 16;

/// Runs the suite against these servers, as the arguments of the command line say: they are those of `cargo test`.
///
/// A test is called as its case, behind the host's name where there are several. What a host says it cannot do is
/// shown as ignored, with the reason; `--include-ignored` runs it all the same.
///
/// # Panics
/// Where a host says that it cannot run a case that there is not.
pub fn main(hosts: &[&'static dyn Host]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let all = arguments.ignored || arguments.include_ignored;
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
            let case = case.clone();
            let trial = Trial::ignorable_test(name, move || match reason {
                Some(reason) if !all => Ok(Completion::ignored_with(reason)),
                _ => Ok(case.run(host).map(|()| Completion::Completed)?),
            });
            trials.push(trial.with_ignored_flag(all && reason.is_some()));
        }
    }
    run(&arguments, trials).exit_code()
}
