//! Runs everything: each server once in each round, in another order every time, in a process of its own.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::machine::{Cores, Machine, Split};
use crate::memory::Memory;
use crate::meter::{Speed, Timing};
use crate::process::{self, Process};
use crate::scenario::{self, Scenario, Work};
use crate::servers::{self, Kind, Server};
use crate::{Result, Run, connect, deflate, fanout, load, machine, memory, report, turns};

/// How often a measurement is repeated in which nothing came back: a lost segment can hold up a single connection for
/// longer than a short one takes.
const SILENT: usize = 2;

/// With up to so many connections to all of them, servers are measured in turns.
const AT_ONCE: usize = 6000;

/// Files that the process has open besides its connections.
const OTHER_FILES: usize = 100;

/// Everything that was measured, as it is kept.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// Seconds since 1970.
    pub(crate) started: u64,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) cores: Split,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) failures: Vec<String>,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) scenario: String,
    pub(crate) server: &'static str,
    pub(crate) round: usize,
    /// The generator had no core of its own.
    pub(crate) shared: bool,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Measured {
    Speed(Speed),
    Memory(Memory),
}

pub(crate) fn run(options: &Run) -> Result<()> {
    let scenarios = scenarios(options)?;
    let servers = chosen(options)?;
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 5 });
    let seconds = options.seconds.unwrap_or(if options.quick { 0.2 } else { 1.0 });
    let timing = Timing {
        warm_up: Duration::try_from_secs_f64(seconds * 0.4)?,
        measure: Duration::try_from_secs_f64(seconds)?,
    };
    let retries = if options.quick { 0 } else { 2 };
    let cores = Cores::allowed()?;

    let turns = |scenario: &Scenario| if scenario.only_once() { 1 } else { rounds };
    let total = scenarios.iter().map(|scenario| turns(scenario) * matching(&servers, scenario).count()).sum();
    let mut progress = Progress { done: 0, total, began: Instant::now() };
    let mut results = Results {
        machine: Machine::describe(&cores, process::congestion()),
        started: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        quick: options.quick,
        rounds,
        seconds,
        cores: cores.split(1)?,
        scenarios,
        samples: Vec::new(),
        failures: Vec::new(),
    };
    for round in 0..rounds {
        for (number, scenario) in results.scenarios.iter().enumerate() {
            if round >= turns(scenario) {
                continue;
            }
            let mut servers: Vec<_> = matching(&servers, scenario).collect();
            let rotate = (round * servers.len() / rounds + number) % servers.len().max(1);
            servers.rotate_left(rotate);
            let split = cores.split(scenario.workers)?;
            machine::pin(&[split.generator])?;
            let in_turns = servers.len() * scenario.connections() <= AT_ONCE.min(files()?);
            let measured = match &scenario.work {
                Work::Echo(load) if in_turns => {
                    let processes = start(&servers, scenario.workers, &split);
                    let warm = |process| load::Session::warm(process, load, timing);
                    measured(turns::run(&processes, timing, warm))
                }
                Work::Fanout(fanout) if in_turns => {
                    let processes = start(&servers, scenario.workers, &split);
                    let warm = |process| fanout::Session::warm(process, fanout, timing);
                    measured(turns::run(&processes, timing, warm))
                }
                _ => {
                    servers.iter().map(|server| measure(server, scenario, &split, timing, retries)).collect()
                }
            };
            for (server, measured) in servers.into_iter().zip(measured) {
                progress.show(round, scenario, server, &measured);
                match measured {
                    Ok(measured) => results.samples.push(Sample {
                        scenario: scenario.name.clone(),
                        server: server.name,
                        round,
                        shared: split.shared,
                        measured,
                    }),
                    Err(error) => {
                        results.failures.push(format!("{} in {}: {error}", server.name, scenario.name))
                    }
                }
            }
        }
        report::write(&results, &options.out)?;
    }
    progress.clear();
    report::show(&results, &options.out);
    if results.failures.is_empty() { Ok(()) } else { Err(results.failures.join("\n       ").into()) }
}

