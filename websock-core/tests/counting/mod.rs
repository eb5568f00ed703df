//! The allocator of tests that are programs of their own: the system's, with a counter of bytes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

fn count(change: usize, sign: isize) {
    LIVE.fetch_add(isize::try_from(change).unwrap_or(isize::MAX) * sign, Ordering::Relaxed);
}

// SAFETY: everything is left to the system's allocator; beside it there is only an atomic counter, which allocates
// nothing.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many bytes are allocated.
pub(crate) fn live() -> isize {
    LIVE.load(Ordering::Relaxed)
}
