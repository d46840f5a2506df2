//! The buffers that a ring takes by itself when data has arrived (io_uring_register(2),
//! `IORING_REGISTER_PBUF_RING`).
//!
//! Owns their memory, and the queue in which they are offered to the kernel:
//!
//! ```text
//! offset 0         entries: address, size and number of each offered buffer; the queue's tail lies in
//!                  the unused field of the first one
//! offset ENTRIES   the buffers, in order of their numbers
//! ```
//!
//! Rules, besides R1-R6 of [`crate::uring`]:
//!
//! - B1. A buffer is read by us only from the completion that names it until it is offered again. Only
//!   then is it with the kernel.
//! - B2. The memory stays mapped as long as this value; the reactor unregisters it before it is gone, with
//!   nothing in flight.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::mem::size_of;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use super::BUFFER_BYTES;

/// Buffers for the kernel to take.
pub(crate) struct RingBuffers {
    /// `self.size()` bytes, mapped until the value is dropped.
    memory: NonNull<u8>,
    /// A power of two.
    count: u16,
    /// How many have been offered since the start; the queue's tail.
    offered: Cell<u16>,
    /// Where each of them is.
    holders: RefCell<Box<[Holder]>>,
}

/// Who has a buffer.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Holder {
    Kernel,
    /// A completion names it, and its task has not run yet.
    Nobody,
    Task,
}

impl RingBuffers {
    /// Maps `count` buffers, a power of two, and offers all of them. Memory is used when data comes.
    pub(crate) fn new(count: u16) -> io::Result<RingBuffers> {
        assert!(count.is_power_of_two(), "a queue of {count} buffers");
        let size = size(count);
        // SAFETY: a new private mapping at an address that the kernel chooses.
        let memory = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            mmap_anonymous(ptr::null_mut(), size, access, MapFlags::PRIVATE)?
        };
        let memory = NonNull::new(memory.cast::<u8>()).expect("a mapping is not at zero");
        let holders = RefCell::new(vec![Holder::Task; count.into()].into());
        let buffers = RingBuffers { memory, count, offered: Cell::new(0), holders };
        // A child process must not share the queue; it does not use it.
        // SAFETY: the range is ours; what a child does not have, it cannot touch.
        unsafe { madvise(memory.as_ptr().cast(), size, Advice::LinuxDontFork)? };
        for number in 0..count {
            buffers.give_back(number);
        }
        Ok(buffers)
    }

    /// The address of the queue, page-aligned.
    pub(crate) fn address(&self) -> u64 {
        self.memory.as_ptr().expose_provenance() as u64
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// A completion names this buffer. `false` if the kernel did not have it.
    #[must_use]
    pub(crate) fn arrived(&self, number: u16) -> bool {
        match self.holders.borrow_mut().get_mut(usize::from(number)) {
            Some(holder @ Holder::Kernel) => {
                *holder = Holder::Nobody;
                true
            }
            _ => false,
        }
    }

    /// Its task takes it.
    ///
    /// # Panics
    ///
    /// Unless it has arrived and was not taken yet.
    pub(super) fn take(&self, number: u16) {
        let mut holders = self.holders.borrow_mut();
        assert_eq!(holders[usize::from(number)], Holder::Nobody, "a result names a buffer once");
        holders[usize::from(number)] = Holder::Task;
    }

    /// The first bytes of a buffer that a task has.
    pub(super) fn bytes(&self, number: u16, length: usize) -> &[u8] {
        debug_assert_eq!(self.holders.borrow()[usize::from(number)], Holder::Task);
        assert!(length <= BUFFER_BYTES, "a buffer holds no more than its size");
        // SAFETY: inside the mapping, which was zeroed at first; nobody writes to it until it is offered
        // again (rule B1), which the borrow of its `Lent` outlives.
        unsafe { slice::from_raw_parts(self.buffer(number).as_ptr(), length) }
    }

    /// Offers a buffer to the kernel again.
    pub(crate) fn give_back(&self, number: u16) {
        let mut holders = self.holders.borrow_mut();
        assert_ne!(holders[usize::from(number)], Holder::Kernel, "a buffer is offered once");
        holders[usize::from(number)] = Holder::Kernel;
        let tail = self.offered.get();
        let at = usize::from(tail & (self.count - 1));
        // SAFETY: inside the entries' part of the mapping, which only this function writes to, and which
        // the kernel reads only below the tail: no more buffers are offered than there are places.
        unsafe {
            let entry = self.memory.as_ptr().cast::<BufRingEntry>().add(at);
            (*entry).set_addr(self.buffer(number).as_ptr().expose_provenance() as u64);
            (*entry).set_len(BUFFER_BYTES as u32);
            (*entry).set_bid(number);
        }
        self.offered.set(tail.wrapping_add(1));
        // SAFETY: the tail lies inside of the first entry, is aligned, and is shared with the kernel only,
        // whose acquire this release pairs with. `set_*` above does not touch it.
        unsafe {
            let tail = BufRingEntry::tail(self.memory.as_ptr().cast::<BufRingEntry>());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.offered.get(), Ordering::Release);
        }
    }

    /// How many the kernel has.
    #[cfg(test)]
    fn with_kernel(&self) -> usize {
        self.holders.borrow().iter().filter(|holder| **holder == Holder::Kernel).count()
    }

    fn buffer(&self, number: u16) -> NonNull<u8> {
        assert!(number < self.count, "buffer {number} of {}", self.count);
        // SAFETY: inside the mapping: there are `count` of them after the entries.
        unsafe { self.memory.add(entries_size(self.count) + usize::from(number) * BUFFER_BYTES) }
    }
}

impl Drop for RingBuffers {
    fn drop(&mut self) {
        // SAFETY: our mapping, whole; nobody has a reference into it (a `Lent` owns its lender), and the
        // kernel has been told to leave it (rule B2).
        let result = unsafe { munmap(self.memory.as_ptr().cast(), size(self.count)) };
        debug_assert!(result.is_ok(), "{result:?}");
    }
}

impl fmt::Debug for RingBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBuffers").field("count", &self.count).finish_non_exhaustive()
    }
}

/// The whole mapping.
fn size(count: u16) -> usize {
    entries_size(count) + usize::from(count) * BUFFER_BYTES
}

/// The entries' part, in whole pages.
fn entries_size(count: u16) -> usize {
    (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_buffer_has_one_holder() {
        let buffers = RingBuffers::new(4).unwrap();
        assert_eq!(buffers.with_kernel(), 4);
        assert!(buffers.arrived(2) && !buffers.arrived(2) && !buffers.arrived(4));
        buffers.take(2);
        assert_eq!(buffers.bytes(2, BUFFER_BYTES).len(), BUFFER_BYTES);
        assert_eq!(buffers.with_kernel(), 3);
        buffers.give_back(2);
        assert_eq!((buffers.with_kernel(), buffers.offered.get()), (4, 5));
    }

    #[test]
    fn buffers_are_page_aligned_and_apart() {
        for count in [1, 2, 64, 512] {
            let buffers = RingBuffers::new(count).unwrap();
            let starts: Vec<usize> =
                (0..count).map(|number| buffers.buffer(number).as_ptr().addr()).collect();
            assert!(starts.iter().all(|start| start.is_multiple_of(4096)));
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == BUFFER_BYTES));
            let end = buffers.memory.as_ptr().addr() + size(count);
            assert_eq!(starts[usize::from(count) - 1] + BUFFER_BYTES, end);
        }
    }
}
