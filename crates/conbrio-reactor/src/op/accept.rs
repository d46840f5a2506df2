//! Accepting a connection: accept4(2). The new source's fd is close-on-exec and non-blocking from the
//! start.

use std::fmt;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use rustix::net::SocketFlags;
use socket2::{SockAddr, SockAddrStorage};

use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// Accepts a TCP connection. Yields the new source and the peer's address.
///
/// Errors leave the connection in the queue or have consumed a broken one; `EMFILE` and `ENFILE`
/// say that the limit of open files is reached, and accepting at once again fails again.
pub struct Accept<'a> {
    source: &'a Source,
    /// What the request points to; the kernel fills it in when the request completes.
    address: MaybeUninit<SockAddrStorage>,
    address_length: libc::socklen_t,
}

impl<'a> Accept<'a> {
    /// Accepts one connection from the listener `source`.
    pub fn new(source: &'a Source) -> Accept<'a> {
        Accept { source, address: MaybeUninit::zeroed(), address_length: 0 }
    }
}

// SAFETY: the address and its length are owned for as long as `self` stays in place.
unsafe impl Operation for Accept<'_> {
    type Output = (Source, SocketAddr);

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Read
    }

    fn try_now(&mut self) -> io::Result<Self::Output> {
        let (fd, address) = rustix::net::acceptfrom_with(self.source, NEW_FD)?;
        let address = address.and_then(|address| SocketAddr::try_from(address).ok());
        Ok((Source::new_tcp(fd), address.ok_or_else(no_ip)?))
    }

    fn request(&mut self) -> Request {
        self.address_length = mem::size_of::<SockAddrStorage>() as libc::socklen_t;
        Request::Accept {
            address: self.address.as_mut_ptr().cast(),
            address_length: ptr::from_mut(&mut self.address_length),
            flags: NEW_FD.bits() as i32,
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<Self::Output> {
        // SAFETY: the same contract as ours.
        let source = unsafe { take(self.source, raw, Source::new_tcp)? };
        // SAFETY: it was zeroed at first, which is a valid address storage, and the kernel writes
        // only whole fields. A copy, so that a later request finds its memory untouched.
        let storage = unsafe { ptr::read(self.address.as_ptr()) };
        // SAFETY: the kernel has filled in `address_length` bytes of it.
        let address = unsafe { SockAddr::new(storage, self.address_length) };
        Ok((source, address.as_socket().ok_or_else(no_ip)?))
    }
}

impl fmt::Debug for Accept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").field("source", self.source).finish_non_exhaustive()
    }
}

/// Accepts a connection without asking for the peer's address, as Unix sockets want it: their peers
/// rarely have one. Yields the new source.
#[derive(Debug)]
pub struct AcceptFd<'a> {
    source: &'a Source,
}

impl<'a> AcceptFd<'a> {
    /// Accepts one connection from the listener `source`.
    pub fn new(source: &'a Source) -> AcceptFd<'a> {
        AcceptFd { source }
    }
}

// SAFETY: the request points to nothing.
unsafe impl Operation for AcceptFd<'_> {
    type Output = Source;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Read
    }

    fn try_now(&mut self) -> io::Result<Source> {
        Ok(Source::new(rustix::net::accept_with(self.source, NEW_FD)?))
    }

    fn request(&mut self) -> Request {
        Request::Accept {
            address: ptr::null_mut(),
            address_length: ptr::null_mut(),
            flags: NEW_FD.bits() as i32,
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<Source> {
        // SAFETY: the same contract as ours.
        unsafe { take(self.source, raw, Source::new) }
    }
}

/// Owns what an accept request on `listener` has yielded: a real fd, or the carrier of a simulated
/// connection, whose virtual half waits at the network.
///
/// # Safety
///
/// `raw` is the result of one accept request, and nobody else takes it.
unsafe fn take(
    listener: &Source,
    raw: i32,
    real: impl FnOnce(OwnedFd) -> Source,
) -> io::Result<Source> {
    operation::count(raw)?;
    // SAFETY: it is not negative, so it is the new fd, and it is ours alone by the contract.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    match listener.half().and_then(|half| half.claim(raw)) {
        Some(half) => Ok(Source::simulated(fd, half, true)),
        None => Ok(real(fd)),
    }
}

fn no_ip() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "accept: the listener is not an IP socket (use `AcceptFd` for it)",
    )
}

const NEW_FD: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
