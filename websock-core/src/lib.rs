//! One WebSocket handler for any web server.
//!
//! `websock-core` defines the behaviour of a connection, the trait [`WebSock`], and holds the one engine that runs it
//! on every server. Applications use an adapter, such as `websock-hyper`, which exports all of this again; this
//! crate alone is for authors of adapters.
//!
//! # The lifecycle
//!
//! ```text
//!   upgrade request ──► negotiate ──► 101 ──► init
//!                          │                   │
//!                       refused:      ┌────────▼─────────┐
//!                     a response,     │    handle_in     │ ◄── messages from the peer
//!                     handler unused  │  handle_control  │ ◄── its pings and pongs
//!                                     │   handle_info    │ ◄── messages from other tasks: Mailbox
//!                                     └────────┬─────────┘
//!             each answers an Outcome:         │   stop, error, panic, the peer's Close, a violation,
//!             none, push, stop, fail           │   a timeout, a lost connection, shutdown
//!                                              ▼
//!                                          terminate, once, with the CloseReason
//! ```
//!
//! # The modules
//!
//! | where | what |
//! |---|---|
//! | [`WebSock`], [`BoxWebSock`] | the behaviour |
//! | [`Outcome`] | what a callback answers |
//! | [`Message`], [`Control`], [`Frame`], [`Text`], [`Payload`], [`Prepared`] | what goes over a connection |
//! | [`CloseCode`], [`CloseFrame`], [`CloseReason`], [`Error`], [`Timeout`] | how it ends |
//! | [`Options`], [`Deflate`] | limits, times and compression, the same on every server |
//! | [`Accept`], [`upgrade`] | the contract of adapters: which requests become connections |
//! | [`Connection`] | the driver: runs a handler on a transport |
//! | [`Drain`] | closes all connections before a server goes down |
//! | [`Socket`], [`Mailbox`] | what a handler gets, and what others reach it by |
//! | [`protocol`] | the engine: RFC 6455 without a socket, a runtime or a clock |
//! | `testing` | an in-memory client to test handlers with, behind the feature of that name |
//! | [`spec`] | the rules that hold on every server, with their ids |
//!
//! # What is logged
//!
//! By `tracing`, under the target `websock_core`. Each connection is a span, `websocket`, at level info: the handler's
//! type, the subprotocol, whether messages are compressed. Within it:
//!
//! | level | what |
//! |---|---|
//! | info | `websocket closed`: the reason, the close code, and what went each way, by opcode |
//! | warn | the same, where a callback failed: the reason has its error |
//! | error | a callback, `terminate` or a transport panicked |
//! | error | an accepted upgrade came to nothing: the cause, and what might help |
//!
//! # Invariants
//!
//! - The engine and the upgrade contract do no input or output and know no clock; without the default feature
//!   `driver` nothing else is compiled.
//! - What ends a connection becomes what goes on the wire and what `terminate` gets in one total function.
//! - `terminate` is called from one line.
//! - There is one `unsafe` block: text that was checked to be UTF-8 is not checked again.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "bytes made by hand"))]

mod close;
mod deflate;
mod message;
mod options;
#[cfg(feature = "driver")]
mod outcome;
mod payload;
mod spare;
mod text;

pub mod protocol;
pub mod upgrade;

#[doc = include_str!("../SPEC.md")]
pub mod spec {}

#[cfg(feature = "driver")]
mod boxed;
#[cfg(feature = "driver")]
mod contract;
#[cfg(feature = "driver")]
mod driver;
#[cfg(feature = "driver")]
mod handler;
#[cfg(feature = "testing")]
pub mod testing;

pub use bytes::Bytes;

pub use close::{BoxError, CloseCode, CloseFrame, CloseReason, Error, InvalidCloseCode, Timeout};
pub use deflate::{Deflate, DeflateLevel, DeflateParameters, WindowBits};
pub use message::{Control, ControlPayload, ControlPayloadTooLong, Frame, Message, Prepared};
pub use options::{Keepalive, Options};
#[cfg(feature = "driver")]
pub use outcome::{Frames, HandleResult, Outcome};
pub use payload::Payload;
pub use protocol::{ProtocolError, TooBig};
pub use text::{InvalidUtf8, Text};
pub use upgrade::{Origin, Origins, RequestHead, Subprotocol, UpgradeError};

#[cfg(feature = "driver")]
pub use boxed::BoxWebSock;
#[cfg(feature = "driver")]
pub use contract::Accept;
#[cfg(feature = "driver")]
pub use driver::{Connection, Drain, Drained, Mailbox, SendError, Shutdown, Socket, Transport, TrySendError};
#[cfg(feature = "driver")]
pub use handler::WebSock;
