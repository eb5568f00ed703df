//! Several messages in one piece, in memory that the thread keeps.
//!
//! All connections on which something arrived are handled before the server writes. Were this memory allocated anew,
//! or the messages themselves kept until then, more would be freed at once than glibc keeps: it would give the memory
//! back to the system and have every page cleared again, three times for each message of 16 KiB.

use std::cell::RefCell;

use bytes::Bytes;

/// How many pieces a thread keeps. None is larger than twice what a connection may write at a time.
const KEPT: usize = 32;

/// Where in its memory a piece begins. Blocks of like sizes begin at like places within a page, and with them the
/// server's write buffer, into which a piece is copied as a whole. Where two such places nearly agree in the last twelve
/// bits of their addresses, `rep movsb`, with which glibc copies, takes twenty times as long on AMD's Zen 3.
const LEAD: usize = 1024;

/// So much is copied at once: less than what glibc copies in that way.
const STEP: usize = 2 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A piece that grows.
#[derive(Default)]
pub(crate) struct Gathered(Vec<u8>);

impl Gathered {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Copies these bytes behind what is there.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.0.capacity() == 0 {
            self.0 = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
            self.0.resize(LEAD, 0);
        }
        self.0.reserve(bytes.len());
        bytes.chunks(STEP).for_each(|step| self.0.extend_from_slice(step));
    }

    /// All that is there, if that is anything.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        (!self.is_empty()).then(|| Bytes::from_owner(Piece(std::mem::take(&mut self.0))))
    }
}

/// A piece that is whole. Its last owner gives the memory back.
struct Piece(Vec<u8>);

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0[LEAD..]
    }
}

impl Drop for Piece {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(chunks: &[&[u8]]) -> Bytes {
        let mut gathered = Gathered::default();
        chunks.iter().for_each(|chunk| gathered.push(chunk));
        assert!(!gathered.is_empty());
        let piece = gathered.take().unwrap();
        assert!(gathered.is_empty() && gathered.take().is_none());
        piece
    }

    #[test]
    fn what_was_gathered_is_all_of_it_and_its_memory_is_used_again() {
        let chunks: [&[u8]; 2] = [b"two ", b"chunks"];
        let first = piece(&chunks);
        assert_eq!(first, "two chunks");
        let address = first.as_ptr();
        drop(first);
        assert_eq!(piece(&chunks).as_ptr(), address);
    }

    #[test]
    fn a_thread_keeps_so_much_and_no_more() {
        let pieces: Vec<_> = (0..2 * KEPT).map(|_| piece(&[&[0; 100]])).collect();
        drop(pieces);
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }
}
