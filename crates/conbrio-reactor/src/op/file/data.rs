//! Reading and writing at an offset, or at the file's own position.
//!
//! A ring is never asked for the file's own position, although it knows an offset that stands for that: it forgets
//! to move the position if it has written less than it was to write (seen on Linux 6.18: the write goes on in a
//! thread of the kernel, and ends as one that has failed after some bytes), so that the next write would go over
//! the last one. So the operation asks for the position, and moves it when it is told how much was done. Test:
//! `limits::a_full_disk_is_an_error_that_says_how_far_it_came` of the crate `conbrio`.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, OFlags, SeekFrom};
use rustix::io::{ReadWriteFlags, preadv2, pwritev2, retry_on_intr};

use super::{FileOperation, FileRequest, raw};
use crate::op::BUFFERS_MAX;
use crate::operation;

/// Reads at an offset. Yields the count; zero is the end of the file.
#[derive(Debug)]
pub struct ReadAt<'a> {
    fd: BorrowedFd<'a>,
    buffer: &'a mut [u8],
    place: Place,
}

impl<'a> ReadAt<'a> {
    /// Reads up to the size of `buffer`, at `offset` or, if there is none, at the file's own position,
    /// which moves on.
    pub fn new(fd: BorrowedFd<'a>, buffer: &'a mut [u8], offset: Option<u64>) -> ReadAt<'a> {
        ReadAt { fd, buffer, place: Place::new(offset) }
    }
}

// SAFETY: the buffer and the fd are borrowed for as long as `self` lives, the buffer exclusively.
unsafe impl FileOperation for ReadAt<'_> {
    type Output = usize;

    fn try_now(&mut self) -> Option<usize> {
        let length = self.buffer.len().min(AT_ONCE_BYTES);
        read_now(self.fd, &mut [IoSliceMut::new(&mut self.buffer[..length])], self.place.offset)
    }

    fn perform(&mut self) -> io::Result<usize> {
        Ok(match self.place.offset {
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
            offset: self.place.for_ring(self.fd),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        self.place.moved(self.fd, raw, false)
    }
}

/// Writes at an offset. Yields the count, which may be less than asked.
#[derive(Debug)]
pub struct WriteAt<'a> {
    fd: BorrowedFd<'a>,
    data: &'a [u8],
    place: Place,
}

impl<'a> WriteAt<'a> {
    /// Writes `data` at `offset` or, if there is none, at the file's own position, which moves on.
    /// A file that is opened to append gets it at its end in both cases (pwrite(2)).
    pub fn new(fd: BorrowedFd<'a>, data: &'a [u8], offset: Option<u64>) -> WriteAt<'a> {
        WriteAt { fd, data, place: Place::new(offset) }
    }
}

// SAFETY: the data and the fd are borrowed for as long as `self` lives.
unsafe impl FileOperation for WriteAt<'_> {
    type Output = usize;

    fn try_now(&mut self) -> Option<usize> {
        let length = self.data.len().min(AT_ONCE_BYTES);
        write_now(self.fd, &[IoSlice::new(&self.data[..length])], self.place.offset)
    }

    fn perform(&mut self) -> io::Result<usize> {
        Ok(match self.place.offset {
            Some(offset) => retry_on_intr(|| rustix::io::pwrite(self.fd, self.data, offset))?,
            None => retry_on_intr(|| rustix::io::write(self.fd, self.data))?,
        })
    }

    fn request(&mut self) -> FileRequest {
        FileRequest::Write {
            fd: raw(self.fd),
            buffer: self.data.as_ptr(),
            length: self.data.len(),
            offset: self.place.for_ring(self.fd),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        self.place.moved(self.fd, raw, true)
    }
}

/// Reads into several buffers at an offset. Yields the count; zero is the end of the file.
pub struct ReadVectoredAt<'a, 'b> {
    fd: BorrowedFd<'a>,
    buffers: &'a mut [IoSliceMut<'b>],
    place: Place,
}

impl<'a, 'b> ReadVectoredAt<'a, 'b> {
    /// As [`ReadAt::new`]; of more than 1024 buffers it fills the first 1024.
    pub fn new(
        fd: BorrowedFd<'a>,
        buffers: &'a mut [IoSliceMut<'b>],
        offset: Option<u64>,
    ) -> ReadVectoredAt<'a, 'b> {
        let count = buffers.len().min(BUFFERS_MAX);
        ReadVectoredAt { fd, buffers: &mut buffers[..count], place: Place::new(offset) }
    }
}

// SAFETY: the buffers, their list and the fd are borrowed for as long as `self` lives, the buffers
// exclusively.
unsafe impl FileOperation for ReadVectoredAt<'_, '_> {
    type Output = usize;

    fn try_now(&mut self) -> Option<usize> {
        let count = at_once(self.buffers.iter().map(|buffer| buffer.len()));
        read_now(self.fd, &mut self.buffers[..count], self.place.offset)
    }

    fn perform(&mut self) -> io::Result<usize> {
        Ok(match self.place.offset {
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
            offset: self.place.for_ring(self.fd),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        self.place.moved(self.fd, raw, false)
    }
}

impl fmt::Debug for ReadVectoredAt<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadVectoredAt")
            .field("fd", &self.fd)
            .field("buffers", &self.buffers.len())
            .field("offset", &self.place.offset)
            .finish()
    }
}

