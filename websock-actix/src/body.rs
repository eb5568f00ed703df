//! The body of the 101.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Payload;
use bytes::Bytes;
use websock_core::{Connection, WebSock};

use crate::task::Driver;
use crate::transport::{Link, Transport};

/// What the driver writes, on its way to the server.
///
/// The connection begins when the server first asks for bytes: the 101 is on its way then (SPEC L3). If it never does,
/// the upgrade has come to nothing (SPEC L12).
pub(crate) struct Body<H: WebSock> {
    link: Rc<Link>,
    connection: Option<Connection<H>>,
    driver: Option<Rc<Driver>>,
}

impl<H: WebSock> Body<H> {
    pub(crate) fn new(connection: Connection<H>, payload: Payload) -> Self {
        Body { link: Link::new(payload), connection: Some(connection), driver: None }
    }
}

impl<H: WebSock> MessageBody for Body<H> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if let Some(connection) = self.connection.take() {
            let run = connection.run(Transport::new(self.link.clone()), Bytes::new());
            self.driver = Some(Driver::spawn(self.link.clone(), run));
        }
        self.link.attend();
        if let Some(bytes) = self.link.take() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if let Some(driver) = &self.driver {
            driver.attend();
        }
        match self.link.take() {
            Some(bytes) => Poll::Ready(Some(Ok(bytes))),
            None => self.link.poll_ended(cx).map(|()| None),
        }
    }
}

/// Nothing in it is pinned.
impl<H: WebSock> Unpin for Body<H> {}

impl<H: WebSock> Drop for Body<H> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.fail(
                "the server has dropped the 101",
                "let no middleware replace it or its body; a client that went away at once needs no remedy",
            );
        }
        self.link.refuse();
        if let Some(driver) = &self.driver {
            driver.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use std::future::poll_fn;
    use std::task::ready;
    use std::time::Instant;

    use websock_core::protocol::Protocol;
    use websock_core::{BoxWebSock, Frame, Options, Transport as _};

    use super::*;

    const KIB: usize = 1024;

    /// Writes for ever, as much as there is room for.
    async fn write_on(link: Rc<Link>) {
        let (mut transport, mut protocol) =
            (Transport::new(link), Protocol::new(&Options::default(), Instant::now()));
        poll_fn(|cx| {
            loop {
                if protocol.unsent() == 0 {
                    protocol.send(Frame::binary(vec![7; 60 * KIB]));
                }
                ready!(transport.poll_transmit(&mut protocol, cx)).unwrap();
            }
        })
        .await
    }

    /// SPEC L10. actix asks for more in the same turn of its task, as long as it gets something and can write it.
    #[actix_web::test]
    async fn a_server_that_goes_on_asking_lets_others_have_their_turn() {
        let link = Link::new(Payload::None);
        let driver = Driver::spawn(link.clone(), write_on(link.clone()));
        let mut body = Body::<BoxWebSock<()>> { link, connection: None, driver: Some(driver) };
        let mut taken = Vec::new();
        for _ in 0..100 {
            let in_one_turn = poll_fn(|cx| {
                let mut taken = 0;
                while let Poll::Ready(bytes) = Pin::new(&mut body).poll_next(cx) {
                    taken += bytes.unwrap().unwrap().len();
                    assert!(taken < 1000 * KIB, "the server gets bytes without end");
                }
                Poll::Ready(taken)
            });
            taken.push(in_one_turn.await);
            actix_web::rt::task::yield_now().await;
        }
        assert!(taken.iter().all(|&taken| taken <= 512 * KIB), "{taken:?}");
        assert!(taken.iter().sum::<usize>() > 5000 * KIB, "{taken:?}");
    }
}
