//! From requests to entries of the submission queue: plain data in, plain data out.

use std::os::fd::RawFd;

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

use super::waits::{Events, Phase};
use crate::{Direction, Request};

/// The entry that performs `request` on `fd`.
///
/// Sockets have been tried before, so that waiting comes first (`POLL_FIRST`): the kernel then spares
/// itself an attempt that finds nothing. It looks at the socket when it begins to wait, so that nothing
/// is missed if that is not so.
pub(super) fn of(request: &Request, fd: RawFd) -> Entry {
    let fd = types::Fd(fd);
    match *request {
        Request::Recv { buffer, length, flags } => opcode::Recv::new(fd, buffer, size(length))
            .ioprio(POLL_FIRST)
            .flags(flags as i32)
            .build(),
        Request::ReceiveMessage { message, flags } => {
            opcode::RecvMsg::new(fd, message).ioprio(POLL_FIRST).flags(flags).build()
        }
        Request::RecvLent { .. } => opcode::Recv::new(fd, std::ptr::null_mut(), 0)
            .buf_group(LENT)
            .ioprio(POLL_FIRST)
            .build()
            .flags(Flags::BUFFER_SELECT),
        Request::Read { buffer, length } => {
            opcode::Read::new(fd, buffer, size(length)).offset(CURRENT_POSITION).build()
        }
        Request::ReadVectored { buffers, count } => {
            opcode::Readv::new(fd, buffers, size(count)).offset(CURRENT_POSITION).build()
        }
        Request::Accept { address, address_length, flags } => {
            opcode::Accept::new(fd, address, address_length).flags(flags).build()
        }
        Request::Connect { address, address_length } => {
            opcode::Connect::new(fd, address, address_length).build()
        }
        Request::Send { .. } | Request::SendMessage { .. } | Request::Write { .. } => {
            readiness(fd.0, events_of(Direction::Write))
        }
        Request::Ready { events } => readiness(fd.0, events),
    }
}

/// The entry that sends what `request` says at once, or not at all: the kernel does not wait with it
/// (`MSG_DONTWAIT`), and answers `EAGAIN`. `None` if it is no send.
pub(super) fn send_now(request: &Request, fd: RawFd) -> Option<Entry> {
    let (fd, now) = (types::Fd(fd), libc::MSG_DONTWAIT);
    match *request {
        Request::Send { buffer, length, flags } => {
            Some(opcode::Send::new(fd, buffer, size(length)).flags(flags as i32 | now).build())
        }
        Request::SendMessage { message, flags } => {
            Some(opcode::SendMsg::new(fd, message).flags(flags | now as u32).build())
        }
        _ => None,
    }
}

/// Waits until `fd` is ready, once.
pub(super) fn readiness(fd: RawFd, events: Events) -> Entry {
    opcode::PollAdd::new(types::Fd(fd), u32::from(events as u16)).build()
}

/// Reports the readiness of `fd` at once and each time that it changes, until it is cancelled.
pub(super) fn watch(fd: RawFd, events: Events) -> Entry {
    opcode::PollAdd::new(types::Fd(fd), u32::from(events as u16)).multi(true).build()
}

/// What a task waits for that would go on in one direction.
pub(super) fn events_of(direction: Direction) -> Events {
    match direction {
        Direction::Read => libc::POLLIN | libc::POLLRDHUP,
        Direction::Write => libc::POLLOUT,
    }
}

/// Whether a report is one that was asked for. The kernel adds hang-ups and errors, as poll(2) does, and
/// also that the peer has ended its direction, which says nothing to a writer.
pub(super) fn is_wanted(reported: i32, events: Events) -> bool {
    let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
    reported & i32::from(events | always) != 0
}

/// How the ring serves a request.
///
/// A send that has to wait is not left to it. The kernel wakes it for the end of the other direction as
/// well, tries it more than a hundred times for nothing, and then gives it to a kernel thread of its own
/// that blocks. A peer that half-closes and reads slowly would cost a thread. So the ring waits, and the
/// caller sends; nothing is lent meanwhile. [`send_now`] is for those that do not wait.
pub(super) fn phase_of(request: &Request) -> Phase {
    match request {
        Request::Send { .. } | Request::SendMessage { .. } | Request::Write { .. } => Phase::Poll,
        Request::Ready { events } => Phase::Ask(*events),
        Request::RecvLent { .. } => Phase::Lend,
        _ => Phase::Perform,
    }
}

/// Reports each time that `fd` becomes ready to read, for as long as the ring lives.
pub(super) fn bell(fd: RawFd) -> Entry {
    opcode::PollAdd::new(types::Fd(fd), libc::POLLIN as u32).multi(true).build()
}

/// Asks for the end of the entry that carries `target`. Its own completion, which names the target, is
/// posted only if it has found nothing, or has come too late to stop it.
pub(super) fn cancel(target: u64) -> Entry {
    let name = target | CANCELS;
    opcode::AsyncCancel::new(target).build().flags(Flags::SKIP_SUCCESS).user_data(name)
}

/// In the name of a cancellation; the rest is its target.
pub(super) const CANCELS: u64 = 1 << 63;

/// The kernel moves a little less than 2 GiB at once (read(2)); the caller goes on with the rest.
pub(super) fn size(length: usize) -> u32 {
    length.min(MOST) as u32
}

const MOST: usize = 0x7fff_f000;
/// The group of buffers of which a receive takes one when data has arrived.
pub(super) const LENT: u16 = 0;
/// `IORING_RECVSEND_POLL_FIRST` (5.19), in `ioprio`.
pub(super) const POLL_FIRST: u16 = 1;
/// The offset that stands for the position of the file, or for none (`IORING_FEAT_RW_CUR_POS`).
const CURRENT_POSITION: u64 = u64::MAX;
