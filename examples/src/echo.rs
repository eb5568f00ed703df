//! The echo: every message comes back as it is.

use std::num::NonZeroUsize;
use std::time::Duration;

use websock_core::{HandleResult, Keepalive, Message, Options, Outcome, Shutdown, WebSock};

/// Sends every message back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl WebSock for Echo {
    type Info = ();

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        Ok(Outcome::push(message))
    }
}

/// How its connections behave: browsers cannot ping, so the server does; and who sends much gets several messages back
/// in one write.
pub fn options() -> Options {
    const WRITE_HIGH_WATER: NonZeroUsize = NonZeroUsize::new(256 * 1024).unwrap();
    Options::default().keepalive(Keepalive::default()).write_high_water(WRITE_HIGH_WATER)
}

/// How they are closed when the server goes down: all at once, and none keeps it up for longer than ten seconds.
pub fn shutdown() -> Shutdown {
    Shutdown::within(Duration::from_secs(9))
}
