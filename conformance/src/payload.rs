//! Payloads to send.

/// Bytes in which no shift and no repetition goes unseen.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]).collect()
}

/// Text of this many bytes.
pub(crate) fn text(length: usize) -> String {
    let unit = "Grüße, 世界! 🦀 ";
    let mut text = unit.repeat(length / unit.len());
    text.extend(std::iter::repeat_n('.', length - text.len()));
    text
}
