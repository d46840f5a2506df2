//! Sending and receiving descriptors with bytes: `SCM_RIGHTS`, unix(7).
//!
//! The invariant: a descriptor that the kernel has made for us is owned from the moment on at which the
//! system call returns, so that none leaks, whatever happens then.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;

use conbrio_reactor::os::unix_address;
use conbrio_reactor::{Source, op};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
};

use crate::io::Error;
use crate::lowlevel::perform;
use crate::task::Cx;

/// What came with descriptors.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "dropping it closes the descriptors"]
pub struct WithFds {
    /// How many bytes of the buffer were filled. For a stream zero is the end.
    pub count: usize,
    /// The descriptors, close-on-exec, in the order in which they were sent.
    pub fds: Vec<OwnedFd>,
    /// Whether more of them came than were allowed, or than this process may have open. The others have been
    /// closed, and cannot be had again.
    pub fds_lost: bool,
    /// Whether a datagram was longer than the buffer; the rest is lost. Always false for a stream.
    pub is_cut: bool,
}

/// How many descriptors one message takes at most: `SCM_MAX_FD`.
pub(super) const FDS_MAX: usize = 253;

/// Sends `data` with `fds`. What is sent is all of them, and as much of `data` as the socket takes.
pub(super) fn send(
    source: &Source,
    cx: &mut Cx,
    data: &[u8],
    fds: &[BorrowedFd<'_>],
    to: Option<&SocketAddrUnix>,
) -> Result<usize, Error> {
    if fds.len() > FDS_MAX {
        let message = format!(
            "send {} descriptors: one message takes {FDS_MAX} at most (send them in several)",
            fds.len()
        );
        cx.checkpoint()?;
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
    }
    let mut room = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(fds.len()))];
    let step = |source: &Source| {
        let mut control = SendAncillaryBuffer::new(&mut room);
        if !fds.is_empty() {
            let fits = control.push(SendAncillaryMessage::ScmRights(fds));
            assert!(fits, "there is room for as many as there are");
        }
        let data = [IoSlice::new(data)];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(match to {
            Some(to) => rustix::net::sendmsg_addr(source, to, &data, &mut control, flags),
            None => rustix::net::sendmsg(source, &data, &mut control, flags),
        }?)
    };
    perform(cx, &mut op::Step::send(source, step))
}

/// Receives bytes and at most `fds_max` descriptors, and says who has sent them.
pub(super) fn receive(
    source: &Source,
    cx: &mut Cx,
    buf: &mut [u8],
    fds_max: usize,
) -> Result<(WithFds, SocketAddr), Error> {
    let mut room = vec![MaybeUninit::uninit(); space_for(fds_max.min(FDS_MAX))];
    let step = |source: &Source| {
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let message =
            rustix::net::recvmsg(source, &mut [IoSliceMut::new(buf)], &mut control, flags)?;
        Ok(taken(message, &mut control, fds_max))
    };
    perform(cx, &mut op::Step::receive(source, step))
}

fn taken(
    message: RecvMsg,
    control: &mut RecvAncillaryBuffer<'_>,
    fds_max: usize,
) -> (WithFds, SocketAddr) {
    let mut fds = Vec::new();
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = ancillary {
            fds.extend(received);
        }
    }
    // The kernel counts in steps of eight bytes, which is two descriptors.
    let too_many = fds.len() > fds_max;
    fds.truncate(fds_max);
    let fds_lost = too_many || message.flags.contains(ReturnFlags::CTRUNC);
    let is_cut = message.flags.contains(ReturnFlags::TRUNC);
    let from = unix_address(message.address);
    (WithFds { count: message.bytes, fds, fds_lost, is_cut }, from)
}

/// The room for the control message of some descriptors, wherever it begins.
fn space_for(fds: usize) -> usize {
    // Without any, the kernel closes what comes, and says so.
    if fds == 0 { 0 } else { rustix::cmsg_space!(ScmRights(fds)) }
}
