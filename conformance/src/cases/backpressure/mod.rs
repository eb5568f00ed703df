//! Slow sides, and the mailbox: B.

mod mailbox;
mod slow_sides;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [mailbox::cases(), slow_sides::cases()].into_iter().flatten().collect()
}
