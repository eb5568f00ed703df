//! What is measured.

use serde::Serialize;

use crate::Result;
use crate::connect::Connect;
use crate::deflate::Deflate;
use crate::fanout::Fanout;
use crate::frames::Payload;
use crate::load::Load;
use crate::memory::Idle;
use crate::offer::Offer;
use crate::servers::Job;

/// A row of the results.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) work: Work,
    /// The server's threads.
    pub(crate) workers: usize,
    /// What it belongs to.
    pub(crate) group: Group,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    Echo(Load),
    Deflate(Deflate),
    Fanout(Fanout),
    Idle(Idle),
    Connect(Connect),
}

/// Which table shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Group {
    Messages,
    Growth,
    Deflate,
    Fanout,
    Connect,
    Idle,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// All of them. A quick run leaves out what takes long.
pub(crate) fn all(quick: bool) -> Vec<Scenario> {
    const LONG: [&str; 3] = ["conns-1", "conns-100", "conns-10000"];
    let mut all = known(quick);
    if quick {
        all.retain(|scenario| !LONG.contains(&&*scenario.name) && scenario.offer().is_none());
    }
    all
}

fn known(quick: bool) -> Vec<Scenario> {
    let echo = |name: &str, size, connections, in_flight, payload| Scenario {
        name: name.to_owned(),
        work: Work::Echo(Load { size, connections, in_flight, payload }),
        workers: 1,
        group: Group::Messages,
    };
    let growth = |name: &str, connections, workers| Scenario {
        workers,
        group: Group::Growth,
        ..echo(name, 20, connections, 32, Payload::Binary)
    };
    let other = |name: &str, work, group| Scenario { name: name.to_owned(), work, workers: 1, group };
    let deflate = |name: &str, size, connections, in_flight, offer| {
        other(name, Work::Deflate(Deflate { size, connections, in_flight, offer }), Group::Deflate)
    };
    let idle = |name: &str, size, offer| {
        let connections = if quick { 1000 } else { 5000 };
        other(name, Work::Idle(Idle { connections, size, offer }), Group::Idle)
    };
    vec![
        echo("ping-20", 20, 64, 1, Payload::Binary),
        echo("pipe-20", 20, 16, 32, Payload::Binary),
        echo("pipe-125-text", 125, 16, 32, Payload::Text),
        echo("1k-text", KIB, 16, 8, Payload::Text),
        echo("1k-utf8", KIB, 16, 8, Payload::Utf8),
        echo("16k", 16 * KIB, 8, 4, Payload::Binary),
        echo("64k", 64 * KIB, 8, 2, Payload::Binary),
        echo("256k", 256 * KIB, 4, 2, Payload::Binary),
        echo("1m", MIB, 2, 2, Payload::Binary),
        echo("4m", 4 * MIB, 2, 1, Payload::Binary),
        growth("conns-1", 1, 1),
        growth("conns-100", 100, 1),
        growth("conns-1000", 1000, 1),
        growth("conns-10000", 10_000, 1),
        growth("workers-2", 16, 2),
        other("fan-out", Work::Fanout(Fanout { size: 64, subscribers: 1000 }), Group::Fanout),
        other("connect", Work::Connect(Connect { at_once: 16, size: 20 }), Group::Connect),
        idle("idle", 64 * KIB, None),
        deflate("deflate-1k", KIB, 16, 8, Offer::Alone),
        deflate("deflate-16k", 16 * KIB, 8, 4, Offer::Alone),
        deflate("deflate-1k-takeover", KIB, 16, 8, Offer::Takeover),
        deflate("deflate-16k-takeover", 16 * KIB, 8, 4, Offer::Takeover),
        idle("idle-deflate", 16 * KIB, Some(Offer::Alone)),
        idle("idle-deflate-takeover", 16 * KIB, Some(Offer::Takeover)),
    ]
}

/// A scenario by its name, or as SIZExCONNECTIONSxINFLIGHT[:PAYLOAD].
pub(crate) fn find(name: &str, quick: bool) -> Result<Scenario> {
    if let Some(known) = known(quick).into_iter().find(|scenario| scenario.name == name) {
        return Ok(known);
    }
    let (numbers, payload) = name.split_once(':').unwrap_or((name, "binary"));
    let numbers: Vec<usize> = numbers.split('x').map_while(|number| number.parse().ok()).collect();
    let [size, connections @ (1..), in_flight @ (1..)] = numbers[..] else {
        return Err(format!("no scenario {name:?}: see --list").into());
    };
    let work = Work::Echo(Load { size, connections, in_flight, payload: payload.parse()? });
    Ok(Scenario { name: name.to_owned(), work, workers: 1, group: Group::Messages })
}

impl Scenario {
    pub(crate) fn job(&self) -> Job {
        match self.work {
            Work::Fanout(_) => Job::Fanout,
            _ if self.offer().is_some() => Job::Deflate,
            _ => Job::Echo,
        }
    }

    /// What its connections ask for.
    pub(crate) fn offer(&self) -> Option<Offer> {
        match self.work {
            Work::Deflate(deflate) => Some(deflate.offer),
            Work::Idle(idle) => idle.offer,
            _ => None,
        }
    }

    /// Connections, for the limit of open files.
    pub(crate) fn connections(&self) -> usize {
        match self.work {
            Work::Echo(load) => load.connections,
            Work::Deflate(deflate) => deflate.connections,
            Work::Fanout(fanout) => fanout.subscribers + 1,
            Work::Idle(idle) => idle.connections,
            Work::Connect(connect) => connect.at_once,
        }
    }

    /// Memory does not depend on the machine's mood.
    pub(crate) fn only_once(&self) -> bool {
        self.group == Group::Idle
    }

    pub(crate) fn describe(&self) -> String {
        let bytes = |size: usize| match size {
            size if size.is_multiple_of(MIB) => format!("{} MiB", size / MIB),
            size if size.is_multiple_of(KIB) => format!("{} KiB", size / KIB),
            size => format!("{size} B"),
        };
        match self.work {
            Work::Echo(load) => {
                let payload = match load.payload {
                    Payload::Binary => "binary",
                    Payload::Text => "ASCII text",
                    Payload::Utf8 => "text, most of it not ASCII",
                };
                let threads = if self.workers == 1 { "" } else { ", 2 threads" };
                let (size, connections, in_flight) = (bytes(load.size), load.connections, load.in_flight);
                format!("{size} {payload}, {connections} connections, {in_flight} in flight on each{threads}")
            }
            Work::Deflate(Deflate { size, connections, in_flight, offer }) => format!(
                "{} of JSON, compressed, {}; {connections} connections, {in_flight} in flight on each",
                bytes(size),
                offer.describe()
            ),
            Work::Fanout(fanout) => {
                format!("{} published to {} subscribers", bytes(fanout.size), fanout.subscribers)
            }
            Work::Idle(Idle { connections, size, offer }) => {
                let size = bytes(size);
                let message = match offer {
                    None => format!("a message of {size} each"),
                    Some(offer) => format!("a compressed message of {size} each, {}", offer.describe()),
                };
                format!("{connections} idle connections, fresh and after {message}")
            }
            Work::Connect(connect) => format!(
                "connect, a message of {} there and back, close; {} at a time",
                bytes(connect.size),
                connect.at_once
            ),
        }
    }
}

/// Prints them.
pub(crate) fn list() {
    println!("scenarios:");
    for scenario in all(false) {
        println!("  {:21} {}", scenario.name, scenario.describe());
    }
}