/// What to measure, as far as there are enough files for it.
fn scenarios(options: &Run) -> Result<Vec<Scenario>> {
    let mut scenarios = match &options.scenario[..] {
        [] => scenario::all(options.quick),
        names => names.iter().map(|name| scenario::find(name, options.quick)).collect::<Result<_>>()?,
    };
    let files = files()?;
    for scenario in &mut scenarios {
        if let Work::Idle(idle) = &mut scenario.work {
            idle.connections = idle.connections.min(files);
        }
    }
    scenarios.retain(|scenario| {
        let fits = scenario.connections() <= files;
        if !fits {
            eprintln!("{} is left out: only {files} connections, see `ulimit -Hn`", scenario.name);
        }
        fits
    });
    Ok(scenarios)
}

/// How many connections there are files for.
fn files() -> Result<usize> {
    Ok(usize::try_from(machine::raise_open_files()?).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES))
}

fn chosen(options: &Run) -> Result<Vec<&'static Server>> {
    for name in &options.servers {
        servers::find(name).ok_or_else(|| format!("no server {name:?}: see --list"))?;
    }
    let chosen = |server: &&Server| {
        options.servers.is_empty()
            || server.kind == Kind::Floor
            || options.servers.iter().any(|name| name == server.name)
    };
    Ok(servers::ALL.iter().filter(chosen).filter(|server| server.is_there()).collect())
}

/// The servers that can do this.
fn matching(servers: &[&'static Server], scenario: &Scenario) -> impl Iterator<Item = &'static Server> {
    servers.iter().copied().filter(|server| server.job == scenario.job())
}

/// All of them, each in a process of its own.
fn start(servers: &[&'static Server], workers: usize, split: &Split) -> Vec<Result<Process>> {
    servers.iter().map(|server| Process::start(server, workers, &split.server, None)).collect()
}

fn measured(speeds: Vec<Result<Option<Speed>>>) -> Vec<Result<Measured>> {
    let measured = |speed: Result<Option<Speed>>| {
        Ok(Measured::Speed(speed?.ok_or("nothing came back in the measured time")?))
    };
    speeds.into_iter().map(measured).collect()
}

/// Once, or again when it was disturbed.
fn measure(
    server: &'static Server,
    scenario: &Scenario,
    split: &Split,
    timing: Timing,
    retries: usize,
) -> Result<Measured> {
    let mut attempt = 0;
    loop {
        let process = Process::start(server, scenario.workers, &split.server, scenario.offer())?;
        let speed = match &scenario.work {
            Work::Echo(load) => turns::alone(load::Session::warm(&process, load, timing)?, timing)?,
            Work::Deflate(deflate) => deflate::run(&process, deflate, timing)?,
            Work::Fanout(fanout) => turns::alone(fanout::Session::warm(&process, fanout, timing)?, timing)?,
            Work::Connect(connect) => connect::run(&process, connect, timing)?,
            Work::Idle(idle) => return Ok(Measured::Memory(memory::run(&process, idle)?)),
        };
        match speed {
            Some(speed) if !speed.disturbed || attempt >= retries => return Ok(Measured::Speed(speed)),
            None if attempt >= SILENT => return Err("nothing came back in the measured time".into()),
            _ => {}
        }
        attempt += 1;
        std::thread::sleep(timing.measure);
    }
}

/// A line that says how far it is: overwritten on a terminal, else one line each.
struct Progress {
    done: usize,
    total: usize,
    began: Instant,
}

impl Progress {
    fn show(&mut self, round: usize, scenario: &Scenario, server: &Server, measured: &Result<Measured>) {
        self.done += 1;
        let left = self.began.elapsed().as_secs_f64() / self.done as f64 * (self.total - self.done) as f64;
        let what = match measured {
            Ok(Measured::Speed(speed)) => {
                format!("{:.3} us{}", speed.cpu, if speed.disturbed { ", disturbed" } else { "" })
            }
            Ok(Measured::Memory(memory)) => format!("{:.1} KiB, {:.1} KiB", memory.fresh, memory.after),
            Err(error) => format!("failed: {error}"),
        };
        let (start, end) = if std::io::stderr().is_terminal() { ("\r\x1b[K", "") } else { ("", "\n") };
        let (done, total, name) = (self.done, self.total, &scenario.name);
        let round = round + 1;
        eprint!(
            "{start}[{done}/{total}, {left:.0} s left] round {round}, {name}, {}: {what}{end}",
            server.name
        );
        std::io::stderr().flush().ok();
    }

    fn clear(&self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}
