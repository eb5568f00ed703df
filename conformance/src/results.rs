//! [`Line`]: what a run tells a program, as lines of JSON.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// A line of the file that `--report FILE` writes: first the plan, then each case on each server as it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// What is going to run.
    Plan {
        /// The names of the hosts.
        servers: Vec<String>,
        /// How many lines of cases follow, if nothing interrupts the run.
        cases: usize,
    },
    /// What became of a case on a server.
    Case(Record),
}

/// What became of a case on a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The host's name.
    pub server: String,
    /// The case's name.
    pub case: String,
    /// The ids of the rules that it proves.
    pub rules: Vec<String>,
    /// Whether it proved them.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
    /// What was expected and seen where it failed; the reason where it was skipped.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Whether a server did as the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did.
    Pass,
    /// It did not.
    Fail,
    /// It was not asked: its host says that it cannot.
    Skip,
}

/// Where lines are written.
pub(crate) struct Results(Mutex<File>);

impl Results {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Results(Mutex::new(File::create(path)?)))
    }

    /// Writes a line at once and whole, so that somebody can read along.
    pub(crate) fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes())
    }
}
