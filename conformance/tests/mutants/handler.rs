//! The handler of a mutant: the site's probe, and what is wrong with how it is called.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use websock_conformance::{Probe, Site};
use websock_hyper::protocol::Opcode;
use websock_hyper::{
    CloseReason, Control, ControlPayload, Error, Frame, HandleResult, Mailbox, Message, Outcome, Socket,
    Timeout, WebSock,
};

/// What is wrong with how the callbacks are called, and with what becomes of their answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callbacks {
    True,
    TerminateTwice,
    TerminateNever,
    CallbackAfterTerminate,
    CloseIsAControl,
    PongsUnseen,
    EmptyPayloadsUnseen,
    /// Pongs follow the callback; the engine's own are dropped on the wire.
    PongsBehindTheCallback,
    EmptyMessagesUnseen,
    LargeMessagesTwice,
    EveryHundredthMessageLost,
    RestOfTheLastMessage,
    BinaryIsText,
    InfosSwapped,
    EveryHundredthInfoLost,
    InitUnanswered,
    PushesReversed,
    LastMessagesLost,
    StopsLate,
    DetailsLost,
    ErrorsAreStops,
    ErrorsAreText,
    PanicsSwallowed,
    PanicsInTerminateSwallowed,
    /// The engine does not check text, and this does not either.
    TextUnchecked,
    ShutdownIsNormal,
    TimeoutsAreIdle,
    ReasonsOfThePeerLost,
    TooBigIsProtocol,
    EndsToldTwice,
    /// Whatever is pushed may be compressed.
    WishesForgotten,
}

/// A handler whose name ends as the suite expects it.
pub(crate) struct MutatedProbe {
    probe: Probe,
    callbacks: Callbacks,
    site: Arc<Site>,
    mailbox: Option<Mailbox<Outcome>>,
    /// How many messages, and how many infos there were.
    counts: (usize, usize),
    last: Vec<u8>,
    /// An outcome whose time comes when the mark is back from the mailbox.
    waiting: Option<Outcome>,
}

/// No case pushes it.
const MARK: &[u8] = b"the mark of a mutant";
/// Longer than what belongs together takes to come.
const SOME_TIME: Duration = Duration::from_millis(100);

fn is_mark(outcome: &Outcome) -> bool {
    matches!(outcome.frames(), [frame] if frame.payload() == MARK)
}

/// The same frame as if nothing had been asked for.
fn without_wishes(frame: &Frame) -> Frame {
    match frame.opcode() {
        Opcode::Text => Frame::unchecked_text(frame.payload().to_vec()),
        Opcode::Binary => Frame::binary(frame.payload().to_vec()),
        _ => frame.clone(),
    }
}

impl MutatedProbe {
    pub(crate) fn new(callbacks: Callbacks, site: Arc<Site>) -> Self {
        let probe = site.probe();
        MutatedProbe {
            probe,
            callbacks,
            site,
            mailbox: None,
            counts: (0, 0),
            last: Vec::new(),
            waiting: None,
        }
    }

    /// Has `handle_info` called with the mark in some time.
    fn wake(&self) {
        let mailbox = self.mailbox.clone().unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(SOME_TIME).await;
            let _ = mailbox.try_send(Outcome::push(Frame::binary(MARK)));
        });
    }

    /// What becomes of a callback's answer.
    fn answer(&mut self, answer: HandleResult) -> HandleResult {
        match (self.callbacks, answer) {
            (Callbacks::ErrorsAreStops, Err(_)) => Ok(Outcome::stop()),
            (Callbacks::ErrorsAreText, Err(error)) => Err(error.to_string().into()),
            (Callbacks::PushesReversed, Ok(outcome)) if !outcome.is_stop() => {
                Ok(Outcome::push(outcome.frames().iter().rev().cloned().collect::<Vec<_>>()))
            }
            (Callbacks::WishesForgotten, Ok(outcome)) if !outcome.is_stop() => {
                Ok(Outcome::push(outcome.frames().iter().map(without_wishes).collect::<Vec<_>>()))
            }
            (Callbacks::LastMessagesLost, Ok(outcome)) if outcome.is_stop() => {
                Ok(match outcome.close_frame() {
                    Some(close) => Outcome::stop().close(close.code(), close.reason().clone()),
                    None => Outcome::stop(),
                })
            }
            (Callbacks::DetailsLost, Ok(outcome)) if outcome.close_frame().is_some() => {
                Ok(Outcome::stop().with(outcome.frames().to_vec()))
            }
            (Callbacks::StopsLate, Ok(outcome)) if outcome.is_stop() && self.waiting.is_none() => {
                self.waiting = Some(outcome);
                self.wake();
                Ok(Outcome::none())
            }
            (_, answer) => answer,
        }
    }

    fn change(&self, message: Message) -> Message {
        match (self.callbacks, message) {
            (Callbacks::TextUnchecked, Message::UncheckedText(bytes))
                if !format!("{:?}", self.site.options()).contains("validate_utf8: false") =>
            {
                Message::Text(String::from_utf8_lossy(&bytes).into_owned().into())
            }
            (Callbacks::RestOfTheLastMessage, Message::Binary(bytes)) if bytes.len() < self.last.len() => {
                Message::Binary([&bytes[..], &self.last[bytes.len()..]].concat().into())
            }
            (Callbacks::BinaryIsText, Message::Binary(bytes)) => match String::from_utf8(bytes.to_vec()) {
                Ok(text) => Message::Text(text.into()),
                Err(_) => Message::Binary(bytes),
            },
            (_, message) => message,
        }
    }
}

