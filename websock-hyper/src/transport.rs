//! The transport behind an upgrade: the plain TCP stream where there is one, else whatever hyper read from.

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::spawn;
use websock_core::{Connection, WebSock};

/// A transport, and the bytes that came with the request.
enum Transport {
    Tcp(TcpStream, Bytes),
    Dynamic(TokioIo<Upgraded>),
}

/// Waits until the 101 is written and hyper hands over the transport, then has a task serve the connection. That is
/// another one than this, in which no room is left for a transport of the other kind, nor for the wait (SPEC B8).
pub(crate) async fn serve<H: WebSock>(transport: OnUpgrade, connection: Connection<H>) {
    match transport.await.map(known) {
        Err(error) => connection.fail(
            error,
            "serve connections with hyper's `with_upgrades()`, and let nothing replace the 101; \
             a client that went away at once needs no remedy",
        ),
        Ok(Transport::Tcp(stream, received)) => {
            // It fails only where the connection has failed already, which reading will tell (SPEC B10).
            let _ = stream.set_nodelay(true);
            spawn(connection.run(stream, received));
        }
        Ok(Transport::Dynamic(upgraded)) => {
            spawn(connection.run(upgraded, Bytes::new()));
        }
    }
}

/// Finds the TCP stream under what hyper's own builder hands over, and under what hyper-util's wraps.
fn known(upgraded: Upgraded) -> Transport {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Transport::Tcp(parts.io.into_inner(), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => Transport::Tcp(parts.io.into_inner(), parts.read_buf),
        Err(upgraded) => Transport::Dynamic(TokioIo::new(upgraded)),
    }
}
