//! What can be asked of a descriptor without waiting.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::Interest;

/// Refuses what is always ready, and can therefore not be waited for.
pub(super) fn pollable(fd: BorrowedFd<'_>) -> io::Result<()> {
    let what = match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        _ => return Ok(()),
    };
    // Some kernels say so of descriptors that are no files at all, such as those of processes. epoll_ctl(2)
    // has the last word.
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let (nothing, no_data) = (epoll::EventFlags::empty(), epoll::EventData::new_u64(0));
    if epoll::add(&epoll, fd, no_data, nothing) != Err(Errno::PERM) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "wait for fd {}: it is {what}, which is always ready and cannot be waited for (read and write \
             files in `cx.blocking`)",
            fd.as_raw_fd()
        ),
    ))
}

/// Whether a step in this direction would not wait. Hang-ups and errors are steps that do not.
pub(super) fn is_ready(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<bool> {
    let events = match interest {
        Interest::Readable => PollFlags::IN | PollFlags::RDHUP,
        Interest::Writable => PollFlags::OUT,
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, events)];
    loop {
        match rustix::event::poll(&mut fds, Some(&Timespec::default())) {
            // Without a timeout, a signal that came meanwhile is all that can interrupt it.
            Err(rustix::io::Errno::INTR) => {}
            polled => return Ok(polled? > 0),
        }
    }
}
