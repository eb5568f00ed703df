//! Memory of large messages, kept to be used again.
//!
//! An allocator gives large blocks back to the system as soon as they are freed, and the system clears every page of
//! the next one: for a message of a megabyte that costs more than everything else together. So each thread keeps the
//! memory of the last few, and bounded: what it keeps does not depend on the number of connections.
//!
//! A message gets such memory when its header claims the size, before its bytes have come (SPEC F6). So that peers
//! who claim and send nothing cannot hold much, what is lent in this way is bounded too, for the whole process.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::protocol::MAX_HEADER;

/// From this size on allocators go to the system (glibc's threshold).
const WORTH_KEEPING: usize = 128 * 1024;

/// How much a thread keeps at most, in all: enough for two messages of 4 MiB, with what is in front of each and behind.
const KEPT: usize = 9 * 1024 * 1024;

/// How much is lent at most, in the whole process, to messages that have not come whole.
const LENDABLE: usize = 32 * 1024 * 1024;

/// How much is lent.
static LENT: AtomicUsize = AtomicUsize::new(0);

/// Where in a lent memory the message begins. Allocators begin large blocks close to the beginning of a page, and there
/// the kernel's buffers begin, too. Processors, AMD's more than others, copy slowly between two places that nearly
/// agree in the last twelve bits of their addresses: up to a quarter of what an echo of 256 KiB costs.
const LEAD: usize = 1024;

/// From this size on a payload that comes in parts has room behind it. If it were whole pages and filled its block, the
/// next block would begin 16 bytes after it, as far as those bits go, and a transport may have to copy it there.
const WORTH_PARTING: usize = 32 * 1024;

/// The largest buffer for what waits to be written that a thread keeps.
const KEPT_OUTGOING: usize = 256 * 1024;

/// How many further ones it keeps.
const MOST_FURTHER: usize = 16;

thread_local! {
    /// The buffer in which a connection of this thread gathers small frames until it writes them.
    static OUTGOING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Further ones, where transports take such buffers over and give them back later.
    static FURTHER: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// What this thread keeps, the oldest first.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A message's memory, which its last owner gives back.
struct Kept {
    memory: Vec<u8>,
    /// Where in it the message begins.
    lead: usize,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.lead..]
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.memory));
    }
}

/// Keeps memory that nobody needs any more, if it is large.
pub(crate) fn give(mut memory: Vec<u8>) {
    if !(WORTH_KEEPING..=KEPT).contains(&memory.capacity()) {
        return;
    }
    memory.clear();
    // A thread that is ending keeps nothing.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        spare.push(memory);
        while spare.iter().map(Vec::capacity).sum::<usize>() > KEPT {
            spare.remove(0);
        }
    });
}

/// Memory of this thread for so many bytes, if that is large and there is some that fits it well.
pub(crate) fn take(size: usize) -> Option<Vec<u8>> {
    SPARE.with_borrow_mut(|spare| fitting(spare, size).map(|last| spare.remove(last)))
}

/// So much memory is lent, until this is dropped.
#[derive(Debug)]
pub(crate) struct Loan(usize);

