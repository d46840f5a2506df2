//! Performs an operation's request on a virtual socket: the one place that touches its memory.
//!
//! The invariant: memory is touched between the call and its return only, so that the contract of
//! [`Request`] is needed for no longer than that.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, IntoRawFd};
use std::slice;

use socket2::{Domain, SockAddr, SockAddrStorage, SockRef, Socket, Type};

use super::state::{Errno, Kind, SocketId, State};
use crate::{Direction, Request, Source};

impl State {
    /// Performs a request once, without waiting. `EAGAIN` says that it had no effect.
    ///
    /// # Safety
    ///
    /// The request is of an operation on `source`, whose virtual socket is `id`, and its pointers are
    /// valid as its variant says.
    pub(super) unsafe fn perform(
        &mut self,
        source: &Source,
        id: SocketId,
        request: &Request,
    ) -> Result<i32, Errno> {
        self.statistics.operations += 1;
        match *request {
            Request::Recv { buffer, length, flags } => {
                // SAFETY: valid for writes of `length` bytes by contract, and borrowed mutably by
                // the operation, so that they are initialised.
                let buffer = unsafe { slice::from_raw_parts_mut(buffer, length) };
                self.take(id, &mut [buffer], flags)
            }
            Request::RecvLent { lender } => {
                // SAFETY: valid for reads by contract.
                let lender = unsafe { lender.as_ref() };
                lender.fill(|buffer| self.take(id, &mut [buffer], 0).map(|count| count as usize))
            }
            Request::Read { buffer, length } => {
                // SAFETY: as for `Recv`.
                let buffer = unsafe { slice::from_raw_parts_mut(buffer, length) };
                self.take(id, &mut [buffer], 0)
            }
            Request::ReadVectored { buffers, count } => {
                // SAFETY: the list and its buffers are valid by contract.
                let mut buffers = unsafe { scattered(buffers, count) };
                self.take(id, &mut buffers, 0)
            }
            Request::ReceiveMessage { message, flags } => {
                // SAFETY: valid for reads and writes by contract.
                let message = unsafe { &mut *message };
                // SAFETY: the list and its buffers are valid by contract.
                let mut buffers = unsafe { scattered(message.msg_iov, message.msg_iovlen) };
                if !matches!(self.sockets[&id].kind, Kind::Datagrams(_)) {
                    message.msg_namelen = 0;
                    return self.take(id, &mut buffers, flags);
                }
                let peek = flags & libc::MSG_PEEK as u32 != 0;
                let received = self.receive_datagram(id, &mut buffers, peek)?;
                let is_cut = received.count < received.length;
                message.msg_flags = if is_cut { libc::MSG_TRUNC } else { 0 };
                message.msg_controllen = 0;
                let (name, length) = (message.msg_name.cast(), &mut message.msg_namelen);
                // SAFETY: `msg_name` is null or valid for `msg_namelen` bytes by contract.
                unsafe { write_address(name, length, received.from) };
                Ok(received.count as i32)
            }
            Request::Send { buffer, length, .. } | Request::Write { buffer, length } => {
                // SAFETY: valid for reads of `length` bytes by contract.
                let data = unsafe { slice::from_raw_parts(buffer, length) };
                self.give(id, &[data], None)
            }
            Request::SendMessage { message, .. } => {
                // SAFETY: valid for reads by contract.
                let message = unsafe { &*message };
                // SAFETY: the list and its buffers are valid for reads by contract; only read here.
                let data = unsafe { gathered(message.msg_iov, message.msg_iovlen) };
                // SAFETY: null, or an address of that length.
                let to = unsafe { read_address(message.msg_name.cast(), message.msg_namelen)? };
                self.give(id, &data, to)
            }
            Request::Accept { address, address_length, .. } => {
                let (fd, peer) = self.accept_carrier(source, id)?;
                if !address_length.is_null() {
                    // SAFETY: valid for reads and writes by contract.
                    let length = unsafe { &mut *address_length };
                    // SAFETY: valid for writes of that length by contract.
                    unsafe { write_address(address, length, peer) };
                }
                Ok(fd)
            }
            Request::Connect { address, address_length } => {
                // SAFETY: an address of that length by contract.
                let to = unsafe { read_address(address, address_length)? };
                self.connect(id, to.ok_or(libc::EAFNOSUPPORT)?).map(|()| 0)
            }
            Request::Ready { events } => {
                let direction = match events & libc::POLLOUT {
                    0 => Direction::Read,
                    _ => Direction::Write,
                };
                if self.is_ready(id, direction) { Ok(i32::from(events)) } else { Err(libc::EAGAIN) }
            }
        }
    }

    fn take(&mut self, id: SocketId, buffers: &mut [&mut [u8]], flags: u32) -> Result<i32, Errno> {
        let peek = flags & libc::MSG_PEEK as u32 != 0;
        let count = match self.sockets[&id].kind {
            Kind::Datagrams(_) => self.receive_datagram(id, buffers, peek)?.count,
            _ => self.read(id, buffers, peek)?,
        };
        // No more than the size of a buffer, which is far less than 2^31.
        Ok(count as i32)
    }

    fn give(&mut self, id: SocketId, data: &[&[u8]], to: Option<SocketAddr>) -> Result<i32, Errno> {
        let count = match self.sockets[&id].kind {
            Kind::Datagrams(_) => self.send_datagram(id, data, to)?,
            _ => self.write(id, data)?,
        };
        // As in `take`.
        Ok(count as i32)
    }

