//! Requests and responses: U.

mod accepting;
mod origin;
mod refusal;
mod routes;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [accepting::cases(), origin::cases(), refusal::cases(), routes::cases()].into_iter().flatten().collect()
}
