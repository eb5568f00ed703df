//! Drains: S.

mod drains;
mod moments;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [drains::cases(), moments::cases()].into_iter().flatten().collect()
}
