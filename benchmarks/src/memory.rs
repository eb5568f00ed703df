//! What connections cost that do nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde::Serialize;

use crate::Result;
use crate::frames::{Batch, Payload, Random};
use crate::process::Process;

/// So many connections, and then a message of this size there and back on each.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) connections: usize,
    pub(crate) size: usize,
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

    let mut random = Random::new();
    let message = Batch::echo(process.server.bare, Payload::Binary, idle.size, 1, &mut random);
    let mut answer = vec![0; message.response.len()];
    for stream in &mut streams {
        // Both sockets' buffers hold a message of this size, so this cannot lock up.
        stream.write_all(&message.request)?;
        stream.read_exact(&mut answer)?;
        if answer != message.response {
            return Err("a wrong answer".into());
        }
    }
    Ok(Memory { process: before, fresh, after: each(process.memory()?) })
}
