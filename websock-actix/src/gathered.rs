//! Several messages in one piece, in memory that the thread keeps.
//!
//! All connections on which something arrived are handled before the server writes. Were this memory allocated anew,
//! or the messages themselves kept until then, more would be freed at once than glibc keeps: it would give the memory
//! back to the system and have every page cleared again, three times for each message of 16 KiB.

use std::cell::RefCell;

use bytes::Bytes;

/// How many pieces a thread keeps. None is larger than what a connection may write at a time.
const KEPT: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A piece, whose last owner gives the memory back.
struct Gathered(Vec<u8>);

impl AsRef<[u8]> for Gathered {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        let mut memory = std::mem::take(&mut self.0);
        memory.clear();
        // A thread that is ending keeps nothing.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(memory);
            }
        });
    }
}

/// Copies all these bytes, which are so many together, into one piece.
pub(crate) fn gather(chunks: impl Iterator<Item = Bytes>, size: usize) -> Bytes {
    let mut all = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    all.reserve(size);
    chunks.for_each(|chunk| all.extend_from_slice(&chunk));
    Bytes::from_owner(Gathered(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_gathered_is_all_of_it_and_its_memory_is_used_again() {
        let chunks = [Bytes::from_static(b"two "), Bytes::from_static(b"chunks")];
        let all = gather(chunks.clone().into_iter(), 10);
        assert_eq!(all, "two chunks");
        let address = all.as_ptr();
        drop(all);
        assert_eq!(gather(chunks.into_iter(), 10).as_ptr(), address);
    }

    #[test]
    fn a_thread_keeps_so_much_and_no_more() {
        let pieces: Vec<_> = (0..2 * KEPT).map(|_| gather(std::iter::empty(), 100)).collect();
        drop(pieces);
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }
}
