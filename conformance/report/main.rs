//! Runs the suite on every adapter, and reports what came out: a table in the terminal, and a page.
//!
//! It runs what CI runs: the test `conformance` of each package, built by Cargo. So it depends on no server, and works
//! for an adapter that lives elsewhere.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod cargo;
mod page;
mod progress;
mod report;
mod rules;
mod run;
mod table;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cargo::Workspace;
use progress::Progress;
use report::Report;
use run::{Run, run};

/// Runs the suite on every adapter and reports cases by servers, here and in target/conformance/index.html
///
/// Exits with 1 if a case fails or cannot be run, with 2 if the arguments are wrong.
#[derive(Parser)]
#[command(name = "websock-conformance", version)]
struct Arguments {
    /// A package of this workspace whose test `conformance` is run; may be given several times
    #[arg(short, long = "package", value_name = "NAME",
        default_values = ["websock-hyper", "websock-axum", "websock-actix", "websock-warp"])]
    packages: Vec<String>,
    /// Run only the cases whose names contain this
    filter: Option<String>,
}

/// Why there is no report.
enum Failure {
    /// What was asked for does not exist.
    Arguments(String),
    /// What should work did not.
    Environment(String),
}

impl Failure {
    fn environment(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Failure::Environment(format!("{what}: {error}"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // What runs is dropped by an interruption, and its processes are killed with it.
    let ended = tokio::select! {
        ended = report(&arguments) => ended,
        _ = tokio::signal::ctrl_c() => Err(Failure::Environment("interrupted: there is no report".to_owned())),
    };
    match ended {
        Ok(report) if report.is_good() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(Failure::Arguments(message)) => complain(&message, 2),
        Err(Failure::Environment(message)) => complain(&message, 1),
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    Progress::new().say(&format!("websock-conformance: {message}"));
    ExitCode::from(code)
}

async fn report(arguments: &Arguments) -> Result<Report, Failure> {
    let workspace = Workspace::find().await?;
    let packages = workspace.packages(&arguments.packages)?;
    let folder = workspace.target.join("conformance");
    let page = folder.join("index.html");
    fs::create_dir_all(&folder).map_err(Failure::environment(folder.display()))?;
    // A page of an earlier run must not pass for one of this.
    remove(&page).map_err(Failure::environment(page.display()))?;

    let mut progress = Progress::new();
    let built = cargo::build(&packages).await?;
    let mut runs = Vec::new();
    for package in packages {
        runs.push(match built.get(&package.manifest) {
            Some(test) => run(package, test, arguments.filter.as_deref(), &folder, &mut progress).await?,
            None => {
                progress.say(&format!("{}: its test `conformance` does not compile", package.name));
                Run::failed(package, "its test `conformance` does not compile")
            }
        });
    }
    let report = Report::new(runs);
    if let (Some(filter), true, true) = (&arguments.filter, report.rows.is_empty(), report.is_good()) {
        return Err(Failure::Arguments(format!("no case has a name that contains `{filter}`")));
    }
    fs::write(&page, page::html(&report)).map_err(Failure::environment(page.display()))?;
    print!("{}", table::text(&report));
    println!("\n{}", page.display());
    Ok(report)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
