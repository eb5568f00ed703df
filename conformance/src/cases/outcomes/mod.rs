//! What callbacks answer: O.

mod callbacks;
mod pushes;
mod stops;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [callbacks::cases(), pushes::cases(), stops::cases()].into_iter().flatten().collect()
}
