//! What concerns a file as a whole: making it durable, giving it room, closing it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use rustix::fs::FallocateFlags;
use rustix::io::retry_on_intr;

use super::{FileOperation, FileRequest, raw};
use crate::operation;

/// Waits until what was written is on the device: fsync(2), or fdatasync(2).
#[derive(Debug)]
pub struct Sync<'a> {
    fd: BorrowedFd<'a>,
    only_data: bool,
}

impl<'a> Sync<'a> {
    /// The data, and everything that is known about the file.
    pub fn all(fd: BorrowedFd<'a>) -> Sync<'a> {
        Sync { fd, only_data: false }
    }

    /// The data, and of what is known about the file only what is needed to find it.
    pub fn data(fd: BorrowedFd<'a>) -> Sync<'a> {
        Sync { fd, only_data: true }
    }
}

// SAFETY: the request points to nothing; the fd is borrowed for as long as `self` lives.
unsafe impl FileOperation for Sync<'_> {
    type Output = ();

    fn perform(&mut self) -> io::Result<()> {
        Ok(retry_on_intr(|| match self.only_data {
            true => rustix::fs::fdatasync(self.fd),
            false => rustix::fs::fsync(self.fd),
        })?)
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Sync { fd: raw(self.fd), only_data: self.only_data }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        operation::count(raw).map(drop)
    }
}

/// Gives a part of a file room on the device, or takes it: fallocate(2).
#[derive(Debug)]
pub struct Allocate<'a> {
    fd: BorrowedFd<'a>,
    mode: FallocateFlags,
    offset: u64,
    length: u64,
}

impl<'a> Allocate<'a> {
    /// Gives room to `length` bytes at `offset`; the file grows if they reach beyond its end.
    pub fn new(fd: BorrowedFd<'a>, offset: u64, length: u64) -> Allocate<'a> {
        Allocate { fd, mode: FallocateFlags::empty(), offset, length }
    }

    /// The same with `FALLOC_FL_*` flags.
    pub fn with_mode(fd: BorrowedFd<'a>, mode: u32, offset: u64, length: u64) -> Allocate<'a> {
        Allocate { fd, mode: FallocateFlags::from_bits_retain(mode), offset, length }
    }
}

// SAFETY: the request points to nothing; the fd is borrowed for as long as `self` lives.
unsafe impl FileOperation for Allocate<'_> {
    type Output = ();

    fn perform(&mut self) -> io::Result<()> {
        let Allocate { fd, mode, offset, length } = self;
        Ok(retry_on_intr(|| rustix::fs::fallocate(*fd, *mode, *offset, *length))?)
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Allocate {
            fd: raw(self.fd),
            mode: self.mode.bits() as i32,
            offset: self.offset,
            length: self.length,
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        operation::count(raw).map(drop)
    }
}

/// Closes an fd where that may take its time, and reports what the system says to it. The fd is gone in
/// every case: dropping this closes it if it was not performed.
///
/// It should not be cancelled. A file system may answer `ECANCELED` to the closing itself, so that the answer
/// would not tell whether the number is free, or somebody else's already.
#[derive(Debug)]
pub struct Close {
    /// Present until it is closed.
    fd: Option<OwnedFd>,
}

impl Close {
    /// Closes `fd`.
    pub fn new(fd: OwnedFd) -> Close {
        Close { fd: Some(fd) }
    }
}

// SAFETY: the request points to nothing; the fd is owned, and given up when the kernel has taken it.
unsafe impl FileOperation for Close {
    type Output = ();

    fn perform(&mut self) -> io::Result<()> {
        let Some(fd) = self.fd.take() else {
            return Ok(());
        };
        // SAFETY: it was ours, and nobody closes it again.
        match unsafe { libc::close(fd.into_raw_fd()) } {
            0 => Ok(()),
            // Also after an interruption it is closed (close(2)).
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn may_cancel(&self) -> bool {
        false
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Close { fd: self.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd) }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<()> {
        // The kernel has closed it, whatever it says. Nobody has cancelled it: who does, does not come here.
        let _ = self.fd.take().map(IntoRawFd::into_raw_fd);
        operation::count(raw).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number may be somebody else's by the time that the answer comes.
    #[test]
    fn an_fd_that_the_kernel_has_taken_is_not_closed_again() {
        for raw in [0, -libc::EINTR, -libc::EIO, -libc::ECANCELED] {
            let other = crate::os::pipe().unwrap().0;
            let fd = rustix::io::fcntl_dupfd_cloexec(&other, 600).unwrap();
            let number = fd.as_raw_fd();
            let mut close = Close::new(fd);
            assert!(matches!(close.request(), FileRequest::Close { fd } if fd == number));
            // SAFETY: as the kernel does it; `close` owns it and hears of it below.
            assert_eq!(unsafe { libc::close(number) }, 0);
            let newcomer = rustix::io::fcntl_dupfd_cloexec(&other, number).unwrap();
            assert_eq!(newcomer.as_raw_fd(), number);
            // SAFETY: the answer to that request, once.
            let result = unsafe { close.complete(raw) };
            assert_eq!(
                result.err().and_then(|error| error.raw_os_error()),
                (raw != 0).then_some(-raw)
            );
            drop(close);
            assert!(rustix::io::fcntl_getfd(&newcomer).is_ok(), "{raw}");
        }
    }

    #[test]
    fn what_would_trip_over_itself_is_not_repeated() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let fd = std::os::fd::AsFd::as_fd(&file);
        assert!(Sync::all(fd).request().may_repeat());
        assert!(!Allocate::new(fd, 0, 1).request().may_repeat());
        assert!(!Close::new(file.into()).request().may_repeat());
    }
}
