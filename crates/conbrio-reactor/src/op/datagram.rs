//! Datagrams with their addresses: recvfrom(2) and sendto(2), as recvmsg(2) and sendmsg(2) for back ends
//! that perform them.
//!
//! What the requests point to (message, list, address) lives in the operation, because it must outlast
//! the submission.

use std::fmt;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::SocketAddr;
use std::ptr;

use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockAddr, SockAddrStorage};

use crate::operation::{self, Request};
use crate::{Direction, Operation, Source};

/// Receives one datagram on an IP socket. Yields the count and the sender's address; what does not fit
/// into the buffer is lost.
pub struct RecvFrom<'a> {
    source: &'a Source,
    buffer: &'a mut [u8],
    flags: RecvFlags,
    from: SockAddrStorage,
    list: MaybeUninit<libc::iovec>,
    message: MaybeUninit<libc::msghdr>,
}

impl<'a> RecvFrom<'a> {
    /// Receives up to the size of `buffer`.
    pub fn new(source: &'a Source, buffer: &'a mut [u8]) -> RecvFrom<'a> {
        RecvFrom {
            source,
            buffer,
            flags: RecvFlags::empty(),
            from: SockAddrStorage::zeroed(),
            list: MaybeUninit::uninit(),
            message: MaybeUninit::uninit(),
        }
    }

    /// Copies the next datagram and leaves it for the next receive.
    pub fn peek(source: &'a Source, buffer: &'a mut [u8]) -> RecvFrom<'a> {
        RecvFrom { flags: RecvFlags::PEEK, ..RecvFrom::new(source, buffer) }
    }
}

// SAFETY: the buffer is borrowed exclusively, and the rest owned, for as long as `self` stays in place.
unsafe impl Operation for RecvFrom<'_> {
    type Output = (usize, SocketAddr);

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Read
    }

    fn try_now(&mut self) -> io::Result<Self::Output> {
        let flags = self.flags | RecvFlags::DONTWAIT;
        let (count, _, from) = rustix::net::recvfrom(self.source, &mut *self.buffer, flags)?;
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        Ok((count, from.ok_or_else(no_ip)?))
    }

    fn request(&mut self) -> Request {
        let list = self.list.write(libc::iovec {
            iov_base: self.buffer.as_mut_ptr().cast(),
            iov_len: self.buffer.len(),
        });
        // SAFETY: all zeros is a valid `msghdr`: null pointers and lengths of zero.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_name = ptr::from_mut(&mut self.from).cast();
        message.msg_namelen = mem::size_of::<SockAddrStorage>() as libc::socklen_t;
        message.msg_iov = ptr::from_mut(list);
        message.msg_iovlen = 1;
        let message = ptr::from_mut(self.message.write(message));
        Request::ReceiveMessage { message, flags: self.flags.bits() }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<Self::Output> {
        let count = operation::count(raw)?;
        // SAFETY: `request` has written it, and whoever performed it only fields of it.
        let length = unsafe { self.message.assume_init_ref() }.msg_namelen;
        // SAFETY: a copy of a valid storage, so that a later request finds its memory untouched.
        let storage = unsafe { ptr::read(&raw const self.from) };
        // SAFETY: whoever performed the request has filled in `length` bytes of it.
        let from = unsafe { SockAddr::new(storage, length) };
        Ok((count, from.as_socket().ok_or_else(no_ip)?))
    }
}

impl fmt::Debug for RecvFrom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvFrom")
            .field("source", self.source)
            .field("buffer", &self.buffer.len())
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// Sends one datagram to an address. Yields the count, which is the size of the datagram.
pub struct SendTo<'a> {
    source: &'a Source,
    data: &'a [u8],
    to: SockAddr,
    list: MaybeUninit<libc::iovec>,
    message: MaybeUninit<libc::msghdr>,
}

impl<'a> SendTo<'a> {
    /// Sends `data` as one datagram to `to`.
    pub fn new(source: &'a Source, data: &'a [u8], to: SocketAddr) -> SendTo<'a> {
        SendTo {
            source,
            data,
            to: to.into(),
            list: MaybeUninit::uninit(),
            message: MaybeUninit::uninit(),
        }
    }
}

// SAFETY: the data is borrowed, and the rest owned, for as long as `self` stays in place.
unsafe impl Operation for SendTo<'_> {
    type Output = usize;

    fn source(&self) -> &Source {
        self.source
    }

    fn direction(&self) -> Direction {
        Direction::Write
    }

    fn try_now(&mut self) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let to = self.to.as_socket().ok_or_else(no_ip)?;
        Ok(rustix::net::sendto(self.source, self.data, flags, &to)?)
    }

    fn request(&mut self) -> Request {
        let list = self.list.write(libc::iovec {
            // Sending only reads it.
            iov_base: self.data.as_ptr().cast_mut().cast(),
            iov_len: self.data.len(),
        });
        // SAFETY: all zeros is a valid `msghdr`: null pointers and lengths of zero.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        // Sending only reads it.
        message.msg_name = self.to.as_ptr().cast_mut().cast();
        message.msg_namelen = self.to.len();
        message.msg_iov = ptr::from_mut(list);
        message.msg_iovlen = 1;
        let message = ptr::from_ref(self.message.write(message));
        Request::SendMessage { message, flags: SendFlags::NOSIGNAL.bits() }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}

impl fmt::Debug for SendTo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendTo")
            .field("source", self.source)
            .field("data", &self.data.len())
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

fn no_ip() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a datagram's address is no IP address: the socket is of another family",
    )
}
