//! Many datagrams with one system call: recvmmsg(2) and sendmmsg(2).
//!
//! Owns the lists of headers that the calls take, on the stack, for [`AT_ONCE`] datagrams. Both calls stop
//! at the first datagram that does not go, and keep its error for the next call, so that a count is never
//! followed by an error that gets lost.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::{SockAddr, SockAddrStorage};

use crate::Source;

/// How many datagrams one call moves at most. The headers take some 7 KiB of stack.
pub const AT_ONCE: usize = 32;

/// A datagram that was received.
#[derive(Copy, Clone, Debug)]
pub struct Received {
    /// How much of its buffer it fills.
    pub count: usize,
    /// Who has sent it.
    pub from: SocketAddr,
    /// Whether it was longer than its buffer; the rest is lost.
    pub is_cut: bool,
}

/// Receives datagrams that are there, each into its own part of `buffers`, which has room for `each` bytes
/// per datagram, and appends to `into` what they are. At least one, and [`AT_ONCE`] at most.
///
/// # Errors
///
/// `WouldBlock` if there is none, and what recvmmsg(2) says.
///
/// # Panics
///
/// If there is no room for a datagram.
pub fn receive(
    source: &Source,
    buffers: &mut [u8],
    each: usize,
    into: &mut Vec<Received>,
) -> io::Result<()> {
    assert!(each > 0 && buffers.len() >= each, "a batch has room for one datagram at least");
    let mut from = [const { MaybeUninit::<SockAddrStorage>::zeroed() }; AT_ONCE];
    let mut lists = [EMPTY_LIST; AT_ONCE];
    // SAFETY: all zeros is a valid header: null pointers and lengths of zero.
    let mut headers: [libc::mmsghdr; AT_ONCE] = unsafe { mem::zeroed() };
    let mut asked = 0;
    for (index, buffer) in buffers.chunks_exact_mut(each).take(AT_ONCE).enumerate() {
        lists[index] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: each };
        let message = &mut headers[index].msg_hdr;
        message.msg_name = from[index].as_mut_ptr().cast();
        message.msg_namelen = mem::size_of::<SockAddrStorage>() as libc::socklen_t;
        message.msg_iov = &raw mut lists[index];
        message.msg_iovlen = 1;
        asked += 1;
    }
    // SAFETY: the first `asked` headers are filled in; their lists, buffers and addresses are exclusively
    // borrowed or owned by this function.
    let count = unsafe {
        libc::recvmmsg(
            source.as_raw_fd(),
            headers.as_mut_ptr(),
            asked,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    for (header, from) in headers.iter().zip(from).take(count) {
        // SAFETY: zeroed at first, which is a valid address storage, and the kernel writes whole fields.
        let from = unsafe { from.assume_init() };
        // SAFETY: the kernel has filled in that many bytes of it.
        let from = unsafe { SockAddr::new(from, header.msg_hdr.msg_namelen) };
        into.push(Received {
            count: header.msg_len as usize,
            from: from.as_socket().ok_or_else(no_ip)?,
            is_cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        });
    }
    Ok(())
}

/// Sends datagrams as long as there is room for them, and says how many: at least one, and [`AT_ONCE`] at
/// most. Those without an address go to the peer of the socket.
///
/// # Errors
///
/// That of the first datagram, of which nothing was sent then; `WouldBlock` if there is no room for it.
pub fn send<'a>(
    source: &Source,
    datagrams: impl Iterator<Item = (&'a [u8], Option<SocketAddr>)>,
) -> io::Result<usize> {
    let mut to = [const { MaybeUninit::<SockAddr>::uninit() }; AT_ONCE];
    let mut lists = [EMPTY_LIST; AT_ONCE];
    // SAFETY: all zeros is a valid header: null pointers and lengths of zero.
    let mut headers: [libc::mmsghdr; AT_ONCE] = unsafe { mem::zeroed() };
    let mut asked = 0;
    for (index, (data, address)) in datagrams.take(AT_ONCE).enumerate() {
        // Sending only reads it.
        let iov_base = data.as_ptr().cast_mut().cast();
        lists[index] = libc::iovec { iov_base, iov_len: data.len() };
        let message = &mut headers[index].msg_hdr;
        if let Some(address) = address {
            let address = to[index].write(address.into());
            message.msg_name = address.as_ptr().cast_mut().cast();
            message.msg_namelen = address.len();
        }
        message.msg_iov = &raw mut lists[index];
        message.msg_iovlen = 1;
        asked += 1;
    }
    if asked == 0 {
        return Ok(0);
    }
    // SAFETY: the first `asked` headers are filled in; their lists and addresses are owned by this
    // function, and the data is borrowed.
    let count = unsafe {
        libc::sendmmsg(
            source.as_raw_fd(),
            headers.as_mut_ptr(),
            asked,
            (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

const EMPTY_LIST: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

fn no_ip() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a datagram's address is no IP address: the socket is of another family",
    )
}
