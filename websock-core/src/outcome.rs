//! [`Outcome`]: what a callback wants to happen next (SPEC O).

use crate::close::{BoxError, CloseCode, CloseFrame};
use crate::message::{Frame, Message, Prepared};

/// The result of every callback but `terminate`: an outcome, or any error (SPEC O8).
///
/// `Err(e)` closes the connection with 1011 and comes back to `terminate` as
/// [`Error::Handler`](crate::Error::Handler), so `?` works in callbacks.
pub type HandleResult = Result<Outcome, BoxError>;

/// What a callback wants to happen next: go on, push messages, or end the connection.
///
/// It reads like a sentence:
///
/// ```
/// use websock_core::{CloseCode, Frame, Outcome};
///
/// Outcome::none();
/// Outcome::push("hello");
/// Outcome::push([Frame::text("one"), Frame::text("two")]);
/// Outcome::stop();
/// Outcome::stop().close(CloseCode::POLICY, "no shouting");
/// Outcome::stop().close(CloseCode::NORMAL, "bye").with(["last words"]);
/// Outcome::fail("database gone").close(CloseCode::TRY_AGAIN, "come back later");
/// ```
#[derive(Debug, Default)]
#[must_use = "an outcome does nothing until a callback returns it"]
pub struct Outcome {
    pub(crate) frames: Frames,
    pub(crate) ending: Option<Box<Ending>>,
}

/// That an outcome ends the connection, and how.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    pub(crate) detail: Option<CloseFrame>,
    pub(crate) error: Option<BoxError>,
}

/// Messages in the order in which they are sent: none, one or many, of any kind.
///
/// Everything that [`Frame`] can be made from is one; a `Vec` or an array is many.
#[derive(Debug, Default)]
pub struct Frames(pub(crate) FrameList);

/// One message, the common case, costs no allocation.
#[derive(Debug, Default)]
pub(crate) enum FrameList {
    #[default]
    None,
    One(Frame),
    Many(Vec<Frame>),
}

impl Outcome {
    /// Go on; nothing is sent (SPEC O1).
    pub fn none() -> Self {
        Outcome::default()
    }

    /// Send one message or several, in this order (SPEC O2). An empty list is allowed.
    pub fn push(frames: impl Into<Frames>) -> Self {
        Outcome { frames: frames.into(), ending: None }
    }

    /// Another name for [`push`](Outcome::push), known from Phoenix; it does exactly the same (SPEC O3).
    pub fn reply(frames: impl Into<Frames>) -> Self {
        Outcome::push(frames)
    }

    /// End the connection: a Close frame with 1000, then `terminate(Normal)` (SPEC O4).
    ///
    /// [`close`](Outcome::close) gives it another code and a text, [`with`](Outcome::with) last messages.
    pub fn stop() -> Self {
        Outcome { frames: Frames::default(), ending: Some(Box::default()) }
    }

    /// End the connection because the service restarts: 1012, then `terminate(Normal)` (SPEC O7).
    pub fn restart() -> Self {
        Outcome::stop().close_with(CloseCode::RESTART.into())
    }

    /// End the connection because of an error: 1011, then `terminate(Error(Handler(error)))` (SPEC O8).
    ///
    /// The same as returning `Err(error)`, but it takes a [`close`](Outcome::close) and last messages.
    pub fn fail(error: impl Into<BoxError>) -> Self {
        let ending = Ending { detail: None, error: Some(error.into()) };
        Outcome { frames: Frames::default(), ending: Some(Box::new(ending)) }
    }

    /// End the connection with this code and text on the wire (SPEC O5). On an outcome that does not stop yet it
    /// makes a stop of it. A text over 123 bytes is cut at a character boundary; an empty one is not sent.
    pub fn close(self, code: CloseCode, reason: impl Into<crate::Text>) -> Self {
        self.close_with(CloseFrame::new(code, reason))
    }

    fn close_with(mut self, frame: CloseFrame) -> Self {
        self.ending.get_or_insert_default().detail = Some(frame);
        self
    }

    /// Adds messages behind those that are there; before a stop they are the last ones (SPEC O6).
    pub fn with(mut self, frames: impl Into<Frames>) -> Self {
        self.frames.append(frames.into());
        self
    }

    /// The messages that it sends, in order: for tests of a handler.
    pub fn frames(&self) -> &[Frame] {
        self.frames.as_slice()
    }

    /// Whether it ends the connection: for tests of a handler.
    pub fn is_stop(&self) -> bool {
        self.ending.is_some()
    }

