//! Measures WebSocket servers beside a bare TCP echo. See the README.
#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "payloads made by hand"))]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod answers;
mod chart;
mod connect;
mod deflate;
mod documents;
mod fanout;
mod frames;
mod load;
mod machine;
mod memory;
mod meter;
mod offer;
mod process;
mod report;
mod runner;
mod scenario;
mod servers;
mod summary;
mod turns;
mod wire;

/// What goes wrong here is told to a person, and ends the measurement.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures WebSocket servers beside a bare TCP echo
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

/// What to measure, and how long.
#[derive(Args, Debug)]
struct Run {
    /// The most of it in less than five minutes, coarsely
    #[arg(long)]
    quick: bool,
    /// Show the scenarios and the servers, and end
    #[arg(long)]
    list: bool,
    /// Only these scenarios; besides the names of --list, SIZExCONNECTIONSxINFLIGHT[:text|:utf8], such as 20x16x32
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Only these servers, and the floor
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// How often each server is measured [default: 5, with --quick 2]
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each measurement takes [default: 1, with --quick 0.2]
    #[arg(long)]
    seconds: Option<f64>,
    /// Where the results go
    #[arg(long, default_value = "target/results", value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one of the servers, as the runner does
    Serve {
        name: String,
        /// How many threads
        #[arg(long, default_value_t = 1)]
        workers: usize,
        /// On which cores
        #[arg(long, value_delimiter = ',')]
        cores: Vec<usize>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Serve { name, workers, cores }) => process::serve(&name, workers, &cores),
        None if cli.run.list => {
            scenario::list();
            servers::list();
            Ok(())
        }
        None => runner::run(&cli.run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
