//! Reading and writing at an offset, or at the file's own position.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::io::retry_on_intr;

use super::{FileOperation, FileRequest, raw};
use crate::op::BUFFERS_MAX;
use crate::operation;

/// Reads at an offset. Yields the count; zero is the end of the file.
#[derive(Debug)]
pub struct ReadAt<'a> {
    fd: BorrowedFd<'a>,
    buffer: &'a mut [u8],
    offset: Option<u64>,
}

impl<'a> ReadAt<'a> {
    /// Reads up to the size of `buffer`, at `offset` or, if there is none, at the file's own position,
    /// which moves on.
    pub fn new(fd: BorrowedFd<'a>, buffer: &'a mut [u8], offset: Option<u64>) -> ReadAt<'a> {
        ReadAt { fd, buffer, offset }
    }
}

// SAFETY: the buffer and the fd are borrowed for as long as `self` lives, the buffer exclusively.
unsafe impl FileOperation for ReadAt<'_> {
    type Output = usize;

    fn perform(&mut self) -> io::Result<usize> {
        Ok(match self.offset {
            Some(offset) => {
                retry_on_intr(|| rustix::io::pread(self.fd, &mut *self.buffer, offset))?
            }
            None => retry_on_intr(|| rustix::io::read(self.fd, &mut *self.buffer))?,
        })
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Read {
            fd: raw(self.fd),
            buffer: self.buffer.as_mut_ptr(),
            length: self.buffer.len(),
            offset: place(self.offset),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}

/// Writes at an offset. Yields the count, which may be less than asked.
#[derive(Debug)]
pub struct WriteAt<'a> {
    fd: BorrowedFd<'a>,
    data: &'a [u8],
    offset: Option<u64>,
}

impl<'a> WriteAt<'a> {
    /// Writes `data` at `offset` or, if there is none, at the file's own position, which moves on.
    /// A file that is opened to append gets it at its end in both cases (pwrite(2)).
    pub fn new(fd: BorrowedFd<'a>, data: &'a [u8], offset: Option<u64>) -> WriteAt<'a> {
        WriteAt { fd, data, offset }
    }
}

// SAFETY: the data and the fd are borrowed for as long as `self` lives.
unsafe impl FileOperation for WriteAt<'_> {
    type Output = usize;

    fn perform(&mut self) -> io::Result<usize> {
        Ok(match self.offset {
            Some(offset) => retry_on_intr(|| rustix::io::pwrite(self.fd, self.data, offset))?,
            None => retry_on_intr(|| rustix::io::write(self.fd, self.data))?,
        })
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Write {
            fd: raw(self.fd),
            buffer: self.data.as_ptr(),
            length: self.data.len(),
            offset: place(self.offset),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}

/// Reads into several buffers at an offset. Yields the count; zero is the end of the file.
pub struct ReadVectoredAt<'a, 'b> {
    fd: BorrowedFd<'a>,
    buffers: &'a mut [IoSliceMut<'b>],
    offset: Option<u64>,
}

impl<'a, 'b> ReadVectoredAt<'a, 'b> {
    /// As [`ReadAt::new`]; of more than 1024 buffers it fills the first 1024.
    pub fn new(
        fd: BorrowedFd<'a>,
        buffers: &'a mut [IoSliceMut<'b>],
        offset: Option<u64>,
    ) -> ReadVectoredAt<'a, 'b> {
        let count = buffers.len().min(BUFFERS_MAX);
        ReadVectoredAt { fd, buffers: &mut buffers[..count], offset }
    }
}

// SAFETY: the buffers, their list and the fd are borrowed for as long as `self` lives, the buffers
// exclusively.
unsafe impl FileOperation for ReadVectoredAt<'_, '_> {
    type Output = usize;

    fn perform(&mut self) -> io::Result<usize> {
        Ok(match self.offset {
            Some(offset) => retry_on_intr(|| rustix::io::preadv(self.fd, self.buffers, offset))?,
            None => retry_on_intr(|| rustix::io::readv(self.fd, self.buffers))?,
        })
    }

    fn request(&mut self) -> FileRequest {
        // `IoSliceMut` has the layout of `iovec` (its documentation).
        FileRequest::ReadVectored {
            fd: raw(self.fd),
            buffers: self.buffers.as_ptr().cast(),
            count: self.buffers.len(),
            offset: place(self.offset),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}

impl fmt::Debug for ReadVectoredAt<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadVectoredAt")
            .field("fd", &self.fd)
            .field("buffers", &self.buffers.len())
            .field("offset", &self.offset)
            .finish()
    }
}

/// Writes several buffers as one at an offset. Yields the count, which may be less than asked.
pub struct WriteVectoredAt<'a, 'b> {
    fd: BorrowedFd<'a>,
    buffers: &'a [IoSlice<'b>],
    offset: Option<u64>,
}

impl<'a, 'b> WriteVectoredAt<'a, 'b> {
    /// As [`WriteAt::new`]; of more than 1024 buffers it writes the first 1024.
    pub fn new(
        fd: BorrowedFd<'a>,
        buffers: &'a [IoSlice<'b>],
        offset: Option<u64>,
    ) -> WriteVectoredAt<'a, 'b> {
        WriteVectoredAt { fd, buffers: &buffers[..buffers.len().min(BUFFERS_MAX)], offset }
    }
}

// SAFETY: the buffers, their list and the fd are borrowed for as long as `self` lives.
unsafe impl FileOperation for WriteVectoredAt<'_, '_> {
    type Output = usize;

    fn perform(&mut self) -> io::Result<usize> {
        Ok(match self.offset {
            Some(offset) => retry_on_intr(|| rustix::io::pwritev(self.fd, self.buffers, offset))?,
            None => retry_on_intr(|| rustix::io::writev(self.fd, self.buffers))?,
        })
    }

    fn request(&mut self) -> FileRequest {
        // `IoSlice` has the layout of `iovec` (its documentation).
        FileRequest::WriteVectored {
            fd: raw(self.fd),
            buffers: self.buffers.as_ptr().cast(),
            count: self.buffers.len(),
            offset: place(self.offset),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        operation::count(raw)
    }
}

impl fmt::Debug for WriteVectoredAt<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteVectoredAt")
            .field("fd", &self.fd)
            .field("buffers", &self.buffers.len())
            .field("offset", &self.offset)
            .finish()
    }
}

/// A request's offset. The file's own position is asked for by the highest one.
fn place(offset: Option<u64>) -> u64 {
    offset.unwrap_or(u64::MAX)
}
