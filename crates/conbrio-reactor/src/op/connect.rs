//! Connecting: connect(2) begins it, the socket becomes writable when it is decided, and a second
//! connect(2) tells how (it succeeds, or reports the error once and clears it).

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use socket2::SockAddr;

use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// Connects a socket. A cancelled or failed one leaves the socket in no useful state: close it.
pub struct Connect<'a> {
    source: &'a Source,
    address: SockAddr,
    /// Whether connect(2) has said that it is under way.
    is_under_way: bool,
}

impl<'a> Connect<'a> {
    /// Connects the fresh socket `source` to `address`, of whichever family the socket has.
    pub fn new(source: &'a Source, address: impl Into<SockAddr>) -> Connect<'a> {
        Connect { source, address: address.into(), is_under_way: false }
    }
}

// SAFETY: the address is owned for as long as `self` stays in place.
unsafe impl Operation for Connect<'_> {
    type Output = ();

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Write
    }

    fn try_now(&mut self) -> io::Result<()> {
        match rustix::net::connect(self.source, &Raw(&self.address)) {
            Err(Errno::INPROGRESS | Errno::ALREADY | Errno::INTR) => {
                self.is_under_way = true;
                Err(Errno::AGAIN.into())
            }
            Err(Errno::ISCONN) if self.is_under_way => Ok(()),
            // A Unix listener with a full backlog: no event says when it has room again, so that
            // waiting would be for ever.
            Err(Errno::AGAIN) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "connect: the listener's backlog is full (try again later, or raise the backlog)",
            )),
            result => Ok(result?),
        }
    }

    fn may_skip(&self) -> bool {
        self.is_under_way
    }

    fn request(&mut self) -> Request {
        if self.is_under_way {
            // Begun by `try_now`: all that is left is to wait. A ring that connects again would
            // get EALREADY.
            return Request::Ready { events: libc::POLLOUT };
        }
        Request::Connect {
            address: self.address.as_ptr().cast(),
            address_length: self.address.len(),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        operation::count(raw)?;
        if self.is_under_way {
            return self.try_now();
        }
        Ok(())
    }
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("source", self.source)
            .field("address", &self.address)
            .field("is_under_way", &self.is_under_way)
            .finish()
    }
}

/// Lends a `SockAddr` to rustix.
struct Raw<'a>(&'a SockAddr);

// SAFETY: the pointer and the length describe the borrowed address, which is initialised.
unsafe impl SocketAddrArg for Raw<'_> {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(
            *const rustix::net::addr::SocketAddrOpaque,
            rustix::net::addr::SocketAddrLen,
        ) -> R,
    ) -> R {
        f(self.0.as_ptr().cast(), self.0.len())
    }
}
