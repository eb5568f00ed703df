//! What connections cost that do nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde::Serialize;

use crate::Result;
use crate::answers::Answers;
use crate::documents;
use crate::frames::{Batch, Payload, Random};
use crate::offer::Offer;
use crate::process::Process;

/// So many connections, and then a message of this size there and back on each.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) connections: usize,
    pub(crate) size: usize,
    /// With which the message is compressed.
    pub(crate) offer: Option<Offer>,
}

/// Resident memory of the server in KiB.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    /// Before the first connection.
    pub(crate) process: f64,
    /// For each connection, fresh.
    pub(crate) fresh: f64,
    /// For each connection, after its message.
    pub(crate) after: f64,
}

pub(crate) fn run(process: &Process, idle: &Idle) -> Result<Memory> {
    // The first connection also pays for what is made once.
    drop(process.connect(0)?);
    let before = process.memory()?;
    let each = |now: f64| (now - before) / idle.connections as f64;
    let mut streams: Vec<TcpStream> =
        (0..idle.connections).map(|number| process.connect(number)).collect::<Result<_>>()?;
    let fresh = each(process.memory()?);

    // Both sockets' buffers hold a message of this size, so this cannot lock up.
    match idle.offer {
        None => plain(process, &mut streams, idle.size)?,
        Some(offer) => compressed(&mut streams, idle.size, offer)?,
    }
    Ok(Memory { process: before, fresh, after: each(process.memory()?) })
}

fn plain(process: &Process, streams: &mut [TcpStream], size: usize) -> Result<()> {
    let mut random = Random::new();
    let message = Batch::echo(process.server.kind.is_bare(), Payload::Binary, size, 1, &mut random);
    let mut answer = vec![0; message.response.len()];
    for stream in streams {
        stream.write_all(&message.request)?;
        stream.read_exact(&mut answer)?;
        if answer != message.response {
            return Err("a wrong answer".into());
        }
    }
    Ok(())
}

fn compressed(streams: &mut [TcpStream], size: usize, offer: Offer) -> Result<()> {
    let documents = documents::make(size)?;
    let mut buffer = vec![0; size];
    for stream in streams {
        let mut answers = Answers::new(offer, 0);
        stream.write_all(&documents[0].frame)?;
        while answers.count == 0 {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            answers.take(&buffer[..read], &documents)?;
        }
    }
    Ok(())
}
