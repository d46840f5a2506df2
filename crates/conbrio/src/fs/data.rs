//! The bytes of an open file.
//!
//! Owns the rule that one step moves [`PIECE_BYTES`] at most, so that a cancellation waits for no more than one
//! of them: what has begun to move cannot be stopped.

use std::io::{self, IoSlice, IoSliceMut, SeekFrom};
use std::os::fd::AsFd;

use conbrio_reactor::op::file::{self, PIECE_BYTES};

use super::File;
use super::error::with_fd;
use super::path::on_thread_with_fd;
use crate::io::{Error, Incomplete, Read, Seek, Write};
use crate::task::Cx;

impl File {
    /// Reads at `offset`, up to the size of `buf` and a mebibyte, and says how many bytes that were; zero is the
    /// end of the file, or an empty `buf`. The file's own position stays where it is.
    ///
    /// Costs one system call if the bytes are in the memory of the system; then up to 128 KiB are read.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel `buf` may have been written to, and nothing else has happened.
    ///
    /// # Errors
    ///
    /// What pread(2) says.
    pub fn read_at(&self, cx: &mut Cx, buf: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.read_step(cx, buf, Some(offset))
    }

    /// Reads at `offset` until `buf` is full.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes of `buf` have been read.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count; its kind is `UnexpectedEof` if the file ended too early.
    pub fn read_exact_at(
        &self,
        cx: &mut Cx,
        buf: &mut [u8],
        mut offset: u64,
    ) -> Result<(), Incomplete> {
        crate::io::read_exact(cx, buf, |cx, buf| {
            let count = self.read_step(cx, buf, Some(offset))?;
            offset = offset.saturating_add(count as u64);
            Ok(count)
        })
    }

    /// As [`read_at`](File::read_at) into several buffers, filling one after the other. Those are used that fit
    /// into a mebibyte together, at least the first.
    ///
    /// # Cancellation
    ///
    /// As [`read_at`](File::read_at).
    ///
    /// # Errors
    ///
    /// What preadv(2) says.
    pub fn read_vectored_at(
        &self,
        cx: &mut Cx,
        bufs: &mut [IoSliceMut<'_>],
        offset: u64,
    ) -> Result<usize, Error> {
        self.read_vectored_step(cx, bufs, Some(offset))
    }

    /// Writes at `offset`, as much of `data` as a mebibyte, and says how many bytes that were. The file's own
    /// position stays where it is. A file that was opened to append gets it at its end.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was written.
    ///
    /// # Errors
    ///
    /// What pwrite(2) says. Nothing was written then.
    pub fn write_at(&self, cx: &mut Cx, data: &[u8], offset: u64) -> Result<usize, Error> {
        self.write_step(cx, data, Some(offset))
    }

    /// Writes all of `data` at `offset`.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been written, and the
    /// rest has not.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count.
    pub fn write_all_at(
        &self,
        cx: &mut Cx,
        data: &[u8],
        mut offset: u64,
    ) -> Result<(), Incomplete> {
        crate::io::write_all(cx, data, |cx, data| {
            let count = self.write_step(cx, data, Some(offset))?;
            offset = offset.saturating_add(count as u64);
            Ok(count)
        })
    }

    /// As [`write_at`](File::write_at), as if the buffers were one. Those are used that fit into a mebibyte
    /// together, at least the first.
    ///
    /// # Cancellation
    ///
    /// As [`write_at`](File::write_at).
    ///
    /// # Errors
    ///
    /// What pwritev(2) says. Nothing was written then.
    pub fn write_vectored_at(
        &self,
        cx: &mut Cx,
        bufs: &[IoSlice<'_>],
        offset: u64,
    ) -> Result<usize, Error> {
        self.write_vectored_step(cx, bufs, Some(offset))
    }

    /// Copies bytes of this file at `offset` to another file at `to_offset`, up to `length` and a mebibyte, and
    /// says how many; zero is the end of this file. No position moves. The bytes do not leave the system, and
    /// some file systems let both files share them.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was copied.
    ///
    /// # Errors
    ///
    /// What copy_file_range(2) says: `CrossesDevices` or `Unsupported` where the file systems do not go together.
    /// [`fs::copy`](super::copy) copies there, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::fs::{self, File, TempFile};
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let (from, to) = (File::open(cx, "Cargo.toml")?, TempFile::new(cx)?);
    ///     assert_eq!(from.copy_range(cx, 1, &to, 0, 7)?, 7);
    ///     assert_eq!(fs::read(cx, to.path())?, b"package");
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn copy_range(
        &self,
        cx: &mut Cx,
        mut offset: u64,
        to: &File,
        mut to_offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        let length = length.min(PIECE_BYTES as u64) as usize;
        on_thread_with_fd(cx, "copy a part of", self, || {
            let (from, to) = ((self, Some(&mut offset)), (to, Some(&mut to_offset)));
            Ok(rustix::fs::copy_file_range(from.0, from.1, to.0, to.1, length)?)
        })
    }

    fn read_step(&self, cx: &mut Cx, buf: &mut [u8], offset: Option<u64>) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(cx.checkpoint().map(|()| 0)?);
        }
        let length = buf.len().min(PIECE_BYTES);
        let mut op = file::ReadAt::new(self.as_fd(), &mut buf[..length], offset);
        self.perform(cx, READ, &mut op)
    }

