//! Many datagrams of one size as one buffer: `UDP_SEGMENT` and `UDP_GRO`, udp(7).
//!
//! The kernel cuts what is sent, or joins what it has received, as late or as early as it can, which saves
//! most of the work for each datagram. Owns the control messages that say how long a segment is.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use socket2::{SockAddr, SockAddrStorage};

use crate::Source;

/// How many segments one call may have: `UDP_MAX_SEGMENTS` of the first kernels that knew it.
pub const SEGMENTS_MAX: usize = 64;

/// How many bytes one call may have: what fits into an IPv4 packet with its headers.
pub const BYTES_MAX: usize = 65_507;

/// What was received.
#[derive(Copy, Clone, Debug)]
pub struct Received {
    /// How many bytes.
    pub count: usize,
    /// How long each datagram was; the last may be shorter.
    pub segment: usize,
    /// Who has sent it.
    pub from: SocketAddr,
}

/// Room for one control message with an `int`, as aligned as its header.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    bytes: [u8; CONTROL_BYTES],
}

// SAFETY: it only computes.
const CONTROL_BYTES: usize =
    unsafe { libc::CMSG_SPACE(mem::size_of::<libc::c_int>() as u32) } as usize;

/// Whether the kernel cuts datagrams for this socket.
#[must_use]
pub fn can_send(source: &Source) -> bool {
    let mut value: libc::c_int = 0;
    let mut length = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: both pointers are valid for writes, and the length is that of the value.
    let answer = unsafe {
        libc::getsockopt(
            source.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    answer == 0
}

/// Asks the kernel to join datagrams of one sender, or not to.
///
/// # Errors
///
/// What setsockopt(2) says: `ENOPROTOOPT` from a kernel that cannot.
pub fn set_joining(source: &Source, on: bool) -> io::Result<()> {
    let value = libc::c_int::from(on);
    // SAFETY: the value is valid for reads of its length.
    let answer = unsafe {
        libc::setsockopt(
            source.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends `data` as datagrams of `segment` bytes each, of which the last may be shorter: all of them or none.
/// Without an address they go to the peer of the socket.
///
/// # Errors
///
/// `WouldBlock` if there is no room. `EINVAL`, `EIO` or `EMSGSIZE` if they cannot be sent like that, as when
/// a segment is longer than a packet may be; they may go one by one then.
pub fn send(
    source: &Source,
    data: &[u8],
    segment: u16,
    to: Option<SocketAddr>,
) -> io::Result<usize> {
    let to = to.map(SockAddr::from);
    // Sending only reads it.
    let iov_base = data.as_ptr().cast_mut().cast();
    let mut list = libc::iovec { iov_base, iov_len: data.len() };
    let mut control = Control { bytes: [0; CONTROL_BYTES] };
    // SAFETY: all zeros is a valid message: null pointers and lengths of zero.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    if let Some(to) = &to {
        message.msg_name = to.as_ptr().cast_mut().cast();
        message.msg_namelen = to.len();
    }
    message.msg_iov = &raw mut list;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    // SAFETY: it only computes.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(mem::size_of::<u16>() as u32) } as _;
    // SAFETY: the control bytes have room for a header.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: it only computes.
    let cmsg_len = unsafe { libc::CMSG_LEN(mem::size_of::<u16>() as u32) } as _;
    let first = libc::cmsghdr { cmsg_len, cmsg_level: libc::SOL_UDP, cmsg_type: libc::UDP_SEGMENT };
    // SAFETY: `header` points into `control`, which is aligned for it.
    unsafe { header.write(first) };
    // SAFETY: the header is followed by room for its data.
    let value = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: as above; it need not be aligned.
    unsafe { value.cast::<u16>().write_unaligned(segment) };
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: everything that the message points to is owned by this function or borrowed.
    let count = unsafe { libc::sendmsg(source.as_raw_fd(), &raw const message, flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Receives one datagram, or several of one sender that the kernel has joined.
///
/// # Errors
///
/// `WouldBlock` if there is none, and what recvmsg(2) says.
pub fn receive(source: &Source, buffer: &mut [u8]) -> io::Result<Received> {
    let mut from = MaybeUninit::<SockAddrStorage>::zeroed();
    let mut list = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control { bytes: [0; CONTROL_BYTES] };
    // SAFETY: all zeros is a valid message: null pointers and lengths of zero.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = from.as_mut_ptr().cast();
    message.msg_namelen = mem::size_of::<SockAddrStorage>() as libc::socklen_t;
    message.msg_iov = &raw mut list;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = CONTROL_BYTES as _;
    // SAFETY: everything that the message points to is owned by this function or exclusively borrowed.
    let count = unsafe { libc::recvmsg(source.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: zeroed at first, which is a valid address storage, and the kernel writes whole fields.
    let from = unsafe { from.assume_init() };
    // SAFETY: the kernel has filled in that many bytes of it.
    let from = unsafe { SockAddr::new(from, message.msg_namelen) };
    let from = from
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the socket is no IP socket"))?;
    let segment = segment_of(&message).unwrap_or(count);
    Ok(Received { count, segment, from })
}

/// What the control message of a received message says.
fn segment_of(message: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel has filled in as many control bytes as the message says.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or a header that the kernel has written.
    let first = unsafe { header.as_ref() }?;
    if (first.cmsg_level, first.cmsg_type) != (libc::SOL_UDP, libc::UDP_GRO) {
        return None;
    }
    // SAFETY: this kind of message has an `int`, which need not be aligned.
    let segment = unsafe { libc::CMSG_DATA(header).cast::<libc::c_int>().read_unaligned() };
    usize::try_from(segment).ok().filter(|segment| *segment > 0)
}
