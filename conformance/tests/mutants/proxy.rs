//! A TCP proxy around a server, which spoils what goes through it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use websock_conformance::peer::connect_with_little_room;
use websock_conformance::{Running, async_trait, listener};

use crate::wire::{Seen, ToClient, ToServer, Wire};

/// A server and the proxy before it. The proxy runs in the case's own runtime, and ends with that.
pub(crate) struct Proxy {
    addr: SocketAddr,
    server: Box<dyn Running>,
}

impl Proxy {
    pub(crate) fn start(server: Box<dyn Running>, wire: Wire) -> Box<dyn Running> {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let behind = server.addr();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(server) = connect_with_little_room(behind).await {
                        relay(client, server, wire).await;
                    }
                });
            }
        });
        Box::new(Proxy { addr, server })
    }
}

#[async_trait]
impl Running for Proxy {
    fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The proxy goes on: what the server leaves behind is to be seen.
    async fn stop(self: Box<Self>) {
        self.server.stop().await;
    }
}

/// What has failed of a direction.
enum Lost {
    Source,
    Sink,
}

/// How long what the server has said already may take to arrive, when it takes nothing more.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Both directions until both have ended, or one of them fails: then both sides are reset.
async fn relay(mut client: TcpStream, mut server: TcpStream, wire: Wire) {
    let _ = client.set_nodelay(!wire.delays);
    let _ = server.set_nodelay(true);
    let seen = Mutex::new(Seen::default());
    let failed = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut up = std::pin::pin!(up(from_client, to_server, &seen, wire));
        let mut down = std::pin::pin!(down(from_server, to_client, &seen, wire));
        let (mut up_ended, mut down_ended) = (false, false);
        loop {
            tokio::select! {
                ended = &mut up, if !up_ended => match ended {
                    Ok(()) => up_ended = true,
                    Err(Lost::Source) => break true,
                    Err(Lost::Sink) => {
                        if !down_ended {
                            let _ = tokio::time::timeout(LAST_WORDS, &mut down).await;
                        }
                        break true;
                    }
                },
                ended = &mut down, if !down_ended => match ended {
                    Ok(()) => down_ended = true,
                    Err(_) => break true,
                },
                else => break false,
            }
        }
    };
    if failed {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

async fn up(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    seen: &Mutex<Seen>,
    wire: Wire,
) -> Result<(), Lost> {
    let mut way = ToServer::new(wire);
    let (mut buffer, mut waiting, mut ended) = (vec![0; 64 * 1024], VecDeque::new(), false);
    while !(ended && waiting.is_empty()) {
        tokio::select! {
            count = from.read(&mut buffer), if !ended && (wire.hoards || waiting.is_empty()) => {
                let count = count.map_err(|_| Lost::Source)?;
                ended = count == 0;
                waiting.extend(match ended {
                    true => way.rest(),
                    false => way.pass(&mut seen.lock().unwrap_or_else(PoisonError::into_inner), &buffer[..count]),
                });
            }
            written = to.write_buf(&mut waiting), if !waiting.is_empty() => {
                written.map_err(|_| Lost::Sink)?;
            }
        }
    }
    to.shutdown().await.map_err(|_| Lost::Sink)
}

async fn down(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    seen: &Mutex<Seen>,
    wire: Wire,
) -> Result<(), Lost> {
    let mut way = ToClient::new(wire);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await.map_err(|_| Lost::Source)?;
        let (bytes, reset) = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let mut bytes = way.pass(&mut seen, &buffer[..count]);
            if count == 0 {
                bytes.extend(way.rest());
                bytes.extend(wire.last_words.map(|words| words(&seen)).unwrap_or_default());
            }
            (bytes, seen.reset)
        };
        to.write_all(&bytes).await.map_err(|_| Lost::Sink)?;
        if reset {
            return Err(Lost::Sink);
        }
        if count == 0 {
            return to.shutdown().await.map_err(|_| Lost::Sink);
        }
    }
}
