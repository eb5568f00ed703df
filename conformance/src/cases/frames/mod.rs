//! Framing: F.

mod early_data;
mod headers;
mod messages;
mod sizes;
mod violations;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [early_data::cases(), headers::cases(), messages::cases(), sizes::cases(), violations::cases()]
        .into_iter()
        .flatten()
        .collect()
}
