//! fastwebsockets on hyper, as in its example.

use std::io;
use std::net::TcpListener;

use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
use tokio::task::unconstrained;

use super::MAX_MESSAGE;

pub(super) fn run(listener: TcpListener, workers: usize) -> io::Result<()> {
    super::http(listener, workers, |mut request| {
        let (response, socket) = upgrade(&mut request)?;
        tokio::spawn(async { unconstrained(echo(socket)).await.unwrap_or_default() });
        Ok::<_, WebSocketError>(response)
    })
}

async fn echo(socket: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = socket.await?;
    socket.set_max_message_size(MAX_MESSAGE);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
