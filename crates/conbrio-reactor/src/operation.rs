//! What one I/O operation is, seen from both sides of the seam.
//!
//! This file owns the vocabulary (token, completion, direction, request) and the contract of
//! [`Operation`]. It does not own any operation; those live one per file in [`crate::op`].
//!
//! An operation can be performed in two ways, and every back end uses one or both of them:
//!
//! ```text
//! readiness   try_now() .. WouldBlock .. wait for the direction .. try_now() .. Ok
//! completion  request() .. the back end performs it .. complete(raw result)
//! ```
//!
//! The invariant: whichever way is taken, the operation takes effect at most once, and a wait that
//! was cancelled successfully has had no effect at all.

use std::io;
use std::ptr::NonNull;

use crate::{Lender, Source};

/// The caller's name for one wait. The reactor hands it back and never looks inside.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct Token(pub u64);

/// The end of one wait.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Completion {
    /// The token that was given to [`Reactor::submit`](crate::Reactor::submit).
    pub token: Token,
    /// What the caller does next.
    pub outcome: Outcome,
}

/// What a completion tells its waiter to do next.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Outcome {
    /// The direction may be ready: attempt the operation again. It can still find nothing.
    Ready,
    /// The back end performed the operation; give this raw result to [`Operation::complete`].
    /// As in the kernel's own completions, a negative value is an error number.
    Done(i32),
}

/// The half of a source that an operation uses. Each direction has one waiter at most per reactor.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Direction {
    /// Receiving, accepting, waiting until readable.
    Read,
    /// Sending, connecting, waiting until writable.
    Write,
}

impl Direction {
    /// The word that messages use for this direction.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Direction::Read => "read",
            Direction::Write => "write",
        }
    }
}

/// One I/O operation on a [`Source`], whose arguments live in the caller's frame.
///
/// # Safety
///
/// - The pointers inside what [`request`](Operation::request) returns are valid for the accesses
///   that the request's variant documents, from that call until `self` is moved, dropped, or used
///   again, and nothing else reaches that memory meanwhile.
/// - `source` returns the same source every time.
pub unsafe trait Operation {
    /// What the operation yields.
    type Output;

    /// The source that the operation uses.
    fn source(&self) -> &Source;

    /// The direction that the operation waits for.
    fn direction(&self) -> Direction;

    /// Performs the system call once, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` says that it had no effect and that the direction is not ready. Every other
    /// error is the operation's own and ends it, except `Interrupted`, after which the caller may
    /// try again.
    fn try_now(&mut self) -> io::Result<Self::Output>;

    /// Whether a direction that is known not to be ready makes `try_now` useless.
    ///
    /// False for an operation whose first call starts something, as `connect` does.
    fn may_skip(&self) -> bool {
        true
    }

    /// Whether this output shows that the direction has nothing more to give on a TCP socket:
    /// fewer bytes than asked, but not zero, and consumed, not peeked at.
    fn drained(&self, output: &Self::Output) -> bool {
        let _ = output;
        false
    }

    /// Describes the operation for a back end that performs it itself.
    fn request(&mut self) -> Request;

    /// Turns the raw result of the request into the output.
    ///
    /// # Errors
    ///
    /// A negative `raw` is an error number and becomes that error. `WouldBlock` says that the request only
    /// waited, and that the operation has had no effect: somebody else has taken what there was. The caller
    /// attempts it again.
    ///
    /// # Safety
    ///
    /// `raw` is the result that performing this operation's last [`request`](Operation::request)
    /// gave, and is passed once: it may carry ownership of an fd.
    unsafe fn complete(&mut self, raw: i32) -> io::Result<Self::Output>;
}

/// An operation as plain data, for back ends that perform operations themselves.
///
/// The fd is the one of [`Operation::source`]. All memory is owned by the operation and must not be
/// touched after its completion.
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// recv(2): writes up to `length` bytes at `buffer`.
    Recv {
        /// Start of the buffer; valid for writes of `length` bytes.
        buffer: *mut u8,
        /// Size of the buffer.
        length: usize,
        /// `MSG_*` flags.
        flags: u32,
    },
    /// recv(2) into a buffer of the reactor. Its raw result is what [`Lender`] makes of the buffer and the
    /// count; a back end that has no buffers waits for readiness instead.
    RecvLent {
        /// Whose buffers they are; valid for reads.
        lender: NonNull<Lender>,
    },
    /// read(2) at the current position: writes up to `length` bytes at `buffer`.
    Read {
        /// Start of the buffer; valid for writes of `length` bytes.
        buffer: *mut u8,
        /// Size of the buffer.
        length: usize,
    },
    /// readv(2) at the current position: writes to `count` buffers in order.
    ReadVectored {
        /// The list of buffers; valid for reads, and each buffer for writes.
        buffers: *mut libc::iovec,
        /// Number of buffers, 1024 at most.
        count: usize,
    },
    /// send(2): reads `length` bytes at `buffer`.
    Send {
        /// Start of the data; valid for reads of `length` bytes.
        buffer: *const u8,
        /// Size of the data.
        length: usize,
        /// `MSG_*` flags.
        flags: u32,
    },
    /// write(2) at the current position: reads `length` bytes at `buffer`.
    Write {
        /// Start of the data; valid for reads of `length` bytes.
        buffer: *const u8,
        /// Size of the data.
        length: usize,
    },
    /// sendmsg(2): reads the buffers of `message`.
    SendMessage {
        /// Valid for reads, and so is everything it points to.
        message: *const libc::msghdr,
        /// `MSG_*` flags.
        flags: u32,
    },
    /// recvmsg(2): writes to the buffers of `message`, and to its address if it has one.
    ReceiveMessage {
        /// Valid for reads and writes; its list for reads; its buffers and its address for writes.
        message: *mut libc::msghdr,
        /// `MSG_*` flags.
        flags: u32,
    },
    /// accept4(2): writes the peer's address; both pointers are null when nobody asks for it.
    Accept {
        /// Valid for writes of `*address_length` bytes, or null.
        address: *mut libc::sockaddr,
        /// Valid for reads and writes, or null.
        address_length: *mut libc::socklen_t,
        /// `SOCK_*` flags.
        flags: i32,
    },
    /// connect(2): reads the address.
    Connect {
        /// Valid for reads of `address_length` bytes.
        address: *const libc::sockaddr,
        /// Size of the address.
        address_length: libc::socklen_t,
    },
    /// poll(2) for one direction, transferring nothing.
    Ready {
        /// `POLL*` events to wait for.
        events: i16,
    },
}

/// Turns a raw result into a count, or into the error that a negative one stands for.
pub(crate) fn count(raw: i32) -> io::Result<usize> {
    usize::try_from(raw).map_err(|_| io::Error::from_raw_os_error(raw.saturating_neg()))
}
