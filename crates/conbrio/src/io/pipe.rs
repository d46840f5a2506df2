//! Pipes: bytes from one end to the other, inside the process or between processes.
//!
//! Owns the two types of ends. The invariant: an end is in non-blocking mode while it is here, and in
//! blocking mode when it is handed out, because other programs take that for granted.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{Error, HalfClose, Incomplete, Read, Write};
use crate::lowlevel::Watched;
use crate::task::Cx;

/// A pipe: an end to read from, and an end to write to.
///
/// It holds some bytes, 64 KiB unless the system is short of memory; writers wait while it is full. Neither
/// end is inherited by other programs, unless it is given to one as
/// [`Stdio`](crate::process::Stdio).
///
/// Costs one system call. Never waits.
///
/// # Errors
///
/// What pipe2(2) says, most often that the limit of open files is reached. `Unsupported` comes from reading
/// and writing in a simulated run.
///
/// # Examples
///
/// ```
/// use conbrio::io::{self, Read, Write};
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let (mut reader, mut writer) = io::pipe()?;
///     cx.nursery(|cx, n| -> std::io::Result<()> {
///         n.spawn(move |cx| Ok(writer.write_all(cx, b"through the pipe")?));
///         let mut text = String::new();
///         reader.read_to_string(cx, &mut text)?; // to the end: the writer has been dropped
///         assert_eq!(text, "through the pipe");
///         Ok(())
///     })?;
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = conbrio_reactor::os::pipe()?;
    let (reader, writer) = (reader.into_fd(), writer.into_fd());
    Ok((PipeReader { end: Watched::new(reader) }, PipeWriter { end: Some(Watched::new(writer)) }))
}

/// The end of a [`pipe`] to read from. Closes when it is dropped; writers see that as `BrokenPipe`.
#[derive(Debug)]
pub struct PipeReader {
    end: Watched,
}

/// The end of a [`pipe`] to write to. Closes when it is dropped; then, and when every duplicate has closed,
/// the reader sees the end.
///
/// Writing to a pipe that nobody reads fails with `BrokenPipe`; it never raises `SIGPIPE`, whatever that
/// signal does in this process.
#[derive(Debug)]
pub struct PipeWriter {
    /// `None` after the end of the direction.
    end: Option<Watched>,
}

impl PipeReader {
    /// Takes an end that comes from elsewhere, and sets it to non-blocking mode: a pipe or a FIFO.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn from_fd(fd: OwnedFd) -> io::Result<PipeReader> {
        Ok(PipeReader { end: Watched::new(fd).nonblocking()? })
    }

    /// Hands the descriptor out, in blocking mode: for another program, or for `std`.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says; the end has been closed then.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.end.into_blocking_fd()
    }

    /// Reads what is there, at most as much as `buf` holds, and waits only if there is nothing. Zero is the
    /// end: every writer has been dropped. (Or `buf` is empty.)
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was taken.
    ///
    /// # Errors
    ///
    /// What read(2) says.
    pub fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.end.read(cx, buf)
    }
}

impl PipeWriter {
    /// Takes an end that comes from elsewhere, and sets it to non-blocking mode: a pipe or a FIFO.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub fn from_fd(fd: OwnedFd) -> io::Result<PipeWriter> {
        Ok(PipeWriter { end: Some(Watched::new(fd).nonblocking()?) })
    }

    /// Hands the descriptor out, in blocking mode: for another program, or for `std`.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` after [`end_write`](HalfClose::end_write); what fcntl(2) says, and the end has been closed
    /// then.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.end.ok_or_else(ended)?.into_blocking_fd()
    }

    /// Writes as much of `data` as there is room for, and says how much; waits only if there is no room.
    /// Up to 4096 bytes are written as a whole: they do not mix with what others write.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was written.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if every reader has been dropped, and after [`end_write`](HalfClose::end_write).
    pub fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.write_vectored(cx, &[IoSlice::new(data)])
    }

    /// As [`write`](PipeWriter::write), as if the buffers were one: at most 1024 of them in a call.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no byte was written.
    pub fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        match &self.end {
            Some(end) => end.write(cx, bufs),
            None => {
                cx.checkpoint()?;
                Err(ended().into())
            }
        }
    }

    /// Writes all of `data`.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been written, and the
    /// rest has not.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count.
    pub fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        super::write_all(cx, data, |cx, data| self.write(cx, data))
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "write to a pipe: this end was closed by `end_write`")
}

impl Read for PipeReader {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.read(cx, buf)
    }
}

impl Write for PipeWriter {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.write(cx, data)
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.write_vectored(cx, bufs)
    }

    /// Nothing is held back. A checkpoint all the same.
    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.checkpoint()?)
    }
}

/// Closes the end, as dropping it does. A checkpoint all the same.
impl HalfClose for PipeWriter {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        self.end = None;
        Ok(())
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
