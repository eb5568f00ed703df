//! Messages that come back: so many on their way on each of so many connections.

use std::time::Instant;

use serde::Serialize;

use crate::Result;
use crate::frames::{Batch, Payload, Random};
use crate::meter::{Meter, Speed, Timing};
use crate::process::Process;
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
    /// What has come back in whole batches.
    received: usize,
}

pub(crate) fn run(process: &Process, load: &Load, timing: Timing) -> Result<Option<Speed>> {
    let mut generator = Generator::connect(process, load)?;
    let measure_from = Instant::now() + timing.warm_up;
    for number in 0..load.connections {
        generator.advance(number, None)?;
    }
    while Instant::now() < measure_from {
        generator.turn(None)?;
    }
    let before = generator.bytes();
    let mut meter = Meter::start(process)?;
    let until = Instant::now() + timing.measure;
    while Instant::now() < until {
        generator.turn(Some(&mut meter))?;
    }
    let bytes = generator.bytes() - before;
    let message = generator.batches[0].response.len() / load.in_flight;
    meter.stop(bytes as f64 / message as f64)
}

impl Generator {
    fn connect(process: &Process, load: &Load) -> Result<Self> {
        let mut random = Random::new();
        // Each connection has its own messages, unless they were more than fit into the cache.
        let all = load.connections * load.in_flight * (load.size + 8);
        let batches = if all <= 1 << 20 { load.connections } else { 1 };
        let mut batch =
            || Batch::echo(process.server.bare, load.payload, load.size, load.in_flight, &mut random);
        let batches = (0..batches).map(|_| batch()).collect();
        let poller = Poller::new()?;
        let wire = |number| poller.add(process.connect(number)?, number);
        let wires = (0..load.connections).map(wire).collect::<Result<_>>()?;
        let sent = vec![Instant::now(); load.connections];
        Ok(Generator { poller, wires, batches, sent, received: 0 })
    }

    fn turn(&mut self, mut meter: Option<&mut Meter<'_>>) -> Result<()> {
        for number in self.poller.ready(&mut self.wires)? {
            self.advance(number, meter.as_deref_mut())?;
        }
        Ok(())
    }

    fn advance(&mut self, number: usize, mut meter: Option<&mut Meter<'_>>) -> Result<()> {
        let batch = &self.batches[number % self.batches.len()];
        let wire = &mut self.wires[number];
        while self.poller.exchange(wire, &batch.request, &batch.response)? {
            let now = Instant::now();
            if let Some(meter) = &mut meter {
                meter.came_back(self.sent[number], now);
            }
            self.sent[number] = now;
            self.received += batch.response.len();
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.received + self.wires.iter().map(Wire::got).sum::<usize>()
    }
}
