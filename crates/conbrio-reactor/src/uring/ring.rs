//! The two queues that are shared with the kernel, and the system call that works on them.
//!
//! Owns the ring's fd and memory. It knows entries and their `user_data`, not waits. Everything here
//! happens on the thread that made the ring (`SINGLE_ISSUER`). The invariant: an entry that `push` has
//! taken reaches the kernel exactly once, in the order of the calls, also when the queue is full.
//!
//! With `DEFER_TASKRUN` the kernel copies data and posts completions only inside our own
//! `io_uring_enter` (io_uring_setup(2)), so that between two calls nothing that a socket operation
//! points to changes. What a file operation points to may change at any time: the kernel's own threads
//! work on it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue};

use super::refusal::{Refusal, Step};
use crate::Timeout;
use crate::lend::ring::RingBuffers;

/// A ring of the calling thread.
pub(super) struct Ring {
    ring: IoUring,
    /// What io_uring_enter(2) gets: the index under which this thread has registered the ring, so that
    /// no reference to the file is taken at each call, or its fd.
    target: Target,
    /// Flags of every call that may sleep.
    wait_flags: EnterFlags,
    /// Entries that found the queue full twice, oldest first. They reach the kernel before later ones.
    backlog: RefCell<VecDeque<Entry>>,
    /// Calls of io_uring_enter.
    enters: Cell<u64>,
}

#[derive(Copy, Clone)]
enum Target {
    Registered(u32),
    Fd(RawFd),
}

/// What one completion says.
#[derive(Copy, Clone, Debug)]
pub(super) struct Answer {
    pub(super) user_data: u64,
    pub(super) result: i32,
    /// More completions of the same entry follow (`IORING_CQE_F_MORE`).
    pub(super) more: bool,
    /// The socket has more to read (`IORING_CQE_F_SOCK_NONEMPTY`).
    pub(super) nonempty: bool,
    /// The buffer that the kernel has taken for it.
    pub(super) buffer: Option<u16>,
}

impl Ring {
    /// Makes a ring for the calling thread. The newest flags are tried first.
    pub(super) fn new(entries: u32) -> Result<Ring, Refusal> {
        let mut refused = None;
        for no_array in [true, false] {
            match builder(entries, no_array).build(entries) {
                Ok(ring) => return Ring::with(ring),
                // An unknown flag; the ladder has a lower step.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = Some(error),
                Err(error) => return Err(Refusal::new(Step::Setup, error)),
            }
        }
        let error = refused.unwrap_or_else(|| io::ErrorKind::InvalidInput.into());
        Err(Refusal::new(Step::Flags, error))
    }

    fn with(ring: IoUring) -> Result<Ring, Refusal> {
        let mut wait_flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if ring.params().is_feature_no_iowait() {
            // A worker that waits for the network is idle, and is not to be counted as waiting for disks.
            wait_flags |= EnterFlags::NO_IOWAIT;
        }
        // Sixteen rings of a thread can be registered; without it a call costs a little more.
        let target = match register_ring_fd(ring.as_raw_fd()) {
            Ok(index) => Target::Registered(index),
            Err(_) => Target::Fd(ring.as_raw_fd()),
        };
        let backlog = RefCell::default();
        Ok(Ring { ring, target, wait_flags, backlog, enters: Cell::new(0) })
    }

    pub(super) fn params(&self) -> &io_uring::Parameters {
        self.ring.params()
    }

    pub(super) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// Lets the kernel take buffers of `buffers` for receives of `group` (5.19).
    pub(super) fn offer_buffers(&self, buffers: &RingBuffers, group: u16) -> io::Result<()> {
        // SAFETY: the memory is mapped until `take_back_buffers`: the reactor calls it when it is dropped,
        // and holds on to the buffers until then (rule B2).
        unsafe {
            self.ring.submitter().register_buf_ring_with_flags(
                buffers.address(),
                buffers.count(),
                group,
                0,
            )
        }
    }

    /// Undoes `offer_buffers`. Nothing is in flight.
    pub(super) fn take_back_buffers(&self, group: u16) {
        let result = self.ring.submitter().unregister_buf_ring(group);
        debug_assert!(result.is_ok(), "{result:?}");
    }

    /// How many system calls this ring has made.
    pub(super) fn enters(&self) -> u64 {
        self.enters.get()
    }

    /// Takes an entry for the kernel, which sees it at the next `enter`, or now if the queue is full.
    ///
    /// # Safety
    ///
    /// What the entry points to stays valid, in place and otherwise untouched until its last
    /// completion.
    pub(super) unsafe fn push(&self, entry: Entry) {
        // SAFETY: the same contract as ours.
        if unsafe { self.offer(&entry) } {
            return;
        }
        // Room for it, if the kernel takes what is there. What it says to that, the next `enter` hears
        // as well.
        let _ = self.call(0, EnterFlags::empty(), None);
        // SAFETY: the same contract as ours.
        if !unsafe { self.offer(&entry) } {
            self.backlog.borrow_mut().push_back(entry);
        }
    }

    /// Puts an entry into the queue, unless the queue is full or others wait to get in.
    ///
    /// # Safety
    ///
    /// As for `push`.
    unsafe fn offer(&self, entry: &Entry) -> bool {
        // SAFETY: there is no other view of the submission queue: all of them are made in this file, on
        // this thread, and end with their statement.
        let mut queue = unsafe { self.ring.submission_shared() };
        // SAFETY: the same contract as ours.
        self.backlog.borrow().is_empty() && unsafe { queue.push(entry) }.is_ok()
    }

