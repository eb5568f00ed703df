//! One message that goes to all: a publisher, and many who listen.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Result;
use crate::frames::{Batch, Random};
use crate::meter::{Meter, Speed, Timing};
use crate::process::Process;
use crate::turns;
use crate::wire::{Poller, Wire};

/// What is published. The next message is sent when everybody has the last one.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Fanout {
    pub(crate) size: usize,
    pub(crate) subscribers: usize,
}

struct Generator {
    poller: Poller,
    /// The publisher is the last one.
    wires: Vec<Wire>,
    message: Batch,
}

/// A server with its subscribers. The figures are for each message that was delivered.
pub(crate) struct Session<'a> {
    generator: Generator,
    meter: Meter<'a>,
}

impl<'a> Session<'a> {
    pub(crate) fn warm(process: &'a Process, fanout: &Fanout, timing: Timing) -> Result<Self> {
        let poller = Poller::new()?;
        let wire = |number| poller.add(process.connect(number)?, number);
        let wires = (0..=fanout.subscribers).map(wire).collect::<Result<_>>()?;
        let message = Batch::published(process.server.kind.is_bare(), fanout.size, &mut Random::new());
        let mut generator = Generator { poller, wires, message };
        let until = Instant::now() + timing.warm_up;
        while Instant::now() < until {
            generator.publish()?;
        }
        Ok(Session { generator, meter: Meter::interrupted(process) })
    }
}

impl turns::Session for Session<'_> {
    fn turn(&mut self, time: Duration) -> Result<()> {
        self.meter.go_on()?;
        self.generator.poller.go_on();
        let until = Instant::now() + time;
        while Instant::now() < until {
            let sent = Instant::now();
            self.generator.publish()?;
            self.meter.came_back(sent, Instant::now());
        }
        self.meter.interrupt()
    }

    fn end(self) -> Result<Option<Speed>> {
        let delivered = self.meter.counted() * (self.generator.wires.len() - 1);
        self.meter.stop(delivered as f64)
    }
}

impl Generator {
    /// Sends one message, and returns when everybody has it.
    fn publish(&mut self) -> Result<()> {
        let publisher = self.wires.len() - 1;
        let mut missing = publisher;
        let sent = self.poller.exchange(&mut self.wires[publisher], &self.message.request, &[])?;
        if !sent {
            return Err("the publisher's message did not go out at once".into());
        }
        while missing > 0 {
            for number in self.poller.ready(&mut self.wires)? {
                let wire = &mut self.wires[number];
                if number != publisher && self.poller.exchange(wire, &[], &self.message.response)? {
                    missing -= 1;
                }
            }
        }
        Ok(())
    }
}