impl Loan {
    fn new(size: usize) -> Option<Self> {
        // The count orders no other memory.
        let lent = LENT.fetch_add(size, Ordering::Relaxed) + size;
        let loan = Loan(size);
        (lent <= LENDABLE).then_some(loan)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        LENT.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Memory for a payload of which this size is claimed, if that is large and this thread has some that fits it well. What
/// it holds already is in front of the message.
pub(crate) fn lend(size: usize) -> Option<(Vec<u8>, Loan)> {
    SPARE.with_borrow_mut(|spare| {
        let last = fitting(spare, lendable(size))?;
        let loan = Loan::new(spare[last].capacity())?;
        let mut memory = spare.remove(last);
        memory.resize(LEAD, 0);
        Some((memory, loan))
    })
}

/// The capacity of memory that can be lent to another payload of this size when this one's message is gone, if that is
/// large: with room in front of it and, for the header that follows it, behind.
pub(crate) fn lendable(size: usize) -> usize {
    if size < WORTH_PARTING { size } else { size.saturating_add(LEAD + MAX_HEADER) }
}

/// Where among these the last is that fits a payload of this size well, if that is large.
fn fitting(spare: &[Vec<u8>], size: usize) -> Option<usize> {
    if size < WORTH_KEEPING {
        return None;
    }
    spare.iter().rposition(|memory| (size..=size.saturating_mul(2)).contains(&memory.capacity()))
}

/// Memory for a payload that is here whole: of just this size, if that is not large.
#[inline]
pub(crate) fn with_capacity(size: usize) -> Vec<u8> {
    if size < WORTH_KEEPING { Vec::with_capacity(size) } else { large(size) }
}

#[cold]
fn large(size: usize) -> Vec<u8> {
    take(size).unwrap_or_else(|| Vec::with_capacity(lendable(size)))
}

/// Bytes that own this memory, and give it back if it is large.
#[inline]
pub(crate) fn into_bytes(memory: Vec<u8>) -> Bytes {
    message(memory, 0)
}

/// The message that begins at `lead` in this memory, and gives it back if it is large.
#[inline]
pub(crate) fn message(memory: Vec<u8>, lead: usize) -> Bytes {
    match memory.capacity() {
        WORTH_KEEPING..=KEPT => Bytes::from_owner(Kept { memory, lead }),
        _ if lead == 0 => Bytes::from(memory),
        _ => Bytes::from(memory).split_off(lead),
    }
}

/// The thread's buffer for what waits to be written, if no connection has it.
pub(crate) fn take_outgoing() -> Vec<u8> {
    OUTGOING.try_with(Cell::take).unwrap_or_default()
}

/// Another one, if the thread has any.
#[cold]
pub(crate) fn take_further() -> Vec<u8> {
    FURTHER.try_with(|further| further.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Gives it back.
#[inline]
pub(crate) fn give_outgoing(mut buffer: Vec<u8>) {
    if (1..=KEPT_OUTGOING).contains(&buffer.capacity()) {
        buffer.clear();
        // A thread that is ending keeps nothing.
        let _ = OUTGOING.try_with(|kept| {
            let other = kept.replace(buffer);
            if other.capacity() > 0 {
                give_further(other);
            }
        });
    }
}

#[cold]
fn give_further(buffer: Vec<u8>) {
    let _ = FURTHER.try_with(|further| {
        let mut further = further.borrow_mut();
        if further.len() < MOST_FURTHER {
            further.push(buffer);
        }
    });
}

/// Bytes that own what waits to be written, and give the buffer back.
pub(crate) fn outgoing(buffer: Vec<u8>) -> Bytes {
    Bytes::from_owner(Outgoing(buffer))
}

/// A buffer with what waits to be written, which its last owner gives back.
struct Outgoing(Vec<u8>);

impl AsRef<[u8]> for Outgoing {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        give_outgoing(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> usize {
        SPARE.with_borrow(|spare| spare.iter().map(Vec::capacity).sum())
    }

    #[test]
    fn the_memory_of_a_large_message_serves_the_next_that_it_fits() {
        let first = into_bytes(Vec::with_capacity(lendable(200_000)));
        let address = first.as_ptr();
        assert!(lend(200_000).is_none());
        drop(first);
        assert!(lend(99_000).is_none() && lend(200_001).is_none() && lend(usize::MAX).is_none());
        let (memory, _loan) = lend(200_000).unwrap();
        assert_eq!(memory.as_ptr(), address);
        assert!(lend(200_000).is_none());
        let lead = memory.len();
        let mut second = memory;
        second.extend_from_slice(b"second");
        let second = message(second, lead);
        assert_eq!(second, "second");
        assert!((1024..3072).contains(&second.as_ptr().addr().abs_diff(address.addr())));
        drop(second);
        assert_eq!(lend(200_000).unwrap().0.as_ptr(), address);
    }

    #[test]
    fn the_block_of_a_payload_of_whole_pages_does_not_end_with_it() {
        for size in [WORTH_PARTING, 64 * 1024, WORTH_KEEPING, 1024 * 1024] {
            assert!((1024..4096 - 1024).contains(&(lendable(size) % 4096)), "{size}");
        }
        assert_eq!(lendable(WORTH_PARTING - 1), WORTH_PARTING - 1);
    }

    #[test]
    fn a_message_that_has_a_lead_is_a_message_in_memory_that_is_not_kept_too() {
        assert_eq!(message(b"leadmessage".to_vec(), 4), "message");
    }

    #[test]
    fn a_large_payload_that_is_here_whole_uses_it_too() {
        let first = into_bytes(with_capacity(200_000));
        let address = first.as_ptr();
        drop(first);
        let second = with_capacity(199_999);
        assert_eq!(second.as_ptr(), address);
        assert_eq!(with_capacity(10).capacity(), 10);
    }

    #[test]
    fn buffers_that_transports_took_over_serve_again_and_so_many_are_kept() {
        let [first, second] = [1000, 2000].map(|size| outgoing(vec![7; size]));
        let addresses = [second.as_ptr(), first.as_ptr()];
        drop((first, second));
        let kept = [take_outgoing(), take_further()];
        assert_eq!(kept.each_ref().map(|buffer| buffer.as_ptr()), addresses);
        assert_eq!(kept.each_ref().map(Vec::len), [0, 0]);
        assert_eq!((take_outgoing().capacity(), take_further().capacity()), (0, 0));

        let many: Vec<_> = (0..2 * MOST_FURTHER).map(|_| outgoing(vec![7; 1000])).collect();
        drop(many);
        assert_eq!(FURTHER.with_borrow(Vec::len), MOST_FURTHER);
    }

    #[test]
    fn a_thread_keeps_no_more_than_its_bound_and_nothing_small() {
        drop(into_bytes(Vec::with_capacity(WORTH_KEEPING - 1)));
        assert_eq!(kept(), 0);
        drop(into_bytes(Vec::with_capacity(KEPT + 1)));
        assert_eq!(kept(), 0);
        let many: Vec<_> = (0..20).map(|_| into_bytes(Vec::with_capacity(1024 * 1024))).collect();
        drop(many);
        assert_eq!(kept(), 9 * 1024 * 1024);
    }

    #[test]
    fn what_is_lent_is_bounded_and_lent_again_when_it_comes_back() {
        // More than other tests of this process borrow meanwhile.
        const LARGE: usize = 8 * 1024 * 1024;
        let keep = || drop(into_bytes(Vec::with_capacity(lendable(LARGE))));
        let mut loans = Vec::new();
        while loans.len() * LARGE <= LENDABLE {
            keep();
            let Some(loan) = lend(LARGE) else { break };
            loans.push(loan);
        }
        assert!(loans.len() * LARGE <= LENDABLE && !loans.is_empty());
        assert!(lend(LARGE).is_none());
        assert_eq!(kept(), lendable(LARGE), "what is not lent stays");
        loans.pop();
        assert!(lend(LARGE).is_some());
    }
}