    /// Accepts a connection, with a carrier that has the listener's options, as accept(2) has it.
    fn accept_carrier(
        &mut self,
        listener: &Source,
        id: SocketId,
    ) -> Result<(i32, SocketAddr), Errno> {
        if !self.is_ready(id, Direction::Read) {
            return Err(libc::EAGAIN);
        }
        let is_v6 = self.sockets[&id].is_v6;
        // Before anything is accepted: if the process has no fd left, the connection stays.
        let carrier = carrier(is_v6, Type::STREAM).map_err(errno_of)?;
        let (accepted, peer) = self.accept(id)?;
        let options = SockRef::from(listener);
        if let Ok(nodelay) = options.tcp_nodelay() {
            let _ = carrier.set_tcp_nodelay(nodelay);
        }
        if let Ok(keepalive) = options.keepalive() {
            let _ = carrier.set_keepalive(keepalive);
        }
        let fd = carrier.into_raw_fd();
        self.unclaimed.insert(fd, accepted);
        Ok((fd, peer))
    }
}

/// A real socket that stands for a virtual one: for its options, and for an fd to show.
pub(super) fn carrier(is_v6: bool, kind: Type) -> std::io::Result<Socket> {
    let domain = if is_v6 { Domain::IPV6 } else { Domain::IPV4 };
    Socket::new_raw(domain, kind.nonblocking().cloexec(), None)
}

fn errno_of(error: std::io::Error) -> Errno {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// # Safety
///
/// `list` is valid for reads of `count` elements, and each buffer for writes, for as long as the result
/// is used.
unsafe fn scattered<'a>(list: *mut libc::iovec, count: usize) -> Vec<&'a mut [u8]> {
    // SAFETY: by contract.
    let parts = unsafe { parts(list, count) };
    // SAFETY: by contract; the operation borrows distinct buffers mutably.
    parts.map(|(start, length)| unsafe { slice::from_raw_parts_mut(start, length) }).collect()
}

/// # Safety
///
/// As for [`scattered`], with buffers that are valid for reads.
unsafe fn gathered<'a>(list: *mut libc::iovec, count: usize) -> Vec<&'a [u8]> {
    // SAFETY: by contract.
    let parts = unsafe { parts(list, count) };
    // SAFETY: by contract.
    parts.map(|(start, length)| unsafe { slice::from_raw_parts(start, length) }).collect()
}

/// The non-empty buffers of a list; an empty one may have a dangling pointer.
///
/// # Safety
///
/// `list` is valid for reads of `count` elements for as long as the result is used.
unsafe fn parts<'a>(
    list: *mut libc::iovec,
    count: usize,
) -> impl Iterator<Item = (*mut u8, usize)> + 'a {
    let list: &'a [libc::iovec] = match count {
        0 => &[],
        // SAFETY: by contract.
        count => unsafe { slice::from_raw_parts(list, count) },
    };
    list.iter().filter(|part| part.iov_len > 0).map(|part| (part.iov_base.cast(), part.iov_len))
}

/// Writes an address as the system calls do: cut to the room, with its true length.
///
/// # Safety
///
/// `into` is null or valid for writes of `*length` bytes.
unsafe fn write_address(
    into: *mut libc::sockaddr,
    length: &mut libc::socklen_t,
    address: SocketAddr,
) {
    let address = SockAddr::from(address);
    if !into.is_null() {
        let room = address.len().min(*length) as usize;
        // SAFETY: `room` bytes are valid on both sides, which do not overlap.
        unsafe { address.as_ptr().cast::<u8>().copy_to_nonoverlapping(into.cast(), room) };
    }
    *length = address.len();
}

/// Reads an IP address; none if `from` is null.
///
/// # Safety
///
/// `from` is null or valid for reads of `length` bytes, which are an address.
unsafe fn read_address(
    from: *const libc::sockaddr,
    length: libc::socklen_t,
) -> Result<Option<SocketAddr>, Errno> {
    if from.is_null() || length == 0 {
        return Ok(None);
    }
    let mut storage = SockAddrStorage::zeroed();
    let count = (length as usize).min(mem::size_of_val(&storage));
    let to = std::ptr::from_mut(&mut storage).cast::<u8>();
    // SAFETY: `count` bytes are valid on both sides, which do not overlap.
    unsafe { from.cast::<u8>().copy_to_nonoverlapping(to, count) };
    // SAFETY: an address of that length was just copied into zeroed storage.
    let address = unsafe { SockAddr::new(storage, length) };
    address.as_socket().map(Some).ok_or(libc::EAFNOSUPPORT)
}

/// What the options of a carrier say about silence: keepalive in all, and `TCP_USER_TIMEOUT`.
pub(super) fn timeouts(
    carrier: &impl AsFd,
) -> (Option<std::time::Duration>, Option<std::time::Duration>) {
    let options = SockRef::from(carrier);
    let keepalive = options.keepalive().unwrap_or(false).then(|| {
        let idle = options.tcp_keepalive_time().unwrap_or_default();
        let interval = options.tcp_keepalive_interval().unwrap_or_default();
        idle + interval * options.tcp_keepalive_retries().unwrap_or_default()
    });
    let user_timeout = options.tcp_user_timeout().ok().flatten();
    (keepalive, user_timeout.filter(|timeout| !timeout.is_zero()))
}

/// Whether an address can be one of a host: no wildcard, no loopback, no group.
pub(super) fn is_of_a_host(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}
