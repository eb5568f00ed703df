//! [`run`]: the test of one package, read along while it runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::MissedTickBehavior;
use websock_conformance::results::{Line, Outcome, Record};

use crate::Failure;
use crate::cargo::Package;
use crate::progress::Progress;

/// How often the results are read while the test runs.
const LOOK: Duration = Duration::from_millis(100);

/// What the test of one package has told.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The package's name.
    pub(crate) package: String,
    /// The servers on which the package runs the suite.
    pub(crate) servers: Vec<String>,
    /// What became of the cases, in the order in which they ended.
    pub(crate) records: Vec<Record>,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Why there is less than there should be.
    pub(crate) problem: Option<String>,
}

impl Run {
    /// A run that there was not.
    pub(crate) fn failed(package: &Package, problem: &str) -> Self {
        Run { package: package.name.clone(), problem: Some(problem.to_owned()), ..Run::default() }
    }

    /// How many cases had this outcome.
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.records.iter().filter(|record| record.outcome == outcome).count()
    }
}

/// Runs the program `test` as Cargo would, in the package's folder. What it prints goes to a file in `folder`.
pub(crate) async fn run(
    package: &Package,
    test: &Path,
    filter: Option<&str>,
    folder: &Path,
    progress: &mut Progress,
) -> Result<Run, Failure> {
    let name = &package.name;
    let (log, results) = (folder.join(format!("{name}.log")), folder.join(format!("{name}.jsonl")));
    crate::remove(&results).map_err(Failure::environment(results.display()))?;
    let mut command = Command::new(test);
    command.arg("--report").arg(&results).arg("--format").arg("pretty").args(filter);
    if let Some(home) = package.manifest.parent() {
        command.current_dir(home).env("CARGO_MANIFEST_DIR", home);
    }
    let output = File::create(&log).and_then(|log| Ok((log.try_clone()?, log)));
    let (stdout, stderr) = output.map_err(Failure::environment(log.display()))?;
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).kill_on_drop(true);
    let mut child = command.spawn().map_err(Failure::environment(test.display()))?;

    let began = Instant::now();
    let mut reading = Reading::new(&results, Run { package: name.clone(), ..Run::default() });
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(Failure::environment(test.display()))?,
            _ = look.tick() => reading.on(progress)?,
        }
    };
    reading.on(progress)?;
    let Reading { mut run, planned, .. } = reading;
    run.seconds = began.elapsed().as_secs_f64();
    let (cases, failed) = (run.records.len(), run.count(Outcome::Fail));
    let problem = match planned {
        None => Some(format!("its test `conformance` wrote no report ({status})")),
        Some(planned) if cases < planned => {
            Some(format!("ended after {cases} of {planned} cases ({status})"))
        }
        Some(_) if failed == 0 && !status.success() => {
            Some(format!("no case failed, but the test did ({status})"))
        }
        Some(_) => None,
    };
    run.problem = problem.map(|problem| format!("{problem}; see {}", log.display()));
    progress.say(&match &run.problem {
        Some(problem) => format!("{name}: {problem}"),
        None => format!(
            "{name}: {} passed, {failed} failed, {} skipped in {:.1} s",
            run.count(Outcome::Pass),
            run.count(Outcome::Skip),
            run.seconds
        ),
    });
    Ok(run)
}

/// The results as far as they were read.
struct Reading<'a> {
    path: &'a Path,
    file: Option<File>,
    /// The beginning of a line whose end was not there yet.
    rest: Vec<u8>,
    run: Run,
    planned: Option<usize>,
}

impl<'a> Reading<'a> {
    fn new(path: &'a Path, run: Run) -> Self {
        Reading { path, file: None, rest: Vec::new(), run, planned: None }
    }

    /// Reads what has been written since, and shows it.
    fn on(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        self.read().map_err(Failure::environment(self.path.display()))?;
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = serde_json::from_slice(&line).map_err(io::Error::from);
            self.take(line.map_err(Failure::environment(self.path.display()))?, progress);
        }
        if let Some(planned) = self.planned {
            let Run { package, records, .. } = &self.run;
            let failed = self.run.count(Outcome::Fail);
            progress.show(&format!("{package}: {} of {planned} cases, {failed} failed", records.len()));
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = match File::open(self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => Some(opened?),
            };
        }
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut self.rest)?;
        }
        Ok(())
    }

    fn take(&mut self, line: Line, progress: &mut Progress) {
        match line {
            Line::Plan { servers, cases } => {
                progress.say(&format!("{}: {cases} cases on {}", self.run.package, servers.join(", ")));
                (self.run.servers, self.planned) = (servers, Some(cases));
            }
            Line::Case(record) => {
                if record.outcome == Outcome::Fail {
                    progress.say(&format!("{}: FAIL {} on {}", self.run.package, record.case, record.server));
                }
                self.run.records.push(record);
            }
        }
    }
}
