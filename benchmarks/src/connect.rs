//! Short lives: connect, one message there and back, close.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use serde::Serialize;

use crate::Result;
use crate::frames::{self, Batch, Payload, Random};
use crate::meter::{Meter, Speed, Timing};
use crate::process::Process;
use crate::servers::Kind;

/// So many connections at a time, each step for all of them before the next.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Connect {
    pub(crate) at_once: usize,
    pub(crate) size: usize,
}

/// The figures are for each connection.
pub(crate) fn run(process: &Process, connect: &Connect, timing: Timing) -> Result<Option<Speed>> {
    let mut random = Random::new();
    let message = Batch::echo(process.server.kind.is_bare(), Payload::Binary, connect.size, 1, &mut random);
    let close = frames::close(&mut random);
    let mut turns = 0;
    let mut turn = || {
        turns += 1;
        live(process, connect.at_once, turns, &message, &close)
    };

    let measure_from = Instant::now() + timing.warm_up;
    while Instant::now() < measure_from {
        turn()?;
    }
    let mut meter = Meter::start(process)?;
    let (mut lives, until) = (0, Instant::now() + timing.measure);
    while Instant::now() < until {
        let began = Instant::now();
        turn()?;
        meter.came_back(began, Instant::now());
        lives += connect.at_once;
    }
    meter.stop(lives as f64)
}

fn live(process: &Process, at_once: usize, turn: usize, message: &Batch, close: &[u8]) -> Result<()> {
    let kind = process.server.kind;
    let mut streams = (0..at_once).map(|_| process.dial(turn)).collect::<Result<Vec<TcpStream>>>()?;
    if kind != Kind::Floor {
        streams.iter_mut().try_for_each(|stream| process.ask(stream))?;
        streams.iter_mut().try_for_each(|stream| process.upgraded(stream))?;
    }
    for stream in &mut streams {
        stream.write_all(&message.request)?;
    }
    let mut answer = vec![0; message.response.len()];
    for stream in &mut streams {
        stream.read_exact(&mut answer)?;
        if answer != message.response {
            return Err("a wrong answer".into());
        }
    }
    for stream in &mut streams {
        if kind.is_bare() { stream.shutdown(Shutdown::Write)? } else { stream.write_all(close)? }
    }
    for stream in &mut streams {
        // A Close frame, then the end; the server may be quicker than its reply.
        stream.read_to_end(&mut Vec::new()).ok();
    }
    Ok(())
}
