//! The socket of a connection, which a route never sees.

use std::any::Any;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;
use websock_core::Options;

/// Sets sockets up for WebSockets, for actix-web's `HttpServer::on_connect`: with `TCP_NODELAY` (SPEC B10), and on
/// Linux so that the system drops the socket of a peer that takes nothing for the options' write timeout
/// (`TCP_USER_TIMEOUT`, SPEC B3). This holds for the server's other connections too. Where `on_connect` has more to do,
/// call what this gives from there.
///
/// The system's clock runs while anything is unacknowledged, so a peer that takes nothing is given up also while all that
/// waits for it has room in the socket. On other servers the write timeout begins when it has not. The end is
/// [`Error::Disconnected`](crate::Error::Disconnected) then.
///
/// Over TLS it does nothing, since the socket is behind a type of the TLS library: there, reach it by that and call the
/// same two functions of `socket2`.
pub fn on_connect(options: &Options) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
    let write_timeout = options.get_write_timeout();
    move |connection, _| {
        let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
        // If it fails the peer is gone already, which the first read or write will tell.
        let _ = stream.set_nodelay(true);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = SockRef::from(stream).set_tcp_user_timeout(write_timeout);
    }
}
