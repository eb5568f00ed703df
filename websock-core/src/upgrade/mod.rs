//! The upgrade contract: which requests become WebSocket connections, and what answers the others (SPEC U).
//!
//! An adapter makes a [`RequestHead`] of its server's request and asks [`negotiate`]. The answer is either
//! [`Accepted`], whose headers go on the 101, or an [`UpgradeError`], which is a whole response: status, headers and
//! body. No adapter decides any of this, so all servers decide alike.

mod accept;
mod error;
mod extensions;
mod head;
mod origin;
mod subprotocols;
mod validate;

pub use accept::Accepted;
pub use error::{KeyDefect, UpgradeError};
pub use head::{HttpVersion, RequestHead};
pub use origin::{InvalidOrigin, Origin, Origins};
pub use subprotocols::{InvalidSubprotocol, Subprotocol};
pub use validate::negotiate;