    /// The error that it fails with, if it does: for tests of a handler.
    pub fn error(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.ending.as_ref()?.error.as_deref()
    }

    /// The code and text that it closes with, where it names one: for tests of a handler.
    pub fn close_frame(&self) -> Option<&CloseFrame> {
        self.ending.as_ref()?.detail.as_ref()
    }
}

impl Frames {
    /// The messages.
    pub fn as_slice(&self) -> &[Frame] {
        match &self.0 {
            FrameList::None => &[],
            FrameList::One(frame) => std::slice::from_ref(frame),
            FrameList::Many(frames) => frames,
        }
    }

    fn append(&mut self, more: Frames) {
        let all = match (std::mem::take(&mut self.0), more.0) {
            (FrameList::None, list) | (list, FrameList::None) => list,
            (first, second) => {
                let mut all = first.into_vec();
                all.append(&mut second.into_vec());
                FrameList::Many(all)
            }
        };
        self.0 = all;
    }
}

impl FrameList {
    fn into_vec(self) -> Vec<Frame> {
        match self {
            FrameList::None => Vec::new(),
            FrameList::One(frame) => vec![frame],
            FrameList::Many(frames) => frames,
        }
    }
}

impl<F: Into<Frame>> From<F> for Frames {
    fn from(frame: F) -> Self {
        Frames(FrameList::One(frame.into()))
    }
}

impl<F: Into<Frame>, const N: usize> From<[F; N]> for Frames {
    fn from(frames: [F; N]) -> Self {
        Frames(FrameList::Many(frames.map(Into::into).into()))
    }
}

macro_rules! frames_from_vec {
    ($($item:ty),*) => {$(
        impl From<Vec<$item>> for Frames {
            fn from(frames: Vec<$item>) -> Self {
                Frames(FrameList::Many(frames.into_iter().map(Frame::from).collect()))
            }
        }
    )*};
}

frames_from_vec!(Frame, Message, Prepared, crate::Text, String, &str, crate::Payload, bytes::Bytes);

impl FromIterator<Frame> for Frames {
    fn from_iter<I: IntoIterator<Item = Frame>>(frames: I) -> Self {
        Frames(FrameList::Many(frames.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Control, ControlPayload};

    #[test]
    fn messages_keep_the_order_in_which_they_were_given() {
        let outcome = Outcome::push("a").with(["b", "c"]).with(Vec::<Frame>::new()).with(vec![1, 2]);
        let payloads: Vec<_> = outcome.frames().iter().map(Frame::payload).collect();
        assert_eq!(payloads, [&b"a"[..], b"b", b"c", &[1, 2]]);
        assert!(!outcome.is_stop());
    }

    #[test]
    fn a_stop_has_no_detail_unless_it_is_given_one() {
        assert!(Outcome::stop().is_stop());
        assert_eq!(Outcome::stop().close_frame(), None);
        let outcome = Outcome::stop().close(CloseCode::POLICY, "bye");
        assert_eq!(outcome.close_frame().unwrap().code(), CloseCode::POLICY);
        assert_eq!(outcome.close_frame().unwrap().reason(), &"bye");
        assert_eq!(Outcome::restart().close_frame().unwrap().code(), CloseCode::RESTART);
    }

    #[test]
    fn a_failure_can_be_told_from_a_stop() {
        assert!(Outcome::stop().error().is_none() && Outcome::none().error().is_none());
        let outcome = Outcome::fail("gone").close(CloseCode::TRY_AGAIN, "");
        assert_eq!(outcome.error().unwrap().to_string(), "gone");
        assert!(outcome.is_stop());
    }

    #[test]
    fn a_push_that_is_given_a_close_stops() {
        let outcome = Outcome::push("last").close(CloseCode::NORMAL, "");
        assert!(outcome.is_stop());
        assert_eq!(outcome.frames().len(), 1);
    }

    #[test]
    fn everything_that_can_be_sent_can_be_pushed() {
        let Control::Ping(payload) = Control::Ping(ControlPayload::EMPTY) else { unreachable!() };
        let outcomes = [
            Outcome::push("text"),
            Outcome::push(String::from("text")),
            Outcome::push(vec![1_u8]),
            Outcome::push(Message::Binary(crate::Payload::EMPTY)),
            Outcome::push(Prepared::text("x")),
            Outcome::push(Frame::pong(payload)),
            Outcome::reply(vec!["x"]),
        ];
        assert!(outcomes.iter().all(|outcome| outcome.frames().len() == 1));
    }
}
