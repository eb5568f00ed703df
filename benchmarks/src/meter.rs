//! What is measured while a server works.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::Result;
use crate::machine::{Busy, nanoseconds_per_tick};
use crate::process::{Cpu, Process};

/// More than this part of a core for others, and a measurement is disturbed.
const DISTURBED: f64 = 0.1;

/// When to measure: after the warm-up, for so long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
}

/// A measurement that has begun, and may be interrupted.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    process: &'a Process,
    latencies: Vec<Duration>,
    spent: Spent,
    /// While it is not interrupted.
    running: Option<Running>,
}

/// How things stood when it last went on.
#[derive(Debug)]
struct Running {
    began: Instant,
    server: Cpu,
    own: Duration,
    machine: Busy,
}

/// Nanoseconds that were measured.
#[derive(Debug, Default)]
struct Spent {
    wall: f64,
    total: f64,
    user: f64,
    system: f64,
    own: f64,
    used: f64,
    stolen: f64,
}

/// What came out. Times are microseconds, of CPU for each message.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Speed {
    pub(crate) cpu: f64,
    pub(crate) user: f64,
    pub(crate) system: f64,
    pub(crate) messages: f64,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// How many cores the server kept busy: near 1, the generator kept up with a server of one thread.
    pub(crate) server_cores: f64,
    /// How many cores other processes took, and the host.
    pub(crate) other_cores: f64,
    pub(crate) stolen_cores: f64,
    /// Others took so much that it shows, and not only by the coarseness of the machine's clock.
    pub(crate) disturbed: bool,
    /// How many bytes an answer is on the wire, where the server decides it.
    pub(crate) answer: Option<f64>,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(process: &'a Process) -> Result<Self> {
        let mut meter = Meter::interrupted(process);
        meter.go_on()?;
        Ok(meter)
    }

    /// A measurement that is yet to [go on](Self::go_on).
    pub(crate) fn interrupted(process: &'a Process) -> Self {
        Meter { process, latencies: Vec::with_capacity(1 << 16), spent: Spent::default(), running: None }
    }

    pub(crate) fn go_on(&mut self) -> Result<()> {
        let (server, machine) = (self.process.cpu()?, Busy::now()?);
        self.running = Some(Running { server, own: own_cpu(), machine, began: Instant::now() });
        Ok(())
    }

    pub(crate) fn interrupt(&mut self) -> Result<()> {
        let Some(before) = self.running.take() else { return Ok(()) };
        let spent = &mut self.spent;
        spent.wall += before.began.elapsed().as_nanos() as f64;
        let (server, machine) = (self.process.cpu()?, Busy::now()?);
        spent.own += (own_cpu() - before.own).as_nanos() as f64;
        spent.total += (server.total - before.server.total) as f64;
        spent.user += (server.user - before.server.user) as f64;
        spent.system += (server.system - before.server.system) as f64;
        spent.stolen += (machine.stolen - before.machine.stolen) as f64;
        spent.used += (machine.used - before.machine.used) as f64;
        Ok(())
    }

    /// Something that was sent then has come back, whole.
    pub(crate) fn came_back(&mut self, sent: Instant, now: Instant) {
        self.latencies.push(now - sent);
    }

    /// How much has come back.
    pub(crate) fn counted(&self) -> usize {
        self.latencies.len()
    }

    /// Nothing, when no whole batch came back.
    pub(crate) fn stop(mut self, messages: f64) -> Result<Option<Speed>> {
        self.interrupt()?;
        let Spent { wall, total, user, system, own, used, stolen } = self.spent;
        if messages < 1.0 || self.latencies.is_empty() {
            return Ok(None);
        }
        let cpu = total / 1000.0 / messages;
        let others = used - total - own;
        self.latencies.sort_unstable();
        let quantile = |per_cent: usize| {
            let at = (self.latencies.len() - 1) * per_cent / 100;
            self.latencies[at].as_nanos() as f64 / 1000.0
        };
        Ok(Some(Speed {
            cpu,
            user: cpu * user / (user + system).max(1.0),
            system: cpu * system / (user + system).max(1.0),
            messages,
            per_second: messages * 1e9 / wall,
            p50: quantile(50),
            p99: quantile(99),
            server_cores: total / wall,
            other_cores: others.max(0.0) / wall,
            stolen_cores: stolen / wall,
            disturbed: others.max(stolen) > wall * DISTURBED + 2.0 * nanoseconds_per_tick() as f64,
            answer: None,
        }))
    }
}

fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
