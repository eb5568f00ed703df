//! How many instructions a message costs in engine and driver: a figure that does not depend on the machine's mood, so
//! that a change for the worse is seen where times would hide it.
//!
//! Each scenario runs under valgrind with few messages and with many; what the many cost more, per message, is its
//! count. It is compared with `baseline.json`. What the kernel does is not in it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

mod work;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

use work::{WORKS, Work};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How much more a message may cost than the baseline says, in percent. Addresses and the system's library make a
/// difference of less than one.
const TOLERANCE: f64 = 3.0;

/// Counts the instructions of a message and compares them with the baseline
///
/// Exits with 1 if one costs more than it may. With another compiler or valgrind than the baseline names, the counts
/// are shown and not judged.
#[derive(Parser)]
#[command(name = "websock-counts")]
struct Arguments {
    /// Write the counts to the baseline
    #[arg(long)]
    update: bool,
    #[command(subcommand)]
    command: Option<Inner>,
}

#[derive(Subcommand)]
enum Inner {
    /// Runs a scenario with so many messages: what runs under valgrind
    #[command(hide = true)]
    Run { name: String, messages: usize },
}

/// What the messages cost when this was made.
#[derive(Serialize, Deserialize)]
struct Baseline {
    rustc: String,
    valgrind: String,
    /// Instructions per message.
    counts: BTreeMap<String, f64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match &arguments.command {
        Some(Inner::Run { name, messages }) => run(name, *messages).map(|()| true),
        None => compare(arguments.update),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("websock-counts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, messages: usize) -> Result<()> {
    let work = WORKS.iter().find(|work| work.name == name).ok_or("no such scenario")?;
    (work.run)(messages);
    Ok(())
}

/// Counts, and tells whether all is well.
fn compare(update: bool) -> Result<bool> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.json");
    let (rustc, valgrind) = (version("rustc")?, version("valgrind")?);
    let mut counts = BTreeMap::new();
    for work in WORKS {
        eprintln!("{}", work.name);
        counts.insert(work.name.to_owned(), per_message(work)?);
    }
    if update {
        let baseline = Baseline { rustc, valgrind, counts };
        fs::write(&path, serde_json::to_string_pretty(&baseline)? + "\n")?;
        println!("{}", path.display());
        return Ok(true);
    }
    let baseline: Baseline = serde_json::from_slice(&fs::read(&path)?)?;
    let same_tools = baseline.rustc == rustc && baseline.valgrind == valgrind;
    let mut good = true;
    println!("{:24} {:>12} {:>12} {:>8}", "instructions per message", "baseline", "now", "");
    for (name, now) in &counts {
        let Some(before) = baseline.counts.get(name) else {
            return Err(format!("the baseline knows no {name}: renew it with --update").into());
        };
        let change = (now / before - 1.0) * 100.0;
        let verdict = match change {
            _ if !same_tools || change.abs() < TOLERANCE => "",
            ..0.0 => "better: renew the baseline with --update",
            _ => "TOO MUCH",
        };
        good &= verdict != "TOO MUCH";
        println!("{name:24} {before:12.1} {now:12.1} {change:+7.1}% {verdict}");
    }
    if !same_tools {
        println!("not judged: the baseline is of {} and {}", baseline.rustc, baseline.valgrind);
    }
    Ok(good)
}

fn version(program: &str) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What one message more costs.
#[allow(clippy::cast_precision_loss, reason = "counts far below the limit")]
fn per_message(work: &Work) -> Result<f64> {
    let (few, many) = (work.messages, 3 * work.messages);
    Ok((instructions(work, many)? - instructions(work, few)?) / (many - few) as f64)
}

fn instructions(work: &Work, messages: usize) -> Result<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe()?).args(["run", work.name, &messages.to_string()]);
    let output = command.output()?;
    let told = String::from_utf8(output.stderr)?;
    if !output.status.success() {
        return Err(format!("{}: {told}", work.name).into());
    }
    let line = told.lines().find_map(|line| line.split_once("refs:"));
    let (_, count) = line.ok_or_else(|| format!("valgrind told no count: {told}"))?;
    Ok(count.trim().replace(',', "").parse()?)
}
