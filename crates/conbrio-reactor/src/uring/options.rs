//! How large a ring is.

/// The sizes of a ring. The defaults suit a worker of a server; small ones are for tests, in which every
/// queue is to be full at some time.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct RingOptions {
    pub(super) entries: u32,
    pub(super) buffers: u16,
    pub(super) batch: usize,
}

impl RingOptions {
    /// 256 entries, 64 buffers, sends in batches of 4.
    #[must_use]
    pub fn new() -> RingOptions {
        RingOptions { entries: 256, buffers: 64, batch: BATCH }
    }

    /// How many operations can be queued before the kernel has to take them: at least one, rounded up to a
    /// power of two, and no more than the kernel allows. Completions have four times the room, and the
    /// kernel keeps what does not fit.
    #[must_use]
    pub fn entries(mut self, entries: u32) -> RingOptions {
        self.entries = entries.clamp(1, ENTRIES_MAX);
        self
    }

    /// How many buffers of [`BUFFER_BYTES`](crate::BUFFER_BYTES) the kernel has for receives that bring
    /// none: at least one, rounded up to a power of two. Who finds none left uses an ordinary one.
    #[must_use]
    pub fn buffers(mut self, buffers: u16) -> RingOptions {
        self.buffers = buffers.clamp(1, BUFFERS_MAX).next_power_of_two();
        self
    }

    /// When sends on TCP sockets are left to the ring: after a poll that has ended at least so many waits,
    /// whose tasks are likely to send as well. 0: always.
    #[must_use]
    pub fn batch(mut self, waits: usize) -> RingOptions {
        self.batch = waits;
        self
    }
}

impl Default for RingOptions {
    fn default() -> RingOptions {
        RingOptions::new()
    }
}

/// The kernel's own limit is 32768, which it lowers silently.
const ENTRIES_MAX: u32 = 4096;
const BUFFERS_MAX: u16 = 4096;
/// docs/design/0014-io-uring.md has what was measured.
const BATCH: usize = 4;
