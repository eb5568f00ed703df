//! The masking of client frames (RFC 6455 §5.3).

use fearless_simd::{Level, Simd, dispatch};

/// The size of a cache's line on all processors of today, or a multiple of it.
const CACHE_LINE: usize = 64;

/// Of so many bytes each the words are unmasked without a loop.
const BLOCK: usize = 32;

/// Removes the mask from `payload`, in place.
///
/// `mask` is the masking key as it applies to the first byte of `payload`: for a later part of a frame's payload it
/// has to be rotated first, see [`rotated`].
#[inline(always)]
pub(crate) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from(u32::from_ne_bytes(mask));
    let wide = wide << 32 | wide;
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    let (halves, rest) = rest.as_chunks_mut::<4>();
    for half in halves {
        *half = (u32::from_ne_bytes(*half) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

/// Does the same in blocks. The last of them overlaps the one before it, so that the end takes no loop of its own.
#[inline(always)]
pub(crate) fn unmask_blocks(payload: &mut [u8], mask: [u8; 4]) {
    let length = payload.len();
    let Some(last) = payload.last_chunk_mut::<BLOCK>() else { return unmask(payload, mask) };
    let mut end = *last;
    unmask(&mut end, rotated(mask, length - BLOCK));
    for block in payload.as_chunks_mut::<BLOCK>().0 {
        unmask(block, mask);
    }
    if let Some(last) = payload.last_chunk_mut() {
        *last = end;
    }
}

/// Does the same to a large payload, with the widest vectors that the processor has: twice as fast, and three
/// times where none of them lies on two lines of the cache.
pub(crate) fn unmask_large(payload: &mut [u8], mask: [u8; 4]) {
    let before = payload.as_ptr().align_offset(CACHE_LINE).min(payload.len());
    let (first, lines) = payload.split_at_mut(before);
    unmask(first, mask);
    let mask = rotated(mask, before);
    dispatch!(Level::new(), simd => simd.vectorize(
        #[inline(always)]
        || unmask(lines, mask)
    ));
}

/// Appends `payload` without its mask: for a payload that is to be copied anyway this takes hardly more than the copy.
#[inline]
pub(crate) fn extend_unmasked(unmasked: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    let wide = u64::from(u32::from_ne_bytes(mask));
    let wide = wide << 32 | wide;
    let (words, rest) = payload.as_chunks::<8>();
    unmasked.extend(words.iter().flat_map(|word| (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes()));
    let (halves, rest) = rest.as_chunks::<4>();
    let narrow = u32::from_ne_bytes(mask);
    unmasked.extend(halves.iter().flat_map(|half| (u32::from_ne_bytes(*half) ^ narrow).to_ne_bytes()));
    unmasked.extend(rest.iter().zip(mask).map(|(byte, key)| byte ^ key));
}

/// The masking key as it applies `consumed` bytes later.
#[inline]
pub(crate) fn rotated(mask: [u8; 4], consumed: usize) -> [u8; 4] {
    let bits = [0, 8, 16, 24][consumed % 4];
    u32::from_le_bytes(mask).rotate_right(bits).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hello_of_the_rfc() {
        // RFC 6455 §5.7
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn every_byte_is_unmasked_with_its_own_byte_of_the_key() {
        let mask = [0x80, 0x01, 0xff, 0x42];
        for len in 0..200 {
            for start in 0..=len.min(9) {
                let masked: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let expected: Vec<u8> = (0..len).map(|i| i as u8 ^ mask[i % 4]).collect();
                let mut payload = masked.clone();
                let (first, second) = payload.split_at_mut(start);
                unmask(first, mask);
                unmask(second, rotated(mask, start));
                assert_eq!(payload, expected, "{len} in two parts at {start}");
                unmask_large(&mut payload, mask);
                assert_eq!(payload, masked, "{len}, masked again as a large one");
                unmask_blocks(&mut payload, mask);
                assert_eq!(payload, expected, "{len} in blocks");
                let mut copied = Vec::new();
                extend_unmasked(&mut copied, &masked[..start], mask);
                extend_unmasked(&mut copied, &masked[start..], rotated(mask, start));
                assert_eq!(copied, expected, "{len} copied in two parts at {start}");
            }
        }
    }
}
