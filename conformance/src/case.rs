//! [`Case`]: a function that proves rules, and how it is run.

use std::borrow::Cow;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::host::Host;
use crate::journal::Journal;
use crate::peer;
use crate::server::Stage;

/// How long a case may take. No case needs more than a few seconds, however busy the machine is.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// One case of the suite.
pub struct Case {
    name: String,
    rules: Cow<'static, [&'static str]>,
    run: Box<Run>,
}

type Run = dyn for<'a> Fn(&'a Stage) -> LocalBoxFuture<'a, ()> + Send + Sync;

impl Case {
    /// `module` is a `module_path!()` of this crate, whose first part below `cases` becomes the name's first part.
    pub(crate) fn new<R>(
        module: &str,
        name: impl fmt::Display,
        rules: impl Into<Cow<'static, [&'static str]>>,
        run: R,
    ) -> Self
    where
        R: for<'a> Fn(&'a Stage) -> LocalBoxFuture<'a, ()> + Send + Sync + 'static,
    {
        let group = module.split("::").nth(2).unwrap_or(module);
        Case { name: format!("{group}::{name}"), rules: rules.into(), run: Box::new(run) }
    }

    /// The name: the group of rules, and a sentence that can be false.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ids of the rules that it proves.
    pub fn rules(&self) -> &[&'static str] {
        &self.rules
    }

    /// Runs the case against a server of this host, in a runtime of its own.
    ///
    /// # Errors
    /// What went wrong: every panic, of the case and of the server's threads, with its place; or that the case took
    /// longer than [`TIME_LIMIT`].
    pub fn run(&self, host: &'static dyn Host) -> Result<(), String> {
        self.run_within(TIME_LIMIT, host)
    }

    /// [`run`](Self::run) with another limit.
    ///
    /// # Errors
    /// As there.
    pub fn run_within(&self, limit: Duration, host: &'static dyn Host) -> Result<(), String> {
        self.run_waiting(limit, peer::PATIENCE, host)
    }

    /// [`run`](Self::run) for a host that is expected to fail: what is due has to come within `patience`, where
    /// otherwise there are [ten seconds](peer::PATIENCE), and the case has to end in proportion. On a busy machine a
    /// good host may fail in that way too.
    ///
    /// # Errors
    /// As there.
    pub fn run_impatiently(&self, patience: Duration, host: &'static dyn Host) -> Result<(), String> {
        self.run_waiting(TIME_LIMIT.mul_f64(patience.div_duration_f64(peer::PATIENCE)), patience, host)
    }

    fn run_waiting(
        &self,
        limit: Duration,
        patience: Duration,
        host: &'static dyn Host,
    ) -> Result<(), String> {
        let _patience = peer::have_patience(patience);
        let journal = Journal::default();
        let _writing = journal.of_the_case();
        let stage = Stage::in_journal(host, journal.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(async {
            let case = AssertUnwindSafe((self.run)(&stage)).catch_unwind();
            let ended = tokio::time::timeout(limit, case).await;
            let stopped = tokio::time::timeout(limit, stage.stop()).await;
            stopped.is_ok().then_some(ended)
        });
        match ended {
            Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(_))) => Err(journal.panics()),
            Some(Err(_)) => Err(format!("it did not end within {limit:?}\n{}", journal.panics())),
            None => Err(format!("its server did not stop within {limit:?}\n{}", journal.panics())),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("rules", &self.rules).finish_non_exhaustive()
    }
}
