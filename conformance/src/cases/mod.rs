//! The cases, grouped as the rules are.

mod backpressure;
mod closing;
mod compression;
mod errors;
mod frames;
mod lifecycle;
mod outcomes;
mod shutdown;
mod time;
mod upgrade;

use crate::case::Case;

/// Every case of the suite.
pub fn cases() -> Vec<Case> {
    let groups = [
        lifecycle::cases(),
        outcomes::cases(),
        closing::cases(),
        frames::cases(),
        compression::cases(),
        time::cases(),
        backpressure::cases(),
        shutdown::cases(),
        errors::cases(),
        upgrade::cases(),
    ];
    groups.into_iter().flatten().collect()
}