/// What comes of a callback: this is where panics and time are not looked after as they should be.
async fn called(callbacks: Callbacks, callback: impl Future<Output = HandleResult> + Send) -> HandleResult {
    match callbacks {
        Callbacks::PanicsSwallowed => {
            let ended = AssertUnwindSafe(callback).catch_unwind().await;
            ended.unwrap_or_else(|_| Ok(Outcome::none()))
        }
        _ => callback.await,
    }
}

impl WebSock for MutatedProbe {
    type Info = Outcome;

    async fn init(&mut self, socket: Socket<Outcome>) -> HandleResult {
        if matches!(self.callbacks, Callbacks::InfosSwapped | Callbacks::StopsLate) {
            self.mailbox = Some(socket.mailbox().clone());
        }
        let answer = called(self.callbacks, self.probe.init(socket)).await;
        match self.callbacks {
            Callbacks::InitUnanswered => Ok(Outcome::none()),
            _ => self.answer(answer),
        }
    }

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        self.counts.0 += 1;
        match self.callbacks {
            Callbacks::EmptyMessagesUnseen if message.is_empty() => return Ok(Outcome::none()),
            Callbacks::EveryHundredthMessageLost if self.counts.0.is_multiple_of(100) => {
                return Ok(Outcome::none());
            }
            _ => {}
        }
        let message = self.change(message);
        if self.callbacks == Callbacks::RestOfTheLastMessage {
            self.last = message.as_bytes().to_vec();
        }
        if self.callbacks == Callbacks::LargeMessagesTwice && message.len() > 65_536 {
            let first = self.probe.handle_in(message.clone()).await?;
            if first.is_stop() {
                return Ok(first);
            }
            let second = self.probe.handle_in(message).await?;
            return Ok(second.with(first.frames().to_vec()));
        }
        let answer = called(self.callbacks, self.probe.handle_in(message)).await;
        self.answer(answer)
    }

    async fn handle_control(&mut self, control: Control) -> HandleResult {
        match (self.callbacks, &control) {
            (Callbacks::PongsUnseen, Control::Pong(_)) => return Ok(Outcome::none()),
            (Callbacks::EmptyPayloadsUnseen, control) if control.payload().as_ref().is_empty() => {
                return Ok(Outcome::none());
            }
            (Callbacks::PongsBehindTheCallback, Control::Ping(payload)) => {
                let pong = Frame::pong(payload.clone());
                return Ok(self.probe.handle_control(control).await?.with([pong]));
            }
            _ => {}
        }
        let answer = called(self.callbacks, self.probe.handle_control(control)).await;
        self.answer(answer)
    }

    async fn handle_info(&mut self, info: Outcome) -> HandleResult {
        self.counts.1 += 1;
        match self.callbacks {
            Callbacks::EveryHundredthInfoLost if self.counts.1.is_multiple_of(100) => {
                return Ok(Outcome::none());
            }
            Callbacks::StopsLate if is_mark(&info) => return Ok(self.waiting.take().unwrap_or_default()),
            Callbacks::InfosSwapped if is_mark(&info) => match self.waiting.take() {
                Some(first) => return self.probe.handle_info(first).await,
                None => return Ok(Outcome::none()),
            },
            Callbacks::InfosSwapped if !info.frames().is_empty() && !info.is_stop() => {
                match self.waiting.take() {
                    None => {
                        self.waiting = Some(info);
                        self.wake();
                        return Ok(Outcome::none());
                    }
                    Some(first) => {
                        let second = self.probe.handle_info(info).await?;
                        let first = self.probe.handle_info(first).await?;
                        return Ok(second.with(first.frames().to_vec()));
                    }
                }
            }
            _ => {}
        }
        let answer = called(self.callbacks, self.probe.handle_info(info)).await;
        self.answer(answer)
    }

    async fn terminate(mut self, reason: CloseReason) {
        let reason = match (self.callbacks, reason) {
            (Callbacks::TerminateNever, CloseReason::Error(Error::Disconnected)) => return,
            (Callbacks::ShutdownIsNormal, CloseReason::Shutdown) => CloseReason::Normal,
            (Callbacks::TimeoutsAreIdle, CloseReason::Timeout(_)) => CloseReason::Timeout(Timeout::Idle),
            (Callbacks::ReasonsOfThePeerLost, CloseReason::Remote { code, .. }) => {
                CloseReason::Remote { code, reason: "".into() }
            }
            (Callbacks::TooBigIsProtocol, CloseReason::Error(Error::TooBig(_))) => {
                CloseReason::Error(Error::Disconnected)
            }
            (_, reason) => reason,
        };
        let remote = matches!(reason, CloseReason::Remote { .. });
        let normal = matches!(reason, CloseReason::Normal);
        match self.callbacks {
            Callbacks::CloseIsAControl if remote => {
                let _ = self.probe.handle_control(Control::Pong(ControlPayload::default())).await;
                self.probe.terminate(reason).await;
            }
            Callbacks::TerminateTwice if remote => {
                self.probe.terminate(reason).await;
                self.site.probe().terminate(CloseReason::Normal).await;
            }
            Callbacks::CallbackAfterTerminate if normal => {
                self.site.probe().terminate(reason).await;
                let _ = self.probe.handle_in(Message::Text("too late".into())).await;
            }
            Callbacks::PanicsInTerminateSwallowed => {
                let _ = AssertUnwindSafe(self.probe.terminate(reason)).catch_unwind().await;
            }
            Callbacks::EndsToldTwice => {
                tracing::info!(target: "websock_mutant", %reason, "websocket closed");
                self.probe.terminate(reason).await;
            }
            _ => self.probe.terminate(reason).await,
        }
    }
}
