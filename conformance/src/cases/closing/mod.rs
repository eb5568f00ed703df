//! How connections end: X.

mod disconnect;
mod handshake;
mod lingering;
mod stopping;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [disconnect::cases(), handshake::cases(), lingering::cases(), stopping::cases()]
        .into_iter()
        .flatten()
        .collect()
}
