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

/// A measurement that has begun.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    process: &'a Process,
    began: Instant,
    server: Cpu,
    own: Duration,
    machine: Busy,
    latencies: Vec<Duration>,
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
        Ok(Meter {
            process,
            server: process.cpu()?,
            own: own_cpu(),
            machine: Busy::now()?,
            latencies: Vec::with_capacity(1 << 16),
            began: Instant::now(),
        })
    }

    /// Something that was sent then has come back, whole.
    pub(crate) fn came_back(&mut self, sent: Instant, now: Instant) {
        self.latencies.push(now - sent);
    }

    /// Nothing, when no whole batch came back.
    pub(crate) fn stop(mut self, messages: f64) -> Result<Option<Speed>> {
        let wall = self.began.elapsed().as_nanos() as f64;
        let (server, machine) = (self.process.cpu()?, Busy::now()?);
        let own = (own_cpu() - self.own).as_nanos() as f64;
        let [total, user, system] = [
            server.total - self.server.total,
            server.user - self.server.user,
            server.system - self.server.system,
        ]
        .map(|time| time as f64);
        if messages < 1.0 || self.latencies.is_empty() {
            return Ok(None);
        }
        let cpu = total / 1000.0 / messages;
        let stolen = (machine.stolen - self.machine.stolen) as f64;
        let others = (machine.used - self.machine.used) as f64 - total - own;
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