    /// Moves entries from the backlog into the queue, as many as fit.
    fn refill(&self) {
        let mut backlog = self.backlog.borrow_mut();
        if backlog.is_empty() {
            return;
        }
        // SAFETY: as in `offer`.
        let mut queue = unsafe { self.ring.submission_shared() };
        while let Some(entry) = backlog.front() {
            // SAFETY: `push` was promised what this needs.
            if unsafe { queue.push(entry) }.is_err() {
                return;
            }
            backlog.pop_front();
        }
    }

    /// Whether entering the kernel would do anything: entries to take, completions to post.
    pub(super) fn has_business(&self) -> bool {
        // SAFETY: as in `offer`.
        let queue = unsafe { self.ring.submission_shared() };
        !queue.is_empty()
            || queue.taskrun()
            || queue.cq_overflow()
            || !self.backlog.borrow().is_empty()
    }

    /// Hands all entries to the kernel, and waits for a completion for at most `timeout`.
    ///
    /// May return early: a signal, or a queue that had no room for everything.
    pub(super) fn enter(&self, timeout: Timeout) -> io::Result<()> {
        self.refill();
        // What is left behind must not sleep with us.
        let timeout = if self.backlog.borrow().is_empty() { timeout } else { Timeout::Now };
        let result = match timeout {
            Timeout::Now => self.call(0, EnterFlags::GETEVENTS, None),
            Timeout::Never => self.call(1, self.wait_flags, None),
            Timeout::After(span) => self.call(1, self.wait_flags, Some(span)),
        };
        let result = match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Time is up; a signal; completions have to be fetched first; no memory for now.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        };
        self.assert_nothing_lost();
        result
    }

    /// io_uring_enter(2). Returns how many entries the kernel has taken.
    fn call(&self, wanted: u32, flags: EnterFlags, span: Option<Duration>) -> io::Result<usize> {
        self.enters.set(self.enters.get().wrapping_add(1));
        // SAFETY: as in `offer`.
        let queued = unsafe { self.ring.submission_shared() }.len();
        let span = span.map(|span| {
            // The kernel adds the time of day without a check: more than 68 years end early.
            let seconds = span.as_secs().min(i32::MAX as u64);
            Timespec::new().sec(seconds).nsec(span.subsec_nanos())
        });
        let arguments = span.as_ref().map(|span| SubmitArgs::new().timespec(span));
        let (arguments, size) = match &arguments {
            Some(arguments) => (ptr::from_ref(arguments), size_of_val(arguments)),
            // Without `EXT_ARG` that is no signal mask; with it, a null pointer has to have no size.
            None => (ptr::null(), 0),
        };
        let flags = if arguments.is_null() { flags - EnterFlags::EXT_ARG } else { flags };
        let (fd, flags) = match self.target {
            Target::Registered(index) => (index, flags | EnterFlags::REGISTERED_RING),
            Target::Fd(fd) => (fd as u32, flags),
        };
        // SAFETY: the entries in the queue keep what `push` was promised; the arguments and the time
        // that they point to live until the call returns.
        let taken = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                fd,
                queued as u32,
                wanted,
                flags.bits(),
                arguments,
                size,
            )
        };
        usize::try_from(taken).map_err(|_| io::Error::last_os_error())
    }

    /// The next completion that the kernel has posted.
    pub(super) fn next(&self) -> Option<Answer> {
        // SAFETY: there is no other view of the completion queue: this one ends with the function, and
        // no other function makes one that outlives it.
        let mut queue = unsafe { self.ring.completion_shared() };
        queue.next().map(|entry| Answer {
            user_data: entry.user_data(),
            result: entry.result(),
            more: cqueue::more(entry.flags()),
            nonempty: cqueue::sock_nonempty(entry.flags()),
            buffer: cqueue::buffer_select(entry.flags()),
        })
    }

    /// Rule R6. The kernel keeps what does not fit into the queue (`NODROP`); only without any memory
    /// it loses a completion, and counts it. The task that waits for it could never run again, and its
    /// buffers never be given back.
    fn assert_nothing_lost(&self) {
        // SAFETY: as in `next`.
        let lost = unsafe { self.ring.completion_shared() }.overflow();
        if lost > 0 {
            super::fatal("the kernel had no memory for a completion and lost it");
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Target::Registered(index) = self.target {
            // Otherwise the thread keeps the ring, and its memory, until it ends.
            unregister_ring_fd(self.ring.as_raw_fd(), index);
        }
    }
}

/// The flags of io_uring_setup(2), without which this back end is not used. The kernel has had all of
/// them since 6.1, except `NO_SQARRAY` (6.6), which saves a table.
fn builder(entries: u32, no_array: bool) -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(4 * entries)
        .dontfork();
    if no_array {
        builder.setup_no_sqarray();
    }
    builder
}

/// `struct io_uring_rsrc_update` of the kernel's interface.
#[repr(C)]
struct RingUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// Registers the ring with the calling thread (io_uring_register(2), `IORING_REGISTER_RING_FDS`).
fn register_ring_fd(fd: RawFd) -> io::Result<u32> {
    // The offset asks for any free place.
    let mut update = RingUpdate { offset: u32::MAX, reserved: 0, data: fd as u64 };
    // SAFETY: the kernel reads and writes one update, which lives until the call returns.
    let count = unsafe {
        libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut update, 1)
    };
    if count == 1 { Ok(update.offset) } else { Err(io::Error::last_os_error()) }
}

fn unregister_ring_fd(fd: RawFd, index: u32) {
    let mut update = RingUpdate { offset: index, reserved: 0, data: 0 };
    // SAFETY: the kernel reads one update, which lives until the call returns.
    let count = unsafe {
        libc::syscall(libc::SYS_io_uring_register, fd, UNREGISTER_RING_FDS, &raw mut update, 1)
    };
    debug_assert_eq!(count, 1, "{}", io::Error::last_os_error());
}

const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;
