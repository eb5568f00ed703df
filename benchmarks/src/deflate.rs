//! Compressed messages that come back: as `load`, but what comes is inflated before it is compared.

use std::time::Instant;

use serde::Serialize;

use crate::Result;
use crate::answers::Answers;
use crate::documents::{self, Document};
use crate::meter::{Meter, Speed, Timing};
use crate::offer::Offer;
use crate::process::Process;
use crate::wire::{Poller, Wire};

/// What is sent: documents of one size.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Deflate {
    pub(crate) size: usize,
    pub(crate) connections: usize,
    /// They are sent together, and the next ones when all of these are back.
    pub(crate) in_flight: usize,
    pub(crate) offer: Offer,
}

struct Generator {
    poller: Poller,
    wires: Vec<Wire>,
    clients: Vec<Client>,
    documents: Vec<Document>,
    /// The frames of the documents, so many in each as are sent together.
    requests: Vec<Vec<u8>>,
    in_flight: usize,
}

struct Client {
    answers: Answers,
    /// What is on its way, and since when.
    request: usize,
    sent: Instant,
    /// How many answers there are when all of it is back.
    due: usize,
}

pub(crate) fn run(process: &Process, deflate: &Deflate, timing: Timing) -> Result<Option<Speed>> {
    let mut generator = Generator::connect(process, deflate)?;
    let measure_from = Instant::now() + timing.warm_up;
    for number in 0..deflate.connections {
        generator.advance(number, None)?;
    }
    while Instant::now() < measure_from {
        generator.turn(None)?;
    }
    let before = generator.received();
    let mut meter = Meter::start(process)?;
    let until = Instant::now() + timing.measure;
    while Instant::now() < until {
        generator.turn(Some(&mut meter))?;
    }
    let after = generator.received();
    let (count, bytes) = ((after.0 - before.0) as f64, (after.1 - before.1) as f64);
    let speed = meter.stop(count)?;
    Ok(speed.map(|speed| Speed { answer: Some(bytes / count), ..speed }))
}

impl Generator {
    fn connect(process: &Process, deflate: &Deflate) -> Result<Self> {
        let documents = documents::make(deflate.size)?;
        let frames = |documents: &[Document]| {
            documents.iter().flat_map(|document| &*document.frame).copied().collect()
        };
        let requests: Vec<Vec<u8>> = documents.chunks_exact(deflate.in_flight).map(frames).collect();
        let poller = Poller::new()?;
        let wire = |number| poller.add(process.connect(number)?, number);
        let wires = (0..deflate.connections).map(wire).collect::<Result<_>>()?;
        let client = |number| {
            // Each connection begins elsewhere.
            let request = number % requests.len();
            let answers = Answers::new(deflate.offer, request * deflate.in_flight);
            Client { answers, request, sent: Instant::now(), due: deflate.in_flight }
        };
        let clients = (0..deflate.connections).map(client).collect();
        Ok(Generator { poller, wires, clients, documents, requests, in_flight: deflate.in_flight })
    }

    fn turn(&mut self, mut meter: Option<&mut Meter<'_>>) -> Result<()> {
        for number in self.poller.ready(&mut self.wires)? {
            self.advance(number, meter.as_deref_mut())?;
        }
        Ok(())
    }

    fn advance(&mut self, number: usize, mut meter: Option<&mut Meter<'_>>) -> Result<()> {
        let (wire, client) = (&mut self.wires[number], &mut self.clients[number]);
        loop {
            let take = |came: &[u8]| client.answers.take(came, &self.documents);
            self.poller.converse(wire, &self.requests[client.request], take)?;
            if client.answers.count < client.due {
                return Ok(());
            }
            let now = Instant::now();
            if let Some(meter) = &mut meter {
                meter.came_back(client.sent, now);
            }
            client.sent = now;
            client.request = (client.request + 1) % self.requests.len();
            client.due += self.in_flight;
            wire.again();
        }
    }

    /// How many messages have come back, and how many bytes they were.
    fn received(&self) -> (usize, usize) {
        let answers = self.clients.iter().map(|client| &client.answers);
        answers.fold((0, 0), |(count, bytes), answers| (count + answers.count, bytes + answers.bytes))
    }
}
