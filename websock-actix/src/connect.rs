//! The socket of a connection, which a route never sees.

use std::any::Any;
use std::time::Duration;

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
/// Over TLS it does nothing, since the socket is behind a type of the TLS library. There, downcast to that type in a
/// closure of your own and set the socket up with [`set_up`]. With rustls, for example:
///
/// ```ignore
/// .on_connect(move |connection, _| {
///     if let Some(tls) = connection.downcast_ref::<TlsStream<TcpStream>>() {
///         websock_actix::set_up(tls.get_ref().0, &options);
///     }
/// })
/// ```
pub fn on_connect(options: &Options) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
    let options = options.clone();
    move |connection, _| {
        if let Some(stream) = connection.downcast_ref::<TcpStream>() {
            set_up(stream, &options);
        }
    }
}

/// Sets one socket up for WebSockets: what [`on_connect`] does with each, for one that it cannot see.
pub fn set_up(stream: &TcpStream, options: &Options) {
    // If it fails the peer is gone already, which the first read or write will tell.
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // The system counts milliseconds, and takes none for no limit at all.
        let timeout = options.get_write_timeout().map(|timeout| timeout.max(Duration::from_millis(1)));
        let _ = SockRef::from(stream).set_tcp_user_timeout(timeout);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = options;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use actix_web::rt::net::TcpListener;

    use super::*;

    #[actix_web::test]
    async fn a_socket_is_set_up_with_the_write_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let options = Options::default();
        let rows = [
            (options.clone(), Some(Duration::from_secs(30))),
            (options.clone().write_timeout(Duration::from_millis(1500)), Some(Duration::from_millis(1500))),
            (options.clone().write_timeout(Duration::ZERO), Some(Duration::from_millis(1))),
            (options.write_timeout(None), None),
        ];
        for (options, timeout) in rows {
            let stream = TcpStream::connect(addr).await.unwrap();
            on_connect(&options)(&stream, &mut Extensions::new());
            assert!(stream.nodelay().unwrap());
            let set = SockRef::from(&stream).tcp_user_timeout().unwrap();
            assert_eq!(set.filter(|set| !set.is_zero()), timeout, "{options:?}");
        }
    }
}
