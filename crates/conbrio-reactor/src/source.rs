//! A source: an fd that operations use.
//!
//! Owns the fd, and the virtual half of a simulated one, and remembers on which reactors it is registered, so that closing it can undo every
//! registration. The invariant: the fd is closed (or handed out by `into_fd`) only after it has left
//! every reactor, so that no reactor can report an event of it, or touch its number, afterwards.

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::epoll::Registrations;
use crate::sim::Half;

/// An fd that operations use, on any thread and any number of reactors.
///
/// Making one registers nothing; a reactor registers it at the first wait there. Dropping it, on any
/// thread, takes it off every reactor and closes the fd, also if a duplicate of the fd lives on.
pub struct Source {
    /// Present until `drop` or `into_fd` takes it out.
    fd: ManuallyDrop<OwnedFd>,
    /// Whether a short transfer proves that the socket's queue was empty or full.
    is_tcp: bool,
    registrations: Registrations,
    /// What a simulated source is for its network; the fd is its carrier then.
    half: Option<Box<Half>>,
}

impl Source {
    /// Takes an fd of any pollable kind, which must be in non-blocking mode already.
    pub fn new(fd: OwnedFd) -> Source {
        Source::with(fd, false, None)
    }

    /// Takes a TCP socket, which must be in non-blocking mode already.
    ///
    /// For TCP a short read or write says that the socket has no more, so that the next attempt
    /// saves a system call. That does not hold everywhere: a read on a Unix socket also stops short
    /// where a message with descriptors ends, and waiting there would be for ever. Nor does it hold
    /// with TLS in the kernel, which stops at records: use [`Source::new`] for such a socket.
    pub fn new_tcp(fd: OwnedFd) -> Source {
        Source::with(fd, true, None)
    }

    /// A second source for the same socket, with an fd of its own: for another task, on any reactor.
    ///
    /// # Errors
    ///
    /// What dup(2) says, most often that the limit of open files is reached.
    pub fn try_clone(&self) -> io::Result<Source> {
        let fd = self.fd.try_clone()?;
        let half = self.half.as_deref().map(|half| Box::new(half.share()));
        Ok(Source::with(fd, self.is_tcp, half))
    }

    /// Takes the source off every reactor and hands the open fd out.
    ///
    /// Of a simulated source that is the carrier, a socket that is connected to nothing; its virtual
    /// half is closed.
    pub fn into_fd(self) -> OwnedFd {
        let mut this = ManuallyDrop::new(self);
        let this = &mut *this;
        this.registrations.leave_all(this.fd.as_fd());
        this.close_half();
        // SAFETY: `this` is never dropped, so that the fd is taken once and the registrations are
        // dropped once (they are empty now and own nothing more, as the half is none).
        unsafe { ManuallyDrop::take(&mut this.fd) }
    }

    /// Whether it is of a simulated network: its fd is a carrier then, connected to nothing.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.half.is_some()
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.is_tcp
    }

    pub(crate) fn registrations(&self) -> &Registrations {
        &self.registrations
    }

    /// The virtual half, if the source is simulated.
    pub(crate) fn half(&self) -> Option<&Half> {
        self.half.as_deref()
    }

    /// A simulated source with its carrier.
    pub(crate) fn simulated(carrier: OwnedFd, half: Half, is_tcp: bool) -> Source {
        Source::with(carrier, is_tcp, Some(Box::new(half)))
    }

    fn with(fd: OwnedFd, is_tcp: bool, half: Option<Box<Half>>) -> Source {
        let registrations = Registrations::default();
        Source { fd: ManuallyDrop::new(fd), is_tcp, registrations, half }
    }

    fn close_half(&mut self) {
        if let Some(half) = self.half.take() {
            half.close(self.fd.as_fd());
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.registrations.leave_all(self.fd.as_fd());
        self.close_half();
        // SAFETY: a value is dropped once, and `into_fd` takes the fd only where `drop` never runs.
        unsafe { ManuallyDrop::drop(&mut self.fd) }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl From<OwnedFd> for Source {
    fn from(fd: OwnedFd) -> Source {
        Source::new(fd)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("fd", &self.fd.as_raw_fd())
            .field("tcp", &self.is_tcp)
            .field("simulated", &self.half.is_some())
            .field("reactors", &self.registrations.count())
            .finish()
    }
}