/// Writes several buffers as one at an offset. Yields the count, which may be less than asked.
pub struct WriteVectoredAt<'a, 'b> {
    fd: BorrowedFd<'a>,
    buffers: &'a [IoSlice<'b>],
    place: Place,
}

impl<'a, 'b> WriteVectoredAt<'a, 'b> {
    /// As [`WriteAt::new`]; of more than 1024 buffers it writes the first 1024.
    pub fn new(
        fd: BorrowedFd<'a>,
        buffers: &'a [IoSlice<'b>],
        offset: Option<u64>,
    ) -> WriteVectoredAt<'a, 'b> {
        WriteVectoredAt {
            fd,
            buffers: &buffers[..buffers.len().min(BUFFERS_MAX)],
            place: Place::new(offset),
        }
    }
}

// SAFETY: the buffers, their list and the fd are borrowed for as long as `self` lives.
unsafe impl FileOperation for WriteVectoredAt<'_, '_> {
    type Output = usize;

    fn try_now(&mut self) -> Option<usize> {
        let count = at_once(self.buffers.iter().map(|buffer| buffer.len()));
        write_now(self.fd, &self.buffers[..count], self.place.offset)
    }

    fn perform(&mut self) -> io::Result<usize> {
        Ok(match self.place.offset {
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
            offset: self.place.for_ring(self.fd),
        }
    }

    unsafe fn complete(&mut self, raw: i32) -> io::Result<usize> {
        self.place.moved(self.fd, raw, true)
    }
}

impl fmt::Debug for WriteVectoredAt<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteVectoredAt")
            .field("fd", &self.fd)
            .field("buffers", &self.buffers.len())
            .field("offset", &self.place.offset)
            .finish()
    }
}

/// Where bytes are read or written.
#[derive(Debug)]
struct Place {
    /// `None`: at the file's own position.
    offset: Option<u64>,
    /// The file's own position, if it has one and the ring was told it.
    before: Option<u64>,
}

impl Place {
    fn new(offset: Option<u64>) -> Place {
        Place { offset, before: None }
    }

    /// The offset of a request. What has no position, such as a FIFO, gets that of none.
    fn for_ring(&mut self, fd: BorrowedFd<'_>) -> u64 {
        if self.offset.is_none() {
            self.before = rustix::fs::tell(fd).ok();
        }
        place(self.offset.or(self.before))
    }

    /// Takes the result of a request, and moves the file's own position.
    fn moved(&mut self, fd: BorrowedFd<'_>, raw: i32, is_write: bool) -> io::Result<usize> {
        let count = operation::count(raw)?;
        if let Some(before) = self.before.take() {
            let appends = || rustix::fs::fcntl_getfl(fd).is_ok_and(|f| f.contains(OFlags::APPEND));
            let to = match is_write && appends() {
                true => SeekFrom::End(0),
                false => SeekFrom::Start(before + count as u64),
            };
            // The bytes have moved: it counts that, and a position that was there can be moved on.
            let _ = rustix::fs::seek(fd, to);
        }
        Ok(count)
    }
}

/// A request's offset. The file's own position is asked for by the highest one; where that is meant as an
/// offset, another one stands in that no file has either, so that the system refuses it (`EINVAL`).
fn place(offset: Option<u64>) -> u64 {
    match offset {
        None => u64::MAX,
        Some(offset) => offset.min(u64::MAX - 1),
    }
}

/// Reads what is in memory.
fn read_now(
    fd: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
    offset: Option<u64>,
) -> Option<usize> {
    if buffers.is_empty() {
        return None;
    }
    match preadv2(fd, buffers, place(offset), ReadWriteFlags::NOWAIT) {
        // Linux 5.9 and 5.10 say so also elsewhere than at the end (preadv2(2), "BUGS").
        Ok(0) => is_at_end(fd, offset).then_some(0),
        result => result.ok(),
    }
}

/// Whether nothing can be read because the file ends here.
fn is_at_end(fd: BorrowedFd<'_>, offset: Option<u64>) -> bool {
    let Ok(status) = rustix::fs::fstat(fd) else {
        return false;
    };
    let position = offset.or_else(|| rustix::fs::tell(fd).ok());
    FileType::from_raw_mode(status.st_mode) == FileType::RegularFile
        && position.is_some_and(|position| position >= status.st_size as u64)
}

/// Writes what fits into memory that is there, on file systems that can tell.
fn write_now(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>], offset: Option<u64>) -> Option<usize> {
    let written = pwritev2(fd, buffers, place(offset), ReadWriteFlags::NOWAIT);
    written.ok().filter(|written| *written > 0)
}

/// How many buffers are small enough to be moved at once. None if the first is not.
fn at_once(lengths: impl Iterator<Item = usize>) -> usize {
    let mut room = AT_ONCE_BYTES;
    lengths
        .take_while(|length| match room.checked_sub(*length) {
            Some(rest) => {
                room = rest;
                true
            }
            None => false,
        })
        .count()
}

/// The most that is moved without leaving the thread, which others wait for: some ten microseconds.
const AT_ONCE_BYTES: usize = 128 * 1024;