    fn read_vectored_step(
        &self,
        cx: &mut Cx,
        bufs: &mut [IoSliceMut<'_>],
        offset: Option<u64>,
    ) -> Result<usize, Error> {
        let Some(first) = bufs.iter().position(|buf| !buf.is_empty()) else {
            return Ok(cx.checkpoint().map(|()| 0)?);
        };
        let bufs = &mut bufs[first..];
        match in_a_piece(bufs.iter().map(|buf| buf.len())) {
            0 => self.read_step(cx, &mut bufs[0], offset),
            count => {
                let fd = self.as_fd();
                let mut op = file::ReadVectoredAt::new(fd, &mut bufs[..count], offset);
                self.perform(cx, READ, &mut op)
            }
        }
    }

    fn write_step(&self, cx: &mut Cx, data: &[u8], offset: Option<u64>) -> Result<usize, Error> {
        if data.is_empty() {
            return Ok(cx.checkpoint().map(|()| 0)?);
        }
        let data = &data[..data.len().min(PIECE_BYTES)];
        self.perform(cx, WRITE, &mut file::WriteAt::new(self.as_fd(), data, offset))
    }

    fn write_vectored_step(
        &self,
        cx: &mut Cx,
        bufs: &[IoSlice<'_>],
        offset: Option<u64>,
    ) -> Result<usize, Error> {
        let Some(first) = bufs.iter().position(|buf| !buf.is_empty()) else {
            return Ok(cx.checkpoint().map(|()| 0)?);
        };
        let bufs = &bufs[first..];
        match in_a_piece(bufs.iter().map(|buf| buf.len())) {
            0 => self.write_step(cx, &bufs[0], offset),
            count => {
                let mut op = file::WriteVectoredAt::new(self.as_fd(), &bufs[..count], offset);
                self.perform(cx, WRITE, &mut op)
            }
        }
    }

    /// Moves the position. What is counted from the end may have to be asked for elsewhere.
    fn seek_step(&self, cx: &mut Cx, to: SeekFrom) -> Result<u64, Error> {
        if let SeekFrom::End(_) = to {
            return on_thread_with_fd(cx, SEEK, self, || io::Seek::seek(&mut self.std(), to));
        }
        cx.checkpoint()?;
        let moved = io::Seek::seek(&mut self.std(), to);
        Ok(moved.map_err(|error| with_fd(SEEK, self.as_fd(), error))?)
    }
}

/// How many buffers fit into a piece together.
fn in_a_piece(lengths: impl Iterator<Item = usize>) -> usize {
    let mut total = 0_usize;
    lengths
        .take_while(|length| {
            total = total.saturating_add(*length);
            total <= PIECE_BYTES
        })
        .count()
}

/// At the file's own position.
impl Read for File {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.read_step(cx, buf, None)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.read_vectored_step(cx, bufs, None)
    }
}

/// At the file's own position. Nothing is held back here; see [`File::sync_all`] for what the system holds.
impl Write for File {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.write_step(cx, data, None)
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.write_vectored_step(cx, bufs, None)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.checkpoint()?)
    }
}

impl Seek for File {
    fn seek(&mut self, cx: &mut Cx, to: SeekFrom) -> Result<u64, Error> {
        self.seek_step(cx, to)
    }
}

/// For several tasks, which share the position. Let one of them use it at a time: steps that overlap may get
/// the same bytes. [`File::read_at`] does without it.
impl Read for &File {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.read_step(cx, buf, None)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.read_vectored_step(cx, bufs, None)
    }
}

/// For several tasks, which share the position. Let one of them use it at a time, unless the file was opened to
/// append: steps that overlap may write to the same place. [`File::write_at`] does without it.
impl Write for &File {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.write_step(cx, data, None)
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.write_vectored_step(cx, bufs, None)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.checkpoint()?)
    }
}

/// For several tasks, which share the position.
impl Seek for &File {
    fn seek(&mut self, cx: &mut Cx, to: SeekFrom) -> Result<u64, Error> {
        self.seek_step(cx, to)
    }
}

const READ: &str = "read";
const WRITE: &str = "write";
const SEEK: &str = "seek in";
