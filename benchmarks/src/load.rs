//! Messages that come back: so many on their way on each of so many connections.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Result;
use crate::frames::{Batch, Payload, Random};
use crate::meter::{Meter, Speed, Timing};
use crate::process::Process;
use crate::turns;
use crate::wire::{Poller, Wire};

/// What is sent.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) size: usize,
    pub(crate) connections: usize,
    /// They are sent together, and the next ones when all of these are back.
    pub(crate) in_flight: usize,
    pub(crate) payload: Payload,
}

struct Generator {
    poller: Poller,
    wires: Vec<Wire>,
    batches: Vec<Batch>,
    /// When what is on its way was sent.
    sent: Vec<Instant>,
}

/// A server with its load.
pub(crate) struct Session<'a> {
    generator: Generator,
    meter: Meter<'a>,
    in_flight: usize,
}

impl<'a> Session<'a> {
    pub(crate) fn warm(process: &'a Process, load: &Load, timing: Timing) -> Result<Self> {
        let mut generator = Generator::connect(process, load)?;
        generator.work(timing.warm_up, None)?;
        Ok(Session { generator, meter: Meter::interrupted(process), in_flight: load.in_flight })
    }
}

impl turns::Session for Session<'_> {
    fn turn(&mut self, time: Duration) -> Result<()> {
        self.meter.go_on()?;
        self.generator.work(time, Some(&mut self.meter))?;
        self.meter.interrupt()
    }

    fn end(self) -> Result<Option<Speed>> {
        let batches = self.meter.counted();
        self.meter.stop(batches as f64 * self.in_flight as f64)
    }
}

impl Generator {
    fn connect(process: &Process, load: &Load) -> Result<Self> {
        let mut random = Random::new();
        // Each connection has its own messages, unless they were more than fit into the cache.
        let all = load.connections * load.in_flight * (load.size + 8);
        let batches = if all <= 1 << 20 { load.connections } else { 1 };
        let mut batch = || {
            Batch::echo(process.server.kind.is_bare(), load.payload, load.size, load.in_flight, &mut random)
        };
        let batches = (0..batches).map(|_| batch()).collect();
        let poller = Poller::new()?;
        let wire = |number| poller.add(process.connect(number)?, number);
        let wires = (0..load.connections).map(wire).collect::<Result<_>>()?;
        let sent = vec![Instant::now(); load.connections];
        Ok(Generator { poller, wires, batches, sent })
    }

    /// Sends for so long, and waits until all of it is back: a server that rests has nothing to do.
    fn work(&mut self, time: Duration, mut meter: Option<&mut Meter<'_>>) -> Result<()> {
        let until = Instant::now() + time;
        self.poller.go_on();
        for number in 0..self.wires.len() {
            self.advance(number, until, &mut meter)?;
        }
        while Instant::now() < until || self.wires.iter().any(Wire::is_waiting) {
            for number in self.poller.ready(&mut self.wires)? {
                self.advance(number, until, &mut meter)?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, number: usize, until: Instant, meter: &mut Option<&mut Meter<'_>>) -> Result<()> {
        let batch = &self.batches[number % self.batches.len()];
        let wire = &mut self.wires[number];
        let mut now = Instant::now();
        while wire.is_waiting() || now < until {
            if !wire.is_waiting() {
                self.sent[number] = now;
            }
            if !self.poller.exchange(wire, &batch.request, &batch.response)? {
                break;
            }
            now = Instant::now();
            if let Some(meter) = meter {
                meter.came_back(self.sent[number], now);
            }
        }
        Ok(())
    }
}
