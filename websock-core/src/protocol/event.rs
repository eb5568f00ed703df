//! What the engine tells its driver.

use super::error::Violation;
use crate::close::CloseFrame;
use crate::message::{Control, Message};

/// What arrived from the peer, in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A complete data message.
    Message(Message),
    /// A ping, whose pong is queued already, or a pong.
    Control(Control),
    /// A valid Close frame, `None` if it was empty. Nothing follows it.
    Close(Option<CloseFrame>),
    /// The peer broke a rule. Nothing follows it.
    Violation(Violation),
}
