//! Timers: T.

mod silence;
mod slowness;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [silence::cases(), slowness::cases()].into_iter().flatten().collect()
}
