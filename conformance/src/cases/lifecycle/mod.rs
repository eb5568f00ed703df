//! Which callback runs when: L.

mod ending;
mod failed_upgrades;
mod messages;
mod order;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [ending::cases(), failed_upgrades::cases(), messages::cases(), order::cases()]
        .into_iter()
        .flatten()
        .collect()
}
